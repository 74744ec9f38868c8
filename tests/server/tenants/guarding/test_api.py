"""A tenant's security settings and the grants of operators, over HTTP."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft, TenantHandle
from tests.past_the_server import actions, number_of, rows

REASON = "A phone's events are stuck in quarantine"


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture(loop_scope="session")
async def admin(tenant: TenantHandle) -> httpx.AsyncClient:
    client = await tenant.caller("admin")
    client.headers["X-Tenant-Id"] = tenant.config_id
    return client


async def put(client: httpx.AsyncClient, tenant: TenantHandle, **change: Any) -> httpx.Response:
    return await client.put(f"/api/tenants/{tenant.config_id}/security", json=change)


async def guard(admin: httpx.AsyncClient, tenant: TenantHandle) -> None:
    answer = await put(admin, tenant, guarded=True)
    assert answer.status_code == 200, answer.text


async def break_glass(croft: Croft, tenant: TenantHandle, minutes: int = 30) -> httpx.Response:
    body = {"reason": REASON, "minutes": minutes}
    return await croft.operator.post(f"/api/tenants/{tenant.config_id}/break-glass", json=body)


async def looks(client: httpx.AsyncClient, tenant: TenantHandle) -> httpx.Response:
    return await client.get("/api/entities", params={"configId": tenant.config_id})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# What a tenant asks for


async def test_tenant_asks_for_nothing_at_first(tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    answer = await admin.get(f"/api/tenants/{tenant.config_id}/security")
    assert (answer.status_code, answer.json()) == (
        200,
        {"offlineDays": None, "secondFactorRequired": False, "guarded": False},
    )


async def test_only_what_is_given_changes_and_null_takes_the_offline_period_away(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    assert (await put(admin, tenant, offlineDays=40)).json()["offlineDays"] == 40
    assert (await put(admin, tenant, guarded=True, secondFactorRequired=None)).json() == {
        "offlineDays": 40,
        "secondFactorRequired": False,
        "guarded": True,
    }
    assert (await put(admin, tenant, offlineDays=None)).json() == {
        "offlineDays": None,
        "secondFactorRequired": False,
        "guarded": True,
    }
    await put(admin, tenant, guarded=True)
    subject = f"tenant:{await number_of(cluster, croft, tenant.config_id)}"
    assert (await actions(cluster, croft, subject)).count("tenant.security-changed") == 3


@pytest.mark.parametrize(
    "change", [{"offlineDays": 0}, {"offlineDays": 367}, {"offlineDays": "x"}, {"guarded": "perhaps"}]
)
async def test_value_that_means_nothing_is_refused(
    tenant: TenantHandle, admin: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    answer = await put(admin, tenant, **change)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == list(change)


async def test_required_second_factor_holds_for_everybody_from_the_next_request_on(
    tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    viewer = await tenant.caller("viewer")
    assert (await looks(viewer, tenant)).status_code == 200
    assert (await put(admin, tenant, secondFactorRequired=True)).status_code == 200
    for client in (viewer, admin):
        assert code_of(await looks(client, tenant)) == (403, "access.second-factor-needed")


async def test_guard_goes_up_only_where_somebody_could_take_it_down(croft: Croft, tenant: TenantHandle) -> None:
    assert code_of(await put(croft.operator, tenant, guarded=True)) == (409, "tenants.nobody-to-guard")
    await tenant.account("admin")
    assert (await put(croft.operator, tenant, guarded=True)).status_code == 200
    assert code_of(await put(croft.operator, tenant, guarded=False)) == (403, "access.guarded")


async def test_own_administrator_takes_the_guard_away(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    assert (await looks(croft.operator, tenant)).status_code == 403
    assert (await put(admin, tenant, guarded=False)).status_code == 200
    assert (await looks(croft.operator, tenant)).status_code == 200


# Breaking the glass


async def test_operator_sees_guarded_data_with_a_grant_until_its_time_is_over(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    assert code_of(await looks(croft.operator, tenant)) == (403, "access.break-glass-needed")
    grant = await break_glass(croft, tenant)
    assert (grant.status_code, grant.json()["email"], grant.json()["reason"]) == (201, ADMIN_EMAIL, REASON)
    assert (await looks(croft.operator, tenant)).status_code == 200
    await rows(cluster, croft, "UPDATE break_glass SET expires_at = now() WHERE id = $1", grant.json()["id"])
    assert code_of(await looks(croft.operator, tenant)) == (403, "access.break-glass-needed")


async def test_grant_lasts_as_long_as_was_asked_for(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    grant = (await break_glass(croft, tenant, minutes=480)).json()
    lasts = datetime.fromisoformat(grant["expiresAt"]) - datetime.fromisoformat(grant["grantedAt"])
    assert lasts == timedelta(hours=8)


async def test_grant_is_for_who_asked_for_it_and_for_the_one_tenant(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    other = await croft.tenant()
    await other.account("admin")
    assert (await put(croft.operator, other, guarded=True)).status_code == 200
    await guard(admin, tenant)
    await break_glass(croft, tenant)
    email = f"second@{tenant.config_id}.test"
    await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": "ADMIN"})
    second = await croft.signed_in(email)
    assert (await looks(croft.operator, tenant)).status_code == 200
    assert (await looks(croft.operator, other)).status_code == 403
    assert (await looks(second, tenant)).status_code == 403


@pytest.mark.parametrize("end", ["operator", "administrator"])
async def test_grant_can_be_ended_before_its_time(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient, end: str
) -> None:
    await guard(admin, tenant)
    number = (await break_glass(croft, tenant)).json()["id"]
    ended = (
        await croft.operator.delete(f"/api/tenants/{tenant.config_id}/break-glass/{number}")
        if end == "operator"
        else await admin.delete(f"/api/break-glass/{number}")
    )
    assert ended.status_code == 204
    assert code_of(await looks(croft.operator, tenant)) == (403, "access.break-glass-needed")
    assert (await admin.delete(f"/api/break-glass/{number}")).status_code == 204
    assert await actions(cluster, croft, f"break-glass:{number}") == ["break-glass.opened", "break-glass.ended"]


async def test_new_grant_takes_the_place_of_the_one_before(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    for _ in range(2):
        await break_glass(croft, tenant)
    for answer in (
        await admin.get("/api/break-glass"),
        await croft.operator.get(f"/api/tenants/{tenant.config_id}/break-glass"),
    ):
        assert answer.status_code == 200
        assert [each["endedAt"] is None for each in answer.json()] == [True, False]


async def test_guard_that_goes_up_again_knows_no_grant_from_before(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    await break_glass(croft, tenant)
    await put(admin, tenant, guarded=False)
    await guard(admin, tenant)
    assert code_of(await looks(croft.operator, tenant)) == (403, "access.break-glass-needed")


async def test_no_grant_where_nothing_is_guarded(croft: Croft, tenant: TenantHandle) -> None:
    assert code_of(await break_glass(croft, tenant)) == (409, "break-glass.not-guarded")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"minutes": 30}, "reason"),
        ({"reason": "  because  ", "minutes": 30}, "reason"),
        ({"reason": "x" * 501, "minutes": 30}, "reason"),
        ({"reason": REASON}, "minutes"),
        ({"reason": REASON, "minutes": 4}, "minutes"),
        ({"reason": REASON, "minutes": 481}, "minutes"),
    ],
)
async def test_grant_needs_a_reason_and_a_time(
    croft: Croft, tenant: TenantHandle, body: dict[str, Any], path: str
) -> None:
    answer = await croft.operator.post(f"/api/tenants/{tenant.config_id}/break-glass", json=body)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == [path]


async def test_grant_of_another_tenant_is_unknown(croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient) -> None:
    other = await croft.tenant()
    await other.account("admin")
    await put(croft.operator, other, guarded=True)
    number = (await break_glass(croft, other)).json()["id"]
    for grant in (number, 999_999, "x", "-1", "1" * 30):
        assert code_of(await admin.delete(f"/api/break-glass/{grant}")) == (404, "break-glass.unknown")
        address = f"/api/tenants/{tenant.config_id}/break-glass/{grant}"
        assert code_of(await croft.operator.delete(address)) == (404, "break-glass.unknown")
    assert (await admin.get("/api/break-glass")).json() == []
    assert (await looks(croft.operator, other)).status_code == 200


async def test_grant_outlives_the_operator_as_a_line_without_a_name(
    croft: Croft, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    email = f"leaving@{tenant.config_id}.test"
    await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": "ADMIN"})
    leaving = await croft.signed_in(email)
    body = {"reason": REASON, "minutes": 30}
    assert (await leaving.post(f"/api/tenants/{tenant.config_id}/break-glass", json=body)).status_code == 201
    await croft.operator.delete(f"/api/users/{email}")
    [grant] = (await admin.get("/api/break-glass")).json()
    assert (grant["reason"], grant["userId"], grant["email"]) == (REASON, None, None)


# The record


async def accesses(cluster: EmbeddedPostgres, croft: Croft, tenant: TenantHandle) -> list[str]:
    """What operators asked for, by the record."""
    found = await rows(
        cluster,
        croft,
        "SELECT details->>'request' AS request FROM audit "
        "WHERE subject = $1 AND action = 'tenant.accessed-by-operator' ORDER BY id",
        f"tenant:{await number_of(cluster, croft, tenant.config_id)}",
    )
    return [row["request"] for row in found]


async def test_what_an_operator_asks_for_is_on_record_read_written_or_in_vain(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle
) -> None:
    before = await accesses(cluster, croft, tenant)
    name = {"configId": tenant.config_id}
    await looks(croft.operator, tenant)
    assert (await croft.operator.get("/api/entities/nobody", params=name)).status_code == 404
    await croft.operator.post("/api/sync/push", json={**name, "events": []})
    await croft.operator.get(f"/api/tenants/{tenant.config_id}")
    await croft.operator.get("/api/users/me")
    assert (await accesses(cluster, croft, tenant))[len(before) :] == [
        "GET /api/entities",
        "GET /api/entities/{guid:text}",
        "POST /api/sync/push",
    ]


async def test_member_who_reads_is_not_on_record_but_an_operator_who_reaches_beyond_his_role_is(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle
) -> None:
    viewer = await tenant.account("viewer")
    await looks(await croft.signed_in(viewer), tenant)
    await croft.operator.put(f"/api/users/{viewer}", json={"role": "ADMIN"})
    as_both = await croft.signed_in(viewer)
    before = await accesses(cluster, croft, tenant)
    assert (await looks(as_both, tenant)).status_code == 200
    assert (await as_both.get("/api/sync/quarantine", params={"configId": tenant.config_id})).status_code == 200
    assert (await accesses(cluster, croft, tenant))[len(before) :] == ["GET /api/sync/quarantine"]


async def test_address_of_a_person_that_an_operator_asks_for_is_not_put_on_record(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle
) -> None:
    name = {"configId": tenant.config_id}
    answer = await croft.operator.put("/api/members/mary@north.test", params=name, json={"role": "viewer"})
    assert answer.status_code == 404
    [row] = await rows(cluster, croft, "SELECT details::text AS told FROM audit ORDER BY id DESC LIMIT 1")
    assert "PUT /api/members" in row["told"]
    assert "mary" not in row["told"]


async def test_what_an_operator_looks_at_by_a_grant_is_on_record(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    assert (await break_glass(croft, tenant)).status_code == 201
    before = await accesses(cluster, croft, tenant)
    assert (await looks(croft.operator, tenant)).status_code == 200
    assert (await accesses(cluster, croft, tenant))[len(before) :] == ["GET /api/entities"]
    own = await admin.get("/api/audit", params={"action": "tenant.accessed-by-operator", "limit": 1})
    assert own.json()["acts"][0]["details"]["request"] == "GET /api/entities"


async def test_refused_operator_leaves_no_trace_of_an_access(
    croft: Croft, cluster: EmbeddedPostgres, tenant: TenantHandle, admin: httpx.AsyncClient
) -> None:
    await guard(admin, tenant)
    before = await accesses(cluster, croft, tenant)
    assert (await looks(croft.operator, tenant)).status_code == 403
    assert await accesses(cluster, croft, tenant) == before
