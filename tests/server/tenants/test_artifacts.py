"""Public artifacts: all that a phone needs, nothing that a stranger may not know."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app_configs.artifact import public_artifact
from server.db.embedded import EmbeddedPostgres
from server.tenants import artifacts
from server.tenants.artifacts import KeptArtifacts
from server.tenants.model import Tenant
from tests.conftest import Croft, new_database, small_config, start_croft

SECRETS = {
    "externalSync": {
        "type": "openspp",
        "url": "https://registry.example.org",
        "credentials": {"username": "sync-account", "password": "hidden-password"},
        "extraFields": [{"name": "apiKey", "value": "hidden-field"}],
    },
    "authConfigs": [
        {
            "type": "keycloak",
            "fields": {"clientId": "field-app", "url": "https://id.example.org", "client_secret": "hidden"},
        }
    ],
    "entityData": [{"name": "household", "data": [{"id": "h1", "name": "hidden Okonkwo"}]}],
}


async def artifact_id(croft: Croft, config: dict[str, Any]) -> str:
    """The artifact id of a new tenant with this config."""
    answer = await croft.operator.post("/api/apps", json=config)
    return str(answer.json()["artifactId"])


async def raw_get(croft: Croft, path: str, *hosts: str) -> tuple[int, bytes]:
    """A request with exactly these Host headers; status and everything that came after it."""
    address = urlsplit(croft.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_artifact_holds_what_phones_need_and_no_secret(croft: Croft) -> None:
    artifact = await artifact_id(
        croft, {**small_config("with-secrets"), **SECRETS, "version": "1.2", "description": "D"}
    )
    answer = await croft.client().get(f"/artifacts/{artifact}.json")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="with-secrets.json"'
    assert "hidden" not in answer.text
    document = answer.json()
    assert document["syncServerUrl"] == croft.url
    assert document["entityData"] == []
    assert (document["description"], document["version"], document["url"]) == ("D", "1.2", "")
    assert [form["name"] for form in document["entityForms"]] == ["household", "individual"]
    assert document["authConfigs"][0]["fields"]["clientId"] == "field-app"


async def test_code_is_a_picture_that_other_origins_may_show(croft: Croft) -> None:
    artifact = await artifact_id(croft, small_config("with-code"))
    answer = await croft.client().get(f"/artifacts/{artifact}.png")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.content.startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("name", ["no-such-artifact", "a%00b", "..%2f..%2fapi", "%25", "x" * 500])
@pytest.mark.parametrize("extension", ["json", "png"])
async def test_unknown_artifact_is_not_found(croft: Croft, name: str, extension: str) -> None:
    assert (await croft.client().get(f"/artifacts/{name}.{extension}")).status_code == 404


async def test_artifact_of_a_tenant_out_of_use_is_not_found(croft: Croft) -> None:
    artifact = await artifact_id(croft, small_config("in-and-out"))

    async def statuses() -> set[int]:
        answers = [await croft.client().get(f"/artifacts/{artifact}.{extension}") for extension in ("json", "png")]
        return {answer.status_code for answer in answers}

    await croft.operator.post("/api/tenants/in-and-out/suspend")
    assert await statuses() == {404}
    await croft.operator.post("/api/tenants/in-and-out/resume")
    assert await statuses() == {200}
    await croft.operator.delete("/api/apps/in-and-out")
    assert await statuses() == {404}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "localhost:80@evil.example",
        "evil.example#localhost",
        "evil.example\\@localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
    ],
)
@pytest.mark.parametrize("extension", ["json", "png"])
async def test_foreign_host_gets_no_artifact(croft: Croft, host: str, extension: str) -> None:
    artifact = await artifact_id(croft, small_config("tricked"))
    status, body = await raw_get(croft, f"/artifacts/{artifact}.{extension}", host)
    assert status in (400, 421)
    if status == 421:
        assert "PUBLIC_BASE_URL" in json.loads(body)["message"]


@pytest.mark.parametrize(
    "host", ["user@localhost", "localhost/evil.example", "localhost?evil", "[", "[::1", "localhost:x"]
)
async def test_allowed_host_with_more_around_it_gives_nothing_but_the_host(croft: Croft, host: str) -> None:
    artifact = await artifact_id(croft, small_config("tricked"))
    status, body = await raw_get(croft, f"/artifacts/{artifact}.json", host)
    assert status in (200, 400, 421)
    if status == 200:
        assert json.loads(body)["syncServerUrl"] == "http://localhost"


async def test_configured_address_wins_over_every_host(cluster: EmbeddedPostgres) -> None:
    async with start_croft(await new_database(cluster), public_base_url="https://sync.example.org") as croft:
        artifact = await artifact_id(croft, small_config("configured"))
        for host in ("evil.example", "localhost"):
            status, body = await raw_get(croft, f"/artifacts/{artifact}.json", host)
            assert status == 200
            assert json.loads(body)["syncServerUrl"] == "https://sync.example.org"


async def test_artifact_follows_the_config_and_the_address_it_is_asked_at(croft: Croft) -> None:
    config = small_config("followed")
    artifact = await artifact_id(croft, config)
    for name in ("One", "Two"):
        await croft.operator.post("/api/apps", json={**config, "name": name})
        for host in ("localhost", "localhost:8080", "localhost"):
            status, body = await raw_get(croft, f"/artifacts/{artifact}.json", host)
            document = json.loads(body)
            assert (status, document["name"], document["syncServerUrl"]) == (200, name, f"http://{host}")


async def test_artifact_is_made_once_for_all_who_ask(croft: Croft, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = await artifact_id(croft, small_config("asked-often"))
    made = []

    def counted(*args: Any, **kwargs: Any) -> dict[str, Any]:
        made.append(args)
        return public_artifact(*args, **kwargs)

    monkeypatch.setattr(artifacts, "public_artifact", counted)
    for _ in range(3):
        assert (await croft.client().get(f"/artifacts/{artifact}.json")).status_code == 200
    assert len(made) == 1


def tenant(number: int, config_number: int = 1) -> Tenant:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Tenant(number, "a", "b", "", "", "", "active", "s", "r", "", config_number, 0, at, None)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 120)), max_size=40))
def test_kept_artifacts_are_the_last_ones_and_take_no_more_room_than_they_may(
    asked: list[tuple[int, int, int]],
) -> None:
    kept, room = KeptArtifacts(100), 100
    last: dict[tuple[int, int], bytes] = {}
    for number, config_number, size in asked:
        content = b"x" * size
        kept.keep(tenant(number, config_number), content)
        last.pop((number, config_number), None)
        last[number, config_number] = content
        while sum(map(len, last.values())) > room:
            del last[next(iter(last))]
        for key in list(last):
            assert kept.get(tenant(*key)) == last[key]
    assert kept.get(tenant(9)) is None
