"""What changed from one app config to the next, place by place, for the record of acts. No secret and no seed data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.app_configs.secrets import mask
from server.kit.strict_json import dump_json

MOST_PLACES: Final = 200
"""How many places are told; of the others, only how many there are."""
LONGEST: Final = 200
"""How much of a value is told, in characters."""

_SEEDS: Final = "entityData"
_NAMES: Final = ("name", "key", "id", "guid", "type")


@dataclass(frozen=True, slots=True)
class Differences:
    """By place, what stood there before and what stands there after; a place is in one of the two where it is new or
    gone. A place reads like `entityForms[household].title`. `more`: how many places are left out.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    more: int


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Differences:
    """What changed. Secrets are told masked, also where one was replaced; of seed data, only the number of rows."""
    old, new = _places_of(before), _places_of(after)
    changed = [place for place in {**old, **new} if old.get(place) != new.get(place)]
    told = changed[:MOST_PLACES]
    return Differences(
        {place: old[place].shown for place in told if place in old},
        {place: new[place].shown for place in told if place in new},
        len(changed) - len(told),
    )


@dataclass(frozen=True, slots=True)
class _Value:
    """The value at a place, as it is and as it may be shown."""

    itself: bytes
    shown: Any


def _places_of(document: Mapping[str, Any]) -> dict[str, _Value]:
    rest = {key: value for key, value in document.items() if key != _SEEDS}
    return dict(_walk(rest, mask(rest), "")) | dict(_seeds_of(document.get(_SEEDS)))


def _seeds_of(sections: Any) -> Iterator[tuple[str, _Value]]:
    for section in sections or ():
        rows = section.get("data") or ()
        yield f"{_SEEDS}[{section.get('name')}]", _Value(dump_json(rows), {"rows": len(rows)})


def _walk(value: Any, shown: Any, place: str) -> Iterator[tuple[str, _Value]]:
    if isinstance(value, dict) and isinstance(shown, dict) and value:
        for key, inner in value.items():
            yield from _walk(inner, shown.get(key), f"{place}.{key}" if place else key)
    elif isinstance(value, list) and isinstance(shown, list) and value:
        for name, inner, shown_inner in zip(_names(shown), value, shown, strict=True):
            yield from _walk(inner, shown_inner, f"{place}[{name}]")
    else:
        yield place, _Value(dump_json(value), _short(shown))


def _names(elements: list[Any]) -> Iterator[str]:
    """What each element of a list is called: by its name where it has one that no element before it has."""
    taken: set[str] = set()
    for index, element in enumerate(elements):
        given = element if isinstance(element, dict) else {}
        found = (str(given[key]) for key in _NAMES if isinstance(given.get(key), str | int) and given[key] != "")
        name = next(found, str(index))
        name = f"{name}#{index}" if name in taken else name
        taken.add(name)
        yield name


def _short(value: Any) -> Any:
    return f"{value[:LONGEST]}…" if isinstance(value, str) and len(value) > LONGEST else value
