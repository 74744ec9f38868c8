"""Routes of a test's own, served through all layers by the server's own connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from starlette.applications import Starlette
from uvicorn.server import ServerState

from server.db import Database
from server.http import problems, request_log
from server.http.authentication import Authentication
from server.http.connection import Connection
from server.http.endpoint import Serving
from server.http.path import endpoints, layers
from server.http.route import Handler, Route
from server.metrics.requests import RequestMetrics
from server.roles.permissions import Permission

Serve = Callable[..., AbstractAsyncContextManager[tuple[str, int]]]


class Hasty(Connection):
    """As the server's own, but soon out of patience with who does not read."""

    stall_seconds = 0.3


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linter of imports, run by another test, silences every logger that it finds."""
    monkeypatch.setattr(problems.log, "disabled", False)
    monkeypatch.setattr(request_log.log, "disabled", False)


@pytest.fixture
def serve() -> Serve:
    """Serves one handler at `/`, to anybody: `async with serve(handler, **more of the route) as (host, port)`."""
    return _serve


@asynccontextmanager
async def _serve(
    handler: Handler, method: str = "GET", body: type[BaseModel] | None = None, **more: Any
) -> AsyncIterator[tuple[str, int]]:
    route = Route(
        method, "/", handler, Permission.PUBLIC, "Try", "tests", scope="none", tenant="none", body=body, **more
    )
    # No route that is open to anybody and has no scope asks for either.
    serving = Serving(cast(Database, None), cast(Authentication, None))
    app = Starlette(routes=endpoints([route], serving), middleware=layers(RequestMetrics(CollectorRegistry()), ["*"]))
    config = uvicorn.Config(app, http=Hasty, ws="none", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: Hasty(config, state, {}), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()
        for connection in list(state.connections):
            connection.transport.abort()
