"""`croft secrets …`: the secrets that are kept in the database, and the keys that they are sealed with."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from server.audit import COMMAND_LINE, Author
from server.cli.context import FAILED, complain, open_installation, tell
from server.cli.tables import tell_table
from server.keys.rotation import Progress, Rotated, Tally, rotate, tally
from server.keys.sealed_rows import KINDS
from server.vault import Keyring

secrets_app = typer.Typer(help="Encrypt the secrets in the database with another key.", no_args_is_help=True)


@secrets_app.command("status")
def show_status() -> None:
    """Tell how many secrets are encrypted with which key. The exit code is 1 when some cannot be opened."""
    asyncio.run(_status())


@secrets_app.command("rotate")
def rotate_secrets() -> None:
    """Encrypt everything with ENCRYPTION_KEY that is encrypted with one of ENCRYPTION_OTHER_KEYS, or not at all.

    Servers may go on serving. Stopped in the middle, run it again. The exit code is 1 when some secrets cannot be
    opened, or are left because servers still encrypt with another key.
    """
    asyncio.run(_rotate())


async def _status() -> None:
    async with open_installation() as installation:
        found = await tally(installation.database, installation.keyring)
        _tell(found, installation.keyring)
    if found.unreadable:
        raise typer.Exit(FAILED)


async def _rotate() -> None:
    async with open_installation() as installation:
        keyring = installation.keyring
        with _progress() as progress:
            done = await rotate(installation.database, keyring, Author(COMMAND_LINE), progress=progress)
        _tell_rotated(done)
        _tell(done.left, keyring)
        if not _is_finished(done, keyring):
            raise typer.Exit(FAILED)


def _tell_rotated(done: Rotated) -> None:
    if done.renewed:
        tell(f"Encrypted {done.renewed} rows anew.")
    elif not done.overtaken:
        tell("Nothing to do.")
    if done.overtaken:
        tell(f"{done.overtaken} rows were changed by others meanwhile and were left to them.")


def _is_finished(done: Rotated, keyring: Keyring) -> bool:
    left = done.left.outstanding(keyring.current)
    if left:
        complain(
            f"{left} secrets are encrypted with another key: does a server still run with it? Then run this again."
        )
    return not left and not done.left.unreadable


def _tell(found: Tally, keyring: Keyring) -> None:
    names = [kind.name for kind in KINDS]
    rows = [("KEY", *(name.upper() for name in names), "STATE")]
    for key_id in sorted({keyring.current, *found.key_ids}):
        counts = found.opening + found.missing + found.spoilt
        rows.append((key_id, *(str(counts[name, key_id]) for name in names), _state_of(key_id, found, keyring)))
    if found.plain.total():
        rows.append(
            ("none", *(str(found.plain[name]) for name in names), "not encrypted yet: run `croft secrets rotate`")
        )
    tell_table(rows)
    if found.unreadable:
        complain(f"{found.unreadable} secrets cannot be opened. deploy/runbooks/changing-keys.md says what to do.")


def _state_of(key_id: str, found: Tally, keyring: Keyring) -> str:
    if not keyring.has_key(key_id):
        return "missing: what it encrypted cannot be opened"
    spoilt = sum(n for (_, sealed_with), n in found.spoilt.items() if sealed_with == key_id)
    state = "ENCRYPTION_KEY" if key_id == keyring.current else "one of ENCRYPTION_OTHER_KEYS, still needed"
    return f"{state}, but {spoilt} are spoilt" if spoilt else state


@contextmanager
def _progress() -> Iterator[Progress]:
    """A line on standard error for each kind of secrets; none where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        tasks = {kind.name: bars.add_task(kind.name, total=None) for kind in KINDS}
        yield lambda name, seen, total: bars.update(tasks[name], completed=seen, total=total)
