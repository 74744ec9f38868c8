"""Accounts with a second factor, and a look behind the server's back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
from pyotp import TOTP

from server.db import Connection
from tests.conftest import PASSWORD, Croft

FACTOR = "/api/v2/account/second-factor"
APP_PASSWORDS = "/api/v2/account/app-passwords"


@asynccontextmanager
async def shared_schema(croft: Croft) -> AsyncIterator[Connection]:
    """A connection as the serving login, on the shared schema."""
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        await db.execute("SET search_path = croft")
        yield db
    finally:
        await db.close()


@dataclass
class Holder:
    """An account, and what its owner has: a signed-in client, the seed in her authenticator, her recovery codes."""

    croft: Croft
    email: str
    client: httpx.AsyncClient
    seed: str = ""
    recovery_codes: list[str] = field(default_factory=list)

    def code(self, steps: int = 0) -> str:
        """What the authenticator shows, so many steps of 30 seconds from now."""
        return TOTP(self.seed).at(datetime.now(UTC), counter_offset=steps)

    async def begin(self, password: str = PASSWORD) -> httpx.Response:
        answer = await self.client.post(FACTOR, json={"password": password})
        if answer.is_success:
            self.seed = answer.json()["seed"]
        return answer

    async def confirm(self, code: str | None = None) -> httpx.Response:
        answer = await self.client.post(f"{FACTOR}/confirm", json={"code": code or self.code()})
        if answer.is_success:
            self.recovery_codes = answer.json()["recoveryCodes"]
        return answer

    async def remove(self, code: str, password: str = PASSWORD) -> httpx.Response:
        return await self.client.request("DELETE", FACTOR, json={"password": password, "code": code})

    async def renew(self, code: str, password: str = PASSWORD) -> httpx.Response:
        return await self.client.post(f"{FACTOR}/recovery-codes", json={"password": password, "code": code})

    async def state(self) -> dict[str, Any]:
        answer = await self.client.get(FACTOR)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def sign_in(self, code: str | None = None, password: str = PASSWORD) -> httpx.Response:
        body = {"email": self.email, "password": password, "code": code}
        return await self.croft.client().post("/api/v2/auth/login", json=body)

    async def forget_steps(self) -> None:
        """Lets codes be shown again that were used: nobody waits half a minute for the next one."""
        async with shared_schema(self.croft) as db:
            await db.execute(
                "UPDATE second_factors SET last_step = 0 WHERE user_id = (SELECT id FROM users WHERE email = $1)",
                self.email,
            )


async def holder_of(croft: Croft, email: str) -> Holder:
    """The owner of the account, who has set up a second factor."""
    holder = Holder(croft, email, await croft.signed_in(email))
    assert (await holder.begin()).status_code == 200
    answer = await holder.confirm()
    assert answer.status_code == 200, answer.text
    await holder.forget_steps()
    return holder


async def acts_of(croft: Croft, email: str) -> list[str]:
    """What was done to the account, by the record of acts."""
    async with shared_schema(croft) as db:
        rows = await db.fetch(
            "SELECT action FROM audit WHERE subject = (SELECT 'user:' || id FROM users WHERE email = $1) ORDER BY id",
            email,
        )
    return [row["action"] for row in rows]


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]
