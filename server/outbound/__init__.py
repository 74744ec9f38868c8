"""The one way out: requests to addresses that a tenant may choose leave the server through here and nowhere else."""

from server.outbound.client import Fetched, Outbound, Unreachable
from server.outbound.guard import Guard

__all__ = ["Fetched", "Guard", "Outbound", "Unreachable"]
