"""Who may do what, written down once more and by hand, for every permission and every kind of caller."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.call import Caller
from server.kit.problem import Problem
from server.roles.decision import acts_as_operator, is_allowed, refusal, require, rights_here, sight_of, sight_of_role
from server.roles.permissions import DESCRIPTIONS, OF_A_PHONE, OF_A_TENANT, ROLES, Permission, rights_of

# Without a mark: refused.   member of the tenant as …  admin  reviewer  collector  viewer  stranger
TABLE = """
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

ANYBODYS = {"public", "signed-in"}
INSTALLATION = {"tenants.manage", "users.manage", "installation.audit"}
OF_TENANTS = {line.split()[0] for line in TABLE.strip().splitlines()}
KEYS_TO_THE_HOUSE = {
    "config.write",
    "members.manage",
    "roles.manage",
    "service-accounts.manage",
    "security.manage",
    "persons.erase",
}
A_PHONES = {"config.read", "sync.push", "sync.pull"}

HELD: dict[str | None, set[str]] = {
    role: {line.split()[0] for line in TABLE.strip().splitlines() if line.split()[1 + column] == "x"}
    for column, role in enumerate(KINDS)
}


@dataclass(frozen=True)
class Kind:
    """What makes a caller what he is. `guard` of the tenant: 'none', 'closed' or, by a grant to him, 'open'."""

    role: str | None = None
    held: frozenset[str] = frozenset()
    is_operator: bool = False
    guard: str = "none"
    limit: frozenset[str] | None = None
    in_person: bool = True
    factor_missing: bool = False

    def caller(self) -> Caller:
        return Caller(
            account="7",
            account_id=7,
            email="who@croft.test",
            is_operator=self.is_operator,
            session_id="s",
            role=self.role,
            rights=rights_of(self.role, self.held),
            limited_to=self.limit,
            is_in_person=self.in_person,
            lacks_second_factor=self.factor_missing,
            lacks_grant=self.is_operator and self.guard == "closed",
            has_grant=self.is_operator and self.guard == "open",
        )

    def may(self) -> set[str]:
        """Every permission that is not refused: sets put together, where the decision asks one thing after another."""
        in_tenant = HELD[self.role] if self.role in KINDS else set(self.held) & OF_TENANTS
        by_power: set[str] = set()
        if self.is_operator and self.limit is None:
            opened = {"none": OF_TENANTS, "closed": set(), "open": OF_TENANTS - KEYS_TO_THE_HOUSE}
            by_power = INSTALLATION | opened[self.guard]
        asked = (in_tenant | by_power) & (INSTALLATION | OF_TENANTS if self.limit is None else set(self.limit))
        return ANYBODYS | ({"own-account"} if self.in_person else set()) | (set() if self.factor_missing else asked)


LIMITS: list[frozenset[str] | None] = [
    None,
    frozenset(),
    frozenset(A_PHONES),
    frozenset(OF_TENANTS),
    frozenset(OF_TENANTS | INSTALLATION),
    *(frozenset({name}) for name in sorted(OF_TENANTS | INSTALLATION)),
]


def every_kind() -> Iterator[Kind]:
    for role, operator, guard, limit, in_person, missing in product(
        KINDS, (False, True), ("none", "closed", "open"), LIMITS, (False, True), (False, True)
    ):
        yield Kind(role, frozenset(), operator, guard, limit, in_person, missing)


def allowed(caller: Caller) -> set[str]:
    return {permission.value for permission in Permission if is_allowed(caller, permission)}


def test_every_kind_of_caller_may_exactly_what_is_written_down() -> None:
    kinds = list(every_kind())
    assert len(kinds) > 3000
    differing = [(kind, allowed(kind.caller()) ^ kind.may()) for kind in kinds if allowed(kind.caller()) != kind.may()]
    assert not differing


kinds_of_own_roles = st.builds(
    Kind,
    role=st.sampled_from(["clerk", "Admin2", "supervisor"]),
    held=st.frozensets(st.sampled_from([*(each.value for each in Permission), "entities.destroy", "", "*"])),
    is_operator=st.booleans(),
    guard=st.sampled_from(["none", "closed", "open"]),
    limit=st.none() | st.frozensets(st.sampled_from([each.value for each in Permission])),
    in_person=st.booleans(),
    factor_missing=st.booleans(),
)


@given(kinds_of_own_roles)
def test_role_that_a_tenant_made_gives_what_it_holds_and_nothing_else(kind: Kind) -> None:
    assert allowed(kind.caller()) == kind.may()


@given(kinds_of_own_roles, st.frozensets(st.sampled_from([each.value for each in Permission])))
def test_nothing_that_narrows_a_caller_lets_him_do_more(kind: Kind, limit: frozenset[str]) -> None:
    least = allowed(kind.caller())
    for narrowed in (
        replace(kind, limit=limit if kind.limit is None else limit & kind.limit),
        replace(kind, factor_missing=True),
        replace(kind, in_person=False),
        replace(kind, is_operator=False),
        replace(kind, held=frozenset()),
        replace(kind, guard="closed"),
    ):
        assert allowed(narrowed.caller()) <= least


@given(kinds_of_own_roles)
def test_what_can_be_given_to_others_is_what_one_may_do_oneself(kind: Kind) -> None:
    assert {right.value for right in rights_here(kind.caller())} == kind.may() & OF_TENANTS


@given(kinds_of_own_roles)
def test_act_is_an_operators_where_without_his_power_it_would_be_refused(kind: Kind) -> None:
    as_member = replace(kind, is_operator=False).caller()
    for permission in OF_A_TENANT:
        caller = kind.caller()
        if is_allowed(caller, permission):
            assert acts_as_operator(caller, permission) is (not is_allowed(as_member, permission))


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", KINDS)
def test_require_raises_exactly_where_a_right_is_missing(permission: Permission, role: str | None) -> None:
    kind = Kind(role)
    if permission in kind.may():
        require(kind.caller(), permission)
    else:
        with pytest.raises(Problem) as refused:
            require(kind.caller(), permission)
        assert (refused.value.status, refused.value.code) == (403, "access.forbidden")


@pytest.mark.parametrize(
    ("kind", "permission", "code"),
    [
        (Kind("viewer"), "sync.push", "access.forbidden"),
        (Kind("admin"), "tenants.manage", "access.forbidden"),
        (Kind("admin", limit=frozenset(A_PHONES)), "entities.read", "access.forbidden"),
        (Kind("admin", in_person=False), "own-account", "access.own-login-needed"),
        (Kind("admin", factor_missing=True), "entities.read", "access.second-factor-needed"),
        (Kind(is_operator=True, factor_missing=True), "tenants.manage", "access.second-factor-needed"),
        (Kind(is_operator=True, guard="closed"), "entities.read", "access.break-glass-needed"),
        (Kind("viewer", is_operator=True, guard="closed"), "sync.push", "access.break-glass-needed"),
        (Kind(is_operator=True, guard="closed"), "security.manage", "access.guarded"),
        (Kind(is_operator=True, guard="open"), "members.manage", "access.guarded"),
        (Kind(is_operator=True, limit=frozenset(A_PHONES)), "sync.pull", "access.forbidden"),
    ],
)
def test_refusal_says_what_is_missing(kind: Kind, permission: str, code: str) -> None:
    problem = refusal(kind.caller(), Permission(permission))
    assert problem is not None
    assert (problem.status, problem.code) == (403, code)


def test_table_of_rights_names_every_permission_and_every_role() -> None:
    assert {each.value for each in Permission} == ANYBODYS | {"own-account"} | INSTALLATION | OF_TENANTS
    assert {each.value for each in OF_A_TENANT} == OF_TENANTS
    assert {each.value for each in OF_A_PHONE} == A_PHONES
    assert set(KINDS) - {None} == set(ROLES)
    assert {role: {each.value for each in held} for role, held in ROLES.items()} == {
        role: held for role, held in HELD.items() if role is not None
    }


def test_every_permission_of_a_tenant_is_described() -> None:
    assert DESCRIPTIONS.keys() == OF_A_TENANT
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())


@pytest.mark.parametrize("role", ROLES)
def test_built_in_role_is_what_it_is_whatever_a_tenant_stores_under_its_name(role: str) -> None:
    assert rights_of(role, ["security.manage"]) == ROLES[role]


# What is hidden

FORM_ROLES = {"household": ["Clerk", "viewer"], "medical": ["nurse"], "secret": []}


@pytest.mark.parametrize(
    ("role", "hidden"),
    [
        ("admin", set()),
        ("clerk", {"medical", "secret"}),
        ("CLERK", {"medical", "secret"}),
        ("nurse", {"household", "secret"}),
        ("viewer", {"medical", "secret"}),
        ("reviewer", {"household", "medical", "secret"}),
        (None, {"household", "medical", "secret"}),
    ],
)
def test_role_sees_the_forms_that_name_it_and_those_that_name_none(role: str | None, hidden: set[str]) -> None:
    assert sight_of_role(role, FORM_ROLES).hidden == hidden
    assert sight_of(Kind(role).caller(), FORM_ROLES).hidden == hidden


def test_operator_sees_every_form_unless_he_is_a_member_of_less() -> None:
    assert not sight_of(Kind(is_operator=True).caller(), FORM_ROLES).hidden
    assert sight_of(Kind("viewer", is_operator=True).caller(), FORM_ROLES).hidden == {"medical", "secret"}
