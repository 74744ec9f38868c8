"""A real PostgreSQL for every test process, and a real server on a loopback port."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from server.app import keyring_of
from server.db.embedded import EmbeddedPostgres
from server.settings import Settings
from server.starting import Addresses, install_shared_schema, running_server
from tests.old_client import OldClient

ADMIN_EMAIL = "admin@croft.test"
PASSWORD = "Correct-Horse-7"
METRICS_TOKEN = "metrics-token-of-the-tests"

_numbers = count(1)


def settings_for_tests(**changes: Any) -> Settings:
    """The settings of a server under test: cheap hashes, everything else as in production."""
    values: dict[str, Any] = {
        "admin_email": ADMIN_EMAIL,
        "admin_password": SecretStr(PASSWORD),
        "jwt_secret": SecretStr("a secret of the tests that is long enough"),
        "encryption_key": SecretStr("an encryption key of the tests that is long enough"),
        "metrics_token": SecretStr(METRICS_TOKEN),
        "bcrypt_cost": 4,
        "port": 0,
        **changes,
    }
    return Settings(**values)


KEYRING = keyring_of(settings_for_tests())
"""What servers under test seal secrets with."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of this test process alone."""
    home: Path = tmp_path_factory.mktemp("cluster")
    postgres = EmbeddedPostgres(home, durable=False)
    postgres.start()
    yield postgres
    postgres.destroy()


@pytest.fixture(scope="session", autouse=True)
def data_elsewhere_goes_with_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Removes the databases of servers whose home, being private, PostgreSQL's system user could not enter."""
    yield
    for location in tmp_path_factory.getbasetemp().rglob("postgres.location"):
        EmbeddedPostgres(location.parent).destroy()


async def new_database(cluster: EmbeddedPostgres) -> Addresses:
    """An empty database of its own, owned by the serving login."""
    name = f"croft_{next(_numbers)}"
    db = await asyncpg.connect(cluster.superuser_dsn("postgres"))
    try:
        await db.execute(f'CREATE DATABASE "{name}" OWNER croft')
        await db.execute(f'REVOKE TEMP ON DATABASE "{name}" FROM PUBLIC')
    finally:
        await db.close()
    dsn = cluster.dsn(database=name)
    return Addresses(dsn, dsn)


async def new_installation(cluster: EmbeddedPostgres) -> Addresses:
    """A database with the shared schema and no server."""
    addresses = await new_database(cluster)
    await install_shared_schema(addresses)
    return addresses


@dataclass
class TenantHandle:
    """A tenant of the server under test; `api` speaks to it as an operator."""

    croft: "Croft"
    config_id: str
    api: httpx.AsyncClient
    _people: Iterator[int] = field(default_factory=lambda: count(1))

    async def account(self, role: str = "collector") -> str:
        """A new account with a role in this tenant; answers its e-mail address. The password is PASSWORD."""
        email = f"{role}{next(self._people)}@{self.config_id.lower()}.test"
        answer = await self.api.post(
            "/api/users",
            json={
                "email": email,
                "password": PASSWORD,
                "role": "USER",
                "memberships": [{"configId": self.config_id, "role": role}],
            },
        )
        assert answer.status_code == 201, answer.text
        return email

    async def caller(self, role: str = "collector") -> httpx.AsyncClient:
        """A client signed in as a new account with a role in this tenant."""
        return await self.croft.signed_in(await self.account(role))

    async def as_owner(self, sql: str) -> Any:
        """The first value that the SQL gives, as whoever administers the database could have run it in the schema."""
        db = await asyncpg.connect(self.croft.addresses.direct)
        try:
            schema = await db.fetchval("SELECT schema_name FROM croft.tenants WHERE config_id = $1", self.config_id)
            owner = await db.fetchval("SELECT tableowner FROM pg_tables WHERE schemaname = $1 LIMIT 1", schema)
            await db.execute(f'SET search_path = "{schema}"; SET ROLE "{owner}"')
            return await db.fetchval(sql)
        finally:
            await db.close()

    async def device(self, skew_minutes: float = 0) -> OldClient:
        """An old phone signed in as a collector."""
        client = OldClient(self.croft.url, config_id=self.config_id, skew=timedelta(minutes=skew_minutes))
        await client.login(await self.account(), PASSWORD)
        self.croft.devices.append(client)
        return client


@dataclass
class Croft:
    """A running server: its address, an operator's client, and the addresses of its database."""

    url: str
    addresses: Addresses
    settings: Settings
    operator: httpx.AsyncClient = field(init=False)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    devices: list[OldClient] = field(default_factory=list)

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """A client with or without a token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60)
        self.clients.append(client)
        return client

    async def signed_in(self, email: str, password: str = PASSWORD) -> httpx.AsyncClient:
        """A client with a fresh token."""
        answer = await self.client().post("/api/users/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return self.client(answer.json()["token"])

    async def tenant(self, config: dict[str, Any] | None = None) -> TenantHandle:
        """A new tenant from the config, or from a small one."""
        config = {**small_config(f"tenant-{next(_numbers)}"), **(config or {})}
        answer = await self.operator.post("/api/apps", files={"config": upload_of(config)})
        assert answer.status_code == 200, answer.text
        return TenantHandle(self, config["id"], self.operator)


def upload_of(config: dict[str, Any]) -> tuple[str, bytes, str]:
    """A config as the file of a multipart upload."""
    import orjson

    return ("config.json", orjson.dumps(config), "application/json")


def small_config(config_id: str) -> dict[str, Any]:
    """The smallest useful config: households and their people."""
    return {
        "id": config_id,
        "name": f"Programme {config_id}",
        "entityForms": [
            {"name": "household", "title": "Household", "formio": {}},
            {"name": "individual", "title": "Individual", "dependsOn": "household", "formio": {}},
        ],
    }


@asynccontextmanager
async def start_croft(addresses: Addresses, **changes: Any) -> AsyncIterator[Croft]:
    """A server on the database, its settings changed as given."""
    settings = settings_for_tests(**changes)
    async with running_server(settings, addresses, migrate=True) as url:
        croft = Croft(url, addresses, settings)
        croft.operator = await croft.signed_in(ADMIN_EMAIL)
        try:
            yield croft
        finally:
            for client in croft.clients:
                await client.aclose()
            for device in croft.devices:
                await device.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def croft(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server shared by all tests of this process: make a tenant of your own in it."""
    async with start_croft(await new_database(cluster)) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_croft(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server on an empty database of its own, for tests that change what all tenants share."""
    async with start_croft(await new_database(cluster)) as server:
        yield server
