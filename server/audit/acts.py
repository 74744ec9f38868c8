"""Writing down an act, in the transaction that does it: both happen or neither."""

from collections.abc import Mapping
from typing import Any, Final

from server.audit.queries import insert_act
from server.db.connection import Connection
from server.kit.strict_json import dump_json

SYSTEM: Final = "system"
"""The actor of what the server does by itself."""


async def record(
    db: Connection,
    *,
    actor: str,
    session_id: str = "",
    address: str = "",
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Adds an act to the record, in the open transaction on the shared schema.

    `actor` is the account's number (`Caller.account`) or SYSTEM, `action` reads like `users.update`, `subject` like
    `user:12`. `details` is what JSON can hold; never put a password, a hash or another secret into it.
    """
    await insert_act(db, actor, session_id, address, action, subject, dump_json(dict(details or {})).decode())
