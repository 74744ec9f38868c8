"""A log of its own for the tests of conflicts."""

from tests.server.sync.conftest import log, shared_log

__all__ = ["log", "shared_log"]
