"""Working on a tenant's tables themselves, which not every server is set up to do."""

from server.db import Connection
from server.db.installation import may_own
from server.kit.problem import ProblemKind
from server.tenants import queries

OWNER_NEEDED = ProblemKind(
    "tenants.owner-needed",
    403,
    "This server may not make tenants or change their tables: whoever administers it does that with `croft tenants`.",
)


async def owner_role(db: Connection) -> str:
    """The role that owns every tenant's schema and tables, for the login of this connection to step into.

    Raises tenants.owner-needed where the login may not.
    """
    owner = await queries.owner_role(db)
    if not await may_own(db, owner):
        raise OWNER_NEEDED()
    return owner
