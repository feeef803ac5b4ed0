"""Label formats against datumaro, which runs in an environment of its own: agreement and cost."""
