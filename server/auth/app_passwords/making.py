"""Making app passwords, and finding the one that somebody shows."""

from datetime import datetime
from typing import Final

from server.auth.app_passwords import queries
from server.auth.app_passwords.model import AppPassword
from server.auth.codes import digest_of, make_code
from server.db import Connection
from server.kit.clock import utc_now

_GROUPS: Final = 4
_CHARACTERS: Final = 5
"""20 characters of 5 bits: 100 bits, which nobody finds by trying. So a quick digest is kept instead of a slow hash."""


def make_app_password() -> tuple[str, bytes]:
    """A new one, such as `7KQ30-ZVMA1-…`, and what is stored of it."""
    password = make_code(_GROUPS, _CHARACTERS)
    digest = digest_of(password, _GROUPS * _CHARACTERS)
    assert digest is not None
    return password, digest


async def find_app_password(
    db: Connection, email: str, password: str, at: datetime | None = None
) -> AppPassword | None:
    """The app password that somebody typed, in any case, with or without dashes, for the account at this address.

    None where there is none, or it is over. What cannot be one by its form is not looked up. `db` is on the shared
    schema.
    """
    digest = digest_of(password, _GROUPS * _CHARACTERS)
    if digest is None:
        return None
    row = await queries.find_by_digest(db, email.strip(), digest, at or utc_now())
    return AppPassword(row["id"], row["user_id"], row["password_hash"], row["second_factor"]) if row else None
