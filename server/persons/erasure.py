"""Erasing persons: what is held of their contents is taken away for good, everywhere and in one transaction.

They are deleted by ordinary events, so that every device takes them away; a mark on these events keeps anything from
bringing them back. Then all that was ever said of them is taken out of the log and of whatever else holds it. What
stays is their guids, and of each event its number, type, times and digest, so that the chain of pushes still holds.

Pushes wait meanwhile: whoever comes after finds the persons erased, and nothing of theirs is kept.
"""

from asyncio import to_thread
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import orjson

from server.app_configs.seeds import without_persons
from server.audit import Author, record
from server.audit.queries import erase_acts, get_end
from server.db import Connection, scoped
from server.db.connection import Row
from server.duplicates.queries import lock_progress
from server.entities.erasing import fields_without, raw_without, without
from server.kit.clock import from_ms, iso_ms, to_ms
from server.persons import queries, traces
from server.persons.traces import Sought
from server.sync.erasing import blank
from server.sync.event import DELETE_ENTITY, Event
from server.sync.intake import read_event
from server.sync.push import Follow, Source, push
from server.sync.queries import lock_all_entities, note_erasures
from server.sync.records import event_from
from server.sync.seeding import OWN_DEVICE
from server.tenants.model import Tenant

ERASED: Final = "person.erased"

_TELLING_NOTHING: Final = ("person.", "acts.erased")
"""How acts begin that never tell more of a person than her guid."""

_EVENTS: Final = 25
"""How many events are held at once: one can be as large as a request."""

Counts = Counter[str]
"""How many were emptied: events, otherEntities, quarantine, deviceAudit, configs and, once recorded, acts."""


@dataclass(slots=True)
class Erased:
    """What an erasure did: `persons` were erased; `passed_over` were not, be it for their members or a recheck."""

    persons: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Order:
    """Who is to be erased in which tenant, on whose behalf and why. `follow` is what else happens after a push.

    `recheck` says of persons, once nobody can change them any more, which are still to be erased; all without it.
    """

    tenant: Tenant
    persons: Sequence[str]
    reason: str
    author: Author
    at: datetime
    follow: Follow
    recheck: Callable[[Connection, Sequence[str]], Awaitable[Collection[str]]] | None = None


async def erase(db: Connection, order: Order) -> Erased:
    """Erases the persons; to be called in the tenant's scope, in a transaction that sees everything.

    Whoever was erased before is looked for again, and what is found emptied. A group that has living members is passed
    over, because they would be deleted with it; members that are erased along with it do not count. Nothing may have
    been locked before.
    """
    # The whole log is looked through while everybody else goes on; what comes meanwhile is looked through under locks.
    sought = Sought(order.persons)
    before = await queries.get_head(db)
    seqs = await traces.events_of(db, sought)
    await queries.lock_erasing(db)
    await lock_progress(db)
    await lock_all_entities(db)
    seqs |= await traces.events_of(db, sought, after=before)
    known = {row["guid"] for row in await queries.list_erasures(db, order.persons)}
    standing = await _standing_of_those_to_go(db, order, known)
    erased = Erased([*standing], [guid for guid in order.persons if guid not in standing])
    if erased.persons:
        await _delete(db, order, [guid for guid in erased.persons if guid not in known], standing)
        await _Emptying(db, order, Sought(erased.persons), erased.counts).run(sorted(seqs))
    return erased


async def _standing_of_those_to_go(db: Connection, order: Order, known: Collection[str]) -> dict[str, Row | None]:
    """Whom to erase, each with the row as it stands, if there is one.

    Who has a living member that stays, stays; so does the group that he is in, and so on.
    """
    going: list[str] = list(dict.fromkeys(order.persons))
    if order.recheck is not None:
        due = await order.recheck(db, going)
        going = [guid for guid in going if guid in due]
    while True:
        standing = {row["guid"]: row for row in await queries.list_standing(db, going)}
        kept = {row["guid"] for row in standing.values() if row["is_live"] and row["members"]} - set(known)
        if not kept:
            return {guid: standing.get(guid) for guid in going}
        going = [guid for guid in going if guid not in kept]


# Deleting


async def _delete(db: Connection, order: Order, persons: Sequence[str], standing: dict[str, Row | None]) -> None:
    """Pushes the events that delete the persons, each later than whatever touched its person."""
    if not persons:
        return
    events = [_deletion(guid, order, standing.get(guid)) for guid in persons]
    source = Source(order.author.account, OWN_DEVICE, order.at)
    pushed = await push(db, events, source)
    await order.follow(db, pushed, source)
    await note_erasures(
        db,
        persons,
        [event.guid for event in events],
        at=order.at,
        by=order.author.account,
        reason=order.reason,
    )


def _deletion(guid: str, order: Order, row: Row | None) -> Event:
    newest_ms = 0 if row is None or row["newest_ms"] is None else row["newest_ms"]
    at_ms = max(to_ms(order.at), newest_ms + 1)
    event = read_event(
        {
            "guid": str(uuid4()),
            "entityGuid": guid,
            "type": DELETE_ENTITY,
            "data": {"guid": guid},
            "timestamp": iso_ms(from_ms(at_ms)),
            "userId": order.author.account,
        },
        arrival_ms=at_ms,
        tolerance=timedelta(),
    )
    assert isinstance(event, Event), event
    event.erases = True
    return event


# Emptying


class _Emptying:
    """Takes what is said of erased persons out of everything there is. `counts` fills with what was emptied."""

    def __init__(self, db: Connection, order: Order, sought: Sought, counts: Counts) -> None:
        self._db = db
        self._order = order
        self._sought = sought
        self._persons = frozenset(sought.persons)
        self._counts = counts

    async def run(self, seqs: Sequence[int]) -> None:
        """`seqs` are the numbers of the events that speak of them."""
        await self._empty_events(seqs)
        await self._empty_quarantine()
        await self._empty_audit_log()
        await queries.forget(self._db, self._sought.persons)
        await self._empty_configs()
        await queries.sample_anew(self._db)

    async def _empty_events(self, seqs: Sequence[int]) -> None:
        head = await queries.get_head(self._db)
        for start in range(0, len(seqs), _EVENTS):
            events = [event_from(row) for row in await queries.list_events(self._db, seqs[start : start + _EVENTS])]
            blanked = [event for event in events if blank(event, self._persons)]
            if not blanked:
                continue
            numbers = [event.seq for event in blanked]
            self._counts["events"] += await queries.blank_events(
                self._db,
                numbers,
                [orjson.dumps(event.data).decode() for event in blanked],
                [None if event.applied is None else orjson.dumps(event.applied).decode() for event in blanked],
            )
            await self._empty_entities(numbers, head)

    async def _empty_entities(self, seqs: Sequence[int], head: int) -> None:
        """Others' records that hold something of theirs: fields are laid over each other, so what is left is, too."""
        left = {}
        for row in await queries.list_mentioned(self._db, seqs, self._sought.needles):
            data = orjson.loads(row["data"])
            if (kept := fields_without(data, self._persons)) is not data:
                left[row["guid"]] = orjson.dumps(kept).decode()
        if left:
            await queries.set_data(self._db, list(left), list(left.values()), head)
            self._counts["otherEntities"] += len(left)

    async def _empty_quarantine(self) -> None:
        async for rows in traces.quarantined(self._db, self._sought):
            left = dict(_changed((row["id"], row["raw"], self._left_of_raw(row["raw"])) for row in rows))
            if left:
                self._counts["quarantine"] += await queries.blank_quarantine(self._db, list(left), list(left.values()))

    async def _empty_audit_log(self) -> None:
        async for rows in traces.audited(self._db, self._sought):
            left = dict(_changed((row["seq"], row["changes"], self._left_of_changes(row)) for row in rows))
            if left:
                self._counts["deviceAudit"] += await queries.blank_audit_log(self._db, list(left), list(left.values()))

    async def _empty_configs(self) -> None:
        any_seeded = bool(await traces.seeded(self._db, self._sought))
        tenant_id = self._order.tenant.id
        async with scoped(self._db, None):
            for number in await traces.configs(self._db, self._sought, tenant_id, any_seeded=any_seeded):
                text = await queries.lock_config(self._db, tenant_id, number)
                document = orjson.loads(text or b"{}")
                left = await to_thread(without_persons, document, self._persons)
                if left is not document:
                    await queries.set_config(self._db, tenant_id, number, orjson.dumps(left).decode())
                    self._counts["configs"] += 1

    def _left_of_raw(self, raw: str) -> str:
        return orjson.dumps(raw_without(orjson.loads(raw), self._persons)).decode()

    def _left_of_changes(self, row: Row) -> str:
        if row["entity_guid"] in self._persons:
            return "{}"
        changes = orjson.loads(row["changes"])
        left = without(changes, self._persons)
        return str(row["changes"]) if left is changes else orjson.dumps(left).decode()


def _changed(entries: Iterable[tuple[Any, str, str]]) -> Iterable[tuple[Any, str]]:
    return ((key, left) for key, before, left in entries if left != before)


# Recording


async def record_erasure(db: Connection, order: Order, erased: Erased) -> None:
    """Puts each person's erasure on both records, and empties what else these tell of them.

    Comes last in the transaction: whoever records an act waits from then on. So the logs are looked through before, and
    once more for what has come meanwhile when both are locked.
    """
    if not erased.persons:
        return
    sought = Sought(erased.persons)
    ends = await _ends_of_logs(db)
    operators, own = await _telling_acts(db, order, sought, (0, 0))
    for guid in erased.persons:
        await record(
            db,
            order.author,
            ERASED,
            f"person:{guid}",
            tenant=order.tenant,
            details={"reason": order.reason, "emptied": dict(+erased.counts), "together": len(erased.persons)},
        )
    newer_operators, newer_own = await _telling_acts(db, order, sought, ends)
    author = order.author
    by = (author.account, author.session_id, author.address)
    subject = f"person:{erased.persons[0]}" if len(erased.persons) == 1 else "persons"
    async with scoped(db, None):
        await erase_acts(db, *by, subject, operators + newer_operators)
    await erase_acts(db, *by, subject, own + newer_own)
    erased.counts["acts"] += len({*operators, *newer_operators}) + len({*own, *newer_own})


async def _ends_of_logs(db: Connection) -> tuple[int, int]:
    """The numbers of the last act in the operators' log and in the organization's own."""
    async with scoped(db, None):
        operators = (await get_end(db, "operators"))["last"]
    return operators, (await get_end(db, "tenant"))["last"]


async def _telling_acts(
    db: Connection, order: Order, sought: Sought, after: tuple[int, int]
) -> tuple[list[int], list[int]]:
    """The acts behind these numbers that tell more of the persons than their guids: the operators', the own ones."""
    async with scoped(db, None):
        pieces = traces.operators_acts(db, sought, order.tenant.id, after=after[0])
        operators = [row["id"] async for rows in pieces for row in rows if _tells_more(row, sought)]
    pieces = traces.acts(db, sought, after=after[1])
    return operators, [row["id"] async for rows in pieces for row in rows if _tells_more(row, sought)]


def _tells_more(row: Row, sought: Sought) -> bool:
    if row["action"].startswith(_TELLING_NOTHING):
        return False
    details = orjson.loads(row["details"])
    if row["subject"] in sought.subjects:
        return bool(details)
    return without(details, frozenset(sought.persons)) is not details
