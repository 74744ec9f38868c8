"""Records as devices push them, and a look behind the door of the server that keeps them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from server.db import Connection, Scope, scoped
from server.kit.clock import iso_ms
from tests.conftest import TenantHandle

Json = dict[str, Any]

_BEGINNING = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)
_seconds = count()


def event(type_: str, entity_guid: str, data: Json, *, at: datetime | None = None, guid: str | None = None) -> Json:
    """An event; each is a second later than the one before unless it says otherwise."""
    return {
        "guid": guid or str(uuid4()),
        "entityGuid": entity_guid,
        "type": type_,
        "data": data,
        "timestamp": iso_ms(at or _BEGINNING + timedelta(seconds=next(_seconds))),
        "userId": "somebody",
        "syncLevel": 0,
    }


def person(name: str, *, guid: str | None = None, at: datetime | None = None, **fields: Any) -> Json:
    """A create-individual."""
    return event("create-individual", guid or str(uuid4()), {"name": name, **fields}, at=at)


async def push(tenant: TenantHandle, *events: Json, caller: httpx.AsyncClient | None = None) -> Json:
    """Pushes the events in one request, as an operator unless somebody else is named."""
    answer = await (caller or tenant.api).post(
        "/api/sync/push", json={"events": list(events), "configId": tenant.config_id}
    )
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


async def fetch(tenant: TenantHandle, path: str, *, caller: httpx.AsyncClient | None = None, **query: Any) -> Any:
    """The answer to a GET."""
    answer = await (caller or tenant.api).get(path, params={"configId": tenant.config_id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


@asynccontextmanager
async def behind(tenant: TenantHandle) -> AsyncIterator[Connection]:
    """A connection in the scope in which the server works for the tenant; nothing done with it stays."""
    db = await asyncpg.connect(tenant.croft.addresses.direct)
    transaction = db.transaction()
    await transaction.start()
    try:
        row = await db.fetchrow(
            "SELECT schema_name, role_name FROM croft.tenants WHERE config_id = $1 AND state <> 'deleted'",
            tenant.config_id,
        )
        assert row is not None
        async with scoped(db, Scope(row["schema_name"], row["role_name"])):
            yield db
    finally:
        await transaction.rollback()
        await db.close()
