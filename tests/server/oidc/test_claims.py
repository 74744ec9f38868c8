from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.oidc.claims import claim_at, person_of, role_said
from server.oidc.model import RoleMapping

KNOWN = {"admin", "collector", "viewer"}
MAPPING = RoleMapping("realm_access.roles", (("head", "admin"), ("field", "collector"), ("odd", "nobody")), "viewer")


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (["field"], "collector"),
        (["field", "head"], "admin"),
        ("head", "admin"),
        (["other"], "viewer"),
        (["odd"], None),
        ([], "viewer"),
        (None, "viewer"),
        ([["head"], {"head": 1}, 7], "viewer"),
        ("head field", "viewer"),
    ],
)
def test_first_role_that_is_met_counts(roles: Any, expected: str | None) -> None:
    assert role_said(MAPPING, {"realm_access": {"roles": roles}}, KNOWN) == expected


def test_claim_is_found_by_its_whole_name_first() -> None:
    claims = {"https://croft.test/roles": ["a"], "a.b": 1, "a": {"b": 2, "c": {"d": 3}}}
    assert claim_at(claims, "https://croft.test/roles") == ["a"]
    assert claim_at(claims, "a.b") == 1
    assert claim_at(claims, "a.c.d") == 3
    assert claim_at(claims, "a.c.d.e") is None
    assert claim_at(claims, "x.y") is None


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["admin", "head", "field"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(json, st.dictionaries(st.text(max_size=5), json))
def test_nobody_gets_a_role_that_the_mapping_does_not_name(said: Any, more: dict[str, Any]) -> None:
    strict = RoleMapping("groups", (("field", "collector"),))
    role = role_said(strict, {**more, "groups": said}, KNOWN)
    is_met = said == "field" or (isinstance(said, list) and "field" in said)
    assert role == ("collector" if is_met else None)


@pytest.mark.parametrize("subject", [None, "", 7, ["amina"], "x" * 256, "a\0b", "a\ud800b", "a\nb", {}])
def test_whoever_has_no_proper_name_is_nobody(subject: Any) -> None:
    assert person_of("https://idp.test", {"sub": subject}) is None


addresses = st.sampled_from(["amina@idp.test", " a@b ", "a@\0", "amina"])


@given(
    st.fixed_dictionaries(
        {"sub": st.sampled_from(["amina", None]), "email": addresses},
        optional={"email_verified": json | st.sampled_from(["true", "false"]), "sid": json, "amr": json, "name": json},
    )
    | st.dictionaries(st.sampled_from(["sub", "email", "email_verified", "sid", "amr", "name"]), json)
)
def test_any_claims_can_be_read(claims: dict[str, Any]) -> None:
    person = person_of("https://idp.test", claims)
    if person is not None and person.email:
        assert claims["email_verified"] in (True, "true")
        assert person.email == claims["email"].strip()
