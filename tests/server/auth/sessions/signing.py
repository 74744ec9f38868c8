"""Devices that sign in with refresh tokens, and a look at what is stored of their sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import httpx
import jwt

from server.db import Connection
from tests.conftest import PASSWORD, Croft

_numbers = count(1)


async def new_account(croft: Croft, **fields: Any) -> tuple[int, str]:
    """A new account: its id and e-mail address."""
    email = f"keeper{next(_numbers)}@sessions.test"
    answer = await croft.operator.post(
        "/api/users", json={"email": email, "password": PASSWORD, "role": "USER", **fields}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], email


@asynccontextmanager
async def superuser(croft: Croft) -> AsyncIterator[Connection]:
    """A connection past all that serves."""
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        yield db
    finally:
        await db.close()


async def set_sessions(croft: Croft, user_id: int, assignments: str) -> None:
    """Changes what is stored of the account's sessions."""
    async with superuser(croft) as db:
        await db.execute(f"UPDATE croft.sessions SET {assignments} WHERE user_id = $1", user_id)


async def stored(croft: Croft, user_id: int) -> list[Any]:
    """What is stored of the account's sessions."""
    async with superuser(croft) as db:
        return await db.fetch("SELECT * FROM croft.sessions WHERE user_id = $1 ORDER BY created_at", user_id)


async def acts_about(croft: Croft, user_id: int, action: str) -> list[Any]:
    """The operators' record of one kind of act on the account."""
    async with superuser(croft) as db:
        return await db.fetch(
            "SELECT * FROM croft.audit WHERE subject = $1 AND action = $2 ORDER BY id", f"user:{user_id}", action
        )


def claims_of(token: str) -> dict[str, Any]:
    """What a token says."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@dataclass
class Device:
    """A device with the newest tokens that it has got."""

    croft: Croft
    email: str
    http: httpx.AsyncClient
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)

    async def sign_in(self, **more: Any) -> httpx.Response:
        """Raises AssertionError where the server refuses."""
        answer = await self.http.post(
            "/api/v2/auth/login",
            json={"email": self.email, "password": PASSWORD, **more},
            headers={"X-Device-Id": f"device of {self.email}"},
        )
        assert answer.status_code == 200, answer.text
        self.take(answer)
        return answer

    def take(self, answer: httpx.Response) -> None:
        """Keeps the tokens of an answer."""
        self.access, self.refresh = answer.json()["accessToken"], answer.json()["refreshToken"]

    async def renew(self, *, loses_answer: bool = False) -> httpx.Response:
        """Exchanges the refresh token."""
        answer = await renew(self.http, self.refresh)
        if answer.status_code == 200 and not loses_answer:
            self.take(answer)
        return answer

    async def ask(self, path: str = "/api/users/me", method: str = "GET", **more: Any) -> httpx.Response:
        """A request with the access token."""
        headers = {"Authorization": f"Bearer {self.access}", **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    @property
    def session(self) -> str:
        return str(claims_of(self.access)["sid"])

    def copy(self) -> "Device":
        """Somebody who has got hold of all its tokens."""
        return Device(self.croft, self.email, self.http, self.access, self.refresh)


async def renew(http: httpx.AsyncClient, refresh_token: str) -> httpx.Response:
    return await http.post("/api/v2/auth/refresh", json={"refreshToken": refresh_token})


async def device_of(croft: Croft, email: str) -> Device:
    """A device of the account, signed in."""
    device = Device(croft, email, croft.client())
    await device.sign_in()
    return device


def refused(answer: httpx.Response, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (401, code)
