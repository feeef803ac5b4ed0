"""Deployment to AWS; runs in an environment of its own (docs/deploy.md)."""
