"""Sessions: each login opens one, and what is gone from the table holds no longer, whatever its token says."""

from server.auth.sessions.model import Kind, Lifetimes, Opened
from server.auth.sessions.opening import Sessions

__all__ = ["Kind", "Lifetimes", "Opened", "Sessions"]
