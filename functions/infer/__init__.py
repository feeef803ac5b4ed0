"""Predictions for a few images, now: ONNX Runtime behind `POST /api/v1/infer`."""
