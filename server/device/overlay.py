"""What is shown: the entities as the server gave them, and on top of these the events they may not hold yet.

The rules are simple ones of the device's own, because the server's state takes their place after the next sync.
An event that has a number is left out for each entity whose version has reached that number: the server has counted
it in. So nothing flickers back between the answer to a push and the pull that brings its result.
"""

from collections.abc import Callable, Iterable

from server.device import queries
from server.device.model import DELETED, GROUP, INDIVIDUAL, LIVE, MISSING, Data, Entity, Event
from server.device.shapes import (
    ADD_MEMBER,
    CREATE_GROUP,
    CREATES,
    DELETE_ENTITY,
    REMOVE_MEMBER,
    RESOLVE_DUPLICATE,
    UPDATES,
    entries_in,
    members_of,
)
from server.device.store import Store, entity_from, entity_row, event_from


def find(store: Store, guid: str) -> Entity | None:
    """The entity as it is shown; None for one that the device has never heard of."""
    with store.transaction() as db:
        bring_up_to_date(store)
        row = queries.find_shown(db, guid) or queries.find_served(db, store.get("generation"), guid)
        return None if row is None else entity_from(row)


def lay_on_top(store: Store, event: Event) -> None:
    """Shows one more event, the newest."""
    with store.transaction():
        if not store.get("is_stale"):
            _apply(store, [event])


def make_stale(store: Store) -> None:
    """To be called after any change of what lies below or on top: whoever reads next puts it together anew."""
    store.set(is_stale=1)


def bring_up_to_date(store: Store) -> None:
    with store.transaction() as db:
        if store.get("is_stale"):
            queries.clear_shown(db)
            _apply(store, map(event_from, queries.list_on_top(db)))
            store.set(is_stale=0)


def _apply(store: Store, events: Iterable[Event]) -> None:
    with store.transaction() as db:
        generation = store.get("generation")

        def load(guid: str) -> Entity:
            row = queries.find_shown(db, guid) or queries.find_served(db, generation, guid)
            return Entity(guid) if row is None else entity_from(row)

        overlay = Overlay(load, numbers_count=store.is_of_present_log)
        for event in events:
            overlay.apply(event)
        queries.set_shown(db, map(entity_row, overlay.changed.values()))


class Overlay:
    """Applies events to entities; `changed` holds those that came out otherwise.

    `load` gives an entity as it is shown so far. `numbers_count` tells whether versions and numbers are of one log.
    """

    def __init__(self, load: Callable[[str], Entity], *, numbers_count: bool) -> None:
        self.changed: dict[str, Entity] = {}
        self._load = load
        self._numbers_count = numbers_count
        self._seen: dict[str, Entity] = {}
        self._event: Event

    def apply(self, event: Event) -> None:
        self._event = event
        entity = self._entity(event.entity_guid)
        if event.type in CREATES:
            self._bring_into_being(entity, GROUP if event.type == CREATE_GROUP else INDIVIDUAL)
            self._merge_event(entity)
        elif event.type in UPDATES:
            self._update(entity)
        elif event.type == ADD_MEMBER:
            self._list_members(entity, revives=True)
        elif event.type == REMOVE_MEMBER:
            self._remove_member(entity, self._entity(str(event.data.get("memberId"))))
        elif event.type == DELETE_ENTITY or (event.type == RESOLVE_DUPLICATE and event.data.get("shouldDelete")):
            self._delete(entity)

    def _update(self, entity: Entity) -> None:
        if entity.state == MISSING:
            self._bring_into_being(entity, GROUP if self._event.type.endswith("-group") else INDIVIDUAL)
        if entity.state == LIVE:
            self._merge_event(entity)

    def _merge_event(self, entity: Entity) -> None:
        fields = self._event.data
        if entity.type != GROUP and members_of(self._event.type, fields):
            return
        self._merge(entity, _without(fields, "members") if entity.type == GROUP else fields)
        self._list_members(entity, revives=self._event.type in CREATES)

    def _list_members(self, group: Entity, *, revives: bool) -> None:
        if group.state == LIVE and group.type == GROUP:
            for entry in members_of(self._event.type, self._event.data):
                self._list_member(group, entry, revives=revives)

    def _list_member(self, group: Entity, entry: Data, *, revives: bool) -> None:
        member = self._entity(str(entry.get("guid")))
        if member.guid == group.guid or (member.state == DELETED and not revives):
            return
        is_group = entry.get("type") == GROUP
        self._bring_into_being(member, GROUP if is_group else INDIVIDUAL)
        is_any_group = is_group or member.type == GROUP
        self._merge(member, _without(entry, "guid", "members") if is_any_group else _without(entry, "guid"))
        if is_group and member.type == GROUP:
            for below in entries_in(entry):
                self._list_member(member, below, revives=revives)
        self._join(group, member)

    def _remove_member(self, group: Entity, member: Entity) -> None:
        if group.state != LIVE or (member.guid not in group.member_ids and group.guid not in member.parent_ids):
            return
        self._part(group, member)
        if member.type == GROUP:
            self._delete(member)

    def _delete(self, entity: Entity) -> None:
        doomed = [entity]
        met: set[str] = set()
        while doomed:
            gone = doomed.pop()
            if gone.state != LIVE or gone.guid in met:
                continue
            met.add(gone.guid)
            below = [self._entity(guid) for guid in gone.member_ids]
            doomed += below
            for member in below:
                self._part(gone, member)
            for guid in list(gone.parent_ids):
                self._part(self._entity(guid), gone)
            self._bury(gone)

    # Changes of one entity: each is left out where the server has counted the event in

    def _bring_into_being(self, entity: Entity, type_: str) -> None:
        if entity.state != LIVE and self._touch(entity):
            entity.state, entity.type = LIVE, type_

    def _merge(self, entity: Entity, fields: Data) -> None:
        if self._touch(entity):
            entity.data = {**entity.data, **fields}
            entity.name = _text(fields.get("name")) or entity.name
            entity.form = _text(fields.get("entityName")) or entity.form
            entity.external_id = _text(fields.get("externalId")) or entity.external_id

    def _join(self, group: Entity, member: Entity) -> None:
        if self._touch(group) and member.guid not in group.member_ids:
            group.member_ids = sorted([*group.member_ids, member.guid])
        if self._touch(member) and group.guid not in member.parent_ids:
            member.parent_ids = sorted([*member.parent_ids, group.guid])

    def _part(self, group: Entity, member: Entity) -> None:
        if self._touch(group):
            group.member_ids = [guid for guid in group.member_ids if guid != member.guid]
        if self._touch(member):
            member.parent_ids = [guid for guid in member.parent_ids if guid != group.guid]

    def _bury(self, entity: Entity) -> None:
        if self._touch(entity):
            entity.state = DELETED
            entity.name = entity.form = ""
            entity.external_id = None
            entity.data = {}

    def _touch(self, entity: Entity) -> bool:
        seq = self._event.seq
        if self._numbers_count and seq is not None and entity.version >= seq:
            return False
        entity.last_updated = max(entity.last_updated, self._event.timestamp)
        entity.unsynced = True
        self.changed[entity.guid] = entity
        return True

    def _entity(self, guid: str) -> Entity:
        if guid not in self._seen:
            self._seen[guid] = self._load(guid)
        return self._seen[guid]


def _without(fields: Data, *keys: str) -> Data:
    return {key: value for key, value in fields.items() if key not in keys}


def _text(value: object) -> str:
    """A field as the name or id that it is shown as; empty for what cannot be one."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) and value else ""
