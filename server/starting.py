"""Starting the server: what has to be there before the first request, and the life of the process that serves."""

import asyncio
import gc
import logging
import math
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import uvicorn
from prometheus_client import CollectorRegistry

from server.app import build_app, keyring_of
from server.db import Database
from server.db.installation import install, login_of, pending_shared_migrations, weaknesses
from server.db.migrations import tenant_migrations
from server.db.pool import Limits
from server.health.cluster import check_cluster
from server.health.queries import list_tenants_behind
from server.http.accepting import Loads, Sharing
from server.http.admission import MOST_HEADER_BYTES
from server.http.connection import Connection
from server.keys.noting import note_keys
from server.settings import Settings
from server.sync.epoch import follow_cluster
from server.tenants.migrating import migrate_tenants
from server.users.first_admin import ensure_admin

log = logging.getLogger(__name__)

# Another process of this installation may be preparing too; it is waited for.
_PREPARING = Limits(statement_seconds=60, lock_seconds=600)
_TICK_SECONDS = 0.01
_OBJECTS_BEFORE_COLLECTION = 50_000
_OPEN_FILES = 20_000


class NotInstalled(Exception):
    """The shared schema lacks migrations. `pending` holds their ids."""

    def __init__(self, pending: list[str]) -> None:
        super().__init__(f"The database lacks {len(pending)} migrations of the shared schema: {', '.join(pending)}.")
        self.pending = pending


class ServerFailed(Exception):
    """The server could not start. Why has been logged."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the database is: `serving` may be a PgBouncer, `direct` goes past it."""

    serving: str
    direct: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found and made before the first request; `tenants_behind` are config ids that will not be served."""

    admin_made: bool
    tenants_behind: list[str]


async def install_shared_schema(addresses: Addresses) -> list[str]:
    """Creates or brings up to date the shared schema. Returns the migrations that ran."""
    serving_login = await login_of(addresses.serving)
    db = await asyncpg.connect(addresses.direct)
    try:
        async with db.transaction():
            return await install(db, serving=serving_login)
    finally:
        await db.close()


async def prepare(settings: Settings, addresses: Addresses, *, migrate: bool) -> Prepared:
    """Everything before the first request. With `migrate`, the shared schema and all tenants are brought up first.

    Raises NotInstalled when the shared schema lacks migrations.
    """
    if migrate:
        await _migrate(addresses)
    async with Database(addresses.serving, size=2, prepared_statements=False, limits=_PREPARING) as database:
        async with database.shared(readonly=True) as db:
            if pending := await pending_shared_migrations(db):
                raise NotInstalled(pending)
            behind = await list_tenants_behind(db, tenant_migrations()[-1].id)
            weak = await weaknesses(db)
        for weakness in weak:
            log.warning("%s", weakness)
        if behind:
            log.warning("%d tenants are not served until `croft migrate` ran: %s.", len(behind), ", ".join(behind))
        await check_cluster(database, follow_cluster)
        await note_keys(database, keyring_of(settings))
        return Prepared(await _ensure_admin(settings, database), behind)


def bind(settings: Settings) -> socket.socket:
    """A socket at HOST and PORT that does not listen yet. Raises OSError when the address cannot be had."""
    # IPv4 first: that is what clients of `localhost` reach everywhere.
    found = sorted(socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM), key=lambda each: each[0])
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Server(uvicorn.Server):
    """One server in the event loop. Signals are left to whoever runs it; `ended` is set when it serves no more.

    `loads`, where other processes listen at the same sockets, tells how much these have to do.
    """

    def __init__(self, config: uvicorn.Config, loads: Loads | None = None) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()
        self._loads = loads

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until stopped."""
        try:
            await super().serve(sockets)
        finally:
            self.ended.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application and takes connections."""
        if self._loads is None:
            await super().startup(sockets)
            return
        await super().startup([])
        protocol = partial(Connection, self.config, self.server_state, self.lifespan.state)
        open_now = self.server_state.connections
        self.servers = [Sharing(each, protocol, open_now, self._loads) for each in sockets or []]  # type: ignore[misc]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without effect, where uvicorn would take over the signals of the whole process."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends what would last, and waits for the requests in flight."""
        app: Any = self.config.app
        app.state.stopping()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Lets requests in flight finish; called again, it drops them."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @property
    def url(self) -> str:
        """Where it serves, such as `http://127.0.0.1:3000`."""
        return url_of(self.config.host, self.servers[0].sockets[0])


def url_of(host: str, bound: Any) -> str:
    """Where a server serves that was told to listen at `host` and has the socket, such as `http://127.0.0.1:3000`."""
    port = bound.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_config(
    settings: Settings, addresses: Addresses, registry: CollectorRegistry | None = None
) -> uvicorn.Config:
    """How uvicorn serves the application. Requests in flight have `shutdown_seconds` to finish."""
    return uvicorn.Config(
        build_app(settings, addresses.serving, addresses.direct, registry=registry),
        host=settings.host,
        port=settings.port,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        date_header=True,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds),
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )


@asynccontextmanager
async def serving(
    settings: Settings,
    addresses: Addresses,
    bound: socket.socket,
    *,
    registry: CollectorRegistry | None = None,
    loads: Loads | None = None,
) -> AsyncIterator[Server]:
    """A server on the bound socket for as long as the block runs. The database must have been prepared.

    `registry` takes its metrics; one of its own where it is left out. `loads` is for several that serve at one socket.
    """
    server = Server(server_config(settings, addresses, registry), loads)
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:
            if running.done():
                running.result()
                raise ServerFailed("the server ended while starting")
            await asyncio.sleep(_TICK_SECONDS)
        _spare_garbage_collection()
        _allow_open_files()
        yield server
    finally:
        server.should_exit = True
        await running


def _spare_garbage_collection() -> None:
    """What there is by now stays for good; a large push makes many objects, and none of them is garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


def _allow_open_files() -> None:
    """Each device that listens keeps a connection open, and a shell often allows a process a thousand files only."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@asynccontextmanager
async def running_server(settings: Settings, addresses: Addresses, *, migrate: bool) -> AsyncIterator[str]:
    """A server in this event loop for as long as the block runs; gives its base URL."""
    await prepare(settings, addresses, migrate=migrate)
    async with serving(settings, addresses, bind(settings)) as server:
        yield server.url


async def _migrate(addresses: Addresses) -> None:
    await install_shared_schema(addresses)
    report = await migrate_tenants(addresses.direct)
    for failure in report.failures:
        log.error("Tenant %s could not be migrated: %s", failure.config_id, failure.error)


async def _ensure_admin(settings: Settings, database: Database) -> bool:
    if settings.admin_password is None:
        return False
    return await ensure_admin(
        database, settings.admin_email, settings.admin_password.get_secret_value(), cost=settings.bcrypt_cost
    )
