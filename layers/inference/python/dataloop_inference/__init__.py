"""What a model says about an image, without torch: pixels in, labels, boxes and masks out. Jobs, the `infer` function and
the exported server share it, so that one model gives one answer everywhere.
"""
