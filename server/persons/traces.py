"""Where persons are spoken of, besides under their own guids in tables that are kept by guid.

The log and the other large tables are looked through piece by piece, in statements that are short each.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import orjson

from server.app_configs.seeds import guid_of_creation
from server.db import Connection
from server.db.connection import Row
from server.persons import queries

_NUMBERS: Final = 20_000
_ENTRIES: Final = 10_000
_ACTS: Final = 1_000


@dataclass(frozen=True)
class Sought:
    """The persons that are looked for."""

    persons: Sequence[str]

    @cached_property
    def needles(self) -> list[str]:
        """Their guids as they stand in JSON texts."""
        return [orjson.dumps(guid).decode() for guid in self.persons]

    @cached_property
    def subjects(self) -> list[str]:
        """How acts name them."""
        return [f"{kind}:{guid}" for guid in self.persons for kind in ("person", "entity")]


async def events_of(db: Connection, sought: Sought, *, after: int = 0) -> set[int]:
    """The numbers of the events behind a number that mention a person, or hold her guid anywhere in their data."""
    found = {seq for seq in await queries.list_mentions(db, sought.persons) if seq > after}
    head = await queries.get_head(db)
    for start in range(after, head, _NUMBERS):
        found.update(await queries.list_saying(db, sought.needles, start, min(start + _NUMBERS, head)))
    return found


async def quarantined(db: Connection, sought: Sought) -> AsyncIterator[list[Row]]:
    """The entries of the quarantine that hold a person's guid, in pieces."""
    after = 0
    while True:
        after, rows = await queries.list_quarantined(db, sought.needles, after, _ENTRIES)
        if not after:
            return
        yield rows


async def audited(db: Connection, sought: Sought) -> AsyncIterator[list[Row]]:
    """The entries of the devices' audit log that are about a person or hold her guid, in pieces."""
    after = 0
    while True:
        after, rows = await queries.list_audited(db, sought.persons, sought.needles, after, _ENTRIES)
        if not after:
            return
        yield rows


async def acts(db: Connection, sought: Sought, *, after: int = 0) -> AsyncIterator[list[Row]]:
    """The acts behind a number in the organization's own log that are about a person or hold her guid, in pieces."""
    while rows := await queries.list_acts(db, sought.subjects, sought.needles, after, _ACTS):
        yield rows
        after = rows[-1]["id"]


async def operators_acts(db: Connection, sought: Sought, tenant_id: int, *, after: int = 0) -> AsyncIterator[list[Row]]:
    """The same in the operators' log. On the shared schema."""
    while rows := await queries.list_operators_acts(db, sought.subjects, sought.needles, after, _ACTS, tenant_id):
        yield rows
        after = rows[-1]["id"]


async def seeded(db: Connection, sought: Sought) -> list[str]:
    """Those of the persons whom a row of a config's seed data made."""
    creations = {guid_of_creation(guid): guid for guid in sought.persons}
    return [creations[guid] for guid in await queries.list_known_guids(db, list(creations))]


async def configs(db: Connection, sought: Sought, tenant_id: int, *, any_seeded: bool) -> list[int]:
    """The numbers of the tenant's configs in which a person may stand. On the shared schema.

    Whoever was made by a row without an id stands there under none, so then all with seed data are meant.
    """
    return await queries.list_configs(db, tenant_id, [] if any_seeded else sought.needles)
