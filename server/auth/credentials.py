"""What ends when an account gets another password."""

from server.auth.app_passwords.queries import delete_all
from server.auth.mailed_tokens.queries import delete_tokens_of
from server.auth.queries import delete_sessions
from server.db import Connection


async def end_credentials(db: Connection, user_id: int, *, but: str | None = None) -> None:
    """Ends all that opens the account besides its new password: sessions except `but`, app passwords, mailed tokens.

    Of who may have been in it, nobody stays; what waits on a phone stays there until it is signed in again.
    """
    await delete_sessions(db, user_id, but=but)
    await delete_all(db, user_id)
    await delete_tokens_of(db, user_id)
