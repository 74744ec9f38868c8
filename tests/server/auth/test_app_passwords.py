"""App passwords, over HTTP: made and revoked by their owner, used by phones."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.auth.app_passwords.api import MOST_OF_ACCOUNT
from tests.conftest import PASSWORD, Croft, TenantHandle
from tests.old_client import OldClient
from tests.server.auth.factors import APP_PASSWORDS, Holder, acts_of, holder_of, refused, shared_schema


async def make(client: httpx.AsyncClient, name: str = "Phone", **fields: object) -> dict[str, object]:
    answer = await client.post(APP_PASSWORDS, json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, object] = answer.json()
    return body


async def sign_in(croft: Croft, email: str, password: object) -> httpx.Response:
    return await croft.client().post("/api/users/login", json={"email": email, "password": password})


async def phone_of(tenant: TenantHandle, email: str) -> tuple[httpx.AsyncClient, httpx.AsyncClient, dict[str, object]]:
    """The owner's own client, one that signed in with an app password, and that app password."""
    owner = await tenant.croft.signed_in(email)
    made = await make(owner)
    answer = await sign_in(tenant.croft, email, made["password"])
    assert answer.status_code == 200, answer.text
    return owner, tenant.croft.client(answer.json()["token"]), made


async def test_app_password_is_shown_once(croft: Croft) -> None:
    tenant = await croft.tenant()
    owner = await croft.signed_in(await tenant.account())
    made = await make(owner, "  Tablet of Asha ")
    assert made["name"] == "Tablet of Asha"
    password = str(made["password"])
    assert len(password.replace("-", "")) == 20
    listed = await owner.get(APP_PASSWORDS)
    assert password not in listed.text
    [entry] = listed.json()
    assert entry == {name: value for name, value in made.items() if name != "password"}
    async with shared_schema(croft) as db:
        stored = await db.fetchval("SELECT a::text FROM app_passwords a WHERE id = $1", made["id"])
        acts = await db.fetchval("SELECT string_agg(details::text, '') FROM audit")
    for secret in (password, password.replace("-", "")):
        assert secret not in stored + acts


@pytest.mark.parametrize(
    "typed", [str.lower, lambda text: text.replace("-", ""), lambda text: f" {text.replace('-', ' ')} "]
)
async def test_it_is_typed_in_any_case_with_dashes_or_without(croft: Croft, typed: object) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    made = await make(await croft.signed_in(email))
    assert callable(typed)
    assert (await sign_in(croft, email.upper(), typed(made["password"]))).status_code == 200


async def test_old_phone_syncs_with_it(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    made = await make(await croft.signed_in(email))
    async with OldClient(croft.url, config_id=tenant.config_id) as phone:
        await phone.login(email, str(made["password"]))
        guid = phone.create_individual({"name": "Asha"})
        await phone.sync()
    shown = await tenant.api.get(f"/api/entities/{guid}", params={"configId": tenant.config_id})
    assert shown.json()["name"] == "Asha"


async def test_old_phone_of_an_account_with_a_second_factor_syncs_with_it(croft: Croft) -> None:
    tenant = await croft.tenant()
    holder = await holder_of(croft, await tenant.account())
    assert refused(await sign_in(croft, holder.email, PASSWORD)) == (401, "auth.second-factor-required")
    made = await make(holder.client)
    async with OldClient(croft.url, config_id=tenant.config_id) as phone:
        await phone.login(holder.email, str(made["password"]))
        phone.create_individual({"name": "Asha"})
        await phone.sync()


async def test_its_session_does_what_a_phone_does_and_nothing_else(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account("admin")
    _, phone, _ = await phone_of(tenant, email)
    here = {"configId": tenant.config_id}
    assert (await phone.get("/api/users/me")).json()["email"] == email
    for path in ("/api/users/check-token", "/api/sync/pull", "/api/sync/pull/audit-logs", "/api/apps"):
        assert (await phone.get(path, params=here)).status_code == 200, path
    assert (await phone.get(f"/api/apps/{tenant.config_id}")).status_code == 200
    for path in ("/api/entities", "/api/service-accounts", "/api/members", "/api/conflicts"):
        assert refused(await phone.get(path, params=here)) == (403, "access.forbidden"), path
    for path in (APP_PASSWORDS, "/api/v2/account/second-factor"):
        assert refused(await phone.get(path)) == (403, "access.own-login-needed"), path
    assert (await phone.post("/api/users/logout")).status_code == 200
    assert (await phone.get("/api/users/me")).status_code == 401


async def test_revoked_one_ends_its_sessions_and_no_others(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    owner, phone, made = await phone_of(tenant, email)
    _, other, _ = await phone_of(tenant, email)
    assert (await owner.delete(f"{APP_PASSWORDS}/{made['id']}")).status_code == 200
    assert (await phone.get("/api/users/me")).status_code == 401
    assert refused(await sign_in(croft, email, made["password"])) == (401, "auth.wrong-credentials")
    for client in (owner, other):
        assert (await client.get("/api/users/me")).status_code == 200
    assert refused(await owner.delete(f"{APP_PASSWORDS}/{made['id']}")) == (404, "app-passwords.unknown")
    async with shared_schema(croft) as db:
        acts = await db.fetch("SELECT action FROM audit WHERE subject = $1 ORDER BY id", f"app-password:{made['id']}")
    assert [act["action"] for act in acts] == ["app-password.created", "app-password.revoked"]


async def test_it_opens_nothing_after_its_end(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    owner = await croft.signed_in(email)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    made = await make(owner, expiresAt=ends.isoformat())
    assert datetime.fromisoformat(str(made["expiresAt"])) == ends
    assert (await sign_in(croft, email, made["password"])).status_code == 200
    async with shared_schema(croft) as db:
        session_ends = await db.fetchval("SELECT expires_at FROM sessions WHERE app_password_id = $1", made["id"])
        assert session_ends <= ends
        await db.execute("UPDATE app_passwords SET expires_at = now() WHERE id = $1", made["id"])
    assert refused(await sign_in(croft, email, made["password"])) == (401, "auth.wrong-credentials")


async def test_end_that_has_passed_is_refused(croft: Croft) -> None:
    tenant = await croft.tenant()
    owner = await croft.signed_in(await tenant.account())
    answer = await owner.post(APP_PASSWORDS, json={"name": "Phone", "expiresAt": datetime.now(UTC).isoformat()})
    assert refused(answer) == (422, "auth.over-already")


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a\u001b[2Jb", "\u202egnp", "x" * 101])
async def test_name_that_cannot_be_shown_is_refused(croft: Croft, name: str) -> None:
    tenant = await croft.tenant()
    owner = await croft.signed_in(await tenant.account())
    assert (await owner.post(APP_PASSWORDS, json={"name": name})).status_code == 422


async def test_list_tells_when_each_was_used(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    owner = await croft.signed_in(email)
    made = await make(owner)
    assert made["lastUsedAt"] is None
    before = datetime.now(UTC)
    await sign_in(croft, email, made["password"])
    [entry] = (await owner.get(APP_PASSWORDS)).json()
    assert datetime.fromisoformat(entry["lastUsedAt"]) >= before - timedelta(seconds=1)


async def test_account_has_so_many_and_no_more(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    owner = await croft.signed_in(email)
    async with shared_schema(croft) as db:
        await db.execute(
            "INSERT INTO app_passwords (user_id, name, digest) SELECT u.id, 'Phone', sha256((u.id || '-' || n)::bytea) "
            "FROM users u, generate_series(1, $2) n WHERE u.email = $1",
            email,
            MOST_OF_ACCOUNT - 1,
        )
    made = await make(owner)
    assert refused(await owner.post(APP_PASSWORDS, json={"name": "Phone"})) == (409, "app-passwords.too-many")
    await owner.delete(f"{APP_PASSWORDS}/{made['id']}")
    await make(owner)


async def test_it_counts_as_second_factor_if_its_maker_had_shown_one(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    _, careless, _ = await phone_of(tenant, email)
    holder: Holder = await holder_of(croft, email)
    made = await make(holder.client)
    careful = croft.client((await sign_in(croft, email, made["password"])).json()["token"])
    security = f"/api/tenants/{tenant.config_id}/security"
    assert (await tenant.api.put(security, json={"secondFactorRequired": True})).is_success
    here = {"configId": tenant.config_id}
    assert refused(await careless.get("/api/sync/pull", params=here)) == (403, "access.second-factor-needed")
    assert (await careful.get("/api/sync/pull", params=here)).status_code == 200


async def test_app_password_survives_the_setting_up_of_a_second_factor(croft: Croft) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    _, phone, _ = await phone_of(tenant, email)
    await holder_of(croft, email)
    assert (await phone.get("/api/sync/pull", params={"configId": tenant.config_id})).status_code == 200
    assert "second-factor.set-up" in await acts_of(croft, email)
