"""Secrets in forms and in the texts at the top of a config: everybody who has an artifact's address reads them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from server.app_configs.addresses import holds_secret
from server.app_configs.credentials import holds_credential
from server.app_configs.secrets import PUBLIC_TEXTS
from server.kit.problem import FieldError
from server.kit.secret_keys import is_secret_key

_MESSAGE = "a form is public: it must not hold a secret"
_TEXT_MESSAGE = "everybody reads this text: it must not hold a secret"
# The innermost braces only: looking past the next opening ones would take time that grows with the square of the text.
_TEMPLATE = re.compile(r"\{\{(?:(?!\{\{).)*?\}\}", re.DOTALL)
_NOTHING = frozenset({"", "basic", "bearer"})
_TRANSLATIONS = frozenset({"i18n", "translations"})
_WORDS_OF_COMPONENTS = frozenset({"key", "label", "name", "title", "type"})


def public_text_errors(document: Any) -> Iterator[FieldError]:
    """Every text at the top that holds a credential. The document's shape may be wrong."""
    for key, value in document.items() if isinstance(document, dict) else ():
        if key in PUBLIC_TEXTS and isinstance(value, str) and holds_credential(value):
            yield FieldError(key, _TEXT_MESSAGE)


def form_secret_errors(document: Any) -> Iterator[FieldError]:
    """Every secret in the forms, by its path: under a secret's name, as a header's value, in an address.

    A value that is filled in on the device (`{{ token }}`) is none. The document's shape may be wrong.
    """
    forms = document.get("entityForms") if isinstance(document, dict) else None
    for index, form in enumerate(forms if isinstance(forms, list) else []):
        if isinstance(form, dict):
            yield from _in_object(form, f"entityForms[{index}]", frozenset(_words(form)))


def _words(value: Any) -> Iterator[str]:
    """What the form's components are called: where such a word stands for a secret, it means the component."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _WORDS_OF_COMPONENTS and isinstance(inner, str):
                yield inner
            yield from _words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)


def _in_value(value: Any, path: str, words: frozenset[str]) -> Iterator[FieldError]:
    if isinstance(value, dict):
        yield from _in_object(value, path, words)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _in_value(inner, f"{path}[{index}]", words)
    elif isinstance(value, str):
        text = _TEMPLATE.sub("", value)
        if holds_credential(text) or holds_secret(text, is_address=False):
            yield FieldError(path, _MESSAGE)


def _in_object(element: Mapping[str, Any], path: str, words: frozenset[str]) -> Iterator[FieldError]:
    for key, value in element.items():
        if key in _TRANSLATIONS:
            continue
        here = f"{path}.{key}"
        if _is_value_of_secret(element, key, value) or (is_secret_key(key) and _is_given(value, words)):
            yield FieldError(here, _MESSAGE)
        else:
            yield from _in_value(value, here, words)


def _is_value_of_secret(element: Mapping[str, Any], key: str, value: Any) -> bool:
    """True for the value in {"key": "Authorization", "value": …}, and the default value of such a component."""
    if key not in ("value", "defaultValue") or not _is_given(value, frozenset()):
        return False
    return any(isinstance(name := element.get(each), str) and is_secret_key(name) for each in ("key", "name"))


def _is_given(value: Any, words: frozenset[str]) -> bool:
    if not isinstance(value, str) or value in words:
        return False
    return _TEMPLATE.sub("", value).strip().lower() not in _NOTHING
