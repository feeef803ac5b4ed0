"""Pure rules, tested without a network."""

from __future__ import annotations

from tests.no_network import no_sockets

__all__ = ["no_sockets"]
