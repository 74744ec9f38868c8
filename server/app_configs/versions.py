"""The next version of a tenant's app config, made from what was uploaded."""

from collections.abc import Container, Mapping
from typing import Any

from server.app_configs.model import AppConfig, read_config
from server.app_configs.sealing import refuse_lost
from server.app_configs.secrets import mask, restore_masked

_FORMS = "entityForms"


def replace(stored: Mapping[str, Any] | None, uploaded: Any, *, known_rows: Container[str] = ()) -> AppConfig:
    """The uploaded config instead of the stored document; a mask in it keeps the stored secret.

    `stored` is opened, or None for a new tenant; `known_rows` holds ids of rows of earlier versions. Raises
    app-configs.invalid, app-configs.mask-without-secret or app-configs.secret-lost (422).
    """
    if not isinstance(uploaded, dict):
        return read_config(uploaded)
    return _restored(stored or {}, uploaded, uploaded, known_rows)


def patch(stored: Mapping[str, Any], uploaded: Any, *, known_rows: Container[str] = ()) -> AppConfig:
    """The stored document, opened, with the uploaded top-level keys: absent keys are kept, null removes a key.

    Keys are replaced whole, except that a form keeps what the stored form of its name has and the upload says nothing
    of; a mask in them keeps the stored secret. A secret that cannot be opened is kept where the upload says nothing of
    it. Raises as `replace` does. The caller has compared the ids.
    """
    if not isinstance(uploaded, dict):
        return read_config(uploaded)
    if isinstance(uploaded.get(_FORMS), list):
        uploaded = {**uploaded, _FORMS: _merged_forms(stored.get(_FORMS) or [], uploaded[_FORMS])}
    # What is kept goes through the masks as well: a kept secret may rely on an address that the upload changes.
    return _restored(stored, _merged(mask(stored), uploaded), uploaded, known_rows)


def _restored(
    stored: Mapping[str, Any], masked: Mapping[str, Any], uploaded: Container[str], known_rows: Container[str]
) -> AppConfig:
    restored = restore_masked(masked, stored)
    refuse_lost(restored, uploaded)
    return read_config(restored, known_rows=known_rows)


def _merged_forms(stored: list[dict[str, Any]], uploaded: list[Any]) -> list[Any]:
    by_name = {form["name"]: form for form in stored}
    return [
        _merged(_form_named(form.get("name"), by_name), form) if isinstance(form, dict) else form for form in uploaded
    ]


def _form_named(name: Any, by_name: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return by_name.get(name, {}) if isinstance(name, str) else {}


def _merged(stored: Mapping[str, Any], uploaded: Mapping[str, Any]) -> dict[str, Any]:
    """The stored keys and the uploaded ones in their place; null removes one."""
    merged = {**stored, **uploaded}
    return {key: value for key, value in merged.items() if key not in uploaded or value is not None}
