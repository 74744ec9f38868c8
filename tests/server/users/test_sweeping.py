"""What is cleared away although nobody asks for it."""

from uuid import uuid4

from server.auth.sessions.queries import EXPIRED_DAYS
from server.db import Database
from server.users.sweeping import sweep
from tests.conftest import Croft
from tests.mailbox import rows_of


async def test_sessions_that_were_over_long_ago_go_and_others_stay(fresh_croft: Croft) -> None:
    """Of accounts that nobody signs in to any more, too."""
    days = {uuid4(): -EXPIRED_DAYS - 1, uuid4(): -EXPIRED_DAYS + 1, uuid4(): 1}
    async with Database(fresh_croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            for session, ends_in in days.items():
                await db.execute(
                    "INSERT INTO sessions (id, user_id, expires_at) SELECT $1, id, now() + make_interval(days => $2)"
                    " FROM users",
                    session,
                    ends_in,
                )
        await sweep(database)
    left = {row["id"] for row in await rows_of(fresh_croft, "SELECT id FROM croft.sessions")}
    assert left & days.keys() == set(list(days)[1:])
