"""Grants by which an operator sees the data of a guarded tenant: with a reason, for a while, and on both records."""

from server.audit import Author, record
from server.db import Connection
from server.kit.problem import ProblemKind
from server.tenants.guarding import queries
from server.tenants.guarding.model import Grant, NewGrant
from server.tenants.model import Tenant

MOST_LISTED = 200

NOT_GUARDED = ProblemKind("break-glass.not-guarded", 409, "This tenant does not guard its data: no grant is needed.")
UNKNOWN_GRANT = ProblemKind("break-glass.unknown", 404, "There is no such grant.")


async def open_grant(db: Connection, tenant: Tenant, user_id: int, new: NewGrant, author: Author) -> Grant:
    """Lets an operator see the tenant's data for a while; a grant of his that is open is ended by it.

    The row of the tenant has to be locked. Raises `break-glass.not-guarded`.
    """
    if not tenant.is_guarded:
        raise NOT_GUARDED()
    ended = await queries.end_grants(db, tenant.id, user_id=user_id)
    grant = await queries.insert_grant(db, tenant.id, user_id, new.reason, new.minutes)
    await record_ends(db, tenant, author, ended)
    await record(
        db,
        author,
        "break-glass.opened",
        _subject(grant.id),
        tenant=tenant,
        details={"user": user_id, "email": grant.email, "reason": new.reason, "minutes": new.minutes},
    )
    return grant


async def end_grant(db: Connection, tenant: Tenant, grant_id: int, author: Author) -> None:
    """Ends a grant at once; one that is over stays as it is. Raises `break-glass.unknown`."""
    if await queries.lock_grant(db, tenant.id, grant_id) is None:
        raise UNKNOWN_GRANT()
    await record_ends(db, tenant, author, await queries.end_grants(db, tenant.id, grant_id=grant_id))


async def end_all(db: Connection, tenant: Tenant) -> list[int]:
    """Ends every grant for the tenant that is open, and gives their numbers for the record."""
    return await queries.end_grants(db, tenant.id)


async def record_ends(db: Connection, tenant: Tenant, author: Author, ended: list[int]) -> None:
    """Puts on record that these grants were ended."""
    for grant_id in ended:
        await record(db, author, "break-glass.ended", _subject(grant_id), tenant=tenant)


def _subject(grant_id: int) -> str:
    return f"break-glass:{grant_id}"
