"""The SQL of accounts, on the shared schema."""

from collections.abc import Sequence
from typing import Final

from server.db.connection import Connection, Row
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from
from server.users.model import Member, Page, User

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
SELECT id, config_id, guarded FROM tenants
WHERE (config_id = ANY($1::text[]) OR id = ANY($2::bigint[])) AND state <> 'deleted'
ORDER BY id
FOR SHARE
"""


async def lock_tenants(db: Connection, config_ids: Sequence[str], tenant_ids: Sequence[int]) -> list[Row]:
    """id, config_id and guarded of the tenants with one of these config ids or numbers, without deleted ones.

    None of them can be deleted or begin to be guarded until the transaction ends.
    """
    return await db.fetch(_LOCK_TENANTS, list(config_ids), list(tenant_ids))


_PUT_MEMBERSHIPS = """
INSERT INTO memberships (user_id, tenant_id, role)
SELECT $1, given.tenant_id, given.role FROM unnest($2::bigint[], $3::text[]) AS given (tenant_id, role)
ON CONFLICT (user_id, tenant_id) DO UPDATE SET role = excluded.role WHERE memberships.role <> excluded.role
"""


async def replace_memberships(db: Connection, user_id: int, roles: dict[int, str]) -> None:
    """Gives the account these roles, by tenants' numbers, and no others."""
    sql = "SELECT tenant_id FROM memberships WHERE user_id = $1 AND tenant_id <> ALL($2::bigint[])"
    await delete_memberships(db, user_id, [row["tenant_id"] for row in await db.fetch(sql, user_id, list(roles))])
    await db.execute(_PUT_MEMBERSHIPS, user_id, list(roles), list(roles.values()))


async def delete_memberships(db: Connection, user_id: int, tenant_ids: Sequence[int]) -> None:
    """Ends memberships, and what the tenants' identity providers opened for the account, now and later."""
    of_these = (user_id, list(tenant_ids))
    await db.execute("DELETE FROM memberships WHERE user_id = $1 AND tenant_id = ANY($2::bigint[])", *of_these)
    await db.execute("DELETE FROM sessions WHERE user_id = $1 AND tenant_id = ANY($2::bigint[])", *of_these)
    await db.execute(
        "UPDATE external_identities SET user_id = NULL WHERE user_id = $1 AND tenant_id = ANY($2::bigint[])", *of_these
    )


async def list_tenants(db: Connection, tenant_ids: Sequence[int]) -> list[Tenant]:
    """The tenants with these numbers, in their order."""
    sql = f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE t.id = ANY($1::bigint[]) ORDER BY t.id"
    return [tenant_from(row) for row in await db.fetch(sql, list(tenant_ids))]


async def is_member_of_guarded_tenant(db: Connection, user_id: int) -> bool:
    """Whether the account is a member of a tenant that guards its data; none begins to before the transaction ends."""
    rows = await db.fetch(
        """
        SELECT t.guarded FROM memberships m JOIN tenants t ON t.id = m.tenant_id
        WHERE m.user_id = $1 AND t.state <> 'deleted' FOR SHARE OF t
        """,
        user_id,
    )
    return any(row["guarded"] for row in rows)


# Members of one tenant

_MEMBER = "u.id, u.email, u.role = 'ADMIN' AS is_operator, m.role, m.created_at"

_MEMBERS = """
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.tenant_id = $1 AND ($2 = '' OR strpos(lower(u.email), lower($2)) > 0)
"""

_MEMBER_ORDERS: Final = {
    "email": "lower(u.email), u.id",
    "-email": "lower(u.email) DESC, u.id DESC",
    "role": "m.role, lower(u.email), u.id",
    "-role": "m.role DESC, lower(u.email) DESC, u.id DESC",
    "since": "m.created_at, u.id",
    "-since": "m.created_at DESC, u.id DESC",
}


async def lock_members(db: Connection, tenant_id: int) -> None:
    """Waits until nobody else changes or removes a member of the tenant as its member."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('croft.members', $1))", tenant_id)


async def count_members(db: Connection, tenant_id: int, search: str) -> int:
    """How many members of the tenant have `search` in their e-mail address, in any case."""
    return int(await db.fetchval(f"SELECT count(*) {_MEMBERS}", tenant_id, search))


async def list_members(
    db: Connection, tenant_id: int, search: str, sort: str, *, limit: int, offset: int
) -> list[Member]:
    """A page of those that `count_members` counts. `sort` is email, role or since, a minus turns the order round."""
    order = _MEMBER_ORDERS[sort]
    sql = f"SELECT {_MEMBER} {_MEMBERS} ORDER BY {order} LIMIT $3 OFFSET $4"
    return [_member(row) for row in await db.fetch(sql, tenant_id, search, limit, offset)]


async def find_member(db: Connection, tenant_id: int, *, user_id: int | None, email: str | None) -> Member | None:
    """The member of the tenant with this number or else e-mail address, in any case; the membership is locked."""
    row = await db.fetchrow(
        f"""
        SELECT {_MEMBER} FROM memberships m JOIN users u ON u.id = m.user_id
        WHERE m.tenant_id = $1 AND (u.id = $2 OR ($2 IS NULL AND lower(u.email) = lower($3)))
        FOR UPDATE OF m
        """,
        tenant_id,
        user_id,
        email,
    )
    return _member(row) if row else None


async def count_administrators(db: Connection, tenant_id: int) -> int:
    """How many members have the role admin."""
    sql = "SELECT count(*) FROM memberships WHERE tenant_id = $1 AND role = 'admin'"
    return int(await db.fetchval(sql, tenant_id))


async def set_member_role(db: Connection, tenant_id: int, user_id: int, role: str) -> None:
    """Gives a member another role."""
    sql = "UPDATE memberships SET role = $3 WHERE tenant_id = $1 AND user_id = $2"
    await db.execute(sql, tenant_id, user_id, role)


def _member(row: Row) -> Member:
    return Member(row["id"], row["email"], row["role"], row["created_at"], row["is_operator"])


def _user(row: Row | None) -> User | None:
    return User(row["id"], row["email"], row["role"]) if row else None
