"""Service accounts of a tenant, and clients that show their keys."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.conftest import TenantHandle
from tests.server.auth.factors import shared_schema

ACCOUNTS = "/api/service-accounts"

_numbers = count(1)


@dataclass
class Programs:
    """The service accounts of a tenant, as an administrator of it sees them."""

    tenant: TenantHandle
    admin: httpx.AsyncClient
    here: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.here = {"configId": self.tenant.config_id}

    async def call(self, method: str, path: str = "", **body: Any) -> httpx.Response:
        query = self.here | (body if method == "GET" else {})
        content = body if method in ("POST", "PUT") else None
        return await self.admin.request(method, f"{ACCOUNTS}{path}", params=query, json=content)

    async def account(self, role: str = "viewer", **fields: Any) -> int:
        """A new service account; answers its number."""
        answer = await self.call("POST", **{"name": f"Program {next(_numbers)}", "role": role, **fields})
        assert answer.status_code == 201, answer.text
        number: int = answer.json()["id"]
        return number

    async def key(self, account: int, *scopes: str, **fields: Any) -> dict[str, Any]:
        """A new key of the service account, as it is answered."""
        body = {"name": "Key", "scopes": list(scopes or ("entities.read",)), **fields}
        answer = await self.call("POST", f"/{account}/keys", **body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def client(self, role: str = "viewer", *scopes: str) -> httpx.AsyncClient:
        """A client with a new key of a new service account."""
        made = await self.key(await self.account(role), *scopes)
        return self.tenant.croft.client(made["key"])

    async def acts(self, subject: str) -> list[str]:
        """What was done to something, by the record of acts."""
        async with shared_schema(self.tenant.croft) as db:
            rows = await db.fetch("SELECT action FROM audit WHERE subject = $1 ORDER BY id", subject)
        return [row["action"] for row in rows]


async def programs_of(tenant: TenantHandle) -> Programs:
    """The service accounts of the tenant, seen by a new administrator."""
    return Programs(tenant, await tenant.caller("admin"))
