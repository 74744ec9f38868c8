"""The next version of a tenant's app config, made from what was uploaded."""

from collections.abc import Mapping
from typing import Any

from server.app_configs.model import AppConfig, read_config
from server.app_configs.secrets import mask, restore_masked


def replace(stored: Mapping[str, Any] | None, uploaded: Any) -> AppConfig:
    """The uploaded config instead of the stored document; a mask in it keeps the stored secret.

    `stored` is None for a new tenant. Raises app-configs.invalid or app-configs.mask-without-secret (422).
    """
    if not isinstance(uploaded, dict):
        return read_config(uploaded)
    return read_config(restore_masked(uploaded, stored or {}))


def patch(stored: Mapping[str, Any], uploaded: Any) -> AppConfig:
    """The stored document with the uploaded top-level keys: absent keys are kept, null removes a key.

    Keys are replaced whole; a mask in them keeps the stored secret. Raises as `replace` does. The caller has
    compared the ids.
    """
    if not isinstance(uploaded, dict):
        return read_config(uploaded)
    # What is kept goes through the masks as well: a kept secret may rely on an address that the upload changes.
    merged = {**mask(stored), **uploaded}
    return replace(stored, {key: value for key, value in merged.items() if key not in uploaded or value is not None})
