"""Who may do what, written down once more and by hand, for every permission and every kind of caller."""

from typing import get_args

import pytest

from server.kit.call import Caller
from server.kit.problem import Problem
from server.roles.decision import is_allowed, require
from server.roles.permissions import ROLES, Permission, rights_of
from server.users.model import MemberRole

# Without a mark: refused.   member of the tenant as …  admin  reviewer  collector  viewer  stranger
TABLE = """
public                                                     x       x         x        x        x
signed-in                                                  x       x         x        x        x
own-account                                                x       x         x        x        x
tenants.manage                                             -       -         -        -        -
users.manage                                               -       -         -        -        -
installation.audit                                         -       -         -        -        -
members.read                                               x       -         -        -        -
members.manage                                             x       -         -        -        -
roles.manage                                               x       -         -        -        -
service-accounts.manage                                    x       -         -        -        -
security.manage                                            x       -         -        -        -
audit.read                                                 x       -         -        -        -
persons.export                                             x       -         -        -        -
persons.erase                                              x       -         -        -        -
config.read                                                x       x         x        x        -
config.write                                               x       -         -        -        -
sync.push                                                  x       -         x        -        -
sync.pull                                                  x       x         x        -        -
external-sync.run                                          x       -         -        -        -
entities.read                                              x       x         x        x        -
duplicates.read                                            x       x         x        x        -
duplicates.settle                                          x       x         -        -        -
conflicts.read                                             x       x         x        x        -
conflicts.settle                                           x       x         -        -        -
quarantine.read                                            x       x         -        -        -
"""
KINDS: list[str | None] = ["admin", "reviewer", "collector", "viewer", None]

EXPECTED = {
    (Permission(line.split()[0]), role): mark == "x"
    for line in TABLE.strip().splitlines()
    for role, mark in zip(KINDS, line.split()[1:], strict=True)
}


def somebody(*, operator: bool, role: str | None) -> Caller:
    return Caller(
        account="7",
        account_id=7,
        email="who@croft.test",
        is_operator=operator,
        session_id="s",
        role=role,
        rights=rights_of(role, None),
    )


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", KINDS)
def test_member_has_exactly_the_rights_of_the_role(permission: Permission, role: str | None) -> None:
    assert is_allowed(somebody(operator=False, role=role), permission) is EXPECTED[permission, role]


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", KINDS)
def test_operator_has_every_right_whatever_the_role_in_the_tenant(permission: Permission, role: str | None) -> None:
    assert is_allowed(somebody(operator=True, role=role), permission)


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", KINDS)
def test_require_raises_exactly_where_a_right_is_missing(permission: Permission, role: str | None) -> None:
    caller = somebody(operator=False, role=role)
    if EXPECTED[permission, role]:
        require(caller, permission)
    else:
        with pytest.raises(Problem) as refused:
            require(caller, permission)
        assert (refused.value.status, refused.value.code) == (403, "access.forbidden")


def test_table_of_rights_names_every_permission_and_every_role() -> None:
    assert {permission for permission, _ in EXPECTED} == set(Permission)
    assert set(KINDS) - {None} == set(ROLES) == set(get_args(MemberRole))
