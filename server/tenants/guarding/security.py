"""What an organization asks for beyond the ordinary, and changing it."""

from server.audit import Author, record
from server.db import Connection
from server.kit.problem import FieldError, ProblemKind
from server.tenants.guarding import queries
from server.tenants.guarding.breaking_glass import end_all, record_ends
from server.tenants.guarding.model import Security, SecurityChange
from server.tenants.model import Tenant

NOBODY_TO_GUARD = ProblemKind(
    "tenants.nobody-to-guard", 409, "This tenant has no administrator of its own who could take the guard away again."
)


def security_of(tenant: Tenant) -> Security:
    """What the tenant asks for."""
    return Security(
        offlineDays=tenant.offline_days, secondFactorRequired=tenant.second_factor, guarded=tenant.is_guarded
    )


async def change_security(db: Connection, tenant: Tenant, change: SecurityChange, author: Author) -> Security:
    """Changes what the living tenant asks for, in the open transaction on the shared schema, on record.

    A guard that is put up or taken away ends all grants; one that is put up also the invitations that wait and were
    sent by somebody who is no member. The row of the tenant has to be locked. Raises `tenants.nobody-to-guard`.
    """
    before = security_of(tenant)
    given = change.model_dump(exclude_unset=True)
    after = before.model_copy(
        update={name: value for name, value in given.items() if value is not None or name == "offlineDays"}
    )
    if after == before:
        return after
    if after.guarded and not before.guarded and not await queries.has_administrator(db, tenant.id):
        raise NOBODY_TO_GUARD(errors=[FieldError("guarded", "make one of its members an administrator first")])
    await queries.update_security(
        db,
        tenant.id,
        offline_days=after.offlineDays,
        second_factor=after.secondFactorRequired,
        is_guarded=after.guarded,
    )
    ended = [] if after.guarded == before.guarded else await end_all(db, tenant)
    if after.guarded and not before.guarded:
        await queries.delete_invitations_of_outsiders(db, tenant.id)
    await record(
        db,
        author,
        "tenant.security-changed",
        tenant.subject,
        tenant=tenant,
        before=before.model_dump(),
        after=after.model_dump(),
    )
    await record_ends(db, tenant, author, ended)
    return after
