from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.sync.event import Event
from server.sync.fold import DELETED, LIVE, MISSING, Entity, Outcome, fold
from server.sync.push import push
from server.sync.queries import list_entities, list_events_of
from server.sync.records import changed_outcomes, digest_of, entity_from, event_from, form_of
from tests.server.sync.conftest import SOURCE, Log
from tests.server.sync.strategies import event, histories

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(characters, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=8), inner, max_size=4),
    max_leaves=15,
)


def test_digest_is_over_the_canonical_form_of_what_was_pushed() -> None:
    pushed = event("create-individual", "ann", {"name": "Ann", "age": 5}, guid="one")
    canonical = (
        b'{"data":{"age":5,"name":"Ann"},"entityGuid":"ann","guid":"one",'
        b'"timestamp":"at 0","type":"create-individual","userId":"field-user"}'
    )
    assert digest_of(pushed) == sha256(canonical).digest()


def test_digest_does_not_hang_on_the_order_of_keys_or_on_what_the_server_adds() -> None:
    one = event("update-individual", "ann", {"a": 1, "b": 2.0}, guid="one")
    other = event("update-individual", "ann", {"b": 2, "a": 1}, guid="one", applied={}, arrival=-5)
    other.seq = 17
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize("changes", [{"guid": "other"}, {"entity_guid": "ben"}, {"data": {"a": 2}}])
def test_digest_tells_events_apart(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {"type_": "update-individual", "entity_guid": "ann", "data": {"a": 1}, "guid": "one"}
    assert digest_of(event(**values)) != digest_of(event(**{**values, **changes}))


@settings(max_examples=60, deadline=None)
@given(data=st.dictionaries(st.text(characters, max_size=8), values, min_size=1, max_size=5), applied=st.booleans())
async def test_data_comes_back_from_the_log_and_the_entity_as_it_was_pushed(
    shared_log: Log, data: dict[str, Any], applied: bool
) -> None:
    await shared_log.empty()
    pushed = event("create-individual", "ann", data, guid="one", applied=data if applied else None)
    async with shared_log.inside() as db:
        await push(db, [pushed], SOURCE)
        (row,) = await list_events_of(db, ["ann"])
        (entity,) = await list_entities(db, ["ann"])
    assert event_from(row) == pushed
    assert digest_of(event_from(row)) == digest_of(pushed)
    assert entity_from(entity).data == data
    assert orjson.loads(row["data"]) == data
    assert list(orjson.loads(row["data"])) == list(data)


@settings(max_examples=40, deadline=None)
@given(histories(min_size=1))
async def test_entities_come_back_as_they_were_written(shared_log: Log, events: list[Event]) -> None:
    await shared_log.empty()
    pushed = await shared_log.push(events)
    assert await shared_log.entities() == pushed.entities


def test_live_entities_count_under_their_form_or_type() -> None:
    assert form_of(Entity("ann", state=LIVE, entity_name="person")) == "person"
    assert form_of(Entity("camp", state=LIVE, type="group")) == "group"
    assert form_of(Entity("ann", state=DELETED, entity_name="person")) is None
    assert form_of(Entity("ann", state=MISSING)) is None


async def test_outcomes_that_became_others_are_told(log: Log) -> None:
    early = event("add-member", "camp", {"members": [{"guid": "ann"}]}, at=1)
    events = [early, event("create-individual", "ben", {"name": "Ben"})]
    await log.push(events)
    async with log.inside() as db:
        rows = await list_events_of(db, ["camp", "ann", "ben"])
    assert changed_outcomes(rows, fold({}, events)) == []
    folded = fold({}, [*events, event("create-group", "camp", {"name": "Camp"})])
    assert changed_outcomes(rows, folded) == [(early.guid, "applied", "")]
    folded.outcomes[early.guid] = Outcome("without-effect", "because")
    assert changed_outcomes(rows, folded) == [(early.guid, "without-effect", "because")]
