"""What every command starts from: the settings, the database, and failures told in words."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import asyncpg
import typer

from server.app import keyring_of
from server.db import Database
from server.db.embedded import EmbeddedPostgres, EmbeddedPostgresError
from server.db.installation import InstallerNeeded
from server.db.pool import Limits
from server.first_run import prepare_home
from server.kit.problem import Problem
from server.logs import escape_controls
from server.settings import Settings, SettingsError, load_settings
from server.starting import Addresses, NotInstalled
from server.vault import Keyring

FAILED = 1
WRONG_SETTINGS = 2

_UNREACHABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)


@dataclass(frozen=True, slots=True)
class Installation:
    """What an operator's command works on. The pool of `database` is open."""

    settings: Settings
    addresses: Addresses
    database: Database
    keyring: Keyring


@asynccontextmanager
async def open_installation() -> AsyncIterator[Installation]:
    """The installation that the environment describes, for the time of one command.

    The embedded PostgreSQL is the one of a running server, or is started for the command and stopped after it. What
    goes wrong inside is told on standard error and ends the command: wrong settings with exit code 2, a Problem or a
    database that cannot be reached with 1.
    """
    with failures_told():
        settings = prepare_home(load_settings(os.environ)).settings
        async with database_of(settings, EmbeddedPostgres.attach_or_start) as addresses:
            limits = Limits(settings.statement_timeout_seconds, settings.lock_timeout_seconds)
            async with Database(
                # Past any PgBouncer, and as the login that may make tenants where that is another one.
                addresses.direct,
                size=settings.postgres_pool_size,
                prepared_statements=settings.postgres_prepared_statements,
                limits=limits,
            ) as database:
                yield Installation(settings, addresses, database, keyring_of(settings))


@asynccontextmanager
async def database_of(settings: Settings, begin: Callable[[EmbeddedPostgres], None]) -> AsyncIterator[Addresses]:
    """The addresses of POSTGRES; or those of the embedded one, which `begin` starts and which is stopped afterwards."""
    serving, direct = settings.postgres, settings.direct_dsn
    if serving is not None and direct is not None:
        yield Addresses(serving.get_secret_value(), direct.get_secret_value())
        return
    postgres = EmbeddedPostgres(settings.croft_home)
    try:
        await _to_the_end(lambda: begin(postgres))
        yield Addresses(postgres.dsn(), postgres.dsn())
    finally:
        await _to_the_end(postgres.stop)


@contextmanager
def failures_told() -> Iterator[None]:
    """Tells on standard error, in words, what an operator can mend, and ends the command. Other errors pass."""
    try:
        yield
    except SettingsError as error:
        complain("Croft cannot start with these settings:", *(f"  {problem}" for problem in error.problems))
        raise typer.Exit(WRONG_SETTINGS) from None
    except InstallerNeeded as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except NotInstalled as error:
        complain(str(error), "Run `croft migrate`, or start with `croft serve --migrate`.")
        raise typer.Exit(FAILED) from None
    except Problem as problem:
        places = (f"{error.path}: {error.message}" for error in problem.errors)
        complain(problem.detail, *(f"  {place}" for place in places if place not in problem.detail))
        raise typer.Exit(FAILED) from None
    except EmbeddedPostgresError as error:
        complain(*str(error).splitlines())
        raise typer.Exit(FAILED) from None
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError):
        complain("This database holds no Croft yet. Run `croft migrate`, or start `croft serve`.")
        raise typer.Exit(FAILED) from None
    except (*_UNREACHABLE, OSError) as error:
        complain(f"The database cannot be reached: {error}" if _is_connecting(error) else str(error))
        raise typer.Exit(FAILED) from None


def complain(*lines: str) -> None:
    """Writes lines to standard error; what in them could steer a terminal is written as its number."""
    for line in lines:
        print(escape_controls(line), file=sys.stderr)


def tell(*lines: str) -> None:
    """Writes lines to standard output; what in them could steer a terminal is written as its number."""
    for line in lines:
        print(escape_controls(line))


def _is_connecting(error: BaseException) -> bool:
    return isinstance(error, (*_UNREACHABLE, ConnectionError, TimeoutError))


async def _to_the_end(work: Callable[[], None]) -> None:
    """Runs blocking work in a thread and waits for it, cancelled or not: half-started cannot be stopped."""
    thread = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise
