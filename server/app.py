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

from server.auth.last_seen import LastSeen
from server.auth.service_accounts import note_keys_seen
from server.auth.sessions import Lifetimes, Sessions
from server.auth.sessions.seeing import note_sessions_seen
from server.auth.tokens import Tokens
from server.conflicts.finding import note_conflicts
from server.db import Database
from server.db.pool import Limits
from server.duplicates.finding import catch_up_aside
from server.http.authentication import Authentication
from server.http.endpoint import Serving
from server.http.lane import Lane
from server.http.load import Bounds, Load
from server.http.path import endpoints, layers
from server.http.problems import answer_http_exception
from server.kit.mail_server import CONSOLE, parse_smtp_url
from server.live.live import Live, Timing
from server.mail import Outbox, Sender
from server.mail.console import ConsoleSender, NoSender
from server.mail.smtp import SmtpSender
from server.metrics.exposition import Exposition
from server.metrics.live import gauge_listeners
from server.metrics.requests import RequestMetrics
from server.metrics.rooms import room_of
from server.oidc.identification import TenantProviders
from server.outbound import Guard, Outbound
from server.outbound.addresses import networks_of
from server.persons.retention import Retention
from server.routes import Parts, routes
from server.settings import Settings
from server.tenants.catching_up import CatchingUp
from server.tenants.counting import EntityCounts
from server.tenants.model import Tenant
from server.users import sweeping
from server.users.mailing import Links, Mailing
from server.vault import Keyring

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


def keyring_of(settings: Settings) -> Keyring:
    """The keys that seal the secrets kept in the database. Raises ValueError where there is none."""
    if settings.encryption_key is None:
        raise ValueError("ENCRYPTION_KEY is missing")
    others = [key.get_secret_value() for key in settings.encryption_other_keys]
    return Keyring(settings.encryption_key.get_secret_value(), others)


def _mail_sender(settings: Settings) -> Sender:
    url = settings.smtp_url.get_secret_value() if settings.smtp_url else ""
    if url == CONSOLE or (not url and settings.uses_embedded_postgres):
        return ConsoleSender()
    return SmtpSender(parse_smtp_url(url), settings.mail_from) if url else NoSender()


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
    tokens = Tokens(
        settings.jwt_secret.get_secret_value(), [each.get_secret_value() for each in settings.jwt_other_secrets]
    )
    sessions = Sessions(
        tokens,
        Lifetimes(
            access=timedelta(minutes=settings.access_token_minutes),
            offline_days=settings.session_days,
            most=timedelta(days=settings.session_most_days),
        ),
    )
    sessions_seen = LastSeen(partial(note_sessions_seen, database))
    keys_seen = LastSeen(partial(note_keys_seen, database))
    keyring = keyring_of(settings)
    guard = Guard(networks_of(settings.outbound_private_networks))
    providers = TenantProviders(database, Outbound(guard), keyring, userinfo_issuers=settings.oidc_userinfo_issuers)
    outbox = Outbox(_mail_sender(settings))
    counts = EntityCounts(database)
    duplicates = CatchingUp(lane.run if lane else partial(_here, database), catch_up_aside)
    live = Live(database, direct or dsn, timing, operators_need_second_factor=settings.operators_need_second_factor)
    gauge_listeners(exposition.gauges, live.hub)

    def wrote(tenant: Tenant) -> None:
        counts.mark(tenant)
        duplicates.mark(tenant)
        live.notifier.mark(tenant.id)

    serving = Serving(
        database=database,
        authentication=Authentication(
            database,
            tokens,
            sessions_seen=sessions_seen,
            keys_seen=keys_seen,
            providers=providers,
            operators_need_second_factor=settings.operators_need_second_factor,
        ),
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
        sessions=sessions,
        keyring=keyring,
        mailing=Mailing(outbox, Links(settings.public_base_url)),
        providers=providers,
        registry=registry,
        exposition=exposition,
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
            works = (
                counts.run(),
                outbox.run(),
                sweeping.run(database),
                Retention(database, note_conflicts, wrote).run(),
                sessions_seen.run(),
                keys_seen.run(),
                duplicates.run(),
                live.run(),
                exposition.run(),
            )
            for work in works:
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
