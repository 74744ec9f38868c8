from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.db import Connection, Scope
from server.kit.clock import from_ms, iso_ms, to_ms
from server.sync.event import Event
from server.sync.verification import chain
from server.sync.verification.chain import Verdict, verify_chain
from tests.server.sync.conftest import AT, Log

NOW = to_ms(AT)
PUSHES = (3, 1, 5, 3)

_numbers = count(1)


def event(data: dict[str, Any] | None = None, *, at_ms: int = NOW, effective_ms: int | None = None) -> Event:
    number = next(_numbers)
    return Event(
        guid=f"event-{number}",
        entity_guid=f"entity-{number}",
        type="create-individual",
        data=data or {"name": f"Person {number}"},
        timestamp=iso_ms(from_ms(at_ms)),
        timestamp_ms=at_ms,
        effective_ms=at_ms if effective_ms is None else effective_ms,
        user_id="7",
    )


async def filled(log: Log) -> list[str]:
    """Four pushes: the events 1 to 3, 4, 5 to 9, 10 to 12. Gives the guids of the events."""
    events = [[event() for _ in range(size)] for size in PUSHES]
    for batch in events:
        await log.push(batch)
    return [each.guid for batch in events for each in batch]


async def tamper(log: Log, *statements: str) -> None:
    """What somebody with the rights of the tables' owner could do."""
    async with log.database.inside(Scope(log.scope.schema, log.owner)) as db:
        for statement in statements:
            assert await db.execute(statement) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0"), statement


async def verdict_of(log: Log, **options: Any) -> Verdict:
    return await verify_chain(lambda: log.database.inside(log.scope, readonly=True), **options)


@pytest.fixture(params=[2_000, 2], ids=["at once", "piece by piece"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is read in one piece, and in many."""
    monkeypatch.setattr(chain, "_EVENTS", request.param)
    monkeypatch.setattr(chain, "_PUSHES", request.param)


@pytest.mark.usefixtures("pieces")
async def test_log_as_it_was_taken_is_whole(log: Log) -> None:
    await filled(log)
    told: list[tuple[int, int]] = []
    verdict = await verdict_of(log, progress=lambda done, total: told.append((done, total)))
    assert (verdict.fault, verdict.events, verdict.pushes) == (None, 12, 4)
    assert (verdict.head, verdict.epoch) == (12, "one")
    assert verdict.link == await log.fetchval("SELECT link FROM pushes WHERE last_seq = 12")
    assert told == [(3, 12), (4, 12), (9, 12), (12, 12)]


async def test_empty_log_is_whole(log: Log) -> None:
    verdict = await verdict_of(log)
    assert (verdict.fault, verdict.head, verdict.link) == (None, 0, b"")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "ä", "𐐷", "x y"]), inner),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(values, min_size=1, max_size=4), max_size=4))
async def test_whatever_is_pushed_verifies(log: Log, batches: list[list[Any]]) -> None:
    await log.empty()
    for batch in batches:
        await log.push([event({"value": value}) for value in batch])
    verdict = await verdict_of(log)
    assert (verdict.fault, verdict.events) == (None, sum(map(len, batches)))


async def test_event_that_came_from_a_clock_ahead_of_time_counts_for_its_arrival(log: Log) -> None:
    await log.push([event(at_ms=NOW + 3_600_000, effective_ms=NOW + 900_000)])
    assert (await verdict_of(log)).fault is None


SWAPPED = (
    "UPDATE events SET seq = -1 WHERE seq = 6",
    "UPDATE events SET seq = 6 WHERE seq = 7",
    "UPDATE events SET seq = 7 WHERE seq = -1",
)
COPY = (
    "INSERT INTO events SELECT {seq}, 'put-in', entity_guid, type, data, applied, timestamp, timestamp_ms, "
    "effective_ms, user_id, account, device_id, received_at, base_seq, digest, outcome, reason "
    "FROM events WHERE seq = 6"
)
NOT_WHAT_WAS_PUSHED = (
    "Event 6 ({6}) is not what was pushed: its content gives another digest than the one noted for it."
)
ANOTHER_TIME = "Event 6 ({6}) counts for another time than the one it was pushed with."
ANOTHER_LINK = "The push of the events 5 to 9 does not give the link that is noted for it."


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("statements", "fault", "whole_up_to"),
    [
        # An event's content
        (["""UPDATE events SET data = '{"name": "Else"}' WHERE seq = 6"""], NOT_WHAT_WAS_PUSHED, 4),
        (["UPDATE events SET data = '6' WHERE seq = 6"], NOT_WHAT_WAS_PUSHED, 4),
        (
            ["UPDATE events SET type = 'create-group', data = '6' WHERE seq = 6"],
            "Event 6 ({6}) is none that could have been pushed.",
            4,
        ),
        (["UPDATE events SET entity_guid = 'else' WHERE seq = 6"], NOT_WHAT_WAS_PUSHED, 4),
        (["UPDATE events SET type = 'delete-entity' WHERE seq = 6"], NOT_WHAT_WAS_PUSHED, 4),
        (["UPDATE events SET user_id = '8' WHERE seq = 6"], NOT_WHAT_WAS_PUSHED, 4),
        (["UPDATE events SET timestamp = replace(timestamp, '2026', '2025') WHERE seq = 6"], NOT_WHAT_WAS_PUSHED, 4),
        (
            ["UPDATE events SET timestamp = 'soon' WHERE seq = 6"],
            "Event 6 ({6}) is none that could have been pushed.",
            4,
        ),
        (
            ["UPDATE events SET guid = 'else' WHERE seq = 6"],
            "Event 6 (else) is not what was pushed: its content gives another digest than the one noted for it.",
            4,
        ),
        (["UPDATE events SET digest = sha256('else') WHERE seq = 6"], NOT_WHAT_WAS_PUSHED, 4),
        (["UPDATE events SET timestamp_ms = timestamp_ms + 1 WHERE seq = 6"], ANOTHER_TIME, 4),
        (["UPDATE events SET effective_ms = effective_ms + 1 WHERE seq = 6"], ANOTHER_TIME, 4),
        # Events as such
        (["DELETE FROM events WHERE seq = 1"], "Event 1 is missing.", 0),
        (["DELETE FROM events WHERE seq = 6"], "Event 6 is missing.", 4),
        (["DELETE FROM events WHERE seq = 12"], "Event 12 is missing.", 9),
        (["DELETE FROM events"], "Event 1 is missing.", 0),
        (["UPDATE events SET seq = 13 WHERE seq = 6"], "Event 6 is missing.", 4),
        (SWAPPED, ANOTHER_LINK, 4),
        ([COPY.format(seq=13)], "Event 13 (put-in) belongs to no push.", 12),
        ([COPY.format(seq=0)], "Event 0 (put-in) belongs to no push.", 0),
        # Pushes
        (["DELETE FROM pushes WHERE last_seq = 3"], "No push brought the events 1 to 3.", 0),
        (["DELETE FROM pushes WHERE last_seq = 9"], "No push brought the events 5 to 9.", 4),
        (["DELETE FROM pushes WHERE last_seq = 12"], "Event 10 ({10}) belongs to no push.", 9),
        (["UPDATE pushes SET link = sha256('else') WHERE last_seq = 9"], ANOTHER_LINK, 4),
        (["UPDATE pushes SET first_seq = 6 WHERE last_seq = 9"], "No push brought the events 5 to 5.", 4),
        (
            ["UPDATE pushes SET first_seq = 4 WHERE last_seq = 9"],
            "The push of the events 4 to 9 overlaps the one before, which ends at 4.",
            4,
        ),
        (
            ["UPDATE pushes SET last_seq = 2 WHERE last_seq = 4"],
            "The push of the events 4 to 2 is none: it ends before it begins.",
            0,
        ),
        (
            ["UPDATE pushes SET last_seq = 8 WHERE last_seq = 9"],
            "The push of the events 5 to 8 does not give the link that is noted for it.",
            4,
        ),
        (
            ["DELETE FROM pushes WHERE last_seq = 3", "UPDATE pushes SET first_seq = 1 WHERE last_seq = 4"],
            "The push of the events 1 to 4 does not give the link that is noted for it.",
            0,
        ),
        # The head
        (["UPDATE sync_head SET head = 11"], "The head stands at 11, but the pushes end at 12.", 12),
        (["UPDATE sync_head SET head = 13"], "The head stands at 13, but the pushes end at 12.", 12),
        (["UPDATE sync_head SET link = sha256('else')"], "The link at the head is not the one of the last push.", 12),
        (
            ["UPDATE sync_head SET previous = sha256('else')"],
            "The link before the one at the head is not the one of the last push but one.",
            12,
        ),
        (
            [
                "DELETE FROM events WHERE seq >= 10",
                "DELETE FROM pushes WHERE last_seq >= 10",
            ],
            "The head stands at 12, but the pushes end at 9.",
            9,
        ),
    ],
)
async def test_whatever_is_tampered_with_is_found_and_named(
    log: Log, statements: list[str], fault: str, whole_up_to: int
) -> None:
    guids = await filled(log)
    await tamper(log, *statements)
    verdict = await verdict_of(log)
    assert verdict.fault == fault.format("", *guids)
    assert verdict.events == whole_up_to


FORGED_EVENT = """
    UPDATE events SET guid = 'else', entity_guid = 'e', type = 't', data = '{}', timestamp = '2026-01-31T08:15:00.000Z',
        digest = sha256('{"data":{},"entityGuid":"e","guid":"else","timestamp":"2026-01-31T08:15:00.000Z",'
                        '"type":"t","userId":"7"}')
    WHERE seq = 6
"""
FORGED_LINK = """
    UPDATE pushes p SET link = sha256(
        (SELECT link FROM pushes WHERE last_seq = 4) || int8send(5)
        || (SELECT string_agg(digest, '' ORDER BY seq) FROM events WHERE seq BETWEEN 5 AND 9))
    WHERE last_seq = 9
"""


async def test_event_that_was_changed_together_with_its_digest_breaks_its_link(log: Log) -> None:
    await filled(log)
    await tamper(log, FORGED_EVENT)
    assert (await verdict_of(log)).fault == ANOTHER_LINK


async def test_event_that_was_changed_together_with_its_link_breaks_the_next(log: Log) -> None:
    await filled(log)
    await tamper(log, FORGED_EVENT, FORGED_LINK)
    verdict = await verdict_of(log)
    assert verdict.fault == "The push of the events 10 to 12 does not give the link that is noted for it."
    assert verdict.events == 9


async def test_log_that_was_shortened_together_with_its_head_lacks_the_receipts_of_devices(log: Log) -> None:
    await filled(log)
    last = await log.fetchval("SELECT link FROM pushes WHERE last_seq = 12")
    await tamper(
        log,
        "DELETE FROM events WHERE seq >= 10",
        "DELETE FROM pushes WHERE last_seq >= 10",
        "UPDATE sync_head SET head = 9, link = (SELECT link FROM pushes WHERE last_seq = 9), "
        "previous = (SELECT link FROM pushes WHERE last_seq = 4)",
    )
    verdict = await verdict_of(log, receipt=last)
    assert (verdict.fault, verdict.receipt) == (None, None)


async def test_receipt_is_found_with_its_numbers(log: Log) -> None:
    await filled(log)
    held = (await verdict_of(log, receipt=await log.fetchval("SELECT link FROM pushes WHERE last_seq = 9"))).receipt
    assert held is not None
    assert (held.first, held.last, held.epoch, held.received_at, held.is_proven) == (5, 9, "one", AT, True)


async def test_receipt_behind_a_fault_is_found_but_not_proven(log: Log) -> None:
    await filled(log)
    links = [row["link"] for row in await log.fetch("SELECT link FROM pushes ORDER BY last_seq")]
    await tamper(log, "DELETE FROM events WHERE seq = 6")
    held = [(await verdict_of(log, receipt=link)).receipt for link in links]
    assert [each and each.is_proven for each in held] == [True, True, False, False]


async def test_pushes_that_come_meanwhile_are_no_fault(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_EVENTS", 2)
    await filled(log)

    @asynccontextmanager
    async def reading_while_others_push() -> AsyncIterator[Connection]:
        async with log.database.inside(log.scope, readonly=True) as db:
            yield db
        await log.push([event(), event()])

    verdict = await verify_chain(reading_while_others_push)
    assert (verdict.fault, verdict.events) == (None, 12)
    assert await log.fetchval("SELECT head FROM sync_head") > 20
    assert (await verdict_of(log)).fault is None
