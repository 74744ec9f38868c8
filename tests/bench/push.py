"""Push through real HTTP against the floor, at several sizes of a batch. Run by `make bench`."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import choice, randrange
from time import perf_counter
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
from rich.console import Console
from rich.table import Table

from server.db import Connection, Scope, scoped
from server.db.embedded import EmbeddedPostgres
from tests.croft_process import croft_process, settings_of

SIZES = (10, 100, 1_000)
EVENTS = 5_000
GIVEN = ("Amina", "Noy", "Rosa", "Zainab", "Tigist", "Oksana", "Chanthavy", "Adaeze", "María José", "Nguyệt")
FAMILY = (
    "Diallo",
    "Phommachanh",
    "Quispe",
    "Haddad",
    "Bekele",
    "Shevchenko",
    "Okafor",
    "Hernández",
    "Rahman",
    "Santos",
)
PASSWORD = "Correct-Horse-7"

Event = dict[str, Any]
Push = Callable[[Sequence[Event]], Awaitable[None]]


def registered(number: int) -> Event:
    """A person as a phone registers her."""
    return {
        "guid": str(uuid4()),
        "entityGuid": str(uuid4()),
        "type": "create-individual",
        "data": {
            "name": f"{choice(GIVEN)} {choice(FAMILY)} {choice(FAMILY)}",
            "village": "Ban Na",
            "dateOfBirth": f"19{randrange(40, 99)}-0{randrange(1, 9)}-1{randrange(9)}",
            "gender": "female",
        },
        "timestamp": f"2026-01-31T08:{number // 60 % 60:02}:{number % 60:02}.000Z",
        "userId": "7",
        "syncLevel": 0,
    }


async def rate(push: Push, size: int) -> float:
    """Events a second, over batches of the size one after the other."""
    batches = [[registered(at + number) for number in range(size)] for at in range(0, EVENTS, size)]
    await push([registered(number) for number in range(size)])
    began = perf_counter()
    for batch in batches:
        await push(batch)
    return len(batches) * size / (perf_counter() - began)


async def over_http(client: httpx.AsyncClient, config_id: str) -> Push:
    """A new tenant, and how events are pushed to it."""
    config = {"id": config_id, "name": config_id, "entityForms": [], "duplicates": {"rules": []}}
    (await client.post("/api/apps", json=config)).raise_for_status()

    async def push(events: Sequence[Event]) -> None:
        body = orjson.dumps({"configId": config_id, "events": events})
        answer = await client.post("/api/sync/push", content=body, headers={"Content-Type": "application/json"})
        answer.raise_for_status()

    return push


async def by_plain_sql(db: Connection, client: httpx.AsyncClient, config_id: str) -> Push:
    """The floor: the same rows into the tables of a tenant of its own, one transaction a batch, and nothing else."""
    await over_http(client, config_id)
    row = await db.fetchrow("SELECT schema_name, role_name FROM croft.tenants WHERE config_id = $1", config_id)
    assert row is not None
    scope = Scope(row["schema_name"], row["role_name"])

    async def push(events: Sequence[Event]) -> None:
        data = [orjson.dumps(event["data"]).decode() for event in events]
        guids, entity_guids = ([event[key] for event in events] for key in ("guid", "entityGuid"))
        now = datetime.now(UTC)
        async with db.transaction(), scoped(db, scope):
            head = await db.fetchval("UPDATE sync_head SET head = head + $1 RETURNING head - $1", len(events))
            seqs = list(range(head + 1, head + 1 + len(events)))
            await db.execute(
                """
                INSERT INTO events (seq, guid, entity_guid, type, data, timestamp, timestamp_ms, effective_ms, user_id,
                                    account, device_id, received_at, digest, outcome)
                SELECT n.seq, n.guid, n.entity_guid, 'create-individual', n.data, '', 0, 0, '7', '1', 'floor', $5, '',
                       'applied'
                FROM unnest($1::bigint[], $2::text[], $3::text[], $4::json[]) AS n (seq, guid, entity_guid, data)
                """,
                seqs,
                guids,
                entity_guids,
                data,
                now,
            )
            await db.execute(
                "INSERT INTO mentions (entity_guid, seq) SELECT * FROM unnest($1::text[], $2::bigint[])",
                entity_guids,
                seqs,
            )
            await db.execute(
                "INSERT INTO entities (guid, state, created, name, version, data, fed_seq)"
                " SELECT guid, 'live', true, data ->> 'name', 1, data, seq"
                " FROM unnest($1::text[], $2::jsonb[], $3::bigint[]) AS n (guid, data, seq)",
                entity_guids,
                data,
                seqs,
            )

    return push


async def measure(url: str, dsn: str) -> Table:
    """Both, size by size in turn, as a table."""
    table = Table("batch", "Croft, events/s", "floor, events/s", "ratio", title="Push, one client")
    db = await asyncpg.connect(dsn)
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        answer = await client.post("/api/users/login", json={"email": "admin@croft.test", "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        for size in SIZES:
            croft = await rate(await over_http(client, f"croft-{size}"), size)
            floor = await rate(await by_plain_sql(db, client, f"floor-{size}"), size)
            table.add_row(f"{size:,}", f"{croft:,.0f}", f"{floor:,.0f}", f"{croft / floor:.2f}")
    await db.close()
    return table


def main() -> None:
    """Starts PostgreSQL and a server of its own, measures, and prints."""
    with tempfile.TemporaryDirectory() as place, EmbeddedPostgres(Path(place) / "postgres") as postgres:
        settings = settings_of({"POSTGRES": postgres.dsn(), "LOG_LEVEL": "error", "ADMIN_PASSWORD": PASSWORD})
        with croft_process("--migrate", cwd=Path(place), program=(sys.executable, "-m", "server"), **settings) as croft:
            Console().print(asyncio.run(measure(croft.url, postgres.dsn())))


if __name__ == "__main__":
    main()
