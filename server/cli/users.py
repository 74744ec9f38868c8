"""`croft users …`: what operators do with accounts at the command line, where no password is needed."""

import asyncio
from typing import Annotated

import typer

from server.audit import COMMAND_LINE, Author
from server.auth.passwords import check_password_rules, hash_password
from server.cli.context import open_installation, tell
from server.cli.tables import tell_table
from server.users import queries, second_factors
from server.users.changes import get_user, update_user
from server.users.memberships import memberships_of
from server.users.model import Page, UserChange

_AUTHOR = Author(COMMAND_LINE)

users_app = typer.Typer(help="List accounts, set their passwords and remove lost second factors.", no_args_is_help=True)


@users_app.command("list")
def list_users(
    search: Annotated[str, typer.Option(help="A part of the e-mail address.")] = "",
) -> None:
    """List accounts with their roles in tenants."""
    tell_table(asyncio.run(_list(search)))


@users_app.command("set-password")
def set_password(
    email: Annotated[str, typer.Argument(help="The account's e-mail address or number.")],
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from the first line of standard input.")] = False,
) -> None:
    """Give an account another password and end its sessions.

    The password is asked for twice and not shown.
    """
    asyncio.run(_set_password(email, stdin=stdin))


@users_app.command("reset-second-factor")
def reset_second_factor(
    email: Annotated[str, typer.Argument(help="The account's e-mail address or number.")],
) -> None:
    """Remove the second factor of an account, for somebody who lost it, and end the account's sessions.

    Sessions that were opened with an app password go on.
    """
    asyncio.run(_reset_second_factor(email))


async def _list(search: str) -> list[tuple[str, ...]]:
    async with open_installation() as installation, installation.database.shared(readonly=True) as db:
        users = await queries.list_users(db, search, "email", Page())
        memberships = await memberships_of(db, [user.id for user in users])
    rows: list[tuple[str, ...]] = [("E-MAIL", "NUMBER", "ROLE", "TENANTS")]
    for user in users:
        tenants = ", ".join(f"{each.configId} ({each.role})" for each in memberships[user.id])
        rows.append((user.email, str(user.id), user.role, tenants))
    return rows


async def _set_password(reference: str, *, stdin: bool) -> None:
    async with open_installation() as installation:
        async with installation.database.shared(readonly=True) as db:
            user = await get_user(db, reference)
        password = _from_stdin() if stdin else _asked()
        await check_password_rules(password, user.email)
        password_hash = await hash_password(password, cost=installation.settings.bcrypt_cost)
        async with installation.database.shared() as db:
            await update_user(db, _AUTHOR, str(user.id), UserChange(), password_hash, owns_database=True)
    tell(f"The password of {user.email} is set. Whoever was signed in with the account has to sign in again.")


async def _reset_second_factor(reference: str) -> None:
    async with open_installation() as installation, installation.database.shared() as db:
        user = await second_factors.reset_second_factor(db, _AUTHOR, reference)
    tell(f"The second factor of {user.email} is removed. The password alone opens the account until another is set up.")


def _from_stdin() -> str:
    return typer.get_text_stream("stdin").readline().rstrip("\r\n")


def _asked() -> str:
    answer: str = typer.prompt("New password", hide_input=True, confirmation_prompt="The same again", err=True)
    return answer
