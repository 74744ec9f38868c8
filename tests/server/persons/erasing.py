"""Erasing persons from a log that stands alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.audit import Author
from server.conflicts.finding import note_conflicts
from server.db import Scope
from server.persons.erasure import Order, erase
from tests.server.sync.conftest import AT, Log


@dataclass(frozen=True)
class _Alone:
    """Whose the log is; the database has no configs and no acts of it."""

    scope: Scope
    id: int = 1


async def erase_in(log: Log, whom: Sequence[str]) -> list[str]:
    """Erases as a request does; answers who was."""
    tenant: Any = _Alone(log.scope)
    order = Order(tenant, whom, "on request", Author("7"), AT, note_conflicts)
    async with log.inside() as db:
        return (await erase(db, order)).persons
