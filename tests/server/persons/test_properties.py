"""Random logs, in random pushes, of which random persons are erased, some events before and some after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.entities.erasing import fields_without
from server.kit.clock import from_ms, iso_ms
from server.sync.erasing import blank, blank_arrived
from server.sync.event import Event
from server.sync.fold import Entity, fold
from server.sync.push import push
from server.sync.rebuilding import rebuild
from server.sync.records import digest_of
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from tests.server.persons.erasing import erase_in
from tests.server.sync.conftest import SOURCE, Log
from tests.server.sync.strategies import GROUPS, PEOPLE, batches, histories, state_of

TELLING = "telling"


@dataclass(frozen=True)
class Story:
    """`before` is pushed, then the persons are erased, then `after` is pushed."""

    before: Sequence[Sequence[Event]]
    after: Sequence[Sequence[Event]]
    persons: Sequence[str]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    events = [_marked(each) for each in draw(histories(max_size=12))]
    pushes = draw(batches(events)) if events else []
    cut = draw(st.integers(0, len(pushes)))
    persons = draw(st.lists(st.sampled_from(PEOPLE + GROUPS), unique=True, min_size=1, max_size=2))
    return Story(pushes[:cut], pushes[cut:], persons)


def _marked(each: Event) -> Event:
    """The event with a text in whatever is about somebody, by which it is known whose it is."""
    data = _with_marks(each.data, each.entity_guid)
    applied = None if each.applied is None else {key: data[key] for key in each.applied}
    return replace(each, data=data, applied=applied, timestamp=iso_ms(from_ms(each.timestamp_ms)))


def _with_marks(data: dict[str, Any], guid: str) -> dict[str, Any]:
    marked = {**data, "mark": f"{TELLING} {guid}"}
    if isinstance(data.get("members"), list):
        marked["members"] = [_with_marks(each, each["guid"]) for each in data["members"]]
    return marked


def test_marks_are_in_every_entry() -> None:
    event = {"name": "x", "members": [{"guid": "one", "type": "group", "members": [{"guid": "two"}]}]}
    text = orjson.dumps(_with_marks(event, "zero")).decode()
    assert all(f"{TELLING} {guid}" in text for guid in ("zero", "one", "two"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories())
async def test_erased_persons_leave_what_the_fold_of_the_log_without_their_contents_gives(
    log: Log, story: Story
) -> None:
    await log.empty()
    digests = {event.guid: digest_of(event) for some in (*story.before, *story.after) for event in some}
    for some in story.before:
        await log.push(some)
    erased = await erase_in(log, story.persons)
    for some in story.after:
        await _push_as_arrived(log, some)
    assert (await verify_chain(log.inside)).fault is None
    async with log.inside() as db:
        found = await replay(db)
    assert found.is_right, found
    assert await _texts_of(log, erased) == []
    rows = await log.fetch("SELECT guid, digest FROM events WHERE NOT erases")
    assert {row["guid"]: row["digest"] for row in rows} == digests
    entities = await log.entities()
    assert state_of(entities) == state_of(await _oracle(log, story, erased))
    for guid in erased:
        assert (entities[guid].state, entities[guid].data, entities[guid].parent_ids) == ("deleted", {}, [])
    async with log.inside() as db:
        assert (await rebuild(db)).differing == []


async def _push_as_arrived(log: Log, events: Sequence[Event]) -> None:
    fresh = [replace(event, digest=b"") for event in events]
    async with log.inside() as db:
        await blank_arrived(db, fresh)
        await push(db, fresh, SOURCE)


async def _oracle(log: Log, story: Story, erased: Sequence[str]) -> dict[str, Entity]:
    """The fold of everything that was pushed and of the deletions, with nothing of the erased persons in it."""
    rows = await log.fetch("SELECT guid, entity_guid, timestamp, timestamp_ms, effective_ms FROM events WHERE erases")
    deletions = [
        Event(
            guid=row["guid"],
            entity_guid=row["entity_guid"],
            type="delete-entity",
            data={"guid": row["entity_guid"]},
            timestamp=row["timestamp"],
            timestamp_ms=row["timestamp_ms"],
            effective_ms=row["effective_ms"],
            user_id="7",
            erases=True,
        )
        for row in rows
    ]
    entities: dict[str, Entity] = {}
    fold(entities, [*(each for some in (*story.before, *story.after) for each in some), *deletions])
    for entity in entities.values():
        entity.data = fields_without(entity.data, set(erased))
    return entities


async def _texts_of(log: Log, persons: Sequence[str]) -> list[str]:
    """The texts that are about one of the persons, wherever in the log's tables."""
    tables = await log.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> '_migrations'"
    )
    found = []
    for table in tables:
        for row in await log.fetch(f'SELECT t::text AS text FROM "{table["tablename"]}" t'):
            found += [row["text"] for guid in persons if f"{TELLING} {guid}" in row["text"]]
    return found


@given(event=histories(min_size=1, max_size=1), persons=st.sets(st.sampled_from(PEOPLE + GROUPS)))
def test_blanking_again_finds_nothing_and_changes_no_mention(event: list[Event], persons: set[str]) -> None:
    [one] = event
    mentions, joins, place = one.mentions, list(one.joins), one.place
    blank(one, persons)
    again = replace(one)
    assert (again.mentions, list(again.joins), again.place) == (mentions, joins, place)
    assert not blank(again, persons)


@pytest.mark.parametrize("name", ["guid", "entityGuid"])
def test_event_of_another_keeps_its_own_fields(name: str) -> None:
    data = {"village": "Kibera", "head": {name: "her", "name": "Ann"}, "list": [{name: "her"}, {name: "him", "n": 1}]}
    assert fields_without(data, {"her"}) == {
        "village": "Kibera",
        "head": {name: "her"},
        "list": [{name: "her"}, {name: "him", "n": 1}],
    }
    assert SOURCE.account
