"""The SQL of authentication, on the shared schema."""

from uuid import UUID

from server.db.connection import Connection, Row
from server.tenants.model import TENANT_COLUMNS

_FIND_SESSION = f"""
SELECT u.id AS user_id, u.email, u.role AS user_role, m.role AS member_role,
       EXISTS (SELECT FROM retired_devices r
               WHERE r.config_id = t.config_id AND r.device_id = ANY($3)) AS retired,
       {TENANT_COLUMNS}
FROM sessions s
JOIN users u ON u.id = s.user_id
LEFT JOIN LATERAL (
    SELECT * FROM tenants WHERE (config_id = $2 OR id::text = $2) AND state <> 'deleted'
    ORDER BY config_id = $2 DESC LIMIT 1
) t ON true
LEFT JOIN memberships m ON m.user_id = u.id AND m.tenant_id = t.id
WHERE s.id = $1 AND s.expires_at > now()
"""


async def find_session(db: Connection, session_id: UUID, tenant: str | None, devices: list[str]) -> Row | None:
    """Session, user, tenant and membership in one statement; None for a session that is over.

    `tenant` is a config id or a tenant's number. Columns of the tenant are null where it is unknown.
    """
    return await db.fetchrow(_FIND_SESSION, session_id, tenant, devices)
