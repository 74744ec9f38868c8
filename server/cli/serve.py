"""`croft serve`."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import AbstractAsyncContextManager, suppress
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from server.cli.context import FAILED, complain, database_of, failures_told
from server.db.embedded import MOST_CONNECTIONS, EmbeddedPostgres
from server.first_run import FirstRun, prepare_home
from server.logs import configure_logging
from server.settings import Settings, SettingsError, load_settings
from server.starting import Addresses, Server, bind, prepare, serving
from server.workers import WorkerFailed, Workers, workers_serving

_CONNECTIONS_OF_OTHERS = 13
"""What PostgreSQL keeps for its superuser, and room for commands beside the server."""


def serve(
    migrate: Annotated[
        bool, typer.Option("--migrate", help="First bring the schemas up to date. Always done without POSTGRES.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many processes serve; the setting WORKERS without it.")
    ] = None,
) -> None:
    """Start the server.

    Without POSTGRES, a database of its own is started in CROFT_HOME first, and the first administrator's password is
    made and shown. SIGTERM and Ctrl-C let requests in flight finish; a second one drops them.
    """
    with failures_told(), suppress(asyncio.CancelledError):
        settings = load_settings(os.environ)
        if workers is not None:
            settings = settings.model_copy(update={"workers": workers})
        _check_connections(settings)
        configure_logging(settings.log_level)
        uvloop.run(_serve(settings, migrate=migrate))


async def _serve(settings: Settings, *, migrate: bool) -> None:
    stopping = _Stopping()
    first_run = prepare_home(settings)
    bound = _bind(settings)
    try:
        async with database_of(settings, EmbeddedPostgres.start) as addresses:
            prepared = await prepare(first_run.settings, addresses, migrate=migrate or settings.uses_embedded_postgres)
            if prepared.admin_made and settings.admin_password is None:
                _show_password(first_run)
            async with _serving(first_run.settings, addresses, bound) as server:
                stopping.server = server
                print(f"Croft serves at {server.url}", file=sys.stderr, flush=True)
                await server.ended.wait()
    except WorkerFailed as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    finally:
        bound.close()


def _check_connections(settings: Settings) -> None:
    """Raises SettingsError where the workers could not have the connections they need."""
    size, most = settings.postgres_pool_size, MOST_CONNECTIONS - settings.workers - _CONNECTIONS_OF_OTHERS
    if settings.workers > 1 and size < 2 * settings.workers:
        raise SettingsError([f"POSTGRES_POOL_SIZE: must be at least 2 for each of {settings.workers} workers"])
    if settings.uses_embedded_postgres and size > most:
        raise SettingsError([f"POSTGRES_POOL_SIZE: must be at most {most} with the PostgreSQL that croft runs itself"])


def _serving(
    settings: Settings, addresses: Addresses, bound: socket.socket
) -> AbstractAsyncContextManager[Server | Workers]:
    """The server in this process, or in several others."""
    if settings.workers == 1:
        return serving(settings, addresses, bound)
    return workers_serving(settings, addresses, bound, settings.workers)


class _Stopping:
    """What SIGTERM and SIGINT do: end the preparations, or stop the server."""

    def __init__(self) -> None:
        self.server: Server | Workers | None = None
        self._task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            complain("Croft is stopping: requests in flight finish. Once more, and they are dropped.")
        elif self._task is not None:
            self._task.cancel()


def _bind(settings: Settings) -> socket.socket:
    try:
        return bind(settings)
    except OSError as error:
        complain(f"Croft cannot serve at {settings.host}:{settings.port}: {error.strerror}. Set HOST and PORT.")
        raise typer.Exit(FAILED) from None


def _show_password(first_run: FirstRun) -> None:
    told = Text.assemble(
        ("Croft made the first administrator.\n\n", "bold"),
        f"  E-mail    {first_run.settings.admin_email}\n",
        f"  Password  {first_run.admin_password.get_secret_value()}\n\n",
        f"It is shown this once. It is also in {first_run.secrets_file}, which only you can read.",
    )
    # Standard error, so that whatever collects the log from standard output does not get the password.
    Console(stderr=True, highlight=False).print(Panel(told, padding=(1, 2), expand=False))
