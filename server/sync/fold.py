"""The fold: what the entities are, as a pure function of a set of events.

Events are taken in the order of their places: effective time, then the device's own time, then create before change
before delete, then guid. Three rules make the result independent of how the events arrived:

- A change that stands before the creation of its entity waits until the entity comes into being, wherever in the set
  the creation is; a device that changes an entity has seen it, whatever its clock says. An update of an entity that
  nothing in the set creates makes it; one that something would create, but without effect, waits on.
- A delete is final: a change after it is without effect, only a creation (a create, or being listed in a create-group
  or an add-member) revives. A group takes its members with it. Nothing revives who was erased.
- Fields are merged one by one at the top level, so the last writer of each field wins.

Nothing here reads a clock, makes a random id or knows a database.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from server.sync.event import ADD_MEMBER, BUILT_IN, CREATE_GROUP, CREATES, REMOVE_MEMBER, UPDATES, Data, Event, Place

MISSING: Final = "missing"
LIVE: Final = "live"
DELETED: Final = "deleted"

INDIVIDUAL: Final = "individual"
GROUP: Final = "group"

LONGEST_TEXT: Final = 400
"""Names, forms and external ids are cut to as many characters, which an index can hold; the data keeps them whole."""

Birth = tuple[int, int, int, str, int]
"""The place at which an entity came into being, and which of the births at that place it was."""


@dataclass(slots=True)
class Entity:
    """A person or a group as the events so far have made it.

    `created` tells that a creation made it, not an update alone. `newest` is the place at which it was touched last,
    `born` where it came into being last, by which members are shown in order; `deaths` how often it was deleted;
    `fed_seq` the number of the last event that mentioned or changed it. Ids of members and parents are sorted.
    `erased`: it was deleted for good.
    """

    guid: str
    state: str = MISSING
    created: bool = False
    type: str = INDIVIDUAL
    name: str = ""
    entity_name: str = ""
    external_id: str | None = None
    version: int = 0
    data: Data = field(default_factory=dict)
    member_ids: list[str] = field(default_factory=list)
    parent_ids: list[str] = field(default_factory=list)
    updated_ms: int = 0
    newest: Place | None = None
    born: Birth | None = None
    deaths: int = 0
    fed_seq: int = 0
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event: 'applied', 'waiting' for its entity, or 'without-effect' and why."""

    kind: str
    reason: str = ""


APPLIED: Final = Outcome("applied")
APPLIED_LATER: Final = Outcome("applied", "waited")
WAITING: Final = Outcome("waiting", "entity-unknown")
AFTER_DELETION: Final = Outcome("without-effect", "entity-deleted")
NOT_A_GROUP: Final = Outcome("without-effect", "not-a-group")
NOT_A_MEMBER: Final = Outcome("without-effect", "not-a-member")
MEMBER_DELETED: Final = Outcome("without-effect", "member-deleted")
CUSTOM: Final = Outcome("without-effect", "custom-type")
NOTHING_CHANGED: Final = Outcome("without-effect", "nothing-changed")


@dataclass(slots=True)
class Folded:
    """The result: the outcome of each event by guid, and by event the guids it mentioned or changed."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    touched: dict[str, set[str]] = field(default_factory=dict)


def fold(entities: dict[str, Entity], events: Iterable[Event]) -> Folded:
    """Folds events onto entities, changing these in place; what they lack is added.

    Folding a whole connected set of events onto nothing gives the state. Folding only some is the same as long as each
    is newer than everything it touches and all it touches is there (see `follows`).
    """
    ordered = sorted(events, key=_place)
    run = _Run(entities, made={guid for event in ordered for guid in event.makes})
    for event in ordered:
        run.take(event)
    return run.result


def follows(entity: Entity, event: Event) -> bool:
    """Whether the event may be folded onto the entity as it stands, with no older event to be taken again.

    It may when the entity was never mentioned, or was created and last touched by an older event. An entity that only
    an update made, or for which events wait, depends on creations still to come and has to be folded anew.
    """
    return entity.newest is None or (entity.created and entity.newest < event.place)


def _place(event: Event) -> Place:
    return event.place


class _Run:
    """One pass over events in order."""

    def __init__(self, entities: dict[str, Entity], made: set[str]) -> None:
        self.result = Folded()
        self._entities = entities
        self._made = made
        self._waiting: dict[str, list[Event]] = {}
        self._born: list[str] = []
        self._position: Place
        self._births = 0
        self._event: Event
        self._touched: set[str] = set()
        self._changed_now: set[str] = set()

    def take(self, event: Event) -> None:
        """Applies the event, or lets it wait; then applies what waited for anything it brought into being."""
        self._position, self._births = event.place, 0
        if self._must_wait(event):
            self._begin(event)
            self._waiting.setdefault(event.entity_guid, []).append(event)
            self.result.outcomes[event.guid] = WAITING
            return
        self._apply(event)
        self._release()

    def _must_wait(self, event: Event) -> bool:
        if event.type in CREATES or event.erases or self._entity(event.entity_guid).state != MISSING:
            return False
        if event.type in UPDATES:
            return event.entity_guid in self._made
        return event.removes is not None or event.type == ADD_MEMBER

    def _apply(self, event: Event) -> None:
        self._begin(event)
        outcome = self._effect(event)
        waited = outcome is APPLIED and event.place < self._position
        self.result.outcomes[event.guid] = APPLIED_LATER if waited else outcome

    def _begin(self, event: Event) -> None:
        self._event = event
        self._changed_now = set()
        self._touched = self.result.touched.setdefault(event.guid, set())
        for guid in event.mentions:
            self._touch(self._entity(guid))

    def _release(self) -> None:
        while self._born:
            for event in self._waiting.pop(self._born.pop(0), ()):
                self._apply(event)

    def _effect(self, event: Event) -> Outcome:
        entity = self._entity(event.entity_guid)
        if event.type in CREATES:
            return self._create(entity, event)
        if event.type in UPDATES:
            if entity.state == MISSING:
                self._make_by_update(entity, event)
            return AFTER_DELETION if entity.state == DELETED else self._merge_event(entity, event)
        if event.deletes:
            return self._erase(entity) if event.erases else self._delete(entity)
        if event.type == ADD_MEMBER:
            return self._add_member(entity, event)
        if event.type == REMOVE_MEMBER:
            return self._remove_member(entity, str(event.data["memberId"]))
        return APPLIED if event.type in BUILT_IN else CUSTOM

    # What happens to one entity

    def _create(self, entity: Entity, event: Event) -> Outcome:
        if entity.erased:
            return AFTER_DELETION
        self._bring_into_being(entity, GROUP if event.type == CREATE_GROUP else INDIVIDUAL)
        return self._merge_event(entity, event)

    def _bring_into_being(self, entity: Entity, type_: str) -> None:
        if entity.state != LIVE:
            self._bear(entity, type_)
        entity.created = True

    def _make_by_update(self, entity: Entity, event: Event) -> None:
        if event.says_nothing:
            return
        self._bear(entity, GROUP if event.type.endswith("-group") else INDIVIDUAL)

    def _bear(self, entity: Entity, type_: str) -> None:
        if entity.state == MISSING:
            self._born.append(entity.guid)
        entity.state = LIVE
        entity.type = type_
        entity.born = (*self._position, self._births)
        self._births += 1

    def _merge_event(self, entity: Entity, event: Event) -> Outcome:
        if event.type in UPDATES and event.says_nothing:
            return NOTHING_CHANGED
        if event.members and entity.type != GROUP:
            return NOT_A_GROUP
        self._merge(entity, own_fields(event, entity.type))
        for entry in event.members:
            self._list_member(entity, entry, revives=event.type in CREATES)
        return APPLIED

    def _merge(self, entity: Entity, fields: Data) -> None:
        merge_fields(entity, fields)
        self._changed(entity)

    def _list_member(self, group: Entity, entry: Data, *, revives: bool) -> Outcome:
        """Makes or changes the member from its entry and puts it into the group."""
        member = self._entity(entry["guid"])
        if member.guid == group.guid:
            return NOT_A_MEMBER
        if member.erased or (member.state == DELETED and not revives):
            return MEMBER_DELETED
        is_group = entry.get("type") == GROUP
        self._bring_into_being(member, GROUP if is_group else INDIVIDUAL)
        self._merge(member, entry_fields(entry, member.type))
        if is_group and member.type == GROUP:
            for below in entry.get("members") or []:
                self._list_member(member, below, revives=revives)
        self._join(group, member)
        return APPLIED

    def _join(self, group: Entity, member: Entity) -> None:
        if group.guid not in member.parent_ids:
            insort(member.parent_ids, group.guid)
            insort(group.member_ids, member.guid)
            self._changed(group)

    def _add_member(self, group: Entity, event: Event) -> Outcome:
        if group.state == DELETED:
            return AFTER_DELETION
        if group.type != GROUP:
            return NOT_A_GROUP
        return self._list_member(group, event.members[0], revives=True)

    def _remove_member(self, group: Entity, member_id: str) -> Outcome:
        if group.state == DELETED:
            return AFTER_DELETION
        if member_id not in group.member_ids:
            return NOT_A_MEMBER
        member = self._entity(member_id)
        self._part(group, member)
        if member.type == GROUP:
            self._delete(member)
        else:
            self._changed(member)
        return APPLIED

    def _part(self, group: Entity, member: Entity) -> None:
        group.member_ids.remove(member.guid)
        member.parent_ids.remove(group.guid)
        self._changed(group)

    def _delete(self, entity: Entity) -> Outcome:
        """Deletes the entity and, of a group, everything below it. Cycles end because the deleted are passed over."""
        if entity.state != LIVE:
            return AFTER_DELETION
        doomed = [entity]
        while doomed:
            gone = doomed.pop()
            if gone.state != LIVE:
                continue
            doomed.extend(self._entity(guid) for guid in gone.member_ids)
            for guid in list(gone.parent_ids):
                self._part(self._entity(guid), gone)
            self._bury(gone)
        return APPLIED

    def _erase(self, entity: Entity) -> Outcome:
        """Deletes the entity for good, whatever became of it before."""
        if self._delete(entity) is not APPLIED:
            self._bury(entity)
        entity.created = entity.erased = True
        return APPLIED

    def _bury(self, entity: Entity) -> None:
        for guid in list(entity.member_ids):
            self._part(entity, self._entity(guid))
        entity.state = DELETED
        entity.deaths += 1
        entity.name = entity.entity_name = ""
        entity.external_id = None
        entity.data = {}
        self._changed(entity)

    # Bookkeeping

    def _entity(self, guid: str) -> Entity:
        entity = self._entities.get(guid)
        if entity is None:
            entity = self._entities[guid] = Entity(guid)
        return entity

    def _changed(self, entity: Entity) -> None:
        """One event makes one new version of an entity, however many of its parts it changes."""
        if entity.guid not in self._changed_now:
            self._changed_now.add(entity.guid)
            entity.version += 1
        entity.updated_ms = max(entity.updated_ms, self._event.effective_ms)
        self._touch(entity)

    def _touch(self, entity: Entity) -> None:
        if entity.newest is None or entity.newest < self._position:
            entity.newest = self._position
        self._touched.add(entity.guid)


def own_fields(event: Event, type_: str) -> Data:
    """What a create or update writes into its own entity: a group's members are no field of it."""
    return _without(event.fields, "members") if type_ == GROUP else event.fields


def entry_fields(entry: Data, type_: str) -> Data:
    """What a member's entry writes into the member: if either is a group, its members are no field."""
    return _without(entry, "guid", "members") if GROUP in (entry.get("type"), type_) else _without(entry, "guid")


def merge_fields(entity: Entity, fields: Data) -> None:
    """Lays the fields over those the entity has. Name, form and external id stay where a field does not give them."""
    entity.data = {**entity.data, **fields}
    entity.name = _text(fields.get("name")) or entity.name
    entity.entity_name = _text(fields.get("entityName")) or entity.entity_name
    entity.external_id = _text(fields.get("externalId")) or entity.external_id


def _without(fields: Data, *keys: str) -> Data:
    return {key: value for key, value in fields.items() if key not in keys}


def _text(value: Any) -> str:
    """A field as the name or id that it is shown as; empty for what cannot be one."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value else ""
