"""The core of Dataloop: domain, services, repositories and gateways. It speaks no protocol; the adapters in `functions/` do."""

__version__ = "0.1.0"
