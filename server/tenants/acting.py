"""Who acts on a tenant, and the record of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.audit import Author, record
from server.db import Connection
from server.kit.call import Call


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, when and from where. `account` is an account's number, or a word such as `command-line`."""

    account: str
    at: datetime
    session_id: str = ""
    address: str = ""

    async def record(self, db: Connection, action: str, subject: str, **details: Any) -> None:
        """Notes an act in the open transaction on the shared schema."""
        kept: Mapping[str, Any] = {name: value for name, value in details.items() if value is not None}
        await record(
            db,
            Author(self.account, self.session_id, self.address),
            action,
            subject,
            details=kept,
        )


def actor_of(call: Call) -> Actor:
    """The caller of a request."""
    return Actor(call.caller.account, call.at, call.caller.session_id, call.address)
