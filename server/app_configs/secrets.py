"""Secrets of an app config: masked in what is answered, kept when the mask comes back.

What is secret is decided by keys (`secret_keys`), anywhere in the config but in entityForms and entityData, which hold
questions and records. Everything below a secret key is secret (`credentials`), and so is the value of a named pair
(`extraFields: [{"name": "password", "value": …}]`). A text that is an authorization (`Bearer …`) is secret under any
key, and so is one that was sealed. Empty texts, null, true and false are no secrets, and neither are the texts at the
top that everybody reads.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.app_configs.addresses import is_address_key, is_url
from server.app_configs.credentials import holds_credential, is_authorization
from server.app_configs.mistakes import summary_of
from server.kit.problem import FieldError, ProblemKind
from server.kit.secret_keys import is_secret_key, plain
from server.kit.strict_json import canonical_json
from server.vault import key_id_of

MASK = "••••••••"

MASK_WITHOUT_SECRET = ProblemKind(
    "app-configs.mask-without-secret", 422, "A secret is masked and must be entered again."
)

FREE_OF_SECRETS = frozenset({"entityForms", "entityData"})
PUBLIC_TEXTS = frozenset({"id", "name", "description", "version", "url"})
_PAIR_NAMES = ("name", "key", "field", "label", "id")
_PAIR_VALUES = frozenset({"value", "values", "default", "defaultValue"})
_BESIDE_A_NAME = _PAIR_VALUES | {"label", "title"}
_WORDS_FOR_PEOPLE = frozenset({"name", "title", "label", "description", "version"})
# These two are sent to the addresses that stand in themselves; anything else may rely on an address at the top.
_SELF_CONTAINED = frozenset({"externalSync", "authConfigs"})


def mask(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same document with MASK in place of each secret. Forms and seed data are shared with the argument.

    Secrets may be sealed or not; no key is needed.
    """
    return change_secrets(document, lambda _: MASK)


def change_secrets(document: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The same document with what `change` makes of each secret. Forms and seed data are shared with the argument."""
    return {
        key: value if is_public(key, value) else _changed(value, _Place().below({}, key), change)
        for key, value in document.items()
    }


def is_public(key: str, value: Any) -> bool:
    """Whether what stands under this key at the top of a config holds no secrets."""
    return key in FREE_OF_SECRETS or (key in PUBLIC_TEXTS and isinstance(value, str))


def restore_masked(new: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """`new` with the secrets of `stored` where they were masked.

    A mask is replaced only at the same place (elements of lists are recognised by their name or type), and only while
    every address it may be sent to stays the same. Raises app-configs.mask-without-secret (422) with the path of each
    mask that cannot be replaced.
    """
    restoration = _Restoration()
    restored = restoration.of_document(new, stored, mask(stored))
    if restoration.errors:
        raise MASK_WITHOUT_SECRET(summary_of(restoration.errors), errors=restoration.errors)
    return restored


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a config a value stands. `name` is what it is called there, as `plain` writes it.

    `secret`: so is all that stands here; `in_headers`: this is the object or list of the headers of requests.
    """

    name: str = ""
    secret: bool = False
    in_headers: bool = False

    def below(self, element: Mapping[str, Any], key: str) -> "_Place":
        """The place under a key of the object that stands here."""
        meaning = _meaning(element, key)
        name = plain(meaning)
        secret = self.secret or is_secret_key(meaning) or (self.in_headers and "auth" in name)
        if key == "key" and not _BESIDE_A_NAME.isdisjoint(element):
            name = ""  # that of a pair, which only says what the pair's value is
        return _Place(name, secret, in_headers=name.endswith("headers"))

    def hides(self, value: Any) -> bool:
        """Whether a text or number that stands here is secret."""
        if self.secret or self.name == "key" or (isinstance(value, str) and key_id_of(value)):
            return True
        if self.name.startswith("oauth"):
            return not is_address_key(self.name) and not (isinstance(value, str) and is_url(value))
        if not isinstance(value, str):
            return False
        return holds_credential(value) or (is_authorization(value) and self.name not in _WORDS_FOR_PEOPLE)


def _changed(value: Any, place: _Place, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _changed(inner, place.below(value, key), change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_changed(inner, place, change) for inner in value]
    return change(value) if _can_be_secret(value) and place.hides(value) else value


def _can_be_secret(value: Any) -> bool:
    return value != "" and isinstance(value, str | int | float) and not isinstance(value, bool)


def _meaning(element: Mapping[str, Any], key: str) -> str:
    """What a key of an object speaks of: in {"name": "token", "value": …} the key `value` speaks of `token`."""
    if key not in _PAIR_VALUES:
        return key
    names = [name for pair_name in _PAIR_NAMES if isinstance(name := element.get(pair_name), str)]
    decisive = [name for name in names if is_secret_key(name)] or names
    return decisive[0] if decisive else key


class _Restoration:
    """One walk over a new document beside the stored one and its masked form, and the masks that found no secret."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def of_document(
        self, new: Mapping[str, Any], stored: Mapping[str, Any], masked: Mapping[str, Any]
    ) -> dict[str, Any]:
        same_at_top = _addresses(_scalars(new)) == _addresses(_scalars(masked))
        restored: dict[str, Any] = {}
        for key, value in new.items():
            if key in FREE_OF_SECRETS or not _holds_mask(value):
                restored[key] = value
                continue
            trusted = same_at_top or key in _SELF_CONTAINED
            if isinstance(value, dict):
                trusted = trusted and _addresses(value) == _addresses(masked.get(key))
            restored[key] = self._of(value, stored.get(key), masked.get(key), key, trusted)
        return restored

    def _of(self, new: Any, stored: Any, masked: Any, path: str, trusted: bool) -> Any:
        if isinstance(new, dict):
            return self._of_object(new, stored, masked, path, trusted)
        if isinstance(new, list):
            return self._of_list(new, stored, masked, path, trusted)
        if new == MASK:
            return self._of_mask(stored, masked, path, trusted)
        return new

    def _of_mask(self, stored: Any, masked: Any, path: str, trusted: bool) -> Any:
        if masked != MASK:
            self.errors.append(FieldError(path, "no secret is stored here; enter it"))
        elif not trusted:
            self.errors.append(
                FieldError(path, "enter the secret again, because the address that it is sent to has changed")
            )
        return stored

    def _of_object(self, new: dict[str, Any], stored: Any, masked: Any, path: str, trusted: bool) -> dict[str, Any]:
        if not isinstance(stored, dict):
            stored, masked = {}, {}
        return {
            key: self._of(value, stored.get(key), masked.get(key), f"{path}.{key}", trusted)
            for key, value in new.items()
        }

    def _of_list(self, new: list[Any], stored: Any, masked: Any, path: str, trusted: bool) -> list[Any]:
        if not isinstance(stored, list):
            stored, masked = [], []
        places = _places(new, masked)
        restored = []
        for index, element in enumerate(new):
            place = places.get(index)
            old, old_masked = (None, None) if place is None else (stored[place], masked[place])
            element_trusted = trusted
            if isinstance(element, dict):
                element_trusted = trusted and _addresses(element) == _addresses(old_masked)
            restored.append(self._of(element, old, old_masked, f"{path}[{index}]", element_trusted))
        return restored


def _holds_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_mask(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_holds_mask(inner) for inner in value)
    return bool(value == MASK)


def _scalars(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if not isinstance(value, dict | list)}


def _places(new: list[Any], masked: list[Any]) -> dict[int, int]:
    """For the index of each new element that of the masked stored element it was.

    First those that are unchanged, then objects with the same name or type, in their order. Elements without a name,
    and bare texts, keep their places, but only while none was added or removed.
    """
    places: dict[int, int] = {}
    for signature in (_content, _identity):
        _pair_up(new, masked, places, signature)
    if len(new) == len(masked):
        taken = set(places.values())
        places.update({i: i for i in range(len(new)) if i not in places and i not in taken and not _identity(new[i])})
    return places


def _pair_up(new: list[Any], masked: list[Any], places: dict[int, int], signature: Callable[[Any], str]) -> None:
    taken = set(places.values())
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    for index in reversed(range(len(masked))):
        if index not in taken and (sign := signature(masked[index])):
            waiting[sign].append(index)
    for index, element in enumerate(new):
        if index not in places and (sign := signature(element)) and waiting[sign]:
            places[index] = waiting[sign].pop()


def _content(element: Any) -> str:
    return _canonical(element) if isinstance(element, dict) else ""


def _identity(element: Any) -> str:
    """What an object in a list is recognised by after a change: its name, or else its type; empty without both."""
    if isinstance(element, dict):
        for key in (*_PAIR_NAMES, "type"):
            if isinstance(element.get(key), str | int) and element[key] != MASK:
                return _canonical([key, element[key]])
    return ""


def _canonical(value: Any) -> str:
    return canonical_json(value).decode()


def _addresses(section: Any) -> list[tuple[str, str]]:
    """Where a section sends its secrets: its type, which decides who connects, and every address in it."""
    if not isinstance(section, dict):
        return []
    return sorted([("type", _canonical(section.get("type"))), *_addresses_in(section, "", False, _Place())])


def _addresses_in(value: Any, path: str, is_address: bool, place: _Place) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            meaning = _meaning(value, key)
            yield from _addresses_in(
                inner, f"{path}.{meaning}", is_address or is_address_key(meaning), place.below(value, key)
            )
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _addresses_in(inner, f"{path}[{_identity(inner) or index}]", is_address, place)
    elif is_address or (isinstance(value, str) and is_url(value) and not place.hides(value)):
        yield path, _canonical(value)
