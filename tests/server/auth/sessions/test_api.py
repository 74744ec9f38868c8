"""Seeing and ending sessions: one's own, anybody's, a member's."""

from uuid import uuid4

import pytest

from tests.conftest import Croft
from tests.server.auth.sessions.signing import Device, acts_about, device_of, new_account, refused, stored, superuser

OWN = "/api/v2/auth/sessions"


async def test_own_sessions_are_listed_with_their_devices(croft: Croft) -> None:
    _, email = await new_account(croft)
    phone = await device_of(croft, email)
    await phone.sign_in(deviceName="Amina's phone")
    old = await croft.signed_in(email)
    shown = (await phone.ask(OWN)).json()
    assert len(shown) == 3
    [current] = [each for each in shown if each["isCurrent"]]
    assert set(current) == {
        "id",
        "kind",
        "scope",
        "createdAt",
        "renewedAt",
        "lastSeenAt",
        "expiresAt",
        "address",
        "deviceId",
        "deviceName",
        "userAgent",
        "isCurrent",
    }
    assert (current["id"], current["kind"], current["scope"]) == (phone.session, "refresh", "full")
    assert (current["address"], current["deviceName"]) == ("127.0.0.1", "Amina's phone")
    assert current["deviceId"] == f"device of {email}"
    assert [each["kind"] for each in (await old.get(OWN)).json() if each["isCurrent"]] == ["token"]


async def test_nobody_sees_or_ends_the_sessions_of_another_account(croft: Croft) -> None:
    one, other = [await device_of(croft, (await new_account(croft))[1]) for _ in range(2)]
    assert [each["id"] for each in (await one.ask(OWN)).json()] == [one.session]
    answer = await one.ask(f"{OWN}/{other.session}", "DELETE")
    assert (answer.status_code, answer.json()["code"]) == (404, "sessions.unknown")
    assert (await other.ask()).status_code == 200


async def test_one_session_is_ended_and_that_is_on_record(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    here, lost = await device_of(croft, email), await device_of(croft, email)
    answer = await here.ask(f"{OWN}/{lost.session}", "DELETE")
    assert (answer.status_code, answer.json()) == (200, {"ended": 1})
    assert refused(await lost.ask(), "auth.required")
    assert refused(await lost.renew(), "auth.required")
    assert (await here.ask()).status_code == 200
    assert (await here.ask(f"{OWN}/{lost.session}", "DELETE")).status_code == 404
    [act] = await acts_about(croft, user_id, "session.ended")
    assert (act["actor"], act["session_id"]) == (str(user_id), here.session)
    assert lost.session in act["details"]


@pytest.mark.parametrize(("others", "left"), [("true", 1), ("false", 0), (None, 0)])
async def test_signing_out_everywhere_ends_all_or_all_others(croft: Croft, others: str | None, left: int) -> None:
    user_id, email = await new_account(croft)
    devices = [await device_of(croft, email) for _ in range(2)]
    old = await croft.signed_in(email)
    answer = await devices[0].ask(OWN, "DELETE", params={"others": others} if others else {})
    assert (answer.status_code, answer.json()) == (200, {"ended": 3 - left})
    assert len(await stored(croft, user_id)) == left
    assert (await devices[0].ask()).status_code == (200 if left else 401)
    assert (await old.get("/api/users/me")).status_code == 401
    assert refused(await devices[1].renew(), "auth.required")


@pytest.mark.parametrize("name", ["7", "none", "%00", "'", "00000000-0000-0000-0000-00000000000g"])
async def test_session_with_an_impossible_id_is_unknown(croft: Croft, name: str) -> None:
    device = await device_of(croft, (await new_account(croft))[1])
    assert (await device.ask(f"{OWN}/{name}", "DELETE")).status_code == 404


async def test_phone_with_an_app_password_manages_no_sessions(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device, other = await device_of(croft, email), await device_of(croft, email)
    async with superuser(croft) as db:
        await db.execute("UPDATE croft.sessions SET scope = 'sync' WHERE id = $1", device.session)
    for method, path in (("GET", OWN), ("DELETE", OWN), ("DELETE", f"{OWN}/{other.session}")):
        answer = await device.ask(path, method)
        assert (answer.status_code, answer.json()["code"]) == (403, "access.own-login-needed")
    assert len(await stored(croft, user_id)) == 2


async def test_operator_sees_and_ends_anybodys_sessions(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    devices = [await device_of(croft, email) for _ in range(3)]
    shown = (await croft.operator.get(f"/api/users/{email}/sessions")).json()
    assert {each["id"] for each in shown} == {device.session for device in devices}
    assert not any(each["isCurrent"] for each in shown)
    one = await croft.operator.delete(f"/api/users/{user_id}/sessions/{devices[0].session}")
    assert (one.status_code, one.json()) == (200, {"ended": 1})
    everything = await croft.operator.delete(f"/api/users/{user_id}/sessions")
    assert (everything.status_code, everything.json()) == (200, {"ended": 2})
    assert refused(await devices[2].ask(), "auth.required")
    acts = await acts_about(croft, user_id, "session.ended")
    assert len(acts) == 2
    assert (await croft.operator.get("/api/users/nobody@sessions.test/sessions")).status_code == 404


async def member(croft: Croft, *config_ids: str, role: str = "collector") -> tuple[int, Device]:
    memberships = [{"configId": each, "role": role} for each in config_ids]
    user_id, email = await new_account(croft, memberships=memberships)
    return user_id, await device_of(croft, email)


async def test_administrator_of_a_tenant_revokes_the_lost_phone_of_a_member(croft: Croft) -> None:
    tenant = await croft.tenant()
    named = f"?configId={tenant.config_id}"
    user_id, phone = await member(croft, tenant.config_id)
    _, admin = await member(croft, tenant.config_id, role="admin")
    shown = (await admin.ask(f"/api/members/{user_id}/sessions{named}")).json()
    assert [each["id"] for each in shown] == [phone.session]
    answer = await admin.ask(f"/api/members/{user_id}/sessions/{phone.session}{named}", "DELETE")
    assert (answer.status_code, answer.json()) == (200, {"ended": 1})
    assert refused(await phone.renew(), "auth.required")
    await phone.sign_in()
    assert (await admin.ask(f"/api/members/{user_id}/sessions{named}", "DELETE")).json() == {"ended": 1}
    assert refused(await phone.ask(), "auth.required")
    assert {act["session_id"] for act in await acts_about(croft, user_id, "session.ended")} == {admin.session}
    # The organization's own log has it, too.
    log = (await admin.ask(f"/api/audit{named}&action=session.ended")).json()
    assert f"user:{user_id}" in str(log)


@pytest.mark.parametrize("role", ["collector", "reviewer", "viewer"])
async def test_member_who_is_no_administrator_sees_nobodys_sessions(croft: Croft, role: str) -> None:
    tenant = await croft.tenant()
    user_id, _ = await member(croft, tenant.config_id)
    _, other = await member(croft, tenant.config_id, role=role)
    for method in ("GET", "DELETE"):
        answer = await other.ask(f"/api/members/{user_id}/sessions", method, headers={"X-Tenant-Id": tenant.config_id})
        assert answer.status_code == 403


async def test_administrator_reaches_no_sessions_of_others_than_his_own_members(croft: Croft) -> None:
    tenant, neighbour = await croft.tenant(), await croft.tenant()
    _, admin = await member(croft, tenant.config_id, role="admin")
    stranger = await member(croft, neighbour.config_id)
    shared = await member(croft, tenant.config_id, neighbour.config_id)
    for (user_id, device), status, code in (
        (stranger, 404, "users.unknown"),
        (shared, 403, "sessions.not-yours"),
    ):
        for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", f"/{device.session}")):
            answer = await admin.ask(
                f"/api/members/{user_id}/sessions{path}", method, headers={"X-Tenant-Id": tenant.config_id}
            )
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await device.ask()).status_code == 200


async def test_administrator_does_not_end_the_sessions_of_an_operator(croft: Croft) -> None:
    tenant = await croft.tenant()
    _, admin = await member(croft, tenant.config_id, role="admin")
    memberships = [{"configId": tenant.config_id, "role": "collector"}]
    user_id, email = await new_account(croft, role="ADMIN", memberships=memberships)
    device = await device_of(croft, email)
    answer = await admin.ask(f"/api/members/{user_id}/sessions", "DELETE", headers={"X-Tenant-Id": tenant.config_id})
    assert (answer.status_code, answer.json()["code"]) == (403, "sessions.not-yours")
    assert (await device.ask()).status_code == 200


async def test_session_bound_to_another_tenant_is_not_shown_to_an_administrator(croft: Croft) -> None:
    tenant, neighbour = await croft.tenant(), await croft.tenant()
    user_id, phone = await member(croft, tenant.config_id)
    bound = await device_of(croft, phone.email)
    async with superuser(croft) as db:
        await db.execute(
            "UPDATE croft.sessions SET tenant_id = (SELECT id FROM croft.tenants WHERE config_id = $2) WHERE id = $1",
            bound.session,
            neighbour.config_id,
        )
    shown = await tenant.api.get(f"/api/members/{user_id}/sessions", params={"configId": tenant.config_id})
    assert [each["id"] for each in shown.json()] == [phone.session]
    answer = await tenant.api.delete(
        f"/api/members/{user_id}/sessions/{bound.session}", params={"configId": tenant.config_id}
    )
    assert answer.status_code == 404


async def test_account_keeps_the_sessions_that_were_seen_last_when_it_has_too_many(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    async with superuser(croft) as db:
        await db.executemany(
            "INSERT INTO croft.sessions (id, user_id, expires_at, last_seen_at)"
            " VALUES ($1, $2, now() + interval '1 day', now() - interval '1 hour')",
            [(uuid4(), user_id) for _ in range(1100)],
        )
    await device_of(croft, email)
    assert len(await stored(croft, user_id)) == 1000
    assert (await device.ask()).status_code == 200
