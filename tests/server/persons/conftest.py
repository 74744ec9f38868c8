"""The log in a schema of its own, as the tests of sync have it."""

from tests.server.sync.conftest import log, shared_log

__all__ = ["log", "shared_log"]
