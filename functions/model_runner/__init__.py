"""Models of the artifacts bucket, ready to run in a Lambda: what `infer` and the prediction function share."""
