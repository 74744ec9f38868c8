"""The fold once more, for comparison: slow, and made another way.

Who is in which group is one set of pairs, of which the lists of members and of groups are only views. What waits is
one list that is looked through from the front again and again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from server.sync.event import (
    ADD_MEMBER,
    CREATE_GROUP,
    CREATES,
    REMOVE_MEMBER,
    RESOLVE_DUPLICATE,
    UPDATE_GROUP,
    UPDATES,
    Data,
    Event,
    Place,
)
from server.sync.fold import LONGEST_TEXT, Birth, Entity


@dataclass
class Record:
    """One entity, groups aside."""

    state: str = "missing"
    created: bool = False
    type: str = "individual"
    name: str = ""
    entity_name: str = ""
    external_id: str | None = None
    version: int = 0
    data: Data = field(default_factory=dict)
    updated_ms: int = 0
    newest: Place | None = None
    born: Birth | None = None
    deaths: int = 0


class SlowFold:
    """The state after a set of events, in any order."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.records: dict[str, Record] = {}
        self.memberships: set[tuple[str, str]] = set()
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.touched: dict[str, set[str]] = {}
        self._waiting: list[Event] = []
        self._unreleased: list[str] = []
        self._births: Iterator[int] = count()
        self._written: set[str] = set()
        self._now: Place
        self._fold(sorted(events, key=lambda event: event.place))

    def entities(self) -> dict[str, Entity]:
        return {
            guid: Entity(
                guid=guid,
                state=each.state,
                created=each.created,
                type=each.type,
                name=each.name,
                entity_name=each.entity_name,
                external_id=each.external_id,
                version=each.version,
                data=each.data,
                member_ids=self.members_of(guid),
                parent_ids=sorted(group for group, member in self.memberships if member == guid),
                updated_ms=each.updated_ms,
                newest=each.newest,
                born=each.born,
                deaths=each.deaths,
            )
            for guid, each in self.records.items()
        }

    def members_of(self, guid: str) -> list[str]:
        return sorted(member for group, member in self.memberships if group == guid)

    # Which event is taken when

    def _fold(self, events: list[Event]) -> None:
        can_be_made = {guid for event in events for guid in event.makes}
        for event in events:
            if self._is_early(event, can_be_made):
                self._waiting.append(event)
                self._speak_of(event, event.place)
                self.outcomes[event.guid] = ("waiting", "entity-unknown")
            else:
                self._take(event, event.place)

    def _is_early(self, event: Event, can_be_made: set[str]) -> bool:
        if self._record(event.entity_guid).state != "missing":
            return False
        if event.type in UPDATES:
            return event.entity_guid in can_be_made
        return event.deletes or event.type in (ADD_MEMBER, REMOVE_MEMBER)

    def _take(self, event: Event, now: Place) -> None:
        self._births = count()
        self._do(event, now)
        while self._unreleased:
            born = self._unreleased.pop(0)
            for waiting in [each for each in self._waiting if each.entity_guid == born]:
                self._waiting.remove(waiting)
                self._do(waiting, now)

    def _do(self, event: Event, now: Place) -> None:
        self._speak_of(event, now)
        self._written = set()
        self._now = now
        outcome = self._effect(event)
        self.outcomes[event.guid] = (
            ("applied", "waited") if outcome == ("applied", "") and event.place < now else outcome
        )
        for guid in self._written:
            record = self._record(guid)
            record.version += 1
            record.updated_ms = max(record.updated_ms, event.effective_ms)
            self._speak_of_one(guid, event, now)

    def _speak_of(self, event: Event, now: Place) -> None:
        for guid in event.mentions:
            self._speak_of_one(guid, event, now)

    def _speak_of_one(self, guid: str, event: Event, now: Place) -> None:
        record = self._record(guid)
        record.newest = max(record.newest or now, now)
        self.touched.setdefault(event.guid, set()).add(guid)

    # What it does

    def _effect(self, event: Event) -> tuple[str, str]:
        if event.type in CREATES:
            self._create(event.entity_guid, kind_of(event))
            return self._merge(event)
        if event.type in UPDATES:
            return self._update(event)
        if event.deletes:
            return self._delete_from_above(event.entity_guid)
        if event.type in (ADD_MEMBER, REMOVE_MEMBER):
            return self._membership(event, self._record(event.entity_guid))
        return ("applied", "") if event.type == RESOLVE_DUPLICATE else ("without-effect", "custom-type")

    def _update(self, event: Event) -> tuple[str, str]:
        record = self._record(event.entity_guid)
        is_empty = not event.fields and not event.members
        if record.state == "missing" and not is_empty:
            self._appear(event.entity_guid, kind_of(event))
        if record.state == "deleted":
            return "without-effect", "entity-deleted"
        return ("without-effect", "nothing-changed") if is_empty else self._merge(event)

    def _merge(self, event: Event) -> tuple[str, str]:
        is_group = self._record(event.entity_guid).type == "group"
        if event.members and not is_group:
            return "without-effect", "not-a-group"
        kept_out = {"members"} if is_group else set()
        self._write(event.entity_guid, {key: event.fields[key] for key in event.fields if key not in kept_out})
        for entry in event.members:
            self._list(event.entity_guid, entry, revives=event.type in CREATES)
        return "applied", ""

    def _membership(self, event: Event, group: Record) -> tuple[str, str]:
        if group.state == "deleted":
            return "without-effect", "entity-deleted"
        if event.type == ADD_MEMBER:
            if group.type != "group":
                return "without-effect", "not-a-group"
            (entry,) = event.members
            return self._list(event.entity_guid, entry, revives=True)
        member = event.data["memberId"]
        if (event.entity_guid, member) not in self.memberships:
            return "without-effect", "not-a-member"
        self.memberships.remove((event.entity_guid, member))
        self._written |= {event.entity_guid, member}
        if self._record(member).type == "group":
            self._delete_from_above(member)
        return "applied", ""

    def _list(self, group: str, entry: Data, *, revives: bool) -> tuple[str, str]:
        guid = entry["guid"]
        if guid == group:
            return "without-effect", "not-a-member"
        if self._record(guid).state == "deleted" and not revives:
            return "without-effect", "member-deleted"
        is_group_entry = entry.get("type") == "group"
        self._create(guid, "group" if is_group_entry else "individual")
        is_group = self._record(guid).type == "group"
        kept_out = {"guid", "members"} if is_group or is_group_entry else {"guid"}
        self._write(guid, {key: value for key, value in entry.items() if key not in kept_out})
        if is_group and is_group_entry:
            for below in entry.get("members") or ():
                self._list(guid, below, revives=revives)
        if (group, guid) not in self.memberships:
            self.memberships.add((group, guid))
            self._written.add(group)
        return "applied", ""

    def _create(self, guid: str, type_: str) -> None:
        self._record(guid).created = True
        self._appear(guid, type_)

    def _appear(self, guid: str, type_: str) -> None:
        record = self._record(guid)
        if record.state == "live":
            return
        if record.state == "missing":
            self._unreleased.append(guid)
        record.state, record.type, record.born = "live", type_, (*self._now, next(self._births))

    def _write(self, guid: str, fields: Data) -> None:
        record = self._record(guid)
        record.data = record.data | fields
        record.name = shown(fields.get("name")) or record.name
        record.entity_name = shown(fields.get("entityName")) or record.entity_name
        record.external_id = shown(fields.get("externalId")) or record.external_id
        self._written.add(guid)

    def _delete_from_above(self, guid: str) -> tuple[str, str]:
        if self._record(guid).state != "live":
            return "without-effect", "entity-deleted"
        doomed = {guid}
        while below := {member for group, member in self.memberships if group in doomed} - doomed:
            doomed |= below
        doomed = {each for each in doomed if self._record(each).state == "live"}
        self._written |= doomed | {group for group, member in self.memberships if member in doomed}
        self.memberships = {pair for pair in self.memberships if doomed.isdisjoint(pair)}
        for each in doomed:
            record = self._record(each)
            record.state, record.name, record.entity_name, record.external_id, record.data = "deleted", "", "", None, {}
            record.deaths += 1
        return "applied", ""

    def _record(self, guid: str) -> Record:
        return self.records.setdefault(guid, Record())


def kind_of(event: Event) -> str:
    return "group" if event.type in (CREATE_GROUP, UPDATE_GROUP) else "individual"


def shown(value: object) -> str:
    """A field as a name or an id."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == 0:
        return ""
    return str(value)[:LONGEST_TEXT]
