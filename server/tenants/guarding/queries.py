"""The SQL of security settings and grants, on the shared schema."""

from server.db.connection import Connection, Row
from server.tenants.guarding.model import Grant


async def update_security(
    db: Connection, tenant_id: int, *, offline_days: int | None, second_factor: bool, is_guarded: bool
) -> None:
    """Writes what the tenant asks for."""
    await db.execute(
        "UPDATE tenants SET offline_days = $2, second_factor = $3, guarded = $4 WHERE id = $1",
        tenant_id,
        offline_days,
        second_factor,
        is_guarded,
    )


async def has_administrator(db: Connection, tenant_id: int) -> bool:
    """Whether a member of the tenant has the role admin."""
    sql = "SELECT EXISTS (SELECT FROM memberships WHERE tenant_id = $1 AND role = 'admin')"
    return bool(await db.fetchval(sql, tenant_id))


async def delete_invitations_of_outsiders(db: Connection, tenant_id: int) -> None:
    """Withdraws the tenant's invitations that were sent by accounts that are no members of it."""
    await db.execute("DELETE FROM invitations WHERE tenant_id = $1 AND inviter_id IS NULL", tenant_id)


_GRANT = "g.id, g.user_id, u.email, g.reason, g.granted_at, g.expires_at, g.ended_at"

_INSERT_GRANT = f"""
WITH g AS (
    INSERT INTO break_glass (tenant_id, user_id, reason, granted_at, expires_at)
    VALUES ($1, $2, $3, now(), now() + make_interval(mins => $4))
    RETURNING *
)
SELECT {_GRANT} FROM g LEFT JOIN users u ON u.id = g.user_id
"""


async def insert_grant(db: Connection, tenant_id: int, user_id: int, reason: str, minutes: int) -> Grant:
    """Opens a grant that begins now."""
    row = await db.fetchrow(_INSERT_GRANT, tenant_id, user_id, reason, minutes)
    assert row is not None
    return _grant(row)


async def list_grants(db: Connection, tenant_id: int, limit: int) -> list[Grant]:
    """The latest grants of the tenant, the newest first."""
    rows = await db.fetch(
        f"""
        SELECT {_GRANT} FROM break_glass g LEFT JOIN users u ON u.id = g.user_id
        WHERE g.tenant_id = $1 ORDER BY g.id DESC LIMIT $2
        """,
        tenant_id,
        limit,
    )
    return [_grant(row) for row in rows]


async def lock_grant(db: Connection, tenant_id: int, grant_id: int) -> Grant | None:
    """The tenant's grant with this number, which nobody else ends meanwhile."""
    row = await db.fetchrow(
        f"""
        SELECT {_GRANT} FROM break_glass g LEFT JOIN users u ON u.id = g.user_id
        WHERE g.tenant_id = $1 AND g.id = $2 FOR UPDATE OF g
        """,
        tenant_id,
        grant_id,
    )
    return _grant(row) if row else None


async def end_grants(
    db: Connection, tenant_id: int, *, user_id: int | None = None, grant_id: int | None = None
) -> list[int]:
    """Ends what is open of the tenant's grants: all, those of one account, or one. Gives the numbers of these."""
    rows = await db.fetch(
        """
        UPDATE break_glass SET ended_at = now()
        WHERE tenant_id = $1 AND ended_at IS NULL AND expires_at > now()
          AND ($2::bigint IS NULL OR user_id = $2) AND ($3::bigint IS NULL OR id = $3)
        RETURNING id
        """,
        tenant_id,
        user_id,
        grant_id,
    )
    return sorted(row["id"] for row in rows)


def _grant(row: Row) -> Grant:
    return Grant(
        id=row["id"],
        user_id=row["user_id"],
        email=row["email"],
        reason=row["reason"],
        granted_at=row["granted_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )
