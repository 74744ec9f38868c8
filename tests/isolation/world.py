"""Two tenants of a running server, full of things that bear their mark, and everybody who may try to reach them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from server.db import Connection
from server.db.embedded import EmbeddedPostgres
from server.db.scope import quoted
from tests.conftest import PASSWORD, Croft, TenantHandle, small_config
from tests.isolation.neighbours import database_name

RECORDS = ("acts", "acts_head", "shared audit")
"""What `World.state_of` says of the record of acts. What operators try stands there, also where it comes to nothing."""

MEMBERS = ("viewer", "collector", "reviewer", "admin")
CALLERS = (*MEMBERS, "stranger", "nobody", "operator")

PROVIDERS = [{"type": "keycloak", "fields": {"realm": "field", "clientSecret": "a secret of the provider"}}]
"""The same in every tenant, so that a config about one that is uploaded to another changes nothing of who may enter."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Things:
    """A tenant and what is in it. `mark` is in all of its texts and in nothing that a request has to name."""

    tenant: TenantHandle
    number: int
    artifact_id: str
    mark: str
    account: str
    entity: str
    twin: str
    group: str
    event: str
    audit_entry: str
    cursor: str
    service_account: int = 0
    role: str = ""

    @property
    def config_id(self) -> str:
        """The name of the tenant."""
        return self.tenant.config_id


@dataclass(frozen=True, slots=True)
class World:
    """`home` is the tenant of those who call, `neighbour` the one they must not reach."""

    croft: Croft
    cluster: EmbeddedPostgres
    home: Things
    neighbour: Things
    emails: dict[str, str]
    clients: dict[str, httpx.AsyncClient]

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[Connection]:
        """A connection past all that is tested here."""
        db = await asyncpg.connect(self.cluster.superuser_dsn(database_name(self.croft.addresses)))
        try:
            yield db
        finally:
            await db.close()

    async def state_of(self, things: Things) -> dict[str, str]:
        """A digest of each table of the tenant's schema, and of what the shared schema holds about it."""
        async with self.superuser() as db:
            return await _state(db, things.number)


async def make_world(croft: Croft, cluster: EmbeddedPostgres) -> World:
    """A fresh pair of tenants, and a caller of every kind, signed in."""
    home, neighbour = await plant(croft), await plant(croft)
    emails = {role: await home.tenant.account(role) for role in MEMBERS}
    emails |= {"stranger": await new_account(croft), "operator": await new_account(croft, role="ADMIN")}
    clients = {name: await croft.signed_in(email) for name, email in emails.items()}
    return World(croft, cluster, home, neighbour, emails, {**clients, "nobody": croft.client()})


async def new_account(croft: Croft, **fields: Any) -> str:
    """A new account, a member of nothing unless the fields say so; answers its e-mail address."""
    email = f"account{next(_numbers)}@croft.test"
    body = {"email": email, "password": PASSWORD, "role": "USER", **fields}
    answer = await croft.operator.post("/api/users", json=body)
    assert answer.status_code == 201, answer.text
    return email


async def plant(croft: Croft) -> Things:
    """A tenant whose every table has something in it, all of it marked."""
    mark = f"nightjar{uuid4().hex}"
    name = f"realm-{next(_numbers)}"
    tenant = await croft.tenant(marked_config(name, mark))
    shown = (await croft.operator.get(f"/api/tenants/{name}")).json()
    account = await _marked_account(croft, name, mark)
    client = await croft.signed_in(account)
    client.headers["X-Device-Id"] = f"device-{mark}"
    entity, twin, group, event, audit_entry = (str(uuid4()) for _ in range(5))
    person = {"name": f"Person {mark}", "entityName": "individual", "nationalId": mark}
    events = [
        submission("create-individual", entity, person, guid=event, user=mark),
        submission("create-individual", twin, {**person, "village": mark}, user=mark),
        submission("create-individual", str(uuid4()), {**person, "village": "a third that no case touches"}, user=mark),
        submission("create-group", group, {"name": f"House {mark}", "members": []}, user=mark),
        {"guid": str(uuid4()), "type": mark},
    ]
    await _push(client, "/api/sync/push", {"configId": name, "events": events})
    await _disagree(client, name, entity, mark)
    # Pairs are looked for behind the log: once they have been listed, nothing of them is still to come.
    assert (await client.get("/api/potential-duplicates", params={"configId": name})).json()
    entry = audit_entry_of(audit_entry, entity, event) | {"changes": {"name": mark}}
    await _push(client, "/api/sync/push/audit-logs", {"configId": name, "auditLogs": [entry]})
    pulled = await client.get("/api/sync/pull", params={"configId": name})
    assert mark in pulled.text
    cursor = max(each["timestamp"] for each in pulled.json()["events"])
    service_account = await _marked_program(client, name, mark)
    return Things(
        tenant,
        shown["tenantId"],
        shown["artifactId"],
        mark,
        account,
        entity,
        twin,
        group,
        event,
        audit_entry,
        cursor,
        service_account,
        await _marked_role(client, name, mark),
    )


async def _disagree(client: httpx.AsyncClient, name: str, entity: str, mark: str) -> None:
    """Two devices change one field of the entity without having seen each other's change."""
    for device in ("one", "other"):
        change = submission("update-individual", entity, {"street": f"{device} {mark}"}, user=mark)
        answer = await client.post(
            "/api/v2/sync/push",
            params={"configId": name},
            headers={"X-Device-Id": f"{device} {mark}"},
            json={"events": [{**change, "baseVersion": 1}]},
        )
        assert answer.status_code == 200, answer.text


def marked_config(config_id: str, mark: str) -> dict[str, Any]:
    """A config that says the mark wherever it may."""
    forms = [{**form, "title": f"{form['title']} {mark}"} for form in small_config(config_id)["entityForms"]]
    return {
        "id": config_id,
        "name": f"Programme {mark}",
        "description": mark,
        "version": mark,
        "entityForms": forms,
        "entityData": [{"name": "individual", "data": [{"id": "first", "name": f"Seed {mark}"}]}],
        "externalSync": {
            "type": "openspp",
            "url": f"https://{mark}.test",
            "auth": "basic",
            "credentials": {"username": mark, "password": f"secret {mark}"},
        },
        "authConfigs": PROVIDERS,
        "duplicates": {"rules": [{"form": "individual", "fields": ["nationalId"]}]},
    }


def submission(type_: str, entity: str, data: dict[str, Any], *, guid: str = "", user: str = "phone") -> dict[str, Any]:
    """An event as a phone pushes it."""
    return {
        "guid": guid or str(uuid4()),
        "entityGuid": entity,
        "type": type_,
        "data": data,
        "timestamp": "2025-03-01T08:00:00.000Z",
        "userId": user,
        "syncLevel": 0,
    }


def audit_entry_of(guid: str, entity: str, event: str) -> dict[str, Any]:
    """An entry of a phone's audit log."""
    return {
        "guid": guid,
        "timestamp": "2025-03-01T08:00:00.000Z",
        "userId": "phone",
        "action": "create-individual",
        "eventGuid": event,
        "entityGuid": entity,
        "changes": {},
        "signature": "",
    }


async def _marked_account(croft: Croft, config_id: str, mark: str) -> str:
    email = f"{mark}@{mark}.test"
    memberships = [{"configId": config_id, "role": "admin"}]
    body = {"email": email, "password": PASSWORD, "role": "USER", "memberships": memberships}
    answer = await croft.operator.post("/api/users", json=body)
    assert answer.status_code == 201, answer.text
    return email


async def _marked_program(client: httpx.AsyncClient, config_id: str, mark: str) -> int:
    """A service account, with a key."""
    query = {"configId": config_id}
    program = {"name": f"Program {mark}", "role": "viewer"}
    account: int = (await client.post("/api/service-accounts", params=query, json=program)).json()["id"]
    key = {"name": f"Key {mark}", "scopes": ["entities.read"]}
    made = await client.post(f"/api/service-accounts/{account}/keys", params=query, json=key)
    assert made.status_code == 201, made.text
    return account


async def _marked_role(client: httpx.AsyncClient, config_id: str, mark: str) -> str:
    """A role of the tenant's own."""
    name = f"helpers-of-{config_id}"
    role = {"name": name, "description": mark, "permissions": ["entities.read"]}
    made = await client.post("/api/roles", params={"configId": config_id}, json=role)
    assert made.status_code == 201, made.text
    return name


async def _push(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text


async def _state(db: Connection, tenant: int) -> dict[str, str]:
    row = await db.fetchrow("SELECT schema_name, config_id FROM croft.tenants WHERE id = $1", tenant)
    assert row is not None
    schema = row["schema_name"]
    tables = await db.fetch(
        "SELECT relname, relkind = 'S' AS counts FROM pg_class "
        "WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'S')",
        schema,
    )
    assert len(tables) > 10
    state = {}
    for table in tables:
        content = "last_value::text" if table["counts"] else "t::text"
        rows = await db.fetch(f"SELECT {content} FROM {quoted(schema)}.{quoted(table['relname'])} t ORDER BY 1")
        state[table["relname"]] = _digest(rows)
    members = "SELECT user_id FROM croft.memberships WHERE tenant_id = $1"
    shared = {
        # The number of entities is noted a moment after they were written, and would change while tests look on.
        "tenants": "SELECT (to_jsonb(t) - 'entities_count')::text FROM croft.tenants t WHERE id = $1",
        "config_versions": "SELECT v::text FROM croft.config_versions v WHERE tenant_id = $1 ORDER BY 1",
        "memberships": "SELECT m::text FROM croft.memberships m WHERE tenant_id = $1 ORDER BY 1",
        "tenant_roles": "SELECT r::text FROM croft.tenant_roles r WHERE tenant_id = $1 ORDER BY 1",
        "break_glass": "SELECT g::text FROM croft.break_glass g WHERE tenant_id = $1 ORDER BY 1",
        "service_accounts": "SELECT a::text FROM croft.service_accounts a WHERE tenant_id = $1 ORDER BY 1",
        "api_keys": "SELECT k::text FROM croft.api_keys k JOIN croft.service_accounts a ON a.id = k.service_account_id "
        "WHERE a.tenant_id = $1 ORDER BY 1",
        "users": f"SELECT u::text FROM croft.users u WHERE id IN ({members}) ORDER BY 1",
        # That a session was seen is noted behind its requests, too.
        "sessions": f"SELECT (to_jsonb(s) - 'last_seen_at')::text FROM croft.sessions s "
        f"WHERE user_id IN ({members}) ORDER BY 1",
    }
    state |= {f"shared {name}": _digest(await db.fetch(statement, tenant)) for name, statement in shared.items()}
    former = "SELECT f::text FROM croft.former_config_ids f WHERE config_id = $1 ORDER BY 1"
    acts = "SELECT a::text FROM croft.audit a WHERE tenant_id = $1 ORDER BY 1"
    state["shared former_config_ids"] = _digest(await db.fetch(former, row["config_id"]))
    state["shared audit"] = _digest(await db.fetch(acts, tenant))
    return state


def _digest(rows: list[asyncpg.Record]) -> str:
    return f"{len(rows)} rows, {hash(json.dumps([row[0] for row in rows]))}"
