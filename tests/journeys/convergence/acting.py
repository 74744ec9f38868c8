"""What people do on a device: from what it shows and a step's numbers, the events that this makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

Data = dict[str, Any]
T = TypeVar("T")

_DEEPEST = 3
_FIELDS = ("village", "trade", "roof", "phone", "entityName")


@dataclass(frozen=True, slots=True)
class Shown:
    """An entity as a device shows it."""

    type: str
    data: Data
    members: Sequence[str]


@dataclass(frozen=True, slots=True)
class Doing:
    """An event about to be recorded. `meant` are the fields that the person changed, of those that are sent."""

    type: str
    entity: str
    data: Data
    meant: frozenset[str] = frozenset()


@dataclass
class Names:
    """Guids and values that nobody else has. A group's guid tells its level: it is only put into groups above."""

    guids: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: count(1))

    def number(self) -> int:
        return int(next(self._numbers))

    def person(self) -> str:
        return self._new(f"p{self.number()}")

    def group(self, level: int) -> str:
        return self._new(f"g{min(level, _DEEPEST)}-{self.number()}")

    def value(self, kind: int) -> Any:
        number = self.number()
        values = (
            number,
            f"värde {number} 𐐷",
            number + 0.5,
            number * 1e20,
            {"deep": [number, None]},
            [number],
            f"{number}",
        )
        return values[kind % len(values)]

    def form(self, name: str) -> Data:
        number = self.number()
        return {"name": f"{name} {number}", "serial": number}

    def _new(self, guid: str) -> str:
        self.guids.append(guid)
        return guid


def level_of(guid: str) -> int:
    """Of a group: 0 is above all others."""
    return int(guid[1]) if guid.startswith("g") else _DEEPEST


@dataclass(frozen=True, slots=True)
class Scene:
    """What a device shows, and how its owner chooses."""

    shown: Mapping[str, Shown]
    names: Names
    numbers: tuple[int, int, int]
    is_phone: bool
    is_wild: bool

    def pick(self, things: Sequence[T], by: int) -> T:
        return things[self.numbers[by] % len(things)]

    def of_type(self, type_: str) -> list[str]:
        return sorted(guid for guid, each in self.shown.items() if each.type == type_)

    def change(self, by: int = 1) -> Data:
        key = self.pick(_FIELDS, by)
        return {key: f"form{self.names.number()}" if key == "entityName" else self.names.value(self.numbers[2])}

    def new_member(self, level: int) -> Data:
        if self.numbers[1] % 5 or level > _DEEPEST:
            return {"guid": self.names.person(), "type": "individual", **self.names.form("Member")}
        members = [self.new_member(_DEEPEST + 1)] if self.numbers[2] % 2 else []
        return {"guid": self.names.group(level), "type": "group", **self.names.form("Family"), "members": members}


def register(scene: Scene) -> list[Doing]:
    more: Data = {"externalId": f"x{scene.names.number()}"} if scene.numbers[1] % 4 == 0 else {}
    form = {"entityName": "individual"} if scene.numbers[2] % 2 else {}
    return [Doing("create-individual", scene.names.person(), {**form, **scene.names.form("Person"), **more})]


def found(scene: Scene) -> list[Doing]:
    level = scene.numbers[0] % _DEEPEST
    members = [scene.new_member(level + 1) for _ in range(scene.numbers[2] % 3)]
    data = {"entityName": "household", **scene.names.form("Camp")} | ({"members": members} if members else {})
    return [Doing("create-group", scene.names.group(level), data)]


def edit(scene: Scene) -> list[Doing]:
    if not scene.shown:
        return []
    guid = scene.pick(sorted(scene.shown), 0)
    data = scene.change()
    return [Doing(f"update-{scene.shown[guid].type}", guid, data, frozenset(data))]


def save_form(scene: Scene) -> list[Doing]:
    """Everything is sent, whatever was changed: what installed phones do."""
    if not scene.shown or not scene.is_phone:
        return edit(scene)
    guid = scene.pick(sorted(scene.shown), 0)
    changed = scene.change()
    return [Doing(f"update-{scene.shown[guid].type}", guid, {**scene.shown[guid].data, **changed}, frozenset(changed))]


def enlarge(scene: Scene) -> list[Doing]:
    groups = scene.of_type("group")
    if not groups:
        return []
    guid = scene.pick(groups, 0)
    changed = scene.change()
    members = [scene.new_member(level_of(guid) + 1)]
    return [Doing("update-group", guid, {**changed, "members": members}, frozenset(changed))]


def add_new(scene: Scene) -> list[Doing]:
    groups = scene.of_type("group")
    if not groups:
        return []
    guid = scene.pick(groups, 0)
    return [Doing("add-member", guid, {"members": [scene.new_member(level_of(guid) + 1)]})]


def add_known(scene: Scene) -> list[Doing]:
    groups = scene.of_type("group")
    if not groups:
        return []
    group = scene.pick(groups, 0)
    fit = sorted(guid for guid in scene.shown if _may_be_in(scene, guid, group))
    if not fit:
        return []
    guid = scene.pick(fit, 1)
    entry: Data = {"guid": guid}
    if scene.is_phone:
        entry = {**scene.shown[guid].data, **entry}
    if scene.shown[guid].type == "group":
        entry["type"] = "group"
    return [Doing("add-member", group, {"members": [entry]})]


def _may_be_in(scene: Scene, guid: str, group: str) -> bool:
    """Phones cannot bear circles, and write a member anew, so that a group would lose its members there."""
    if guid == group or scene.is_wild:
        return guid != group
    if scene.shown[guid].type == "group":
        return not scene.is_phone and level_of(guid) > level_of(group)
    return not guid.startswith("g")


def remove(scene: Scene) -> list[Doing]:
    groups = [guid for guid in scene.of_type("group") if scene.shown[guid].members]
    if not groups:
        return []
    group = scene.pick(groups, 0)
    return [Doing("remove-member", group, {"memberId": scene.pick(sorted(scene.shown[group].members), 1)})]


def delete(scene: Scene) -> list[Doing]:
    if not scene.shown:
        return []
    guid = scene.pick(sorted(scene.shown), 0)
    return [Doing("delete-entity", guid, {"guid": guid})]


def revive(scene: Scene) -> list[Doing]:
    gone = [guid for guid in scene.names.guids if guid not in scene.shown]
    if not gone:
        return []
    guid = scene.pick(gone, 0)
    type_ = "group" if guid.startswith("g") else "individual"
    return [Doing(f"create-{type_}", guid, scene.names.form("Again"))]


def custom(scene: Scene) -> list[Doing]:
    if not scene.shown:
        return []
    return [Doing("visit", scene.pick(sorted(scene.shown), 0), {"note": scene.names.value(scene.numbers[1])})]


def resolve(scene: Scene) -> list[Doing]:
    if len(scene.shown) < 2:
        return []
    one, other = scene.pick(sorted(scene.shown), 0), scene.pick(sorted(scene.shown), 1)
    return [settling(one, other, should_delete=scene.numbers[2] % 3 == 0)]


def settling(one: str, other: str, *, should_delete: bool) -> Doing:
    """The event that settles a pair of duplicates."""
    pair = {"entityGuid": one, "duplicateGuid": other}
    return Doing("resolve-duplicate", one, {"duplicates": [pair], "shouldDelete": should_delete})


def edit_unseen(scene: Scene) -> list[Doing]:
    """A change of something that the device has not: what another system may tell of."""
    unseen = [guid for guid in scene.names.guids if guid not in scene.shown] or [scene.names.person()]
    guid = scene.pick(unseen, 0)
    types = ("update-individual", "update-group", "delete-entity", "add-member", "remove-member")
    type_ = scene.pick(types, 1)
    data: dict[str, Data] = {
        "delete-entity": {"guid": guid},
        "add-member": {"members": [{"guid": scene.pick(scene.names.guids, 2)}]},
        "remove-member": {"memberId": scene.pick(scene.names.guids, 2)},
    }
    return [Doing(type_, guid, data.get(type_) or scene.change(2))]


ACTS: dict[str, Callable[[Scene], list[Doing]]] = {
    "register": register,
    "found": found,
    "edit": edit,
    "save-form": save_form,
    "enlarge": enlarge,
    "add-new": add_new,
    "add-known": add_known,
    "remove": remove,
    "delete": delete,
    "revive": revive,
    "custom": custom,
    "resolve": resolve,
    "edit-unseen": edit_unseen,
}
