"""The SQL of invitations, on the shared schema."""

from datetime import datetime

from server.db.connection import Connection, Row
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from
from server.users.invitations.model import Invitation

_COLUMNS = "id, tenant_id, email, role, invited_by, inviter_id, invited_at, expires_at"

# The number of an inviter who is a member refers to the membership: when that ends, so do the invitations.
_UPSERT = f"""
INSERT INTO invitations (tenant_id, email, role, digest, invited_by, inviter_id, invited_at, expires_at)
VALUES ($1, $2, $3, $4, $5, (SELECT user_id FROM memberships WHERE tenant_id = $1 AND user_id = $6), $7, $8)
ON CONFLICT (tenant_id, lower(email)) DO UPDATE SET
    email = excluded.email, role = excluded.role, digest = excluded.digest, invited_by = excluded.invited_by,
    inviter_id = excluded.inviter_id, invited_at = excluded.invited_at, expires_at = excluded.expires_at
RETURNING {_COLUMNS}
"""


async def upsert_invitation(
    db: Connection,
    tenant_id: int,
    email: str,
    role: str,
    digest: bytes,
    *,
    invited_by: str,
    inviter_id: int,
    at: datetime,
    expires: datetime,
) -> Invitation:
    """Adds an invitation, in place of an earlier one of the tenant to this address."""
    row = await db.fetchrow(_UPSERT, tenant_id, email, role, digest, invited_by, inviter_id, at, expires)
    assert row is not None
    return _invitation(row)


async def count_invitations(db: Connection, tenant_id: int) -> int:
    """How many there are of the tenant, those that are over included."""
    return int(await db.fetchval("SELECT count(*) FROM invitations WHERE tenant_id = $1", tenant_id))


async def list_invitations(db: Connection, tenant_id: int, at: datetime) -> list[Invitation]:
    """Those of the tenant that can still be accepted, the newest first."""
    sql = f"SELECT {_COLUMNS} FROM invitations WHERE tenant_id = $1 AND expires_at > $2 ORDER BY invited_at DESC, id"
    return [_invitation(row) for row in await db.fetch(sql, tenant_id, at)]


async def delete_invitation(db: Connection, tenant_id: int, number: int) -> Invitation | None:
    """Removes one of the tenant's."""
    sql = f"DELETE FROM invitations WHERE tenant_id = $1 AND id = $2 RETURNING {_COLUMNS}"
    return _maybe(await db.fetchrow(sql, tenant_id, number))


async def find_invitation(db: Connection, digest: bytes, at: datetime) -> Invitation | None:
    """The invitation that a token is of, if it is not over."""
    return _maybe(
        await db.fetchrow(f"SELECT {_COLUMNS} FROM invitations WHERE digest = $1 AND expires_at > $2", digest, at)
    )


async def take_invitation(db: Connection, digest: bytes, at: datetime) -> Invitation | None:
    """The same, and removes it: of several who bring the token, one gets it."""
    sql = f"DELETE FROM invitations WHERE digest = $1 AND expires_at > $2 RETURNING {_COLUMNS}"
    return _maybe(await db.fetchrow(sql, digest, at))


async def lock_active_tenant(db: Connection, tenant_id: int) -> Tenant | None:
    """The tenant, unless it is suspended or deleted; it stays as it is until the transaction ends."""
    sql = f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE t.id = $1 AND t.state = 'active' FOR SHARE"
    row = await db.fetchrow(sql, tenant_id)
    return tenant_from(row) if row else None


async def find_inviters_role(db: Connection, tenant_id: int, inviter: int) -> str | None:
    """The role that the inviter has in the tenant; it stays the same until the transaction ends."""
    sql = "SELECT role FROM memberships WHERE tenant_id = $1 AND user_id = $2 FOR SHARE"
    role: str | None = await db.fetchval(sql, tenant_id, inviter)
    return role


async def insert_membership(db: Connection, user_id: int, tenant_id: int, role: str) -> bool:
    """Makes the account a member; False where it is one already, in whatever role."""
    sql = """
    INSERT INTO memberships (user_id, tenant_id, role) VALUES ($1, $2, $3)
    ON CONFLICT (user_id, tenant_id) DO NOTHING RETURNING true
    """
    return bool(await db.fetchval(sql, user_id, tenant_id, role))


async def delete_expired_invitations(db: Connection, at: datetime) -> None:
    """Clears away what is over."""
    await db.execute("DELETE FROM invitations WHERE expires_at <= $1", at)


def _invitation(row: Row) -> Invitation:
    return Invitation(**dict(row))


def _maybe(row: Row | None) -> Invitation | None:
    return _invitation(row) if row else None
