"""Every route, tried once for each class of caller there is: who shows nothing, what is over, too little, just enough.

What is to be expected follows from the route's permission, written down in `EXPECTED`, and from the table of cases.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import jwt
import pytest
import pytest_asyncio

from server.auth.service_accounts.keys import OF_A_KEY
from server.auth.tokens import Claims, Tokens, Use
from server.db import Connection
from server.db.embedded import EmbeddedPostgres
from server.kit.clock import utc_now
from server.roles.permissions import OF_A_TENANT as RIGHTS
from server.roles.permissions import Permission
from tests.conftest import Croft, new_database, start_croft
from tests.isolation.cases import CASES, FORBIDDEN, NOT_SIGNED_IN, PUBLIC_ROUTES, ROUTES, STATUSES, send
from tests.isolation.neighbours import database_name
from tests.isolation.test_http import names_at_home
from tests.isolation.world import Things, new_account, plant

# What a class of callers is answered, by what the route's permission is of: 'a phone' is what a phone needs of a
# tenant, 'the house' what no grant of an operator's opens, 'a tenant' all other rights in one.
# ok: what whoever has the right is answered. in-part: the same, but who may do it may not do it to everybody.
# no-person: there is nobody whose own it could be.
EXPECTED = """
                            signed-in  own-account  a-phone   a-tenant  the-house  the-installation
nobody                      401        401          401       401       401        401
expired-token               401        401          401       401       401        401
expired-session             401        401          401       401       401        401
ended-session               401        401          401       401       401        401
changed-password            401        401          401       401       401        401
deleted-user                401        401          401       401       401        401
revoked-key                 401        401          401       401       401        401
expired-key                 401        401          401       401       401        401
member-elsewhere            ok         ok           403       403       403        403
every-other-right           ok         ok           403       403       403        403
this-right-alone            ok         ok           ok        ok        in-part    403
app-password                ok         403          ok        403       403        403
providers-session           ok         403          ok        ok        ok         403
providers-session-elsewhere ok         403          403       403       403        403
key-with-every-other-scope  no-person  403          403       403       403        403
key-with-this-scope-alone   no-person  403          ok        ok        403        403
key-of-another-tenant       no-person  403          403       403       403        403
member-of-suspended-tenant  ok         ok           403       403       403        403
key-of-suspended-tenant     no-person  403          403       403       403        403
without-second-factor       ok         ok           403       403       403        403
operator-at-a-guard         ok         ok           403       403       403        in-part
operator-with-a-grant       ok         ok           ok        ok        403        in-part
operators-app-password      ok         403          403       403       403        403
"""
CLASSES = [line.split()[0] for line in EXPECTED.strip().splitlines()[1:]]
ANSWERS = {
    (name, column): answer
    for name, *answers in (line.split() for line in EXPECTED.strip().splitlines()[1:])
    for column, answer in zip(EXPECTED.split()[:6], answers, strict=True)
}

A_PHONES = {"config.read", "sync.push", "sync.pull"}
THE_HOUSES = {
    "config.write",
    "members.manage",
    "roles.manage",
    "service-accounts.manage",
    "security.manage",
    "persons.erase",
}

# Who has one right alone cannot give others more; of a member of a guarded tenant an operator takes nothing over.
NOT_TO_EVERYBODY = {"roles.beyond-own-rights", "users.guarded"}


def column_of(permission: Permission) -> str:
    if permission in (Permission.SIGNED_IN, Permission.OWN_ACCOUNT):
        return permission.value
    if permission not in RIGHTS:
        return "the-installation"
    if permission.value in THE_HOUSES:
        return "the-house"
    return "a-phone" if permission.value in A_PHONES else "a-tenant"


@dataclass(frozen=True, slots=True)
class Callers:
    """A client of each class, and whom it calls about; `db` is the superuser's, to change what stands."""

    croft: Croft
    home: Things
    elsewhere: Things
    clients: dict[str, httpx.AsyncClient]
    db: Connection

    @asynccontextmanager
    async def where_it_is(self, name: str) -> AsyncIterator[None]:
        """The state of the home tenant that the class of callers meets."""
        change = {
            "member-of-suspended-tenant": ("state", "suspended", "active"),
            "key-of-suspended-tenant": ("state", "suspended", "active"),
            "without-second-factor": ("second_factor", True, False),
            "operator-at-a-guard": ("guarded", True, False),
            "operator-with-a-grant": ("guarded", True, False),
        }.get(name)
        if change is None:
            yield
            return
        column, value, before = change
        sql = f"UPDATE croft.tenants SET {column} = $2 WHERE id = $1"
        await self.db.execute(sql, self.home.number, value)
        try:
            yield
        finally:
            await self.db.execute(sql, self.home.number, before)

    async def fit_to(self, permission: Permission) -> None:
        """Gives the roles and keys that are about this right, or about all others, what they are to have."""
        these = [permission.value]
        others = [each.value for each in RIGHTS if each is not permission]
        roles = "UPDATE croft.tenant_roles SET permissions = $3 WHERE tenant_id = $1 AND name = $2"
        keys = "UPDATE croft.api_keys SET scopes = $2 WHERE prefix = $1"
        for about, held in (("this", these), ("others", others)):
            await self.db.execute(roles, self.home.number, about, held)
        for about, held in (("key-with-this-scope-alone", these), ("key-with-every-other-scope", others)):
            await self.db.execute(keys, _prefix(self.clients[about]), held)


def _prefix(client: httpx.AsyncClient) -> str:
    return client.headers["Authorization"].split("_")[1]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def callers(cluster: EmbeddedPostgres) -> AsyncIterator[Callers]:
    async with start_croft(await new_database(cluster)) as croft:
        db = await asyncpg.connect(cluster.superuser_dsn(database_name(croft.addresses)))
        try:
            yield await _make_callers(croft, db)
        finally:
            await db.close()


async def _make_callers(croft: Croft, db: Connection) -> Callers:
    home, elsewhere = await plant(croft), await plant(croft)
    for name in ("this", "others"):
        made = await croft.operator.post(
            "/api/roles",
            json={"name": name, "permissions": ["entities.read"]},
            headers={"X-Tenant-Id": str(home.number)},
        )
        assert made.status_code == 201, made.text
    making = _Making(croft, db, home, elsewhere)
    clients = {name: await make(making) for name, make in MAKERS.items()}
    return Callers(croft, home, elsewhere, clients, db)


@dataclass(frozen=True, slots=True)
class _Making:
    """What callers are made of."""

    croft: Croft
    db: Connection
    home: Things
    elsewhere: Things

    async def member(self, role: str = "admin", things: Things | None = None) -> str:
        return await (things or self.home).tenant.account(role)

    async def signed_in(self, role: str = "admin", things: Things | None = None) -> httpx.AsyncClient:
        return await self.croft.signed_in(await self.member(role, things))

    async def operator(self) -> str:
        return await new_account(self.croft, role="ADMIN")

    async def change_session(self, client: httpx.AsyncClient, sql: str, *values: Any) -> None:
        changed = await self.db.execute(f"UPDATE croft.sessions SET {sql} WHERE id = $1", session_of(client), *values)
        assert changed == "UPDATE 1"

    async def key(self, things: Things, role: str = "admin") -> httpx.AsyncClient:
        """A client with a new key to everything that a key can be given."""
        query = {"configId": things.config_id}
        email = await self.member(things=things)
        admin = await self.croft.signed_in(email)
        account = await admin.post(
            "/api/service-accounts", params=query, json={"name": f"Program of {email}", "role": role}
        )
        body = {"name": "Key", "scopes": [each.value for each in OF_A_KEY]}
        made = await admin.post(f"/api/service-accounts/{account.json()['id']}/keys", params=query, json=body)
        assert made.status_code == 201, made.text
        return self.croft.client(made.json()["key"])

    async def app_password(self, email: str) -> httpx.AsyncClient:
        own = await self.croft.signed_in(email)
        made = await own.post("/api/v2/account/app-passwords", json={"name": "Phone"})
        assert made.status_code == 201, made.text
        return await self.croft.signed_in(email, made.json()["password"])


def session_of(client: httpx.AsyncClient) -> UUID:
    token = client.headers["Authorization"].removeprefix("Bearer ")
    return UUID(jwt.decode(token, options={"verify_signature": False})["sid"])


async def _nobody(making: _Making) -> httpx.AsyncClient:
    return making.croft.client()


async def _expired_token(making: _Making) -> httpx.AsyncClient:
    """The session lives, and so would its token if it had a later end."""
    client = await making.signed_in()
    assert making.croft.settings.jwt_secret is not None
    tokens = Tokens(making.croft.settings.jwt_secret.get_secret_value())
    user = await making.db.fetchval("SELECT user_id FROM croft.sessions WHERE id = $1", session_of(client))
    now = utc_now()
    for expires, status in ((now + timedelta(minutes=1), 200), (now - timedelta(seconds=1), NOT_SIGNED_IN)):
        token = tokens.issue(Claims(Use.TOKEN, session_of(client)), user, at=now - timedelta(days=1), expires=expires)
        client = making.croft.client(token)
        assert (await client.get("/api/users/me")).status_code == status
    return client


async def _expired_session(making: _Making) -> httpx.AsyncClient:
    client = await making.signed_in()
    await making.change_session(client, "expires_at = now()")
    return client


async def _ended_session(making: _Making) -> httpx.AsyncClient:
    client = await making.signed_in()
    assert (await client.post("/api/users/logout")).status_code == 200
    return client


async def _changed_password(making: _Making) -> httpx.AsyncClient:
    email = await making.member()
    client = await making.croft.signed_in(email)
    changed = await making.croft.operator.put(f"/api/users/{email}", json={"password": "Another-Horse-Entirely-8"})
    assert changed.status_code == 200
    return client


async def _deleted_user(making: _Making) -> httpx.AsyncClient:
    email = await making.member()
    client = await making.croft.signed_in(email)
    assert (await making.croft.operator.delete(f"/api/users/{email}")).status_code == 200
    return client


async def _revoked_key(making: _Making) -> httpx.AsyncClient:
    client = await making.key(making.home)
    await making.db.execute("UPDATE croft.api_keys SET revoked_at = now() WHERE prefix = $1", _prefix(client))
    return client


async def _expired_key(making: _Making) -> httpx.AsyncClient:
    client = await making.key(making.home)
    await making.db.execute("UPDATE croft.api_keys SET expires_at = now() WHERE prefix = $1", _prefix(client))
    return client


async def _providers_session(making: _Making) -> httpx.AsyncClient:
    client = await making.signed_in()
    await making.change_session(client, "tenant_id = $2", making.home.number)
    return client


async def _providers_session_elsewhere(making: _Making) -> httpx.AsyncClient:
    """Of somebody who is an administrator in both."""
    memberships = [{"configId": each.config_id, "role": "admin"} for each in (making.home, making.elsewhere)]
    client = await making.croft.signed_in(await new_account(making.croft, memberships=memberships))
    await making.change_session(client, "tenant_id = $2", making.elsewhere.number)
    return client


async def _operator_with_a_grant(making: _Making) -> httpx.AsyncClient:
    email = await making.operator()
    await making.db.execute(
        "INSERT INTO croft.break_glass (tenant_id, user_id, reason, granted_at, expires_at) "
        "SELECT $1, id, 'to see', now(), now() + interval '1 hour' FROM croft.users WHERE email = $2",
        making.home.number,
        email,
    )
    return await making.croft.signed_in(email)


MAKERS: dict[str, Callable[[_Making], Any]] = {
    "nobody": _nobody,
    "expired-token": _expired_token,
    "expired-session": _expired_session,
    "ended-session": _ended_session,
    "changed-password": _changed_password,
    "deleted-user": _deleted_user,
    "revoked-key": _revoked_key,
    "expired-key": _expired_key,
    "member-elsewhere": lambda making: making.signed_in(things=making.elsewhere),
    "every-other-right": lambda making: making.signed_in("others"),
    "this-right-alone": lambda making: making.signed_in("this"),
    "app-password": lambda making: _app_password(making, making.member()),
    "providers-session": _providers_session,
    "providers-session-elsewhere": _providers_session_elsewhere,
    "key-with-every-other-scope": lambda making: making.key(making.home),
    "key-with-this-scope-alone": lambda making: making.key(making.home),
    "key-of-another-tenant": lambda making: making.key(making.elsewhere),
    "member-of-suspended-tenant": lambda making: making.signed_in(),
    "key-of-suspended-tenant": lambda making: making.key(making.home),
    "without-second-factor": lambda making: making.signed_in(),
    "operator-at-a-guard": lambda making: _signed_in(making, making.operator()),
    "operator-with-a-grant": _operator_with_a_grant,
    "operators-app-password": lambda making: _app_password(making, making.operator()),
}


async def _signed_in(making: _Making, email: Any) -> httpx.AsyncClient:
    return await making.croft.signed_in(await email)


async def _app_password(making: _Making, email: Any) -> httpx.AsyncClient:
    return await making.app_password(await email)


def test_every_class_of_callers_is_made_and_expected_something() -> None:
    assert list(MAKERS) == CLASSES


TRIED = sorted(ROUTES.keys() - set(PUBLIC_ROUTES))


@pytest.mark.parametrize("name", TRIED)
async def test_each_class_of_callers_is_answered_as_expected(callers: Callers, name: str) -> None:
    permission = ROUTES[name].permission
    await callers.fit_to(permission)
    differing = {}
    for caller in CLASSES:
        expected = ANSWERS[caller, column_of(permission)]
        if expected in ("ok", "in-part") and (CASES[name].destroys or CASES[name].signs_out):
            continue  # what it would destroy is needed by the others; that the right suffices is tried at home
        async with callers.where_it_is(caller):
            answer = await send(callers.clients[caller], name, callers.home, names_at_home(name, callers.home))
        if not _is_as_expected(answer, expected, name, caller):
            differing[caller] = (expected, answer.status_code, answer.text[:200])
    assert not differing


def _is_as_expected(answer: httpx.Response, expected: str, name: str, caller: str) -> bool:
    if expected in ("401", "403"):
        return answer.status_code == int(expected)
    if expected == "no-person":
        return answer.is_success or answer.status_code in (FORBIDDEN, 404)
    usual = STATUSES[name]["operator" if "operator" in caller else "admin"]
    is_refused_in_part = expected == "in-part" and answer.is_error and answer.json()["code"] in NOT_TO_EVERYBODY
    return answer.status_code == usual or is_refused_in_part
