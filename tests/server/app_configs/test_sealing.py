import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.artifact import public_artifact
from server.app_configs.model import read_config
from server.app_configs.sealing import Unopened, open_document, refuse_lost, seal_document
from server.app_configs.secrets import MASK, is_public, mask
from server.app_configs.versions import patch, replace
from server.kit.problem import Problem
from server.kit.strict_json import dump_json, read_json
from server.vault import Keyring, key_id_of
from tests.server.app_configs.configs import SECRET_KEYS, config, documents, keys

PLACE = "tenant 7 config"
KEYRING = Keyring("a key of these tests that is long enough")
OTHER = Keyring("another key of these tests, long enough")
LOOKS_SEALED = KEYRING.seal("anything", place="elsewhere")
EXTERNAL = {
    "type": "openspp",
    "url": "https://registry.example.org",
    "password": "hunter2-hunter2",
    "extraFields": [{"name": "pin", "value": 4711}, {"name": "project", "value": "p1"}],
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.sampled_from([LOOKS_SEALED, "Bearer abc123", "Bearer 0aQ9zzz1", "https://example.org", *SECRET_KEYS]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=15
)
any_documents = documents | st.dictionaries(
    st.sampled_from(["externalSync", "authConfigs", "apiKey", "url", "name", "entityData", "x"]), values
)


def seal(document: dict[str, Any], keyring: Keyring = KEYRING) -> dict[str, Any]:
    """The document as it comes back from the database."""
    stored = read_json(dump_json(seal_document(document, keyring, PLACE)))
    assert isinstance(stored, dict)
    return stored


def opened(stored: dict[str, Any], keyring: Keyring = KEYRING) -> dict[str, Any]:
    return open_document(stored, keyring, PLACE)


def hidden_leaves(plain: Any, masked: Any, stored: Any) -> Iterator[tuple[Any, Any]]:
    """What the mask hides, each beside what is stored of it: an oracle that knows nothing of how secrets are found."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from hidden_leaves(value, masked[key], stored[key])
    elif isinstance(plain, list):
        for each in zip(plain, masked, stored, strict=True):
            yield from hidden_leaves(*each)
    elif masked == MASK != plain:
        yield plain, stored


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


@given(any_documents)
def test_opening_gives_back_what_was_sealed(document: dict[str, Any]) -> None:
    assert dump_json(opened(seal(document))) == dump_json(document)


@given(any_documents)
def test_no_hidden_value_is_left_in_what_is_stored(document: dict[str, Any]) -> None:
    for plain, kept in hidden_leaves(document, mask(document), seal(document)):
        assert key_id_of(kept) == KEYRING.current
        assert KEYRING.open(kept, place=PLACE) == dump_json(plain).decode()


@given(st.dictionaries(keys, st.sampled_from(["hunter2-hunter2", "s3same-s3same"]), min_size=1))
def test_no_secret_is_left_in_the_text_of_what_is_stored(section: dict[str, Any]) -> None:
    document = {"externalSync": section, "authConfigs": [{"type": "auth0", "fields": section}]}
    stored = seal(document)
    text = json.dumps(stored)
    hidden = {plain for plain, _ in hidden_leaves(document, mask(document), stored)}
    shown = set(leaves(mask(document)))
    assert not [secret for secret in hidden - shown if secret in text]


@given(any_documents)
def test_masking_needs_no_key(document: dict[str, Any]) -> None:
    assert mask(seal(document)) == mask(document)


@given(any_documents)
def test_document_of_before_there_were_keys_is_opened_as_it_is(document: dict[str, Any]) -> None:
    if not any(isinstance(leaf, str) and key_id_of(leaf) for leaf in leaves(document)):
        assert opened(document) == document


@given(any_documents)
def test_what_cannot_be_opened_is_stored_again_as_it_was(document: dict[str, Any]) -> None:
    stored = seal(document, OTHER)
    assert opened(seal(opened(stored))) == opened(stored)
    assert opened(seal(opened(stored)), OTHER) == document


def test_secret_of_another_tenant_does_not_open() -> None:
    stored = seal(config(externalSync=EXTERNAL))
    moved = open_document(stored, KEYRING, "tenant 8 config")
    assert isinstance(moved["externalSync"]["password"], Unopened)


def test_numbers_are_sealed_as_texts_and_come_back_as_numbers() -> None:
    stored = seal(config(externalSync=EXTERNAL))
    [pin, project] = stored["externalSync"]["extraFields"]
    assert key_id_of(pin["value"])
    assert project == {"name": "project", "value": "p1"}
    assert opened(stored)["externalSync"] == EXTERNAL


def test_text_that_looks_sealed_comes_back_wherever_it_stands() -> None:
    document = config(
        description=LOOKS_SEALED,
        externalSync={**EXTERNAL, "note": LOOKS_SEALED},
        entityData=[{"name": "person", "data": [{"id": "p1", "note": LOOKS_SEALED}]}],
    )
    stored = seal(document)
    assert stored["description"] == document["description"]
    assert stored["externalSync"]["note"] != LOOKS_SEALED
    assert opened(stored) == document


def test_texts_that_everybody_reads_are_not_sealed() -> None:
    assert is_public("description", "Bearer abc123")
    assert not is_public("description", {"password": "x"})


@pytest.mark.parametrize("key", ["name", "description", "version"])
def test_texts_that_everybody_reads_must_hold_no_credential(key: str) -> None:
    with pytest.raises(Problem) as refused:
        read_config(config(**{key: "send Bearer 0aQ9zzz1"}))
    assert [error.path for error in refused.value.errors] == [key]


def test_artifact_of_a_stored_document_holds_nothing_sealed() -> None:
    fields = {"domain": LOOKS_SEALED, "issuer": ["https://a.example.org", LOOKS_SEALED], "scope": "Bearer abc123"}
    auth = [{"type": "auth0", "fields": fields}, {"type": LOOKS_SEALED, "fields": {"domain": "a.example.org"}}]
    document = config(externalSync={"type": LOOKS_SEALED, "password": "x"}, authConfigs=auth)
    artifact = public_artifact(read_config(seal(document)), artifact_id="a", sync_server_url="")
    assert artifact["authConfigs"] == [{"type": "auth0", "fields": {}}]
    assert "sealed:" not in dump_json(artifact).decode()


def paths_lost(new: dict[str, Any], *, whole: bool = True) -> list[str]:
    stored = opened(seal(config(externalSync=EXTERNAL), OTHER))
    with pytest.raises(Problem) as raised:
        replace(stored, new) if whole else patch(stored, new)
    assert (raised.value.code, raised.value.status) == ("app-configs.secret-lost", 422)
    return [error.path for error in raised.value.errors]


def test_mask_at_a_lost_secret_is_refused_by_its_path() -> None:
    masked = mask(config(externalSync=EXTERNAL))
    assert paths_lost(masked) == ["externalSync.password", "externalSync.extraFields[0].value"]
    assert paths_lost({"externalSync": masked["externalSync"]}, whole=False) == [
        "externalSync.password",
        "externalSync.extraFields[0].value",
    ]


def test_lost_secret_that_is_entered_again_is_stored_under_the_present_key() -> None:
    stored = opened(seal(config(externalSync=EXTERNAL), OTHER))
    mended = replace(stored, config(externalSync=EXTERNAL)).document
    assert opened(seal(mended))["externalSync"] == EXTERNAL


def test_change_of_something_else_keeps_a_lost_secret() -> None:
    stored = seal(config(externalSync=EXTERNAL), OTHER)
    changed = patch(opened(stored), {"name": "Renamed"}).document
    assert seal(changed)["externalSync"] == stored["externalSync"]
    refuse_lost(changed, {"name"})
