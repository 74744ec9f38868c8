"""`croft demo`."""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from server.cli.context import FAILED, complain, failures_told
from server.demo.expectation import Unexpected
from server.demo.narrator import Narrator
from server.demo.remote import Remote
from server.demo.story import FEWEST_HOUSEHOLDS, play
from server.first_run import SECRETS_FILE, prepare_home
from server.logs import escape_controls
from server.settings import Settings, load_settings

_WIDEST = 100


def demo(
    url: Annotated[
        str | None, typer.Option(help="The running server. Without it, HOST and PORT of the settings.")
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="E-mail address of an operator. Without it, ADMIN_EMAIL of the settings.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(help="The operator's password. Without it, ADMIN_PASSWORD of the settings or CROFT_HOME."),
    ] = None,
    households: Annotated[
        int, typer.Option(min=FEWEST_HOUSEHOLDS, help="How many households two phones register offline.")
    ] = 300,
) -> None:
    """Play the main job against a running server and tell what happens.

    Phones work offline and sync, edit the same record, register somebody twice; an old one, of the older dialect,
    brings a record late, a new one joins late and hears of news at once; a tenant next door sees none of it. All that
    is told is checked: the command ends with exit code 1 where the server does not behave. Each run makes two new
    tenants and touches no other; what the phones store goes with the run.
    """
    with failures_told():
        url = url or _url(load_settings(os.environ))
        email, password = _operator(email, password)
    console = _console()
    narrator = Narrator(console)
    try:
        with Remote(url) as remote:
            play(narrator, remote, email=email, password=password, households=households)
    except Unexpected as unexpected:
        _tell_failure(narrator, unexpected)
        raise typer.Exit(FAILED) from None


def _url(settings: Settings) -> str:
    """Where a server with these settings is reached from this machine."""
    if not settings.port:
        complain("PORT is 0, which is any free one: say with --url where the server is.")
        raise typer.Exit(FAILED)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _operator(email: str | None, password: str | None) -> tuple[str, str]:
    """The operator's e-mail address and password: what is given wins over the settings."""
    if email and password:
        return email, password
    settings = load_settings(os.environ)
    email = email or settings.admin_email
    if password is None and settings.admin_password is not None:
        password = settings.admin_password.get_secret_value()
    if password is None and (settings.croft_home / SECRETS_FILE).is_file():
        password = prepare_home(settings).admin_password.get_secret_value()
    if password is None:
        complain(
            f"The password of {email} is not known: no server was started with CROFT_HOME at {settings.croft_home}.",
            "Give --password, or set ADMIN_PASSWORD or CROFT_HOME as for the server.",
        )
        raise typer.Exit(FAILED)
    return email, password


def _console() -> Console:
    if hasattr(sys.stdout, "reconfigure"):
        # The names are written in many scripts; a terminal that has not all of them shows question marks.
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, emoji=False, markup=False)
    return console if console.width <= _WIDEST else Console(highlight=False, emoji=False, markup=False, width=_WIDEST)


def _tell_failure(narrator: Narrator, unexpected: Unexpected) -> None:
    told = Console(stderr=True, highlight=False, emoji=False, markup=False, soft_wrap=True)
    told.print()
    told.print(Text.assemble(("✗ ", "bold red"), (unexpected.what, "bold")))
    if narrator.title:
        told.print(f"  chapter   {narrator.title}")
    told.print(f"  expected  {unexpected.expected}")
    told.print(f"  found     {escape_controls(unexpected.found)}")
    if not narrator.title:
        told.print("  The demo needs a running server, which `croft serve` starts, and an operator's account on it.")
