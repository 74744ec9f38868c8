"""What is measured: an embedded PostgreSQL as an operator has it, a server on it, and tenants in pairs."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from server.db import Scope
from server.db.embedded import EmbeddedPostgres
from tests.bench.connection import connected
from tests.bench.memory import Footprint, footprint
from tests.croft_process import croft_process, settings_of

PASSWORD = "Correct-Horse-7"
EMAIL = "admin@croft.test"
MEMBER = "member@croft.test"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and where its tables are."""

    config_id: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tenants alike: Croft serves the one, the floor works on the other's tables."""

    croft: Tenant
    floor: Tenant

    @property
    def scopes(self) -> tuple[Scope, Scope]:
        """Where the tables of both are."""
        return self.croft.scope, self.floor.scope


@dataclass
class Bench:
    """A running server, its database, and the token of an account that is a member of all its tenants.

    An operator's would not do: whatever he asks for in a tenant goes on record, too.
    """

    url: str
    dsn: str
    superuser_dsn: str
    pid: int
    token: str = ""
    _operator: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def sign_in(self) -> None:
        """Makes the account, and fetches the tokens."""
        self._operator = self._token_of(EMAIL)
        member = {"email": MEMBER, "password": PASSWORD, "role": "USER"}
        headers = {"Authorization": f"Bearer {self._operator}"}
        made = httpx.post(f"{self.url}/api/users", json=member, headers=headers, timeout=60)
        assert made.status_code in (201, 409), made.text
        self.token = self._token_of(MEMBER)

    def _token_of(self, email: str) -> str:
        answer = httpx.post(f"{self.url}/api/users/login", json={"email": email, "password": PASSWORD}, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["token"])

    def new_pair(self, **config: Any) -> Pair:
        """Two new tenants, their configs changed as given."""
        return self.new_pairs(1, **config)[0]

    def new_pairs(self, amount: int, **config: Any) -> list[Pair]:
        """As many pairs of new tenants."""
        return asyncio.run(self._new_pairs(amount, config))

    def footprint(self) -> Footprint:
        """What the server takes now."""
        return asyncio.run(footprint(self.pid, self.superuser_dsn))

    async def _new_pairs(self, amount: int, config: dict[str, Any]) -> list[Pair]:
        headers = {"Authorization": f"Bearer {self._operator}"}
        names = [f"bench-{next(self._numbers)}" for _ in range(2 * amount)]
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=300) as client:
            turns = asyncio.Semaphore(2)

            async def make(name: str) -> None:
                document = {"id": name, "name": name, "entityForms": [], **config}
                async with turns:
                    (await client.post("/api/apps", json=document)).raise_for_status()

            await asyncio.gather(*map(make, names))
        await self._admit_member()
        scopes = await self._scopes()
        tenants = [Tenant(name, scopes[name]) for name in names]
        return [Pair(croft, floor) for croft, floor in zip(tenants[::2], tenants[1::2], strict=True)]

    async def _admit_member(self) -> None:
        async with connected(self.superuser_dsn) as db:
            await db.execute(
                "INSERT INTO croft.memberships (user_id, tenant_id, role) "
                "SELECT u.id, t.id, 'admin' FROM croft.users u, croft.tenants t WHERE u.email = $1 "
                "ON CONFLICT DO NOTHING",
                MEMBER,
            )

    async def _scopes(self) -> dict[str, Scope]:
        async with connected(self.dsn) as db:
            rows = await db.fetch("SELECT config_id, schema_name, role_name FROM croft.tenants")
        return {row["config_id"]: Scope(row["schema_name"], row["role_name"]) for row in rows}


@contextmanager
def running_bench(*arguments: str, **settings: str) -> Iterator[Bench]:
    """A server with these arguments and settings, else as it comes, on a PostgreSQL that loses nothing."""
    with tempfile.TemporaryDirectory() as place, EmbeddedPostgres(Path(place) / "postgres") as postgres:
        given = settings_of({"POSTGRES": postgres.dsn(), "LOG_LEVEL": "error", "ADMIN_PASSWORD": PASSWORD, **settings})
        program = (sys.executable, "-m", "server")
        with croft_process("--migrate", *arguments, cwd=Path(place), program=program, **given) as croft:
            bench = Bench(croft.url, postgres.dsn(), postgres.superuser_dsn("croft"), croft.process.pid)
            bench.sign_in()
            try:
                yield bench
            finally:
                croft.process.terminate()
                croft.end()
                postgres.destroy()
