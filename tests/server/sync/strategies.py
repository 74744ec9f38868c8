"""Sets of events as hypothesis makes them: a few people and groups to whom much happens, in any order and at odd times.

The pool of entities is small, so that events meet; times are few, so that they tie.
"""

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import strategies as st

from server.sync.event import (
    ADD_MEMBER,
    CREATE_GROUP,
    CREATE_INDIVIDUAL,
    DELETE_ENTITY,
    REMOVE_MEMBER,
    RESOLVE_DUPLICATE,
    UPDATE_GROUP,
    UPDATE_INDIVIDUAL,
    Data,
    Event,
)
from server.sync.fold import Entity

PEOPLE = ("ann", "ben", "cleo")
GROUPS = ("camp", "dorm", "east")
SECOND = 1_000
_LATEST = 9 * SECOND
"""Where the server's clock stood when the events came: what claims to be later counts as this."""


def event(
    type_: str,
    entity_guid: str,
    data: Data,
    *,
    at: int = 0,
    guid: str = "",
    arrival: int | None = None,
    applied: Data | None = None,
) -> Event:
    """An event `at` so many seconds; its guid tells what it is unless one is given."""
    timestamp_ms = at * SECOND
    return Event(
        guid=guid or f"{type_} {entity_guid} {at}",
        entity_guid=entity_guid,
        type=type_,
        data=data,
        timestamp=f"at {at}",
        timestamp_ms=timestamp_ms,
        effective_ms=timestamp_ms if arrival is None else min(timestamp_ms, arrival),
        user_id="field-user",
        applied=applied,
    )


def state_of(entities: dict[str, Entity]) -> dict[str, tuple[object, ...]]:
    """All that a fold says of each entity, in a form that compares: everything but the position in the feed."""
    return {
        guid: (
            each.state,
            each.created,
            each.type,
            each.name,
            each.entity_name,
            each.external_id,
            each.version,
            each.data,
            each.member_ids,
            each.parent_ids,
            each.updated_ms,
            each.newest,
            each.born,
            each.deaths,
        )
        for guid, each in entities.items()
    }


# What an event holds

people = st.sampled_from(PEOPLE)
groups = st.sampled_from(GROUPS)
anybody = st.sampled_from(PEOPLE + GROUPS)


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Usually the one, now and then the other."""
    return st.one_of(usual, usual, usual, usual, usual, odd)


fields: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {},
    optional={
        "name": mostly(st.sampled_from(("Ann", "Annabel", "Nguyễn", "O'Brien")), st.sampled_from(("", None, 7, True))),
        "village": st.integers(1, 3),
        "entityName": st.sampled_from(("household", "person")),
        "externalId": mostly(st.sampled_from(("x1", "x2")), st.sampled_from((17, 0, "", None))),
    },
)


def _entry(guid: str, data: Data, **more: Any) -> Data:
    return {"guid": guid, **data, **more}


person_entries = st.builds(_entry, mostly(people, groups), fields)


def _group_entries(inner: st.SearchStrategy[Data]) -> st.SearchStrategy[Data]:
    members = st.none() | st.lists(inner, max_size=3)
    as_group = st.builds(_entry, mostly(groups, people), fields, type=st.just("group"), members=members)
    mislabelled = st.builds(_entry, anybody, fields, type=st.just("individual"), members=members)
    return mostly(as_group, mislabelled)


entries: st.SearchStrategy[Data] = st.recursive(person_entries, _group_entries, max_leaves=4)
member_lists = st.lists(person_entries | entries, max_size=3)


def _with_members(data: Data, members: Sequence[Data] | None) -> Data:
    return {**data, "members": members} if members is not None else data


group_data = st.builds(_with_members, fields, st.none() | member_lists)
pairs = st.builds(lambda one, other: {"entityGuid": one, "duplicateGuid": other}, anybody, anybody)

Happening = tuple[str, str, Data]
"""Type, entity guid and data."""


def _happening(
    type_: str, guids: st.SearchStrategy[str], data: st.SearchStrategy[Data]
) -> st.SearchStrategy[Happening]:
    return st.tuples(st.just(type_), guids, data)


_creations = st.one_of(
    _happening(CREATE_INDIVIDUAL, mostly(people, groups), fields),
    _happening(CREATE_GROUP, mostly(groups, people), group_data),
)
_joinings = _happening(
    ADD_MEMBER, mostly(groups, people), st.builds(lambda entry: {"members": [entry]}, person_entries | entries)
)
_removals = st.one_of(
    _happening(REMOVE_MEMBER, mostly(groups, people), st.builds(lambda guid: {"memberId": guid}, anybody)),
    _happening(DELETE_ENTITY, anybody, st.just({"guid": "it"})),
    _happening(
        RESOLVE_DUPLICATE,
        anybody,
        st.builds(
            lambda found, delete: {"duplicates": found, "shouldDelete": delete},
            st.lists(pairs, min_size=1, max_size=2),
            st.booleans(),
        ),
    ),
)
_changes = st.one_of(
    _happening(UPDATE_INDIVIDUAL, mostly(people, groups), fields),
    _happening(UPDATE_GROUP, mostly(groups, people), group_data),
)
happenings: st.SearchStrategy[Happening] = st.one_of(
    _creations, _creations, _joinings, _changes, _removals, _happening("immunised", anybody, fields)
)

# When it happened

times = mostly(st.integers(0, 6), st.sampled_from((8, 9, 10, 11, 500)))


@st.composite
def histories(draw: st.DrawFn, min_size: int = 0, max_size: int = 14) -> list[Event]:
    """A set of events in some order: that of their times, of their guids and of the list have nothing in common."""
    chosen = draw(st.lists(st.tuples(happenings, times), min_size=min_size, max_size=max_size))
    numbers = draw(st.permutations(range(len(chosen))))
    made = []
    for number, ((type_, entity_guid, data), at) in zip(numbers, chosen, strict=True):
        is_narrowed = type_ in (UPDATE_INDIVIDUAL, UPDATE_GROUP) and draw(st.integers(0, 4)) == 0
        kept = [key for key in data if key != "members" and draw(st.booleans())] if is_narrowed else []
        made.append(
            event(
                type_,
                entity_guid,
                data,
                at=at,
                guid=f"event-{number:02}",
                arrival=_LATEST,
                applied={key: data[key] for key in kept} if is_narrowed else None,
            )
        )
    return made


@st.composite
def shuffled(draw: st.DrawFn, events: Sequence[Event]) -> list[Event]:
    """The events in another order."""
    return draw(st.permutations(events))


@st.composite
def batches(draw: st.DrawFn, events: Sequence[Event]) -> list[list[Event]]:
    """The events in another order, cut into pushes; often each comes alone."""
    order = draw(shuffled(events))
    cuts = range(1, len(order))
    bounds = [0, *(cuts if draw(st.booleans()) else sorted(draw(st.sets(st.sampled_from(cuts or [0]))))), len(order)]
    return [order[start:end] for start, end in pairwise(bounds) if end > start]


# Many


def workload(random: Random, count: int) -> list[Event]:
    """Many events on a few dozen entities, as weeks of field work give: most of them harmless, in any order."""
    return [event(*_day(random), at=random.randrange(count), guid=f"event-{number:04}") for number in range(count)]


_CROWD = tuple(f"person-{number:02}" for number in range(30))
_BANDS = tuple(f"group-{number}" for number in range(10))


def _day(random: Random) -> Happening:
    person, band = random.choice(_CROWD), random.choice(_BANDS)
    chances: list[tuple[int, Happening]] = [
        (20, (CREATE_INDIVIDUAL, person, {"name": "new", "n": random.randrange(9)})),
        (10, (CREATE_GROUP, band, {"name": "Band", "members": [_met(random), _met(random)]})),
        (40, (UPDATE_INDIVIDUAL, person, {random.choice("abc"): random.randrange(99)})),
        (15, (ADD_MEMBER, band, {"members": [_met(random)]})),
        (8, (REMOVE_MEMBER, band, {"memberId": random.choice(_CROWD + _BANDS)})),
        (5, (UPDATE_GROUP, band, {"village": random.randrange(9), "members": [_met(random)]})),
        (2, (DELETE_ENTITY, random.choice(_CROWD + _BANDS), {"guid": "it"})),
    ]
    return random.choices([each for _, each in chances], weights=[weight for weight, _ in chances])[0]


def _met(random: Random) -> Data:
    if random.random() < 0.8:
        return {"guid": random.choice(_CROWD), "name": random.choice(("Ann", "Ben")), "n": random.randrange(9)}
    members = [_met(random) for _ in range(random.randrange(3))]
    return {"guid": random.choice(_BANDS), "type": "group", "members": members}
