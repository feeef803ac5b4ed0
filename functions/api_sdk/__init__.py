"""The SDK's HTTP API (/api/v1): what `ankerautotrainsdk` speaks."""
