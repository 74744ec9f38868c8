"""Of any log: what is left of it, and a copy, make the log again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.conflicts.finding import note_conflicts
from server.db.connection import Row
from server.kit.clock import iso_ms, to_ms
from server.sync.event import UPDATES, Event
from server.sync.intake import Refusal, read_event
from server.sync.log_copies import offering
from server.sync.log_copies.offering import Offered, offer
from server.sync.log_copies.reading import Terms, read_lines
from server.sync.log_copies.writing import copy_log
from server.sync.push import Source
from server.sync.verification.chain import verify_chain
from tests.server.sync.conftest import Log
from tests.server.sync.strategies import Happening, happenings, state_of

BEGIN = datetime(2026, 1, 31, 8, tzinfo=UTC)
TOLERANCE = timedelta(minutes=2)
TERMS = Terms(Source("command-line", "log-copy", BEGIN + timedelta(days=30)), TOLERANCE)


@dataclass(frozen=True)
class Batch:
    """What one device pushed at once."""

    events: list[Event]
    source: Source


def batch(number: int, who: str, made: Sequence[tuple[Happening, int, frozenset[str]]]) -> Batch:
    """A push that arrives `number` minutes after the begin, of events made so many minutes after it."""
    source = Source(who, f"phone of {who}", BEGIN + timedelta(minutes=number))
    read = []
    for place, ((type_, entity_guid, data), minute, kept) in enumerate(made):
        raw = {
            "guid": f"event-{number}-{place}",
            "entityGuid": entity_guid,
            "type": type_,
            "data": data,
            "timestamp": iso_ms(BEGIN + timedelta(minutes=minute)),
            "userId": who,
        }
        event = read_event(raw, arrival_ms=to_ms(source.at), tolerance=TOLERANCE)
        if not isinstance(event, Refusal):
            if kept and type_ in UPDATES:
                event.applied = {key: value for key, value in data.items() if key in kept}
            read.append(event)
    return Batch(read, source)


@st.composite
def pushes(draw: st.DrawFn) -> list[Batch]:
    """Pushes of two people whose clocks are right, behind or far ahead; of some updates only a part takes effect."""
    kept = st.frozensets(st.sampled_from(("name", "village", "externalId", "nothing")), max_size=2)
    made = st.lists(st.tuples(happenings, st.integers(0, 20), kept), min_size=1, max_size=4)
    drawn = draw(st.lists(st.tuples(st.sampled_from(("ann", "ben")), made), max_size=6))
    return [batch(number, who, some) for number, (who, some) in enumerate(drawn)]


async def push_all(log: Log, some: Sequence[Batch]) -> None:
    await log.empty()
    for each in some:
        await log.push(each.events, each.source)


async def copy_of(log: Log) -> list[bytes]:
    copy = b"".join([lines async for lines, _, _ in copy_log(partial(log.database.inside, log.scope, readonly=True))])
    return copy.splitlines(keepends=True)


async def offer_to(log: Log, copy: Sequence[bytes]) -> Offered:
    refused: list[Any] = []
    target = offering.Log(partial(log.database.inside, log.scope, readonly=True), log.inside, note_conflicts)
    lines = read_lines(BytesIO(b"".join(copy)), TERMS)
    told = [offered async for offered in offer(target, lines, TERMS, lambda *each: refused.append(each))]
    assert refused == []
    assert (await verify_chain(partial(log.database.inside, log.scope, readonly=True))).fault is None
    return told[-1]


async def events_of(log: Log) -> list[Row]:
    return await log.fetch(
        "SELECT seq, guid, entity_guid, type, data::text, applied::text, timestamp, timestamp_ms, effective_ms, "
        "user_id, account, device_id, received_at, digest, outcome, reason FROM events ORDER BY seq"
    )


@settings(max_examples=15, deadline=None)
@given(data=st.data(), made=pushes())
async def test_log_that_lost_its_end_is_again_what_it_was(
    shared_log: Log, data: st.DataObject, made: list[Batch]
) -> None:
    await push_all(shared_log, made)
    copy, events, entities = await copy_of(shared_log), await events_of(shared_log), await shared_log.entities()
    link = await shared_log.fetchval("SELECT link FROM sync_head")
    left = data.draw(st.integers(0, len(made)))
    await push_all(shared_log, made[:left])
    offered = await offer_to(shared_log, copy)
    assert await events_of(shared_log) == events
    assert await shared_log.entities() == entities
    assert await shared_log.fetchval("SELECT link FROM sync_head") == link
    assert (offered.taken, offered.is_whole) == (sum(len(each.events) for each in made[left:]), True)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), made=pushes())
async def test_whatever_is_left_and_however_lines_are_mixed_each_event_is_there_once(
    shared_log: Log, data: st.DataObject, made: list[Batch]
) -> None:
    await push_all(shared_log, made)
    copy, events, entities = await copy_of(shared_log), await events_of(shared_log), await shared_log.entities()
    left = [each for each in made if data.draw(st.booleans())]
    await push_all(shared_log, left)
    offered = await offer_to(shared_log, data.draw(st.permutations(copy + copy)))
    assert {row["guid"]: (*row,)[1:] for row in await events_of(shared_log)} == {
        row["guid"]: (*row,)[1:] for row in events
    }
    assert state_of(await shared_log.entities()) == state_of(entities)
    assert offered.known + offered.taken == offered.events == 2 * len(events)
    before = await events_of(shared_log)
    assert (await offer_to(shared_log, copy)).taken == 0
    assert await events_of(shared_log) == before
