"""Making somebody known whom a provider means for the first time.

What a tenant's provider says counts in that tenant alone. Its config decides who the provider is, so a provider may
speak only for accounts that are the tenant's already, and for those that it brings into being itself; never for an
operator. Whose account was deleted is not brought back: the identity stays, without an account.
"""

import re
import secrets
from datetime import datetime
from typing import Final

from server.audit import Author, record
from server.auth.passwords import NO_PASSWORD
from server.db import Connection
from server.kit.problem import ProblemKind
from server.oidc import queries
from server.oidc.model import Person, Provider
from server.tenants.model import Tenant

NOT_ADMITTED = ProblemKind(
    "auth.not-admitted", 403, "The sign-in service knows you, but you have no account in this organization here."
)

_ADDRESS: Final = re.compile(r"[^@\s/]+@[^@\s/]+")
_MOST_OF_ADDRESS: Final = 250


async def admit(
    db: Connection, tenant: Tenant, provider: Provider, person: Person, *, role: str | None, at: datetime
) -> None:
    """Links the identity with the account that it means, or with a new one where the config allows that.

    To be called in a transaction on the shared schema. role: what a new account is to be in the tenant. Does nothing
    where somebody was just faster. Raises `auth.not-admitted`.
    """
    if not await queries.insert_identity(db, tenant.id, person.issuer, person.subject, at):
        return
    known = await queries.lock_member(db, tenant.id, person.email, person.issuer) if person.email else None
    user_id = known or await _new_account(db, tenant, provider, person, role)
    await queries.set_account(db, tenant.id, person.issuer, person.subject, user_id)
    await record(
        db,
        Author(str(user_id)),
        "identity.linked",
        f"user:{user_id}",
        tenant=tenant,
        details={"issuer": person.issuer, "subject": person.subject, "isNew": known is None},
    )


async def _new_account(db: Connection, tenant: Tenant, provider: Provider, person: Person, role: str | None) -> int:
    if not provider.creates_accounts or role is None:
        raise NOT_ADMITTED()
    user_id = await queries.insert_account(db, _own_address(person.email), NO_PASSWORD)
    await queries.insert_membership(db, user_id, tenant.id, role)
    return user_id


def _own_address(email: str) -> str:
    """An address that nobody has or will have, as long as it reads like the one that the provider tells.

    The real one is not the tenant's to give away: it would keep its owner from having an account elsewhere, and whether
    it was free would tell whether he has one.
    """
    is_fit = len(email) <= _MOST_OF_ADDRESS and _ADDRESS.fullmatch(email) is not None
    return f"{email if is_fit else 'somebody@provider'}.{secrets.token_hex(8)}.invalid"
