import csv
import io
import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.audit import Author, record, record_inside
from server.audit.export import CSV, NDJSON, media_of
from server.db import Database
from server.tenants.lifecycle import get_tenant
from tests.conftest import Croft, TenantHandle, small_config, upload_of

LINK = "0" * 64


async def tenant_with_acts(croft: Croft) -> TenantHandle:
    """A tenant whose config was uploaded twice more, and which has a member."""
    tenant = await croft.tenant()
    for name in ("First", "Second"):
        config = {**small_config(tenant.config_id), "name": name}
        answer = await croft.operator.put(f"/api/apps/{tenant.config_id}", files={"config": upload_of(config)})
        assert answer.status_code == 200, answer.text
    return tenant


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await tenant_with_acts(croft)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(tenant: TenantHandle) -> httpx.AsyncClient:
    return await tenant.caller("admin")


async def listed(client: httpx.AsyncClient, tenant: TenantHandle, **query: Any) -> dict[str, Any]:
    answer = await client.get("/api/audit", params={"configId": tenant.config_id, **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def actions(client: httpx.AsyncClient, tenant: TenantHandle, **query: Any) -> list[str]:
    return [act["action"] for act in (await listed(client, tenant, **query))["acts"]]


async def test_administrator_reads_what_was_done_in_the_tenant_newest_first(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    acts = (await listed(admin, tenant, action="tenant"))["acts"]
    told = [act["action"] for act in acts if act["action"].startswith("tenant.config")]
    assert told == ["tenant.config-uploaded"] * 2
    assert acts[-1]["action"] == "tenant.provisioned"
    assert acts[-1]["details"]["after"]["forms"] == ["household", "individual"]
    operator = (await croft.operator.get("/api/users/me")).json()
    newest = next(act for act in acts if act["action"] == "tenant.config-uploaded")
    assert newest["details"]["before"] == {"name": "First"}
    assert newest["details"]["after"] == {"name": "Second"}
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    assert (newest["actor"], newest["subject"]) == (str(operator["id"]), f"tenant:{number}")
    assert newest["address"] == "127.0.0.1"
    assert newest["sessionId"]
    numbers = [act["number"] for act in acts]
    assert numbers == sorted(numbers, reverse=True)


async def test_page_leads_to_the_next_one_until_the_first_act(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    whole = (await listed(admin, tenant, limit=500))["acts"]
    seen: list[dict[str, Any]] = []
    page = await listed(admin, tenant, limit=2)
    while True:
        seen += page["acts"]
        assert len(page["acts"]) <= 2
        if page["next"] is None:
            break
        page = await listed(admin, tenant, limit=2, before=page["next"])
    assert [act["number"] for act in seen] == [act["number"] for act in whole]
    assert seen[-1]["number"] == 1


async def test_acts_are_found_by_who_what_whom_and_when(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    whole = (await listed(admin, tenant, limit=500))["acts"]
    one = next(act for act in whole if act["action"] == "member.added")
    for query in ({"subject": one["subject"]}, {"action": "member.added"}, {"action": "member"}):
        found = (await listed(admin, tenant, **query))["acts"]
        assert one["number"] in [act["number"] for act in found]
        assert {act["action"].split(".")[0] for act in found} == {"member"}
    assert await actions(admin, tenant, action="membe") == []
    assert await actions(admin, tenant, actor="nobody") == []
    assert {act["actor"] for act in (await listed(admin, tenant, actor=one["actor"]))["acts"]} == {one["actor"]}
    times = [act["at"] for act in whole]
    middle = times[len(times) // 2]
    later = (await listed(admin, tenant, **{"from": middle}, limit=500))["acts"]
    earlier = (await listed(admin, tenant, to=middle, limit=500))["acts"]
    assert [act["at"] for act in later] == [at for at in times if at >= middle]
    assert [act["at"] for act in earlier] == [at for at in times if at < middle]


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 501}, {"before": 0}, {"before": 2**60}, {"from": "yesterday"}, {"actor": "a\0"},
     {"subject": "x" * 201}],
)  # fmt: skip
async def test_bad_query_is_named(tenant: TenantHandle, admin: httpx.AsyncClient, query: dict[str, Any]) -> None:
    answer = await admin.get("/api/audit", params={"configId": tenant.config_id, **query})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, next(iter(query)))


async def test_secrets_of_a_config_are_masked_and_that_one_changed_is_told(croft: Croft) -> None:
    tenant = await croft.tenant()
    for password in ("hunter2-first", "hunter2-second"):
        sync = {"type": "mock-registry", "url": "https://registry.example.org", "password": password}
        config = {**small_config(tenant.config_id), "externalSync": sync}
        answer = await croft.operator.post("/api/apps", files={"config": upload_of(config)})
        assert answer.status_code == 200, answer.text
    admin = await tenant.caller("admin")
    acts = (await listed(admin, tenant, action="tenant.config-uploaded"))["acts"]
    assert acts[0]["details"]["before"].keys() == {"externalSync.password"}
    export = await admin.get("/api/audit/export", params={"configId": tenant.config_id})
    assert "hunter2" not in json.dumps(acts) + export.text


async def test_people_who_settle_pairs_and_conflicts_are_on_the_tenants_record(croft: Croft) -> None:
    tenant = await croft.tenant()
    phone = await tenant.caller("collector")
    guids = [f"twin-{number}" for number in (1, 2)]
    events = [
        {
            "guid": f"e-{guid}",
            "entityGuid": guid,
            "type": "create-individual",
            "data": {"name": "Anna Okonkwo", "entityName": "individual"},
            "timestamp": "2024-05-01T00:00:00.000Z",
            "userId": "x",
        }
        for guid in guids
    ]
    assert (await phone.post(f"/api/sync/push?configId={tenant.config_id}", json={"events": events})).status_code == 200
    reviewer = await tenant.caller("reviewer")
    answer = await reviewer.post(
        "/api/potential-duplicates/resolve",
        params={"configId": tenant.config_id},
        json={"newItem": guids[1], "existingItem": guids[0], "shouldDeleteNewItem": True},
    )
    assert answer.status_code == 200, answer.text
    [act] = (await listed(await tenant.caller("admin"), tenant, action="duplicate.resolved"))["acts"]
    assert act["details"]["deleted"] is True
    assert act["subject"] == f"pair:{guids[1]}:{guids[0]}"
    everywhere = await croft.operator.get("/api/installation/audit", params={"action": "duplicate.resolved"})
    assert act["subject"] not in everywhere.text


# Proof


async def test_log_is_proven_and_its_link_expected_again(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    params = {"configId": tenant.config_id}
    verified = (await admin.get("/api/audit/verify", params=params)).json()
    assert (verified["intact"], verified["brokenAt"], verified["fault"]) == (True, None, None)
    assert len(verified["link"]) == 64
    again = (await admin.get("/api/audit/verify", params={**params, "expect": verified["link"]})).json()
    assert again["expectedAt"] == verified["acts"]
    missing = (await admin.get("/api/audit/verify", params={**params, "expect": LINK})).json()
    assert (missing["intact"], missing["expectedAt"]) == (True, None)
    bad = await admin.get("/api/audit/verify", params={**params, "expect": "xyz"})
    assert bad.status_code == 400


async def test_broken_log_says_where(croft: Croft) -> None:
    tenant = await tenant_with_acts(croft)
    admin = await tenant.caller("admin")
    await tenant.as_owner("UPDATE acts SET actor = 'nobody' WHERE id = 2")
    verified = (await admin.get("/api/audit/verify", params={"configId": tenant.config_id})).json()
    assert (verified["intact"], verified["brokenAt"]) == (False, 2)


async def test_operators_prove_their_own_log(croft: Croft) -> None:
    verified = (await croft.operator.get("/api/installation/audit/verify")).json()
    assert verified["intact"] is True
    assert verified["acts"] > 0


# The operators' log


async def test_operators_see_what_was_done_on_the_installation_by_tenant(croft: Croft, tenant: TenantHandle) -> None:
    number = await tenant_number(croft, tenant)
    answer = await croft.operator.get("/api/installation/audit", params={"tenant": number, "limit": 500})
    acts = answer.json()["acts"]
    assert acts
    assert {act["tenantId"] for act in acts} == {number}
    assert acts[-1]["action"] == "tenant.provisioned"


async def tenant_number(croft: Croft, tenant: TenantHandle) -> int:
    return int((await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"])


# Exports


async def test_export_has_every_act_and_itself_as_the_last(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/api/audit/export", params={"configId": tenant.config_id})
    assert answer.headers["content-type"].startswith(NDJSON)
    assert answer.headers["content-disposition"] == f'attachment; filename="acts-{tenant.config_id}.ndjson"'
    acts = [json.loads(line) for line in answer.text.splitlines()]
    assert [act["number"] for act in acts] == list(range(1, len(acts) + 1))
    assert acts[-1]["action"] == "audit.exported"
    assert acts[::-1] == (await listed(admin, tenant, limit=500))["acts"]


async def test_operators_export_is_on_their_record(croft: Croft) -> None:
    answer = await croft.operator.get("/api/installation/audit/export", headers={"Accept": CSV})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows[-1]["action"] == "audit.exported"
    assert [int(row["number"]) for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    ("accept", "media"),
    [("", NDJSON), ("*/*", NDJSON), (CSV, CSV), ("text/csv;q=0.9, */*", CSV), (f"{NDJSON}, {CSV}", NDJSON),
     (f"{CSV}, {NDJSON}", CSV), ("application/json", NDJSON)],
)  # fmt: skip
def test_export_is_in_the_form_that_is_asked_for(accept: str, media: str) -> None:
    assert media_of(accept) == media


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0=1", "\uff1d1+1", '=HYPERLINK("http://x")']
)
async def test_formula_in_an_act_is_no_formula_in_a_spreadsheet(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient, text: str
) -> None:
    async with Database(croft.addresses.serving, size=1) as database, database.shared() as db:
        found = await get_tenant(db, tenant.config_id)
        await record_inside(db, Author("1"), "things.do", text, tenant=found)
    answer = await admin.get("/api/audit/export", params={"configId": tenant.config_id}, headers={"Accept": CSV})
    assert answer.headers["content-type"].startswith(CSV)
    row = list(csv.DictReader(io.StringIO(answer.text, newline="")))[-2]
    assert row["subject"] == f"'{text}"
    assert all(line.startswith('"') for line in answer.text.replace("\r=1", "").split("\r\n") if line)


async def test_record_in_a_tenants_scope_of_a_request_reaches_both_logs(croft: Croft, tenant: TenantHandle) -> None:
    async with Database(croft.addresses.serving, size=1) as database:
        async with database.shared(readonly=True) as db:
            found = await get_tenant(db, tenant.config_id)
        async with database.inside(found.scope) as db:
            await record(db, Author("1"), "things.done-inside", "thing", tenant=found)
    both = await croft.operator.get("/api/installation/audit", params={"action": "things.done-inside"})
    assert [act["tenantId"] for act in both.json()["acts"]] == [found.id]
    assert await actions(await tenant.caller("admin"), tenant, action="things.done-inside") == ["things.done-inside"]
