"""Which room of the server a handler belongs to."""

from collections.abc import Callable
from functools import partial
from typing import Any


def room_of(handler: Callable[..., Any]) -> str:
    """The first package of the handler's module below `server`: `sync` for `server.sync.api`."""
    while isinstance(handler, partial):
        handler = handler.func
    packages = handler.__module__.split(".")
    return packages[1] if packages[0] == "server" and len(packages) > 1 else packages[0]
