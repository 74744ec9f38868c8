"""The accounts of the other server: their passwords go on, their rights are limited to the tenants taken over.

There, accounts belong to the whole server, and ADMIN may do everything. Here they become members of the tenants that
are taken over, and ADMIN the administrator of each, because whoever administered that server need not be trusted with
other organizations' tenants on this one. Operators are made of those alone whom this server's operator names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from server.audit import Author, record
from server.db import Connection, Database, scoped
from server.moving_in import queries
from server.moving_in.datacollect import queries as other
from server.moving_in.datacollect.mapping import UserRow, role_in, user_from
from server.moving_in.datacollect.reading import Source, read_row
from server.moving_in.datacollect.reasons import (
    BAD_EMAIL,
    BAD_HASH,
    KNOWN_EMAIL,
    NO_TENANT,
    NOT_OPERATOR,
    ODD_ROLE,
    SAME_EMAIL,
    UNREADABLE_ACCOUNT,
)
from server.moving_in.datacollect.report import Finding, Heading, Report
from server.tenants.model import Tenant
from server.tenants.queries import put_settings
from server.users.changes import create_user
from server.users.memberships import record_role
from server.users.model import ADMIN, NewUser, User, subject_of
from server.users.queries import find_user_by_email, lock_accounts, lock_tenants

MARK: Final = "taken-over"
"""The setting in a tenant's schema that says what was taken over into it."""

_CHUNK: Final = 100
_NO_LIMIT: Final = 0.0


class Access(StrEnum):
    """Which tenants a USER enters where the other server lets everybody enter all of them."""

    ALL = "all"
    SEEN = "seen"
    NONE = "none"


@dataclass(slots=True)
class Taken:
    """A tenant that was taken over, and what its schema says of it."""

    source_id: str
    tenant: Tenant
    mark: dict[str, Any]
    event_users: set[str] = field(default_factory=set)

    @property
    def accounts(self) -> set[int]:
        """The numbers, there, of the accounts that were dealt with for this tenant before."""
        return set(self.mark.get("accounts", ()))


@dataclass(frozen=True, slots=True)
class Rules:
    """How accounts are taken over. `operators` are e-mail addresses in small letters."""

    access: Access
    operators: frozenset[str]
    every_account: bool


async def read_users(source: Source, report: Report) -> list[UserRow]:
    """The accounts that can be taken over; the others are reported."""
    users = []
    for row in await source.ask(other.list_users):
        try:
            users.append(user_from(read_row(row["whole"])))
        except ValueError as fault:
            report.add(Finding(Heading.REFUSED, UNREADABLE_ACCOUNT, table="users", row=row["id"], detail=str(fault)))
    usable: list[UserRow] = []
    seen: set[str] = set()
    for user in users:
        if problem := _problem_of(user, seen):
            report.add(_about(user, Heading.REFUSED, problem))
            continue
        seen.add(user.email.lower())
        usable.append(user)
    return usable


def _problem_of(user: UserRow, seen: set[str]) -> str | None:
    if user.email.lower() in seen:
        return SAME_EMAIL
    if not user.has_usable_hash:
        return BAD_HASH
    try:
        NewUser(email=user.email, password="", role="USER")
    except ValidationError:
        return BAD_EMAIL
    return None


def roles_of(user: UserRow, tenants: Iterable[Taken], rules: Rules) -> dict[str, str]:
    """His roles by the config ids of the tenants."""
    roles: dict[str, str] = {}
    for taken in tenants:
        role = role_in(user, taken.source_id)
        if role and (user.is_admin or user.tenants is not None or _enters(user, taken, rules.access)):
            roles[taken.tenant.config_id] = role
    return roles


def _enters(user: UserRow, taken: Taken, access: Access) -> bool:
    return access is Access.ALL or (
        access is Access.SEEN and not taken.event_users.isdisjoint({user.email, str(user.id)})
    )


async def take_accounts(
    database: Database, users: Sequence[UserRow], tenants: Sequence[Taken], rules: Rules, author: Author, report: Report
) -> None:
    """Makes accounts and memberships; what was dealt with in a run before is left as it is by now."""
    _tell_of_operators(users, rules, report)
    for at in range(0, len(users), _CHUNK):
        chunk = [user for user in users[at : at + _CHUNK] if any(user.id not in each.accounts for each in tenants)]
        if not chunk:
            continue
        async with database.shared(patience=_NO_LIMIT) as db:
            await lock_accounts(db)
            # Before anything is recorded, which others wait for who hold a tenant already.
            await lock_tenants(db, [], [each.tenant.id for each in tenants])
            for user in chunk:
                await _Account(db, user, tenants, rules, author, report).take()
            await _mark(db, chunk, tenants)


async def _mark(db: Connection, users: Sequence[UserRow], tenants: Sequence[Taken]) -> None:
    for taken in tenants:
        taken.mark["accounts"] = sorted(taken.accounts | {user.id for user in users})
        async with scoped(db, taken.tenant.scope):
            await put_settings(db, {MARK: taken.mark})


@dataclass(frozen=True, slots=True)
class _Account:
    """One account on its way, in an open transaction on the shared schema."""

    db: Connection
    user: UserRow
    tenants: Sequence[Taken]
    rules: Rules
    author: Author
    report: Report

    async def take(self) -> None:
        new = [taken for taken in self.tenants if self.user.id not in taken.accounts]
        roles = roles_of(self.user, new, self.rules)
        known = await find_user_by_email(self.db, self.user.email)
        if known is not None:
            await self._add_to(known, roles, is_first=len(new) == len(self.tenants))
        elif len(new) == len(self.tenants) and (roles or self._is_operator or self.rules.every_account):
            await self._create(roles)

    @property
    def _is_operator(self) -> bool:
        return self.user.is_admin and self.user.email.lower() in self.rules.operators

    async def _create(self, roles: Mapping[str, str]) -> None:
        memberships = [{"configId": config_id, "role": role} for config_id, role in roles.items()]
        role = ADMIN if self._is_operator else "USER"
        new = NewUser.model_validate(
            {"email": self.user.email, "password": "", "role": role, "memberships": memberships}
        )
        await create_user(self.db, self.author, new, self.user.password_hash)
        self.report.counts[""]["accounts"] += 1
        if not roles and not self._is_operator:
            odd = self.user.role != "USER" and not self.user.is_admin
            self.report.add(_about(self.user, Heading.CHANGED, ODD_ROLE if odd else NO_TENANT))

    async def _add_to(self, known: User, roles: Mapping[str, str], *, is_first: bool) -> None:
        numbers = {taken.tenant.id: roles[taken.tenant.config_id] for taken in self.tenants if _has(roles, taken)}
        added = await queries.add_memberships(self.db, known.id, list(numbers), list(numbers.values()))
        if added:
            given = [{"tenantId": tenant_id, "role": numbers[tenant_id]} for tenant_id in sorted(added)]
            after = {"membershipsAdded": given}
            await record(self.db, self.author, "users.update", subject_of(known.id), after=after)
            for taken in sorted(self.tenants, key=lambda each: each.tenant.id):
                if (tenant := taken.tenant).id in added:
                    await record_role(self.db, self.author, tenant, known.id, before=None, after=numbers[tenant.id])
        if is_first:
            self.report.counts[""]["known accounts"] += 1
            self.report.add(_about(self.user, Heading.CHANGED, KNOWN_EMAIL))


def _has(roles: Mapping[str, str], taken: Taken) -> bool:
    return taken.tenant.config_id in roles


def _tell_of_operators(users: Sequence[UserRow], rules: Rules, report: Report) -> None:
    admins = {user.email.lower() for user in users if user.is_admin}
    for email in sorted(rules.operators - admins):
        report.add(
            Finding(Heading.REFUSED, NOT_OPERATOR, table="users", row=email, detail="is no ADMIN of that server")
        )


def _about(user: UserRow, heading: Heading, reason: str) -> Finding:
    return Finding(heading, reason, table="users", row=str(user.id), detail=user.email)
