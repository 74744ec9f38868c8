"""Taking what is said of persons out of JSON that speaks of many."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

_NAMING: Final = ("guid", "entityGuid")
"""The fields by which an object says whom it is about."""

_UNMISTAKABLE: Final = 16
"""A guid of so many characters is meant wherever it stands; a shorter one may be a number or a word."""

_GROUP: Final = "group"

Data = dict[str, Any]
Persons = Collection[str]


def without(value: Any, persons: Persons) -> Any:
    """The value with every object that is about one of the persons reduced to her guid; itself where there is none.

    Of an object that lists the members of a group these stay. An object is about whom its guid or entityGuid names, or
    the key under which it stands.
    """
    if isinstance(value, list):
        items = [without(each, persons) for each in value]
        return value if all(map(_is_same, items, value)) else items
    if isinstance(value, dict):
        return _bare(value, persons) if is_about(value, persons) else fields_without(value, persons)
    return value


def fields_without(fields: Mapping[str, Any], persons: Persons) -> Data:
    """The same of each field of an object, whomever the object itself is about."""
    inner = {key: _under(key, value, persons) for key, value in fields.items()}
    is_changed = any(inner[key] is not value for key, value in fields.items())
    return inner if is_changed or not isinstance(fields, dict) else fields


def raw_without(raw: Any, persons: Persons) -> Any:
    """The same of something that could not be read: where a person is named beside, nothing of it stays."""
    left = without(raw, persons)
    told = (text for text in _texts_beside_names(left, persons) if len(text) >= _UNMISTAKABLE)
    return {} if any(text in persons for text in told) else left


def parts_about(value: Any, person: str) -> Iterator[Any]:
    """The objects in the value that are about the person, at any depth; not those in one another."""
    if isinstance(value, list):
        for each in value:
            yield from parts_about(each, person)
    elif isinstance(value, dict):
        if is_about(value, (person,)):
            yield value
            return
        for key, inner in value.items():
            if _is_key_of(key, (person,)):
                yield inner
            else:
                yield from parts_about(inner, person)


def is_about(value: Mapping[str, Any], persons: Persons) -> bool:
    """Whether the object names one of the persons as whom it is about."""
    return any(isinstance(name := value.get(key), str) and name in persons for key in _NAMING)


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def _bare(entry: Data, persons: Persons) -> Data:
    """Who the entry is about and, of a group, its members."""
    left = {key: entry[key] for key in _NAMING if isinstance(name := entry.get(key), str) and name in persons}
    if entry.get("type") == _GROUP:
        left["type"] = _GROUP
        if isinstance(members := entry.get("members"), list):
            left["members"] = without(members, persons)
    is_bare = left.keys() == entry.keys() and left.get("members") is entry.get("members")
    return entry if is_bare else left


def _under(key: str, value: Any, persons: Persons) -> Any:
    if _is_key_of(key, persons):
        return {} if value else value
    return without(value, persons)


def _is_key_of(key: str, persons: Persons) -> bool:
    """Whether what stands under the key is about one of the persons."""
    return len(key) >= _UNMISTAKABLE and key in persons


def _texts_beside_names(value: Any, persons: Persons) -> Iterator[str]:
    """The texts in what is left, but for those by which a bare object names its person."""
    if isinstance(value, dict):
        names = _NAMING if is_about(value, persons) else ()
        for key, inner in value.items():
            if key not in names:
                yield from _texts_beside_names(inner, persons)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_beside_names(inner, persons)
    elif isinstance(value, str):
        yield value


def _is_same(one: object, other: object) -> bool:
    return one is other
