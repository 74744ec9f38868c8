"""App configs to test with, and strategies that make them."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "sample-config.json").read_text(encoding="utf-8"))


def config(**parts: Any) -> dict[str, Any]:
    """A small valid config: households hold persons."""
    return {
        "id": "north",
        "name": "North",
        "entityForms": [
            {"name": "household", "title": "Household", "formio": {}},
            {"name": "person", "title": "Person", "dependsOn": "household", "formio": {}},
        ],
        **parts,
    }


def seeds(form: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"name": form, "data": list(rows)}


scalars = (
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-5, 5, allow_nan=False, width=16) | st.text("ab•")
)
SECRET_KEYS = [
    "password",
    "client_secret",
    "apiKey",
    "TOKEN",
    "credentials",
    "refresh-token",
    "smtpPasswd",
    "private_key",
]
PLAIN_KEYS = ["name", "type", "value", "url", "fields", "a", "b", "id", "key", "label", "default", "auth", "oauth"]
PLAIN_KEYS += ["headers"]
keys = st.sampled_from(SECRET_KEYS + PLAIN_KEYS)
json_values = st.recursive(
    scalars | st.sampled_from([*SECRET_KEYS, "https://example.org", "••••••••", "Bearer abc123", "X-My-Auth"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
# Any JSON object as a config's document, valid or not.
documents = st.dictionaries(
    st.sampled_from(["externalSync", "authConfigs", "integrations", "apiKey", "url", "description", "entityForms"]),
    json_values,
)
