"""Secrets of an app config at rest: each is sealed by itself where it stands, the rest stays readable.

A sealed secret is a text as the keyring makes it, of the JSON of the secret. What is secret is what `mask` hides. A
text of somebody's that only looks like a sealed one is sealed as well, so that it comes back as it was.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

import orjson

from server.app_configs.mistakes import summary_of
from server.app_configs.secrets import change_secrets, is_public
from server.kit.problem import FieldError, ProblemKind
from server.kit.strict_json import dump_json
from server.vault import KeyMissing, Keyring, NotSealed, key_id_of

SECRET_LOST = ProblemKind(
    "app-configs.secret-lost", 422, "The key to a secret that is kept under a mask is gone: enter the secret again."
)

SECRET_UNREADABLE = ProblemKind(
    "app-configs.secret-unreadable",
    503,
    "The server has lost the key to a secret of this app config. The secret has to be entered again, or an operator "
    "has to bring back the key.",
)


class Unopened(str):
    """A sealed secret in an opened document, where it cannot be opened: its key is missing, or it is spoilt."""

    __slots__ = ()


def place_of_config(tenant_id: int) -> str:
    """Where the keyring is told that the configs of a tenant stand."""
    return f"tenant {tenant_id} config"


def seal_document(document: Mapping[str, Any], keyring: Keyring, place: str) -> dict[str, Any]:
    """The document as it is stored. An Unopened secret is stored as it is. Forms and seed data are shared."""

    def seal(leaf: Any) -> str:
        return str(leaf) if isinstance(leaf, Unopened) else keyring.seal(dump_json(leaf).decode(), place=place)

    return change_secrets(document, seal)


def open_document(document: Mapping[str, Any], keyring: Keyring, place: str) -> dict[str, Any]:
    """A stored document with its secrets, each that cannot be opened as an Unopened text.

    One that was stored before there were keys is the same. Forms and seed data are shared with the argument.
    """
    return {key: value if is_public(key, value) else _opened(value, keyring, place) for key, value in document.items()}


def refuse_lost(document: Mapping[str, Any], keys: Container[str]) -> None:
    """Raises app-configs.secret-lost (422), which names each Unopened secret below these keys by its path."""
    errors = [
        FieldError(path, "the key to this secret is gone; enter the secret again")
        for key, value in document.items()
        if key in keys and not is_public(key, value)
        for path in _unopened(value, key)
    ]
    if errors:
        raise SECRET_LOST(summary_of(errors), errors=errors)


def _opened(value: Any, keyring: Keyring, place: str) -> Any:
    if isinstance(value, dict):
        return {key: _opened(inner, keyring, place) for key, inner in value.items()}
    if isinstance(value, list):
        return [_opened(inner, keyring, place) for inner in value]
    return _opened_text(value, keyring, place) if isinstance(value, str) and key_id_of(value) else value


def _opened_text(sealed: str, keyring: Keyring, place: str) -> Any:
    try:
        return orjson.loads(keyring.open(sealed, place=place))
    except (KeyMissing, NotSealed):
        return Unopened(sealed)


def _unopened(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unopened(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unopened(inner, f"{path}[{index}]")
    elif isinstance(value, Unopened):
        yield path
