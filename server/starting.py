"""Starting the server: what has to be there before the first request, and the life of the process that serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import uvicorn

from server.app import build_app
from server.db import Database
from server.db.installation import install
from server.settings import Settings
from server.tenants.migrating import migrate_tenants
from server.users.first_admin import ensure_admin


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the database is: `serving` may be a PgBouncer, `direct` goes past it."""

    serving: str
    direct: str


async def install_shared_schema(addresses: Addresses) -> list[str]:
    """Creates or brings up to date the shared schema. Returns the migrations that ran."""
    serving_login = await _login_of(addresses.serving)
    db = await asyncpg.connect(addresses.direct)
    try:
        async with db.transaction():
            return await install(db, serving=serving_login)
    finally:
        await db.close()


async def prepare(settings: Settings, addresses: Addresses, *, migrate: bool) -> None:
    """Everything before the first request. With `migrate`, the shared schema and all tenants are brought up first."""
    if migrate:
        await install_shared_schema(addresses)
        await migrate_tenants(addresses.direct)
    if settings.admin_password is not None:
        async with Database(addresses.serving, size=1, prepared_statements=False) as database:
            await ensure_admin(
                database, settings.admin_email, settings.admin_password.get_secret_value(), cost=settings.bcrypt_cost
            )


def server_config(settings: Settings, addresses: Addresses) -> uvicorn.Config:
    """How uvicorn serves the application. Requests in flight have `shutdown_seconds` to finish."""
    return uvicorn.Config(
        build_app(settings, addresses.serving),
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(settings.shutdown_seconds) or None,
        h11_max_incomplete_event_size=32 * 1024,
        limit_concurrency=2000,
    )


@asynccontextmanager
async def running_server(settings: Settings, addresses: Addresses, *, migrate: bool) -> AsyncIterator[str]:
    """A server in this event loop for as long as the block runs; gives its base URL."""
    await prepare(settings, addresses, migrate=migrate)
    server = uvicorn.Server(server_config(settings, addresses))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the server ended while starting")
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://{settings.host}:{port}"
    finally:
        server.should_exit = True
        await serving


async def _login_of(dsn: str) -> str:
    db = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        async with db.transaction():
            return str(await db.fetchval("SELECT session_user"))
    finally:
        await db.close()
