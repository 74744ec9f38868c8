"""The application: what it is made of, and what starts and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from server.auth.tokens import Tokens
from server.db import Database
from server.db.pool import Limits
from server.http.endpoint import Serving
from server.http.path import endpoints, layers
from server.http.problems import answer_http_exception
from server.metrics.requests import RequestMetrics
from server.metrics.rooms import room_of
from server.routes import Parts, routes
from server.settings import Settings
from server.tenants.counting import EntityCounts


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


def build_app(settings: Settings, dsn: str) -> Starlette:
    """The server as an ASGI application on the database at `dsn`. The pool opens and closes with its lifespan."""
    database = Database(
        dsn,
        size=settings.postgres_pool_size,
        prepared_statements=settings.postgres_prepared_statements,
        limits=Limits(settings.statement_timeout_seconds, settings.lock_timeout_seconds),
    )
    registry = CollectorRegistry()
    if settings.jwt_secret is None:
        raise ValueError("JWT_SECRET is missing")
    tokens = Tokens(settings.jwt_secret.get_secret_value())
    counts = EntityCounts(database)
    serving = Serving(
        database=database,
        tokens=tokens,
        max_body=settings.max_body_bytes,
        timeout_seconds=settings.request_timeout_seconds,
        public_url=settings.public_base_url,
        allowed_hosts=frozenset(settings.allowed_hosts),
        on_write=counts.mark,
    )
    parts = Parts(
        database=database,
        tokens=tokens,
        registry=registry,
        session_lifetime=timedelta(days=settings.session_days),
        bcrypt_cost=settings.bcrypt_cost,
        clock_tolerance=timedelta(seconds=settings.clock_tolerance_seconds),
        counts=counts,
        metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
    )

    table = routes(parts)
    rooms = {(route.method, route.path): room_of(route.handler) for route in table}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with database, _beside(counts.run()):
            yield

    app = Starlette(
        routes=endpoints(table, serving),
        middleware=layers(RequestMetrics(registry, rooms), settings.cors_origins),
        exception_handlers={HTTPException: answer_http_exception},
        lifespan=lifespan,
    )
    # A redirect would lead to whatever host the request names.
    app.router.redirect_slashes = False
    return app
