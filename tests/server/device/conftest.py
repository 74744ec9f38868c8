"""Devices of a tenant on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import pytest_asyncio

from server.db import Database
from server.device import Device, Retrying
from server.sync.epoch import begin_epoch
from server.tenants.model import TENANT_COLUMNS, tenant_from
from tests.conftest import PASSWORD, Croft, TenantHandle
from tests.server.device.cutting_proxy import CuttingProxy

T = TypeVar("T")

HASTY = Retrying(attempts=4, first_pause=0.01)


@dataclass
class Field:
    """Where devices are at work. Its methods are for the thread of a story (see `told_in_a_thread`)."""

    tenant: TenantHandle
    email: str
    home: Path
    loop: asyncio.AbstractEventLoop
    opened: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return self.tenant.croft.url

    def device(self, name: str, *, url: str | None = None, **more: Any) -> Device:
        """The device of this name, signed in, closed at the end of the test."""
        device = self.opened.enter_context(self.stranger(name, url=url, **more))
        device.sign_in(self.email, PASSWORD)
        return device

    def stranger(self, name: str, *, url: str | None = None, **more: Any) -> Device:
        """The same without signing in or closing."""
        more = {"retrying": HASTY, **more}
        return Device(self.home / name, server=url or self.url, tenant=self.tenant.config_id, **more)

    def proxy(self) -> CuttingProxy:
        """A proxy before the server, ended at the end of the test."""
        return self.opened.enter_context(CuttingProxy(self.url))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Has the server's loop do something and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def count_on_server(self) -> int:
        answer = self.run(self.get("/api/entities/count"))
        return int(answer["count"])

    async def get(self, path: str) -> Any:
        answer = await self.tenant.api.get(path, params={"configId": self.tenant.config_id})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def begin_epoch(self) -> None:
        """As the command line does."""
        self.run(_begin_epoch(self.tenant.croft, self.tenant.config_id))


async def _begin_epoch(croft: Croft, config_id: str) -> None:
    async with Database(croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            row = await db.fetchrow(f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE config_id = $1", config_id)
        assert row is not None
        async with database.inside(tenant_from(row).scope) as db:
            await begin_epoch(db)


async def field_of(croft: Croft, home: Path) -> Field:
    tenant = await croft.tenant()
    return Field(tenant, await tenant.account(), home, asyncio.get_running_loop())


@pytest_asyncio.fixture(loop_scope="session")
async def field_work(croft: Croft, tmp_path: Path) -> AsyncIterator[Field]:
    field = await field_of(croft, tmp_path)
    yield field
    await asyncio.to_thread(field.opened.close)


def told_in_a_thread(story: Callable[..., None]) -> Callable[..., Awaitable[None]]:
    """A story of devices, which wait for the server, told beside the loop that the server runs in."""

    @wraps(story)
    async def tell(**fixtures: Any) -> None:
        await asyncio.to_thread(story, **fixtures)

    return tell
