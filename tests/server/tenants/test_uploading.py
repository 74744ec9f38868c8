"""Uploading, changing and rolling back app configs over HTTP."""

import json
from typing import Any

import httpx
import pytest

from server.app_configs.secrets import MASK
from server.db import Database, scoped
from server.tenants import queries
from server.tenants.versioning import opened_document
from tests.conftest import KEYRING, Croft, TenantHandle, small_config, upload_of
from tests.server.app_configs.configs import SAMPLE

PEOPLE = [{"id": "h1", "name": "Okonkwo"}, {"id": "h2", "name": "Haddad"}]
EXTERNAL = {"type": "openspp", "url": "https://registry.example.org", "auth": "basic", "apiKey": "hunter2-hunter2"}


def config_of(tenant: TenantHandle, **more: Any) -> dict[str, Any]:
    """The tenant's small config with other keys."""
    return {**small_config(tenant.config_id), **more}


async def upload(api: httpx.AsyncClient, config: dict[str, Any]) -> httpx.Response:
    """POST as the admin web app does it."""
    return await api.post("/api/apps", files={"config": upload_of(config)})


async def put(api: httpx.AsyncClient, config_id: str, document: dict[str, Any]) -> httpx.Response:
    """PUT as the admin web app does it."""
    return await api.put(f"/api/apps/{config_id}", files={"config": upload_of(document)})


async def stored(database: Database, config_id: str) -> dict[str, Any]:
    """What the server keeps, its secrets opened."""
    async with database.shared() as db:
        tenant = await queries.find_tenant(db, config_id)
        assert tenant is not None
        document = await queries.find_document(db, tenant.id, tenant.config_number)
        assert document is not None
        return opened_document(document, tenant.id, KEYRING)


async def test_upload_answers_as_the_admin_web_app_expects(croft: Croft) -> None:
    answer = await upload(croft.operator, small_config("uploaded"))
    assert answer.status_code == 200
    assert answer.json()["status"] == "success"
    assert answer.json()["artifactId"]
    app = (await croft.operator.get("/api/apps/uploaded")).json()
    assert app["artifactId"] == answer.json()["artifactId"]
    assert (app["externalSync"], app["authConfigs"], app["entityData"]) == ({}, [], [])


async def test_plain_json_is_an_upload_too(croft: Croft) -> None:
    answer = await croft.operator.post("/api/apps", json=small_config("plain-json"))
    assert (answer.status_code, answer.json()["number"]) == (200, 1)


async def test_sample_config_uploads_with_its_forms_and_seeds(croft: Croft) -> None:
    assert (await upload(croft.operator, SAMPLE)).status_code == 200
    app = (await croft.operator.get(f"/api/apps/{SAMPLE['id']}")).json()
    assert [form["name"] for form in app["entityForms"]] == [form["name"] for form in SAMPLE["entityForms"]]
    rows = sum(len(section.get("data") or []) for section in SAMPLE.get("entityData") or [])
    assert rows > 0
    listed = (await croft.operator.get("/api/apps", params={"search": SAMPLE["id"]})).json()
    assert [each["entitiesCount"] for each in listed["data"]] == [rows]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_upload_without_a_file_says_so(croft: Croft, method: str) -> None:
    tenant = await croft.tenant()
    path = "/api/apps" if method == "POST" else f"/api/apps/{tenant.config_id}"
    answer = await croft.operator.request(method, path, files={"other": ("a.txt", b"hello", "text/plain")})
    assert answer.status_code == 400
    assert answer.json()["message"] == "No JSON file uploaded"


async def test_mistakes_are_named_by_their_paths_and_nothing_is_made(croft: Croft) -> None:
    config = small_config("mistaken")
    config["entityForms"][1]["dependsOn"] = "nowhere"
    answer = await upload(croft.operator, config)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == ["entityForms[1].dependsOn"]
    assert (await croft.operator.get("/api/apps/mistaken")).status_code == 404


@pytest.mark.parametrize("document", [b"[]", b"7", b'"text"', b'{"name": "no id"}', b'{"id": 7, "name": "number"}'])
async def test_what_is_no_config_is_refused(croft: Croft, document: bytes) -> None:
    answer = await croft.operator.post("/api/apps", content=document, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "app-configs.invalid"


async def test_post_of_an_existing_id_replaces_the_whole(croft: Croft) -> None:
    tenant = await croft.tenant({"url": "https://old.example.org", "version": "1.0"})
    answer = await upload(croft.operator, config_of(tenant, name="Renamed", version="2.0", description="New"))
    assert answer.json()["number"] == 2
    app = (await croft.operator.get(f"/api/apps/{tenant.config_id}")).json()
    assert (app["name"], app["version"]) == ("Renamed", "2.0")
    assert "url" not in app
    listed = (await croft.operator.get("/api/apps", params={"search": tenant.config_id})).json()["data"][0]
    assert (listed["name"], listed["version"], listed["description"]) == ("Renamed", "2.0", "New")


async def test_put_keeps_absent_keys_and_null_removes(croft: Croft) -> None:
    tenant = await croft.tenant({"url": "https://old.example.org", "description": "kept"})
    answer = await put(croft.operator, tenant.config_id, {"id": tenant.config_id, "version": "3", "url": None})
    assert answer.status_code == 200
    app = (await croft.operator.get(f"/api/apps/{tenant.config_id}")).json()
    assert (app["version"], app["description"], len(app["entityForms"])) == ("3", "kept", 2)
    assert "url" not in app


async def test_put_with_another_id_in_the_file_is_refused(croft: Croft) -> None:
    one, other = await croft.tenant(), await croft.tenant()
    for config_id in (other.config_id, "nobody-has-this"):
        answer = await put(croft.operator, one.config_id, config_of(one, id=config_id))
        assert (answer.status_code, answer.json()["code"]) == (400, "tenants.other-id")
        assert repr(config_id) in answer.json()["message"]
        assert repr(one.config_id) in answer.json()["message"]
    assert (await put(croft.operator, one.config_id, {"name": "no id"})).status_code == 422
    assert (await put(croft.operator, "nobody-has-this", small_config("nobody-has-this"))).status_code == 404


async def test_second_upload_adds_only_new_seeds(croft: Croft) -> None:
    config = {"entityData": [{"name": "household", "data": PEOPLE}]}
    tenant = await croft.tenant(config)
    await upload(croft.operator, config_of(tenant, **config))
    assert await entities(croft, tenant) == 2
    more = {"entityData": [{"name": "household", "data": [*PEOPLE, {"id": "h3", "name": "Nguyen"}]}]}
    await upload(croft.operator, config_of(tenant, **more))
    assert await entities(croft, tenant) == 3


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_row_can_have_a_parent_of_any_earlier_version(croft: Croft, method: str) -> None:
    tenant = await croft.tenant({"entityData": [{"name": "household", "data": [{"id": 7, "name": "Okonkwo"}]}]})
    await upload(croft.operator, config_of(tenant, entityData=[]))
    path = "/api/apps" if method == "POST" else f"/api/apps/{tenant.config_id}"
    for parent, status in ((7, 200), ("7", 200), (8, 422)):
        row = {"id": "p1", "name": "Ada", "parentId": parent}
        document = config_of(tenant, entityData=[{"name": "individual", "data": [row]}])
        answer = await croft.operator.request(method, path, files={"config": upload_of(document)})
        assert answer.status_code == status, answer.text
    assert await entities(croft, tenant) == 2
    assert (await put(croft.operator, tenant.config_id, {"id": tenant.config_id, "version": "9"})).status_code == 200
    artifact_id = (await croft.operator.get(f"/api/apps/{tenant.config_id}")).json()["artifactId"]
    assert (await croft.operator.get(f"/artifacts/{artifact_id}.json")).json()["version"] == "9"
    household = await croft.operator.get("/api/entities/7", params={"configId": tenant.config_id})
    assert household.status_code == 200


async def test_put_keeps_what_the_upload_does_not_say_of_a_form(croft: Croft) -> None:
    tenant = await croft.tenant()
    forms: list[dict[str, Any]] = small_config(tenant.config_id)["entityForms"]
    await upload(croft.operator, config_of(tenant, entityForms=[{**each, "roles": ["nurse"]} for each in forms]))
    await put(croft.operator, tenant.config_id, {"id": tenant.config_id, "entityForms": forms})
    app = (await croft.operator.get(f"/api/apps/{tenant.config_id}")).json()
    assert [form["roles"] for form in app["entityForms"]] == [["nurse"], ["nurse"]]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_form_with_a_secret_is_refused(croft: Croft, method: str) -> None:
    tenant = await croft.tenant()
    headers = [{"key": "Authorization", "value": "Bearer abc123"}]
    document = config_of(tenant, entityForms=[{"name": "a", "formio": {"data": {"headers": headers}}}])
    path = "/api/apps" if method == "POST" else f"/api/apps/{tenant.config_id}"
    answer = await croft.operator.request(method, path, files={"config": upload_of(document)})
    assert answer.status_code == 422
    told = "entityForms[0].formio.data.headers[0].value: a form is public: it must not hold a secret"
    assert answer.json()["message"] == told


async def test_byte_order_mark_before_a_file_is_passed_over(croft: Croft) -> None:
    tenant = await croft.tenant()
    raw = b"\xef\xbb\xbf" + json.dumps(config_of(tenant)).encode()
    as_json = {"Content-Type": "application/json"}
    assert (await croft.operator.post("/api/apps", content=raw, headers=as_json)).status_code == 200
    answer = await croft.operator.post("/api/apps", files={"config": ("config.json", raw, "application/json")})
    assert answer.status_code == 200, answer.text


async def test_mistake_is_told_in_the_message(croft: Croft) -> None:
    config = small_config("mistaken-in-words")
    config["entityForms"][1]["dependsOn"] = "nowhere"
    answer = await upload(croft.operator, {**config, "name": ""})
    assert answer.json()["message"] == "name: must not be empty (and 1 more)"


async def entities(croft: Croft, tenant: TenantHandle) -> int:
    """How many entities the list of apps says the tenant has."""
    listed = await croft.operator.get("/api/apps", params={"search": tenant.config_id})
    return int(listed.json()["data"][0]["entitiesCount"])


async def test_settings_follow_the_config(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant({"duplicates": {"rules": [{"form": "individual", "fields": ["phone"]}]}})
    await upload(croft.operator, config_of(tenant, duplicates={"blockSync": True}))
    async with database.shared() as db:
        found = await queries.find_tenant(db, tenant.config_id)
        assert found is not None
        async with scoped(db, found.scope):
            value = await db.fetchval("SELECT value::text FROM settings WHERE name = 'duplicates'")
    assert json.loads(value) == {"rules": None, "blockSync": True}


async def test_secrets_are_masked_and_a_mask_that_comes_back_keeps_them(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant({"externalSync": EXTERNAL})
    app = (await croft.operator.get(f"/api/apps/{tenant.config_id}")).json()
    assert app["externalSync"]["apiKey"] == MASK
    listed = (await croft.operator.get("/api/apps", params={"search": tenant.config_id})).json()
    assert listed["data"][0]["externalSync"]["apiKey"] == MASK

    assert (await put(croft.operator, tenant.config_id, {**app, "name": "Changed"})).status_code == 200
    assert (await stored(database, tenant.config_id))["externalSync"] == EXTERNAL
    assert (await upload(croft.operator, app)).status_code == 200
    assert (await stored(database, tenant.config_id))["externalSync"] == EXTERNAL


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_mask_is_refused_once_the_url_changes(croft: Croft, database: Database, method: str) -> None:
    tenant = await croft.tenant({"externalSync": EXTERNAL})
    moved = config_of(tenant, externalSync={**EXTERNAL, "apiKey": MASK, "url": "https://thief.example.org"})
    path = "/api/apps" if method == "POST" else f"/api/apps/{tenant.config_id}"
    answer = await croft.operator.request(method, path, files={"config": upload_of(moved)})
    assert answer.status_code == 422
    assert answer.json()["code"] == "app-configs.mask-without-secret"
    assert (await stored(database, tenant.config_id))["externalSync"] == EXTERNAL


async def test_mask_in_a_new_tenant_is_refused(croft: Croft) -> None:
    config = {**small_config("masked-from-the-start"), "externalSync": {**EXTERNAL, "apiKey": MASK}}
    assert (await upload(croft.operator, config)).status_code == 422


async def test_every_version_is_kept_and_an_earlier_one_can_be_the_next(croft: Croft) -> None:
    tenant = await croft.tenant({"version": "1"})
    await upload(croft.operator, config_of(tenant, version="2"))
    path = f"/api/apps/{tenant.config_id}"
    answer = await croft.operator.post(f"{path}/rollback", json={"number": 1})
    assert (answer.status_code, answer.json()["number"]) == (200, 3)
    assert (await croft.operator.get(path)).json()["version"] == "1"
    versions = (await croft.operator.get(f"{path}/versions")).json()
    assert [(each["number"], each["version"], each["current"]) for each in versions] == [
        (3, "1", True),
        (2, "2", False),
        (1, "1", False),
    ]
    assert all(each["uploadedAt"].endswith("Z") and each["uploadedBy"] for each in versions)
    assert (await croft.operator.post(f"{path}/rollback", json={"number": 9})).status_code == 404
    assert (await croft.operator.post(f"{path}/rollback", json={"number": 2**40})).status_code == 422


async def test_uploads_are_in_the_record_of_acts(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant()
    await upload(croft.operator, config_of(tenant))
    async with database.shared() as db:
        rows = await db.fetch(
            "SELECT a.action, a.session_id FROM audit a JOIN tenants t ON a.subject = 'tenant:' || t.id "
            "WHERE t.config_id = $1 AND a.action <> 'tenant.accessed-by-operator' ORDER BY a.id",
            tenant.config_id,
        )
    assert [row["action"] for row in rows] == ["tenant.provisioned", "tenant.config-uploaded"]
    assert all(row["session_id"] for row in rows)


async def test_bare_tenant_has_a_config_without_forms(croft: Croft) -> None:
    answer = await croft.operator.post("/api/tenants", json={"id": "bare", "name": "Bare"})
    assert answer.status_code == 201
    assert (answer.json()["id"], answer.json()["state"]) == ("bare", "active")
    assert (await croft.operator.get("/api/apps/bare")).json()["entityForms"] == []
    taken = await croft.operator.post("/api/tenants", json={"id": "bare", "name": "Another"})
    assert (taken.status_code, taken.json()["code"]) == (409, "tenants.id-taken")
    bad = await croft.operator.post("/api/tenants", json={"id": "no/slash", "name": "Bad"})
    assert [error["path"] for error in bad.json()["errors"]] == ["id"]


# Who may


async def test_administrator_uploads_new_versions_of_his_own_tenant_only(croft: Croft) -> None:
    mine, theirs = await croft.tenant(), await croft.tenant()
    admin = await mine.caller("admin")
    assert (await upload(admin, config_of(mine))).json()["number"] == 2
    assert (await put(admin, mine.config_id, {"id": mine.config_id, "version": "9"})).status_code == 200
    assert (await admin.post(f"/api/apps/{mine.config_id}/rollback", json={"number": 1})).status_code == 200

    refused = [
        await upload(admin, config_of(theirs)),
        await upload(admin, small_config("an-admins-own-idea")),
        await put(admin, theirs.config_id, config_of(theirs)),
        await admin.get(f"/api/apps/{theirs.config_id}"),
        await admin.get(f"/api/apps/{theirs.config_id}/versions"),
        await admin.post(f"/api/apps/{theirs.config_id}/rollback", json={"number": 1}),
        await admin.delete(f"/api/apps/{mine.config_id}"),
        await admin.delete(f"/api/apps/{theirs.config_id}"),
        await admin.post("/api/tenants", json={"id": "an-admins-own-idea", "name": "No"}),
        await admin.get("/api/tenants"),
        await admin.get(f"/api/tenants/{mine.config_id}"),
        await admin.post(f"/api/tenants/{mine.config_id}/suspend"),
        await admin.post(f"/api/tenants/{mine.config_id}/resume"),
        await admin.post(f"/api/tenants/{mine.config_id}/restore", json={}),
        await admin.delete(f"/api/tenants/{mine.config_id}"),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    versions = (await croft.operator.get(f"/api/apps/{theirs.config_id}/versions")).json()
    assert len(versions) == 1


async def test_header_of_ones_own_tenant_does_not_open_anothers(croft: Croft) -> None:
    mine, theirs = await croft.tenant(), await croft.tenant()
    admin = await mine.caller("admin")
    admin.headers["X-Tenant-Id"] = mine.config_id
    for config in (config_of(theirs), small_config("new-by-header")):
        answer = await upload(admin, config)
        assert answer.status_code in (400, 403)
    assert (await put(admin, theirs.config_id, config_of(theirs))).status_code in (400, 403)


async def test_number_of_ones_own_tenant_as_an_id_makes_no_new_tenant(croft: Croft) -> None:
    tenant = await croft.tenant()
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    admin = await tenant.caller("admin")
    assert (await upload(admin, small_config(str(number)))).status_code == 403
    assert (await put(admin, str(number), small_config(str(number)))).status_code in (400, 403)


@pytest.mark.parametrize("role", ["reviewer", "collector", "viewer"])
async def test_other_roles_read_the_config_but_do_not_write_it(croft: Croft, role: str) -> None:
    tenant = await croft.tenant({"externalSync": EXTERNAL})
    caller = await tenant.caller(role)
    read = await caller.get(f"/api/apps/{tenant.config_id}")
    assert read.json()["externalSync"]["apiKey"] == MASK
    assert (await upload(caller, config_of(tenant))).status_code == 403
    assert (await put(caller, tenant.config_id, config_of(tenant))).status_code == 403
    assert (await caller.post(f"/api/apps/{tenant.config_id}/rollback", json={"number": 1})).status_code == 403
