"""What the parts of an app config say about each other: names that must exist, be unique, and not run in a circle.

These checks read a document whose shape may be wrong and pass over what they cannot read, so that one upload shows
the mistakes of both kinds.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.app_configs.addresses import holds_secret, is_address_key
from server.app_configs.shape import number_to_text
from server.kit.problem import FieldError

BUILT_IN_EVENT_TYPES = frozenset(
    {
        "create-individual",
        "update-individual",
        "create-group",
        "update-group",
        "add-member",
        "remove-member",
        "delete-entity",
        "resolve-duplicate",
    }
)

TYPES = frozenset({"individual", "group"})
"""Under which records count that name no form."""

_LONGEST_DRAWN_CIRCLE = 20


def reference_errors(document: Any, known_rows: Container[str] = ()) -> Iterator[FieldError]:
    """Every reference that leads nowhere or in a circle, every name or id used twice, every password in an address.

    `known_rows` are ids of rows that need not be in the document.
    """
    if not isinstance(document, dict):
        return
    forms = _forms(document)
    rows = list(_rows(document))
    yield from _used_twice(((f"{form.path}.name", form.name) for form in forms), "the form name")
    yield from _used_twice(((f"{form.path}.id", form.id) for form in forms), "the form id")
    yield from _form_dependencies(forms)
    yield from _seed_forms(document, forms)
    yield from _used_twice(((f"{row.path}.id", row.id) for row in rows), "the id")
    yield from _row_parents(rows, known_rows)
    yield from _reserved_row_keys(rows, forms)
    yield from _duplicate_rules(document, forms)
    yield from _custom_event_types(document)
    yield from _retained_forms(document, forms)
    yield from _addresses_with_secrets(document)


def parents_elsewhere(document: Any) -> set[str]:
    """The ids of the parents that rows have and that are in no row of the document."""
    rows = list(_rows(document)) if isinstance(document, dict) else []
    return {row.parent_id for row in rows if row.parent_id} - {row.id for row in rows}


@dataclass(frozen=True, slots=True)
class _FormRef:
    path: str
    name: str
    id: str
    depends_on: str


@dataclass(frozen=True, slots=True)
class _RowRef:
    path: str
    form: str
    id: str
    parent_id: str
    keys: Iterable[str]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _row_id(value: Any) -> str:
    return _text(number_to_text(value))


def _items(value: Any) -> Iterator[tuple[int, Any]]:
    return enumerate(value if isinstance(value, list) else [])


def _objects(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((index, item) for index, item in _items(value) if isinstance(item, dict))


def _forms(document: Mapping[str, Any]) -> list[_FormRef]:
    return [
        _FormRef(f"entityForms[{index}]", _text(form.get("name")), _text(form.get("id")), _text(form.get("dependsOn")))
        for index, form in _objects(document.get("entityForms"))
    ]


def _rows(document: Mapping[str, Any]) -> Iterator[_RowRef]:
    for section_index, section in _objects(document.get("entityData")):
        for index, row in _objects(section.get("data")):
            path = f"entityData[{section_index}].data[{index}]"
            yield _RowRef(path, _text(section.get("name")), _row_id(row.get("id")), _row_id(row.get("parentId")), row)


def _used_twice(uses: Iterable[tuple[str, str]], what: str) -> Iterator[FieldError]:
    first_use: dict[str, str] = {}
    for path, text in uses:
        if not text:
            continue
        if text in first_use:
            yield FieldError(path, f"{what} {text!r} is used already, at {first_use[text]}")
        first_use.setdefault(text, path)


def _form_dependencies(forms: list[_FormRef]) -> Iterator[FieldError]:
    known: dict[str, _FormRef] = {}
    for form in forms:
        known.setdefault(form.name, form)
    for form in forms:
        if form.depends_on and form.depends_on not in known:
            yield FieldError(f"{form.path}.dependsOn", f"there is no form {form.depends_on!r}")
    for circle in _circles({name: form.depends_on for name, form in known.items() if name}):
        yield FieldError(f"{known[circle[0]].path}.dependsOn", f"the forms depend on each other: {_drawn(circle)}")


def _seed_forms(document: Mapping[str, Any], forms: list[_FormRef]) -> Iterator[FieldError]:
    names = {form.name for form in forms}
    for index, section in _objects(document.get("entityData")):
        name = section.get("name")
        if isinstance(name, str) and name not in names:
            yield FieldError(f"entityData[{index}].name", f"there is no form {name!r}")


def _row_parents(rows: list[_RowRef], known_rows: Container[str]) -> Iterator[FieldError]:
    known: dict[str, _RowRef] = {}
    for row in rows:
        known.setdefault(row.id, row)
    for row in rows:
        if row.parent_id and row.parent_id not in known and row.parent_id not in known_rows:
            yield FieldError(f"{row.path}.parentId", f"there is no row with the id {row.parent_id!r}")
    for circle in _circles({row_id: row.parent_id for row_id, row in known.items() if row_id}):
        yield FieldError(f"{known[circle[0]].path}.parentId", f"the rows are each other's parents: {_drawn(circle)}")


def _reserved_row_keys(rows: list[_RowRef], forms: list[_FormRef]) -> Iterator[FieldError]:
    """`members` of a group is the list of its members to every client, so a plain field cannot have this name."""
    depended_on = {form.depends_on for form in forms}
    parents = {row.parent_id for row in rows if row.parent_id}
    for row in rows:
        if "members" in row.keys and (row.form in depended_on or row.id in parents):
            yield FieldError(f"{row.path}.members", "a group's field cannot be called 'members'; use parentId instead")


def _duplicate_rules(document: Mapping[str, Any], forms: list[_FormRef]) -> Iterator[FieldError]:
    names = {form.name for form in forms}
    duplicates = document.get("duplicates")
    for index, rule in _objects(duplicates.get("rules") if isinstance(duplicates, dict) else None):
        form = rule.get("form")
        if isinstance(form, str) and form not in names:
            yield FieldError(f"duplicates.rules[{index}].form", f"there is no form {form!r}")


def _retained_forms(document: Mapping[str, Any], forms: list[_FormRef]) -> Iterator[FieldError]:
    """A retention time for a form that is not there would keep for ever what somebody believes to be erased."""
    retention = document.get("retention")
    retained = retention.get("forms") if isinstance(retention, dict) else None
    known = {form.name for form in forms} | TYPES
    for name in retained if isinstance(retained, dict) else ():
        if name not in known:
            yield FieldError(f"retention.forms.{name}", f"there is no form {name!r}")


def _custom_event_types(document: Mapping[str, Any]) -> Iterator[FieldError]:
    types = [(f"customEventTypes[{index}]", _text(name)) for index, name in _items(document.get("customEventTypes"))]
    for path, name in types:
        if name in BUILT_IN_EVENT_TYPES:
            yield FieldError(path, f"{name!r} is a built-in event type")
    yield from _used_twice(types, "the event type")


def _addresses_with_secrets(document: Mapping[str, Any]) -> Iterator[FieldError]:
    """An address is shown and handed out, so what is secret in it would be too."""
    for key, value in document.items():
        if key not in ("entityForms", "entityData"):
            yield from _addresses_in(value, key, is_address_key(key))


def _addresses_in(value: Any, path: str, is_address: bool) -> Iterator[FieldError]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _addresses_in(inner, f"{path}.{key}", is_address or is_address_key(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _addresses_in(inner, f"{path}[{index}]", is_address)
    elif isinstance(value, str) and holds_secret(value, is_address=is_address):
        yield FieldError(path, "an address cannot hold a password or key; give it in a field of its own")


def _circles(successors: Mapping[str, str]) -> Iterator[list[str]]:
    """Each circle that is met when every name leads to at most one other, once, from its first name on."""
    finished: set[str] = set()
    for start in successors:
        walked: dict[str, int] = {}
        name = start
        while name in successors and name not in finished and name not in walked:
            walked[name] = len(walked)
            name = successors[name]
        if name in walked:
            yield list(walked)[walked[name] :]
        finished.update(walked)


def _drawn(circle: list[str]) -> str:
    shown = circle if len(circle) <= _LONGEST_DRAWN_CIRCLE else [*circle[:_LONGEST_DRAWN_CIRCLE], "…"]
    return " → ".join([*shown, circle[0]])
