"""The application: what it is made of, and what starts and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from server.auth.tokens import Tokens
from server.db import Database
from server.db.pool import Limits
from server.duplicates.finding import catch_up_aside
from server.http.authentication import Authentication
from server.http.endpoint import Serving
from server.http.lane import Lane
from server.http.load import Bounds, Load
from server.http.path import endpoints, layers
from server.http.problems import answer_http_exception
from server.live.live import Live, Timing
from server.metrics.exposition import Exposition
from server.metrics.live import gauge_listeners
from server.metrics.requests import RequestMetrics
from server.metrics.rooms import room_of
from server.routes import Parts, routes
from server.settings import Settings
from server.tenants.catching_up import CatchingUp
from server.tenants.counting import EntityCounts
from server.tenants.model import Tenant

T = TypeVar("T")


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs work as long as the block runs, then cancels it and waits for its end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _here(database: Database, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    return await work(database)


def _database(settings: Settings, dsn: str, size: int) -> Database:
    return Database(
        dsn,
        size=size,
        prepared_statements=settings.postgres_prepared_statements,
        limits=Limits(
            settings.statement_timeout_seconds, settings.lock_timeout_seconds, settings.postgres_wait_seconds
        ),
        tenants_per_connection=settings.postgres_tenants_per_connection,
    )


def build_app(
    settings: Settings,
    dsn: str,
    direct: str | None = None,
    *,
    timing: Timing | None = None,
    registry: CollectorRegistry | None = None,
) -> Starlette:
    """The server as an ASGI application on the database at `dsn`. The pool opens and closes with its lifespan.

    `direct` leads past any PgBouncer; the same as `dsn` where it is left out. `app.state.stopping` is to be called when
    the server is about to wait for the requests in flight: it ends those that would last. `registry` takes the metrics;
    one of its own where it is left out.
    """
    lanes = max(1, settings.postgres_pool_size * 2 // 5) if settings.postgres_pool_size > 1 else 0
    database = _database(settings, dsn, settings.postgres_pool_size - lanes)
    beside = [_database(settings, dsn, lanes)] if lanes else []
    lane = Lane(*beside) if beside else None
    registry = registry or CollectorRegistry()
    exposition = Exposition(registry, database, *beside)
    if settings.jwt_secret is None:
        raise ValueError("JWT_SECRET is missing")
    tokens = Tokens(settings.jwt_secret.get_secret_value())
    counts = EntityCounts(database)
    duplicates = CatchingUp(lane.run if lane else partial(_here, database), catch_up_aside)
    live = Live(database, direct or dsn, timing)
    gauge_listeners(exposition.gauges, live.hub)

    def wrote(tenant: Tenant) -> None:
        counts.mark(tenant)
        duplicates.mark(tenant)
        live.notifier.mark(tenant.id)

    serving = Serving(
        database=database,
        authentication=Authentication(database, tokens),
        max_body=settings.max_body_bytes,
        timeout_seconds=settings.request_timeout_seconds,
        public_url=settings.public_base_url,
        allowed_hosts=frozenset(settings.allowed_hosts),
        on_write=wrote,
        lane=lane,
        load=Load(
            Bounds(
                tenant_requests=settings.max_tenant_requests,
                listeners=settings.max_live_listeners,
                body_bytes=settings.max_bodies_bytes,
                one_body=settings.max_body_bytes,
                wait_seconds=settings.postgres_wait_seconds,
            )
        ),
    )
    parts = Parts(
        database=database,
        tokens=tokens,
        registry=registry,
        exposition=exposition,
        session_lifetime=timedelta(days=settings.session_days),
        bcrypt_cost=settings.bcrypt_cost,
        clock_tolerance=timedelta(seconds=settings.clock_tolerance_seconds),
        counts=counts,
        live=live.hub,
        metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
    )

    table = routes(parts)
    rooms = {(route.method, route.path): room_of(route.handler) for route in table}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            await running.enter_async_context(database)
            if lane is not None:
                await running.enter_async_context(lane)
            for work in (counts.run(), duplicates.run(), live.run(), exposition.run()):
                await running.enter_async_context(_beside(work))
            yield

    app = Starlette(
        routes=endpoints(table, serving),
        middleware=layers(RequestMetrics(registry, rooms), settings.cors_origins),
        exception_handlers={HTTPException: answer_http_exception},
        lifespan=lifespan,
    )
    # A redirect would lead to whatever host the request names.
    app.router.redirect_slashes = False
    app.state.stopping = live.hub.stop
    return app
