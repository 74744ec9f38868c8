"""Late events that change only fields and memberships, so that nothing has to be folded anew for them.

A late event stands before others that touched the same entities. Most late events are edits of a record, or people
added to a group that others add to as well. As long as none of the entities it touches was ever deleted or left the
group, such an event commutes with everything but the writers of the same fields: memberships are a set, and fields are
settled by laying the writers of the one record over each other again in their order. The cost is that record's own
history, however large the group around it is.
"""

from collections.abc import Iterable, Mapping, Sequence

from server.sync.event import (
    ADD_MEMBER,
    BUILT_IN,
    CREATES,
    REMOVE_MEMBER,
    RESOLVE_DUPLICATE,
    UPDATES,
    Data,
    Event,
    Place,
    listed,
)
from server.sync.fold import (
    APPLIED,
    APPLIED_LATER,
    GROUP,
    LIVE,
    Entity,
    Outcome,
    entry_fields,
    merge_fields,
    own_fields,
)

History = Mapping[str, Sequence[tuple[Event, Outcome]]]
"""By entity: the events that mention it, each with what became of it."""


def may_stand_alone(event: Event, entities: Mapping[str, Entity]) -> bool:
    """Whether, as far as the entities tell, the event could be taken without folding anew. Says no cheaply."""
    if _changes_nothing(event):
        return True
    if event.type not in CREATES | UPDATES | {ADD_MEMBER}:
        return False
    if not all(_is_new(entities[guid]) or _is_calm(entities[guid], event) for guid in event.mentions):
        return False
    joining = {entry["guid"] for entry in event.members}
    return all(_is_new(entities[guid]) for guid in _listed_deeper(event)) and not any(
        event.entity_guid in entities[guid].parent_ids for guid in joining
    )


def needs_history(event: Event, entities: Mapping[str, Entity]) -> set[str]:
    """The entities whose history tells whether the event stands alone, and settles the fields it writes."""
    return {guid for guid in _writes(event) if not _is_new(entities[guid])}


def entangled(history: History, beside: Mapping[str, Sequence[Event]], entities: Mapping[str, Entity]) -> set[str]:
    """Of the entities with a history, those whose late events do not stand alone after all.

    That is who ever left a group, was listed by an event that had to wait, or was listed further down than at the top:
    then it takes the whole fold to tell what was written in which order. `beside` are the events of the batch itself,
    by the entities they mention.
    """
    return {
        guid for guid, known in history.items() if any(_entangles(guid, other, outcome) for other, outcome in known)
    } | {
        guid
        for guid, pushed in beside.items()
        if any(_entangles(guid, other, _foreseen(other, entities)) for other in pushed)
    }


def outlived(event: Event, entities: Mapping[str, Entity]) -> set[str]:
    """The entities it writes fields into and that have been touched by newer events."""
    return {guid for guid in _writes(event) if (newest := entities[guid].newest) is not None and newest > event.place}


def settle_fields(entity: Entity, history: Iterable[tuple[Event, Outcome]]) -> None:
    """Lays everything that was ever written into the entity over each other, in the order in which it counts."""
    entity.data = {}
    entity.name = entity.entity_name = ""
    entity.external_id = None
    assert entity.born is not None
    born: Place = entity.born[:4]
    written = [
        (event, fields)
        for event, outcome in history
        if outcome.kind == APPLIED.kind
        for fields in _written(event, entity)
    ]
    for _, fields in sorted(written, key=lambda pair: _turn(pair[0], born)):
        merge_fields(entity, fields)


def _turn(event: Event, born: Place) -> tuple[Place, bool, Place]:
    """Its place; what stands before the entity's birth comes right after it."""
    return max(event.place, born), event.place < born, event.place


def _written(event: Event, entity: Entity) -> Iterable[Data]:
    if event.entity_guid == entity.guid:
        if event.type in CREATES | UPDATES:
            yield own_fields(event, entity.type)
    else:
        yield from (entry_fields(entry, entity.type) for entry in event.members if entry["guid"] == entity.guid)


def _writes(event: Event) -> set[str]:
    """The entities whose fields it writes."""
    if _changes_nothing(event):
        return set()
    return set(event.mentions) - ({event.entity_guid} if event.type == ADD_MEMBER else set())


def _changes_nothing(event: Event) -> bool:
    return event.type not in BUILT_IN or (event.type == RESOLVE_DUPLICATE and not event.deletes)


def _entangles(guid: str, other: Event, outcome: Outcome) -> bool:
    if other.type == REMOVE_MEMBER or guid in _listed_deeper(other):
        return True
    return outcome == APPLIED_LATER and other.entity_guid != guid


def _foreseen(event: Event, entities: Mapping[str, Entity]) -> Outcome:
    """What will become of an event of the batch at worst: where its entity is still to come, it may have to wait."""
    return APPLIED if event.type in CREATES or entities[event.entity_guid].state == LIVE else APPLIED_LATER


def _listed_deeper(event: Event) -> set[str]:
    return {
        guid for entry in event.members if entry.get("type") == GROUP for guid in listed(entry.get("members") or [])
    }


def _is_new(entity: Entity) -> bool:
    return entity.newest is None


def _is_calm(entity: Entity, event: Event) -> bool:
    """It lives, was created before the event, and was never deleted."""
    return (
        entity.state == LIVE
        and entity.created
        and entity.deaths == 0
        and entity.born is not None
        and entity.born[:4] < event.place
    )
