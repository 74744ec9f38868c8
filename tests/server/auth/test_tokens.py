from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.tokens import Claims, Tokens, Use, key_id

ONE, OTHER, THIRD = (f"{word} secret of the tests, long enough" for word in ("one", "another", "a third"))
EVERY_USE = frozenset(Use)


def issue(tokens: Tokens, use: Use = Use.ACCESS, *, minutes: float = 10) -> str:
    at = datetime.now(UTC)
    claims = Claims(use, uuid4(), 3, uuid4())
    return tokens.issue(claims, 7, at=at, expires=at + timedelta(minutes=minutes))


def of_the_version_before(secret: str, **changes: object) -> str:
    """A token as it was before there were several keys."""
    now = datetime.now(UTC)
    claims = {"iss": "croft", "sub": "7", "sid": str(uuid4()), "iat": now, "exp": now + timedelta(days=1), **changes}
    return jwt.encode(claims, secret, algorithm="HS256")


@given(use=st.sampled_from(Use), session=st.uuids(), generation=st.integers(1, 2**31), token=st.none() | st.uuids())
def test_what_was_issued_is_read(use: Use, session: UUID, generation: int, token: UUID | None) -> None:
    tokens, claims, at = Tokens(ONE), Claims(use, session, generation, token), datetime.now(UTC)
    assert tokens.read(tokens.issue(claims, 7, at=at, expires=at + timedelta(minutes=1)), {use}) == claims


@pytest.mark.parametrize(("use", "wanted"), list(product(Use, Use)))
def test_token_of_one_use_is_none_for_another(use: Use, wanted: Use) -> None:
    tokens = Tokens(ONE)
    assert (tokens.read(issue(tokens, use), {wanted}) is not None) == (use is wanted)


@pytest.mark.parametrize("use", Use)
def test_all_but_refresh_tokens_expire_by_themselves(use: Use) -> None:
    tokens = Tokens(ONE)
    assert (tokens.read(issue(tokens, use, minutes=-1), EVERY_USE) is not None) == (use is Use.REFRESH)


def test_header_names_the_key_without_telling_it() -> None:
    header = jwt.get_unverified_header(issue(Tokens(ONE, [OTHER])))
    assert header["kid"] == key_id(ONE)
    assert len(header["kid"]) == 8
    assert header["alg"] == "HS256"


def test_secrets_change_one_after_the_other_and_every_token_holds() -> None:
    before, prepared, swapped, after = Tokens(ONE), Tokens(ONE, [OTHER]), Tokens(OTHER, [ONE]), Tokens(OTHER)
    # In each step some processes have taken it and others have not.
    for earlier, later in ((before, prepared), (prepared, swapped)):
        for signing, reading in product((earlier, later), repeat=2):
            assert reading.read(issue(signing), EVERY_USE)
    assert after.read(issue(swapped), EVERY_USE)
    assert after.read(issue(prepared), EVERY_USE) is None


def test_token_of_the_version_before_holds_and_is_a_sessions_long_one() -> None:
    tokens = Tokens(OTHER, [ONE])
    old = of_the_version_before(ONE)
    claims = tokens.read(old, EVERY_USE)
    assert claims is not None
    assert claims.use is Use.TOKEN
    assert Tokens(OTHER).read(old, EVERY_USE) is None


@pytest.mark.parametrize(
    ("kid", "claims"),
    [
        (None, {"use": "refresh"}),
        (None, {"use": "token"}),
        (key_id(ONE), {}),
        (key_id(ONE), {"use": "king"}),
        (key_id(ONE), {"use": ["access"]}),
        (key_id(ONE), {"use": "access", "gen": "many"}),
        (key_id(ONE), {"use": "access", "gen": [1]}),
        (key_id(ONE), {"use": "access", "sid": 7}),
        (key_id(ONE), {"use": "refresh", "jti": "no uuid"}),
        (key_id(ONE), {"use": "access", "exp": None}),
        (key_id(ONE), {"use": "access", "exp": "never"}),
        (key_id(ONE), {"use": "access", "iss": "another"}),
        (key_id(OTHER), {"use": "access"}),
        (key_id(THIRD), {"use": "access"}),
    ],
)
def test_token_that_no_version_issues_is_refused_though_a_key_signed_it(
    kid: str | None, claims: dict[str, object]
) -> None:
    whole = jwt.decode(of_the_version_before(ONE), options={"verify_signature": False}) | claims
    given = {name: value for name, value in whole.items() if value is not None}
    token = jwt.encode(given, ONE, algorithm="HS256", headers={"kid": kid} if kid else None)
    assert Tokens(ONE, [OTHER]).read(token, EVERY_USE) is None


@given(st.text() | st.binary().map(bytes.hex) | st.lists(st.text("ab.{}[]=-_", max_size=40)).map(".".join))
def test_anything_else_is_no_token(text: str) -> None:
    assert Tokens(ONE).read(text, EVERY_USE) is None


def test_no_secret_shows_in_what_is_printed() -> None:
    tokens = Tokens(ONE, [OTHER])
    assert ONE not in repr(tokens) + repr(vars(tokens))
