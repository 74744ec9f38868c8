"""Tenants beside each other in one database, provisioned as an upload does it, each with rows that bear its mark."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from server.audit import Author
from server.db import Database
from server.duplicates.finding import load_and_find_pairs
from server.starting import Addresses, install_shared_schema
from server.tenants.model import Tenant
from server.tenants.uploading import apply_config
from tests.conftest import KEYRING, small_config

NAMES = ("north", "south", "east", "west", "centre")
PLANTED = 3


@dataclass(frozen=True, slots=True)
class Neighbours:
    """An open database and the tenants in it. Every entity of a tenant has the tenant's config id as its name."""

    database: Database
    addresses: Addresses
    tenants: tuple[Tenant, ...]


@asynccontextmanager
async def neighbours(
    addresses: Addresses, *, tenants: int, pool_size: int, prepared_statements: bool = True
) -> AsyncIterator[Neighbours]:
    """Installs Croft in an empty database and makes the first few of NAMES its tenants."""
    await install_shared_schema(addresses)
    async with Database(addresses.serving, size=pool_size, prepared_statements=prepared_statements) as database:
        made = [await _provision(database, name) for name in NAMES[:tenants]]
        yield Neighbours(database, addresses, tuple(made))


def database_name(addresses: Addresses) -> str:
    """The name of the database."""
    return urlsplit(addresses.direct).path.removeprefix("/")


async def _provision(database: Database, name: str) -> Tenant:
    async with database.shared() as db:
        actor = Author("test")
        tenant = (await apply_config(db, small_config(name), actor, load_and_find_pairs, KEYRING)).tenant
    async with database.inside(tenant.scope) as db:
        await db.execute(
            "INSERT INTO entities (guid, name) SELECT $1 || '-' || n, $1 FROM generate_series(1, $2) n", name, PLANTED
        )
        await db.execute(
            "INSERT INTO quarantine (digest, guid, code, path, detail, raw, account, device_id, received_at) "
            "VALUES ('', '', '', '', '', $1, '', '', now())",
            name,
        )
    return tenant
