"""The command `croft`."""

from typing import Annotated

import typer

from server import __version__
from server.cli.audit import audit_app
from server.cli.demo import demo
from server.cli.imports import import_app
from server.cli.log_files import export_log, offer_log
from server.cli.migrate import migrate
from server.cli.persons import persons_app
from server.cli.secrets import secrets_app
from server.cli.serve import serve
from server.cli.tenants import tenants_app
from server.cli.users import users_app
from server.cli.verify import verify

app = typer.Typer(
    name="croft",
    help="A schema-per-tenant sync server for offline-first field data.\n\n"
    "Settings come from environment variables and a .env file; deploy/env.example lists them. "
    "Without POSTGRES, croft runs a database of its own in CROFT_HOME.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(migrate)
tenants_app.command()(verify)
tenants_app.command("export")(export_log)
tenants_app.command("offer")(offer_log)
app.add_typer(tenants_app, name="tenants")
app.add_typer(users_app, name="users")
app.add_typer(audit_app, name="audit")
app.add_typer(import_app, name="import")
app.add_typer(persons_app, name="persons")
app.add_typer(secrets_app, name="secrets")
app.command()(demo)


def main() -> None:
    """Runs the command that the program's arguments name."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"croft {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
