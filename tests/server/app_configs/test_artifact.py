import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.artifact import public_artifact, qr_png
from server.app_configs.model import read_config
from tests.server.app_configs.configs import SAMPLE, SECRET_KEYS, config, json_values, seeds

URL = "https://sync.example.org"


def artifact_of(document: dict[str, Any]) -> dict[str, Any]:
    return public_artifact(read_config(document), artifact_id="a1", sync_server_url=URL)


def test_what_phones_demand_is_there_even_when_the_config_has_nothing_of_it() -> None:
    assert artifact_of({"id": "bare", "name": "Bare"}) == {
        "id": "bare",
        "artifactId": "a1",
        "name": "Bare",
        "description": "",
        "version": "",
        "url": "",
        "entityForms": [],
        "entityData": [],
        "externalSync": {},
        "authConfigs": [],
        "syncServerUrl": URL,
    }


def test_sample_is_handed_out_with_its_forms_and_without_its_rows() -> None:
    artifact = artifact_of(SAMPLE)
    assert artifact["entityForms"] == SAMPLE["entityForms"]
    assert artifact["entityData"] == []
    assert artifact["externalSync"] == {"type": "mock-sync-server"}
    assert "Buffalo" not in json.dumps({**artifact, "entityForms": []})


def test_auth_configs_keep_what_signing_in_needs_and_nothing_more() -> None:
    fields = {
        "clientId": "app",
        "domain": "a.example.org",
        "scope": "openid",
        "scopes": ["openid"],
        "appCallbackURL": "app://back",
        "token_endpoint": "https://a.example.org/token",
        "enabled": True,
    }
    private = {"client_secret": "s", "callbackToken": "t", "pepper": "p", "url": {"nested": "s"}, "serverKey": "k"}
    document = config(authConfigs=[{"type": "auth0", "fields": {**fields, **private}, "note": "n"}])
    assert artifact_of(document)["authConfigs"] == [{"type": "auth0", "fields": fields}]


PLANTED = "planted-77aa"
planted_fields = st.dictionaries(st.sampled_from(SECRET_KEYS), st.just(PLANTED))


@given(planted_fields, planted_fields, json_values, st.dictionaries(st.text(), st.just(PLANTED)))
def test_no_secret_no_seed_value_and_no_extra_part_is_in_the_artifact(
    external: dict[str, Any], fields: dict[str, Any], beside: Any, row: dict[str, Any]
) -> None:
    document = config(
        externalSync={
            "type": "openfn",
            "extraFields": [{"name": key, "value": value} for key, value in external.items()],
            "credentials": external,
            **external,
        },
        authConfigs=[{"type": "auth0", "fields": {**fields, "issuer": "https://a.example.org"}}],
        entityData=[seeds("person", {**row, "id": None, "parentId": None})],
        duplicates={"rules": []},
        extra={"beside": beside, **external},
    )
    assert PLANTED not in json.dumps(artifact_of(document))


@pytest.mark.parametrize("length", [10, 80, 200, 400])
def test_qr_code_is_a_picture_of_a_handy_size(length: int) -> None:
    png = qr_png("https://a.example.org/".ljust(length, "x"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert width == height
    assert 290 <= width <= 410
