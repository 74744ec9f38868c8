"""The SQL of live listeners, on the shared schema."""

from collections.abc import Sequence
from uuid import UUID

from server.db import Connection
from server.db.connection import Row


async def list_standings(db: Connection, session_ids: Sequence[UUID], tenant_ids: Sequence[int]) -> list[Row]:
    """session_id, tenant_id, user_role, member_role and state of the tenant, for each pair of a session and a tenant.

    There is no row for a session that is over or a tenant that was deleted; member_role may be null.
    """
    return await db.fetch(
        """
        SELECT asked.session_id, asked.tenant_id, u.role AS user_role, m.role AS member_role, t.state
        FROM unnest($1::uuid[], $2::bigint[]) AS asked (session_id, tenant_id)
        JOIN sessions s ON s.id = asked.session_id AND s.expires_at > now()
        JOIN users u ON u.id = s.user_id
        JOIN tenants t ON t.id = asked.tenant_id AND t.state <> 'deleted'
        LEFT JOIN memberships m ON m.user_id = u.id AND m.tenant_id = t.id
        """,
        session_ids,
        tenant_ids,
    )
