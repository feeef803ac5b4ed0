"""DynamoDB: every key lives in keys.py, every conditional write in the repository of its entity."""
