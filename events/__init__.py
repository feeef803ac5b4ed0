"""Event payloads: what arrives (inbound), what we publish (domain), what executions get (workflow_inputs)."""
