"""Writing down an act, in the transaction that does it: both happen or neither.

There is the operators' log, and one in each tenant's schema. An act takes its number and its link to the act before
under a lock on the log's head, held until the transaction ends. So an act comes last in a transaction: who waits for
the lock of something else while he holds that of a head makes everybody wait who has something to record. Of the two
heads the operators' is always locked first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from server.audit import queries
from server.audit.masking import content_of
from server.db.connection import Connection
from server.db.scope import Scope, scoped
from server.kit.call import Call
from server.kit.clock import utc_now

SYSTEM: Final = "system"
"""The account of what the server does by itself."""

COMMAND_LINE: Final = "command-line"
"""The account of whoever gives commands where the server runs."""


@dataclass(frozen=True, slots=True)
class Author:
    """On whose behalf something is done: the account as `Caller.account` has it, its session, its address.

    The account can also be a word, such as COMMAND_LINE or SYSTEM; who has no session has an empty one. `at` is when
    he began; the record has the time of the database.
    """

    account: str
    session_id: str = ""
    address: str = ""
    at: datetime = field(default_factory=utc_now, compare=False)


class Concerned(Protocol):
    """The tenant that an act is about."""

    @property
    def id(self) -> int: ...
    @property
    def scope(self) -> Scope: ...


def author_of(call: Call) -> Author:
    """The caller of a request."""
    return Author(call.caller.account, call.caller.session_id, call.address, call.at)


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

    To be called in an open transaction that may write, in whatever scope, after all else that takes locks; the scope is
    the same afterwards. `action` reads like `user.updated`, `subject` like `user:12`. before, after: what the act
    changed, as JSON can hold it; details: what else is to be known. What stands under the name of a secret is masked,
    but never put a password, a hash or another secret into them.
    """
    act = _Act(author, action, subject, content_of(details, before, after))
    await _to_operators(db, act, None if tenant is None else tenant.id)
    if tenant is not None:
        async with scoped(db, tenant.scope):
            await _to_present(db, act)


async def record_for_operators(
    db: Connection,
    author: Author,
    action: str,
    subject: str,
    *,
    tenant_id: int | None = None,
    before: Any = None,
    after: Any = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Adds an act to the operators' log alone, as `record` does: the tenant is gone, or is told something else."""
    await _to_operators(db, _Act(author, action, subject, content_of(details, before, after)), tenant_id)


async def record_inside(
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
    """Adds an act to a tenant's own log alone: that of the scope the transaction is in, or of the tenant given.

    In one transaction it comes after whatever goes to the operators' log. Who writes to the logs of several tenants has
    to have written to the operators' before: it is there that such transactions wait for each other.
    """
    act = _Act(author, action, subject, content_of(details, before, after))
    if tenant is None:
        await _to_present(db, act)
        return
    async with scoped(db, tenant.scope):
        await _to_present(db, act)


@dataclass(frozen=True, slots=True)
class _Act:
    author: Author
    action: str
    subject: str
    content: str


async def _to_operators(db: Connection, act: _Act, tenant_id: int | None) -> None:
    async with scoped(db, None):
        await _append(db, act, tenant_id)


async def _to_present(db: Connection, act: _Act) -> None:
    # A tenant whose schema waits for the migration that makes the log can be suspended or deleted all the same.
    if await queries.has_log(db):
        await _append(db, act, None)


async def _append(db: Connection, act: _Act, tenant_id: int | None) -> None:
    author = act.author
    await queries.append_act(
        db, author.account, author.session_id, author.address, act.action, act.subject, tenant_id, act.content
    )
