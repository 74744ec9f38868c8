"""What a log of events must come to, told once more in plain Python, and with nothing of the server's own.

It follows the protocol's description and the decision on the fold, not their code: slow, one event after the other,
always from the beginning.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Data = dict[str, Any]

_CREATES = {"create-individual": "individual", "create-group": "group"}
_UPDATES = {"update-individual": "individual", "update-group": "group"}
_LISTS = ("create-group", "update-group", "add-member")
_LONGEST_TEXT = 400


@dataclass(frozen=True, slots=True)
class Fact:
    """An event of the log. `applied` is what an installed phone's whole form was cut to, None where nothing was."""

    guid: str
    entity: str
    type: str
    data: Data
    applied: Data | None
    own_ms: int
    effective_ms: int

    @property
    def place(self) -> tuple[int, int, int, str]:
        rank = 0 if self.type in _CREATES else 2 if self.is_deletion else 1
        return self.effective_ms, self.own_ms, rank, self.guid

    @property
    def is_deletion(self) -> bool:
        return self.type == "delete-entity" or (
            self.type == "resolve-duplicate" and bool(self.data.get("shouldDelete"))
        )

    @property
    def entries(self) -> list[Data]:
        entries = (self.data.get("members") or []) if self.type in _LISTS else []
        return entries[:1] if self.type == "add-member" else entries

    @property
    def fields(self) -> Data:
        return self.data if self.applied is None else self.applied

    @property
    def mentions(self) -> Iterator[str]:
        """Whom it speaks of."""
        yield self.entity
        yield from _guids(self.entries)
        if self.type == "remove-member":
            yield self.data["memberId"]
        if self.type == "resolve-duplicate":
            yield from (pair[key] for pair in self.data["duplicates"] for key in ("entityGuid", "duplicateGuid"))

    @property
    def promises(self) -> Iterator[str]:
        """Whom it can create."""
        if self.type in _CREATES:
            yield self.entity
        yield from (guid for guid in _guids(self.entries) if guid != self.entity)


def _guids(entries: Iterable[Data]) -> Iterator[str]:
    for entry in entries:
        yield entry["guid"]
        if entry.get("type") == "group":
            yield from _guids(entry.get("members") or [])


@dataclass(slots=True)
class Being:
    """A person or a group."""

    state: str = "missing"
    type: str = "individual"
    name: str = ""
    form: str = ""
    external_id: str | None = None
    data: Data = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    updated_ms: int = 0


class Oracle:
    """The beings that a set of facts makes, and what became of each fact: (outcome, reason) by guid."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.beings: dict[str, Being] = defaultdict(Being)
        self.outcomes: dict[str, tuple[str, str]] = {}
        self._early: dict[str, list[Fact]] = defaultdict(list)
        self._newborn: list[str] = []
        self._fact: Fact
        ordered = sorted(facts, key=lambda fact: fact.place)
        self._promised = {guid for fact in ordered for guid in fact.promises}
        for fact in ordered:
            self._take(fact)
        for guid in (guid for fact in ordered for guid in fact.mentions):
            self.beings.setdefault(guid, Being())

    def parents_of(self, guid: str) -> set[str]:
        """The groups it is in."""
        return {group for group, being in self.beings.items() if guid in being.members}

    def _take(self, fact: Fact) -> None:
        if self._is_early(fact):
            self._early[fact.entity].append(fact)
            self.outcomes[fact.guid] = ("waiting", "entity-unknown")
            return
        self._do(fact)
        while self._newborn:
            for early in self._early.pop(self._newborn.pop(0), []):
                self._do(early)
                if self.outcomes[early.guid] == ("applied", ""):
                    self.outcomes[early.guid] = ("applied", "waited")

    def _is_early(self, fact: Fact) -> bool:
        if self.beings[fact.entity].state != "missing":
            return False
        if fact.type in _UPDATES:
            return fact.entity in self._promised
        return fact.is_deletion or fact.type in ("add-member", "remove-member")

    def _do(self, fact: Fact) -> None:
        self._fact = fact
        failure = self._try()
        self.outcomes[fact.guid] = ("without-effect", failure) if failure else ("applied", "")

    def _try(self) -> str:
        """Does it; the reason where it is without effect."""
        fact = self._fact
        if fact.type in _CREATES:
            self._bear(fact.entity, _CREATES[fact.type])
            return self._write()
        if fact.type in _UPDATES:
            return self._update()
        if fact.is_deletion:
            return self._delete(fact.entity)
        if fact.type in ("add-member", "remove-member"):
            return self._change_members()
        return "" if fact.type == "resolve-duplicate" else "custom-type"

    def _update(self) -> str:
        fact = self._fact
        is_empty = not fact.fields and not fact.entries
        if self.beings[fact.entity].state == "missing" and not is_empty:
            self._bear(fact.entity, _UPDATES[fact.type])
        if self.beings[fact.entity].state == "deleted":
            return "entity-deleted"
        return "nothing-changed" if is_empty else self._write()

    def _write(self) -> str:
        fact = self._fact
        is_group = self.beings[fact.entity].type == "group"
        if fact.entries and not is_group:
            return "not-a-group"
        self._merge(fact.entity, fact.fields, {"members"} if is_group else set())
        for entry in fact.entries:
            self._list(fact.entity, entry, revives=fact.type in _CREATES)
        return ""

    def _change_members(self) -> str:
        fact, group = self._fact, self.beings[self._fact.entity]
        if group.state == "deleted":
            return "entity-deleted"
        if fact.type == "remove-member":
            return self._remove(fact.entity, fact.data["memberId"])
        return self._list(fact.entity, fact.entries[0], revives=True) if group.type == "group" else "not-a-group"

    def _list(self, group: str, entry: Data, *, revives: bool) -> str:
        guid, says_group = entry["guid"], entry.get("type") == "group"
        if guid == group:
            return "not-a-member"
        if self.beings[guid].state == "deleted" and not revives:
            return "member-deleted"
        self._bear(guid, "group" if says_group else "individual")
        is_group = self.beings[guid].type == "group"
        self._merge(guid, entry, {"guid", "members"} if is_group or says_group else {"guid"})
        for below in (entry.get("members") or []) if is_group and says_group else []:
            self._list(guid, below, revives=revives)
        if guid not in self.beings[group].members:
            self.beings[group].members.add(guid)
            self._touch(group)
        return ""

    def _remove(self, group: str, member: str) -> str:
        if member not in self.beings[group].members:
            return "not-a-member"
        self.beings[group].members.remove(member)
        self._touch(group)
        self._touch(member)
        if self.beings[member].type == "group":
            self._delete(member)
        return ""

    def _delete(self, guid: str) -> str:
        if self.beings[guid].state != "live":
            return "entity-deleted"
        going = {guid}
        while more := {each for group in going for each in self.beings[group].members} - going:
            going |= more
        for group, being in list(self.beings.items()):
            if not being.members.isdisjoint(going):
                being.members -= going
                self._touch(group)
        for each in going:
            gone = self.beings[each]
            gone.state, gone.name, gone.form, gone.external_id, gone.data = "deleted", "", "", None, {}
            gone.members = set()
            self._touch(each)
        return ""

    def _bear(self, guid: str, type_: str) -> None:
        being = self.beings[guid]
        if being.state == "missing":
            self._newborn.append(guid)
        if being.state != "live":
            being.state, being.type = "live", type_

    def _merge(self, guid: str, fields: Data, left_out: set[str]) -> None:
        being = self.beings[guid]
        being.data = being.data | {key: value for key, value in fields.items() if key not in left_out}
        being.name = _text(fields.get("name")) or being.name
        being.form = _text(fields.get("entityName")) or being.form
        being.external_id = _text(fields.get("externalId")) or being.external_id
        self._touch(guid)

    def _touch(self, guid: str) -> None:
        self.beings[guid].updated_ms = max(self.beings[guid].updated_ms, self._fact.effective_ms)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)[:_LONGEST_TEXT] if value else ""
