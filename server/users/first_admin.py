"""The first administrator, made when an installation has none."""

from server.audit import Author, record
from server.audit.acts import SYSTEM
from server.auth.passwords import hash_password
from server.auth.queries import delete_sessions
from server.db import Database
from server.users import queries
from server.users.model import ADMIN, subject_of


async def ensure_admin(database: Database, email: str, password: str, *, cost: int) -> bool:
    """Creates the account with the role ADMIN if there is no ADMIN at all; answers whether it did.

    Several processes may do so at once: one of them creates it. An account that has the e-mail address already becomes
    ADMIN with this password. Raises ValueError for a password that bcrypt cannot take.
    """
    async with database.shared(readonly=True) as db:
        if await queries.count_admins(db):
            return False
    password_hash = await hash_password(password, cost=cost)
    async with database.shared() as db:
        await queries.lock_accounts(db)
        if await queries.count_admins(db):
            return False
        user_id = await queries.upsert_admin(db, email.strip(), password_hash)
        await delete_sessions(db, user_id)
        await record(
            db,
            Author(SYSTEM),
            "users.create",
            subject_of(user_id),
            after={"email": email.strip(), "role": ADMIN},
        )
    return True
