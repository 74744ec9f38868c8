"""Writing down an act, in the transaction that does it: both happen or neither."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from server.audit.queries import insert_act
from server.db.connection import Connection
from server.db.scope import Scope, scoped
from server.kit.call import Call
from server.kit.strict_json import dump_json

SYSTEM: Final = "system"
"""The account of what the server does by itself."""


@dataclass(frozen=True, slots=True)
class Author:
    """On whose behalf something is done: the account as `Caller.account` has it, its session, its address.

    The account can also be a word, such as `command-line` or SYSTEM; who has no session has an empty one.
    """

    account: str
    session_id: str = ""
    address: str = ""


class Concerned(Protocol):
    """The tenant that an act is about."""

    @property
    def id(self) -> int: ...
    @property
    def scope(self) -> Scope: ...


def author_of(call: Call) -> Author:
    """The caller of a request."""
    return Author(call.caller.account, call.caller.session_id, call.address)


async def record(
    db: Connection,
    author: Author,
    action: str,
    subject: str,
    *,
    tenant: Concerned | None = None,
    before: Any = None,
    after: Any = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Adds an act to the operators' log, and to the tenant's own where it is about one.

    To be called in an open transaction, in whatever scope; the scope is the same afterwards. `action` reads like
    `user.updated`, `subject` like `user:12`. before, after: what the act changed, as JSON can hold it; details: what
    else is to be known. Never put a password, a hash or another secret into them.
    """
    kept: dict[str, Any] = dict(details or {})
    if before is not None:
        kept["before"] = before
    if after is not None:
        kept["after"] = after
    async with scoped(db, None):
        await insert_act(
            db, author.account, author.session_id, author.address, action, subject, dump_json(kept).decode()
        )
