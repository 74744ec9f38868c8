import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from server.oidc.keys import candidates, read_keys
from server.oidc.reading import ALGORITHMS
from tests.oidc_issuer import ec_key, jwk_of, rsa_key


def read(*keys: Any) -> list[str]:
    return [key.id for key in read_keys({"keys": list(keys)})]


def test_keys_for_signatures_are_read() -> None:
    edwards = jwt.algorithms.OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
    assert read(jwk_of(rsa_key(), "a"), jwk_of(ec_key(), "b"), {**edwards, "kid": "c"}) == ["a", "b", "c"]


def test_keys_for_anything_else_are_left_out() -> None:
    good = jwk_of(rsa_key(), "good")
    assert read({**good, "use": "enc"}, {**good, "key_ops": ["encrypt"]}) == []
    assert read({"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"}) == []
    assert read({**good, "n": "!!"}, {**good, "n": None}, {"kty": "RSA"}, {}, None, 7, good) == ["good"]


def test_private_parts_that_an_issuer_lets_slip_are_left_out() -> None:
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key()))
    [key] = read_keys({"keys": [{**private, "key_ops": ["verify"]}]})
    assert isinstance(key.public, rsa.RSAPublicKey)


def test_key_that_takes_long_to_check_with_is_left_out() -> None:
    numbers = rsa_key().public_key().public_numbers()
    slow = rsa.RSAPublicNumbers(2**40 + 1, numbers.n).public_key()
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    told = [jwt.algorithms.RSAAlgorithm.to_jwk(each, as_dict=True) for each in (slow, small)]
    assert read(*({**each, "kid": "x"} for each in told)) == []


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS | {"none", "HS256", ""}))
def test_key_fits_algorithms_of_its_kind_alone(algorithm: str) -> None:
    for key, families in ((rsa_key(), ("RS", "PS")), (ec_key(), ())):
        told = {name: value for name, value in jwk_of(key, "k").items() if name != "alg"}
        expected = algorithm.startswith(families) if families else algorithm == "ES256"
        assert bool(candidates(read_keys({"keys": [told]}), algorithm, "k")) == expected


def test_key_that_names_its_algorithm_is_for_no_other() -> None:
    keys = read_keys({"keys": [jwk_of(rsa_key(), "k")]})
    assert candidates(keys, "RS256", "k")
    assert not candidates(keys, "RS512", "k")
    assert not candidates(keys, "PS256", "k")


def test_number_of_keys_that_are_tried_is_bounded() -> None:
    keys = read_keys({"keys": [{**jwk_of(ec_key(), f"k{number}")} for number in range(200)]})
    assert len(keys) == 50
    assert len(candidates(keys, "ES256", None)) == 5


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}, "keys", 7])
def test_what_is_no_key_set_is_told_so(document: Any) -> None:
    with pytest.raises(ValueError, match="JWK set"):
        read_keys(document)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
members = st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops"])


@given(st.lists(st.dictionaries(members, anything), max_size=4))
def test_any_key_set_can_be_read(keys: list[dict[str, Any]]) -> None:
    assert all(
        isinstance(key.public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) for key in read_keys({"keys": keys})
    )
