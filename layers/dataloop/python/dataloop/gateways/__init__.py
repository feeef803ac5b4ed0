"""S3, SQS, EventBridge, Step Functions, SageMaker: thin, typed, and the only users of boto3 beside the repositories."""
