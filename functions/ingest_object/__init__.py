"""S3 events from the ingest queue become registrations."""
