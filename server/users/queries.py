"""The SQL of accounts, on the shared schema."""

from collections.abc import Sequence
from typing import Final

from server.db.connection import Connection, Row
from server.users.model import Page, User

_ACCOUNTS_LOCK: Final = 0x4143434F554E54  # "ACCOUNT"


async def lock_accounts(db: Connection) -> None:
    """Waits until no other transaction changes accounts and keeps others from it until this one ends.

    With it, what was read before a change (the number of ADMINs, a free e-mail address) still holds when it is made.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _ACCOUNTS_LOCK)


async def count_admins(db: Connection) -> int:
    """How many accounts have the role ADMIN."""
    return int(await db.fetchval("SELECT count(*) FROM users WHERE role = 'ADMIN'"))


async def find_user(db: Connection, user_id: int) -> User | None:
    """The account with this number."""
    return _user(await db.fetchrow("SELECT id, email, role FROM users WHERE id = $1", user_id))


async def find_user_by_email(db: Connection, email: str) -> User | None:
    """The account with this e-mail address, in any case."""
    return _user(await db.fetchrow("SELECT id, email, role FROM users WHERE lower(email) = lower($1)", email))


async def insert_user(db: Connection, email: str, password_hash: str, role: str) -> int:
    """Adds an account and returns its number."""
    sql = "INSERT INTO users (email, password_hash, role) VALUES ($1, $2, $3) RETURNING id"
    return int(await db.fetchval(sql, email, password_hash, role))


_UPSERT_ADMIN = """
INSERT INTO users (email, password_hash, role) VALUES ($1, $2, 'ADMIN')
ON CONFLICT (lower(email)) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role
RETURNING id
"""


async def upsert_admin(db: Connection, email: str, password_hash: str) -> int:
    """Adds an ADMIN, or makes the account with this e-mail address one with this password. Returns its number."""
    return int(await db.fetchval(_UPSERT_ADMIN, email, password_hash))


async def update_user(db: Connection, user: User, password_hash: str | None) -> None:
    """Writes e-mail address and role, and the hash unless it is None."""
    await db.execute(
        "UPDATE users SET email = $2, role = $3, password_hash = coalesce($4, password_hash) WHERE id = $1",
        user.id,
        user.email,
        user.role,
        password_hash,
    )


async def delete_user(db: Connection, user_id: int) -> None:
    """Removes an account with its memberships and sessions."""
    await db.execute("DELETE FROM users WHERE id = $1", user_id)


_MATCHES = "($1 = '' OR strpos(lower(email), lower($1)) > 0)"

_ORDERS: Final = {
    "id": "id",
    "-id": "id DESC",
    "email": "lower(email), id",
    "-email": "lower(email) DESC, id DESC",
    "role": "role, id",
    "-role": "role DESC, id DESC",
}


async def count_users(db: Connection, search: str) -> int:
    """How many accounts have `search` in their e-mail address, in any case; all of them for an empty one."""
    sql = f"SELECT count(*) FROM users WHERE {_MATCHES}"
    return int(await db.fetchval(sql, search))


async def list_users(db: Connection, search: str, sort: str, page: Page) -> list[User]:
    """One page of those that `count_users` counts. `sort` is id, email or role, with a minus for descending order."""
    order = _ORDERS[sort]
    sql = f"SELECT id, email, role FROM users WHERE {_MATCHES} ORDER BY {order} LIMIT $2 OFFSET $3"
    rows = await db.fetch(sql, search, page.limit, page.offset)
    return [User(row["id"], row["email"], row["role"]) for row in rows]


_LIST_MEMBERSHIPS = """
SELECT m.user_id, m.tenant_id, t.config_id, m.role
FROM memberships m JOIN tenants t ON t.id = m.tenant_id
WHERE m.user_id = ANY($1::bigint[]) AND t.state <> 'deleted'
ORDER BY t.config_id
"""


async def list_memberships(db: Connection, user_ids: Sequence[int]) -> list[Row]:
    """user_id, tenant_id, config_id and role of every membership of these accounts in a tenant that is not deleted."""
    return await db.fetch(_LIST_MEMBERSHIPS, list(user_ids))


_LOCK_TENANTS = """
SELECT id, config_id FROM tenants
WHERE (config_id = ANY($1::text[]) OR id = ANY($2::bigint[])) AND state <> 'deleted'
ORDER BY id
FOR SHARE
"""


async def lock_tenants(db: Connection, config_ids: Sequence[str], tenant_ids: Sequence[int]) -> list[Row]:
    """id and config_id of the tenants with one of these config ids or numbers, without deleted ones.

    None of them can be deleted until the transaction ends.
    """
    return await db.fetch(_LOCK_TENANTS, list(config_ids), list(tenant_ids))


_REPLACE_MEMBERSHIPS = """
INSERT INTO memberships (user_id, tenant_id, role)
SELECT $1, given.tenant_id, given.role FROM unnest($2::bigint[], $3::text[]) AS given (tenant_id, role)
"""


async def replace_memberships(db: Connection, user_id: int, roles: dict[int, str]) -> None:
    """Gives the account these roles, by tenants' numbers, and no others."""
    await db.execute("DELETE FROM memberships WHERE user_id = $1", user_id)
    await db.execute(_REPLACE_MEMBERSHIPS, user_id, list(roles), list(roles.values()))


def _user(row: Row | None) -> User | None:
    return User(row["id"], row["email"], row["role"]) if row else None
