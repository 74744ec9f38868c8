"""Tokens that were stolen, altered, made up, or used for what they are not."""

import base64
import json
from typing import Any
from uuid import uuid4

import jwt
import pytest

from server.auth.tokens import key_id
from tests.conftest import PASSWORD, Croft
from tests.server.auth.sessions.signing import Device, claims_of, device_of, new_account, refused, renew, stored


async def victim(croft: Croft) -> Device:
    """A device of a new account, signed in."""
    return await device_of(croft, (await new_account(croft))[1])


async def shown(croft: Croft, token: str) -> Any:
    """What the server answers to a request with the token."""
    return await croft.client().get("/api/users/me", headers={"Authorization": f"Bearer {token}"})


def part(value: Any) -> str:
    """A part of a token, as it is written."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_replayed_refresh_token_ends_the_session_of_thief_and_owner(croft: Croft) -> None:
    device = await victim(croft)
    thief = device.copy()
    assert (await thief.renew()).status_code == 200
    assert (await thief.ask()).status_code == 200
    assert refused(await device.renew(), "auth.refresh-reused")
    assert refused(await thief.ask(), "auth.required")
    assert refused(await thief.renew(), "auth.required")


@pytest.mark.parametrize("rotations", [2, 3])
async def test_stolen_refresh_token_from_long_ago_ends_the_session(croft: Croft, rotations: int) -> None:
    device = await victim(croft)
    thief = device.copy()
    for _ in range(rotations):
        # Even where nothing of the newest was used, what lies further back has no grace.
        assert (await device.renew()).status_code == 200
    assert refused(await thief.renew(), "auth.refresh-reused")
    assert refused(await device.ask(), "auth.required")


async def test_refresh_token_is_no_access_token_and_the_other_way_round(croft: Croft) -> None:
    device = await victim(croft)
    old = (await croft.signed_in(device.email)).headers["authorization"].removeprefix("Bearer ")
    assert refused(await shown(croft, device.refresh), "auth.required")
    for token in (device.access, old):
        assert refused(await renew(croft.client(), token), "auth.required")
    assert (await device.renew()).status_code == 200


async def test_bearer_token_is_no_cookie(croft: Croft) -> None:
    device = await victim(croft)
    old = (await croft.signed_in(device.email)).headers["authorization"].removeprefix("Bearer ")
    for token in (device.access, device.refresh, old):
        answer = await croft.client().get("/api/users/me", headers={"Cookie": f"__Host-croft-session={token}"})
        assert refused(answer, "auth.required")


async def test_token_of_a_cookie_is_no_bearer_token(croft: Croft) -> None:
    _, email = await new_account(croft)
    answer = await croft.client().post("/api/v2/auth/browser", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    cookies = [each.partition(";")[0] for each in answer.headers.get_list("set-cookie")]
    [cookie] = [each for each in cookies if each.startswith("__Host-croft-session=")]
    assert (await croft.client().get("/api/users/me", headers={"Cookie": cookie})).status_code == 200
    token = cookie.partition("=")[2]
    assert refused(await shown(croft, token), "auth.required")
    assert refused(await renew(croft.client(), token), "auth.required")


def resigned(croft: Croft, token: str, changes: dict[str, Any] | None = None, **header: Any) -> str:
    """The token with other claims or another header, signed with the server's own secret."""
    assert croft.settings.jwt_secret is not None
    secret = croft.settings.jwt_secret.get_secret_value()
    return jwt.encode(claims_of(token) | (changes or {}), secret, algorithm="HS256", headers=header or None)


@pytest.mark.parametrize("use", ["token", "browser", "refresh", "admin", "", None, ["access"], {"access": 1}, 1])
async def test_access_token_that_says_to_be_something_else_is_refused(croft: Croft, use: Any) -> None:
    device = await victim(croft)
    assert croft.settings.jwt_secret is not None
    kid = key_id(croft.settings.jwt_secret.get_secret_value())
    assert (await shown(croft, resigned(croft, device.access, kid=kid))).status_code == 200
    assert refused(await shown(croft, resigned(croft, device.access, {"use": use}, kid=kid)), "auth.required")


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "00000000",
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "1; SELECT pg_sleep(9)",
        "http://127.0.0.1:1/key",
        "\0",
        "|/bin/true",
        "é" * 60,
        key_id("a secret of another installation, long enough"),
    ],
)
async def test_kid_injection_selects_no_key(croft: Croft, kid: str) -> None:
    device = await victim(croft)
    assert refused(await shown(croft, resigned(croft, device.access, kid=kid)), "auth.required")
    # Nor with the key that such a name may be hoped to lead to.
    for key in ("", "\0", kid.ljust(32, "\0")):
        forged = ".".join((part({"alg": "HS256", "kid": kid}), part(claims_of(device.access))))
        signature = jwt.get_algorithm_by_name("HS256").sign(forged.encode(), key.encode())
        assert refused(await shown(croft, f"{forged}.{part(signature)}"), "auth.required")
    assert (await device.ask()).status_code == 200


@pytest.mark.parametrize("kid", [7, None, ["a"], {"a": "b"}, True])
async def test_kid_that_is_no_text_is_refused(croft: Croft, kid: Any) -> None:
    device = await victim(croft)
    _, claims, signature = device.access.split(".")
    forged = f"{part({'alg': 'HS256', 'kid': kid})}.{claims}.{signature}"
    assert refused(await shown(croft, forged), "auth.required")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AA"])
async def test_unsigned_token_is_refused(croft: Croft, alg: str, signature: str) -> None:
    device = await victim(croft)
    for token in (device.access, device.refresh):
        header = jwt.get_unverified_header(token) | {"alg": alg}
        forged = f"{part(header)}.{part(claims_of(token))}.{signature}"
        assert refused(await shown(croft, forged), "auth.required")
        assert refused(await renew(croft.client(), forged), "auth.required")
    assert (await device.renew()).status_code == 200


@pytest.mark.parametrize("alg", ["HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "dir"])
async def test_token_that_names_another_algorithm_is_refused(croft: Croft, alg: str) -> None:
    device = await victim(croft)
    header = jwt.get_unverified_header(device.access) | {"alg": alg}
    content = f"{part(header)}.{device.access.split('.')[1]}"
    assert croft.settings.jwt_secret is not None
    secret = croft.settings.jwt_secret.get_secret_value().encode()
    for name in ("HS256", alg if alg.startswith("HS") else "HS256"):
        signature = jwt.get_algorithm_by_name(name).sign(content.encode(), secret)
        assert refused(await shown(croft, f"{content}.{part(signature)}"), "auth.required")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "jwk": {"kty": "oct", "k": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"}},
        {"alg": "HS256", "jku": "http://127.0.0.1:1/keys"},
        {"alg": "HS256", "x5u": "http://127.0.0.1:1/keys"},
        {"alg": "HS256", "crit": ["kid"]},
        {"alg": "HS256", "b64": False},
    ],
)
async def test_header_that_brings_its_own_key_is_refused(croft: Croft, header: dict[str, Any]) -> None:
    device = await victim(croft)
    content = f"{part(header)}.{part(claims_of(device.access))}"
    signature = jwt.get_algorithm_by_name("HS256").sign(content.encode(), b"A" * 32)
    assert refused(await shown(croft, f"{content}.{part(signature)}"), "auth.required")


@pytest.mark.parametrize("depth", [100, 1500, 20_000])
async def test_header_nested_without_end_is_refused(croft: Croft, depth: int) -> None:
    header = part(b'{"alg":' + b"[" * depth + b"]" * depth + b"}")
    answer = await shown(croft, f"{header}.{part({})}.AA")
    # Headers of a request that are too long do not even come to be looked at.
    assert answer.status_code in (401, 431, 400)
    assert refused(await renew(croft.client(), f"{header}.e30.AA"[:2000]), "auth.required")


async def test_token_of_another_session_number_reaches_no_account(croft: Croft) -> None:
    device = await victim(croft)
    assert croft.settings.jwt_secret is not None
    kid = key_id(croft.settings.jwt_secret.get_secret_value())
    forged = resigned(croft, device.access, {"sid": str(uuid4())}, kid=kid)
    assert refused(await shown(croft, forged), "auth.required")
    # Whose session it is, the session says.
    other = resigned(croft, device.access, {"sub": "1"}, kid=kid)
    assert (await shown(croft, other)).json()["email"] == device.email


async def test_access_token_that_is_over_is_refused_while_its_session_lasts(croft: Croft) -> None:
    device = await victim(croft)
    assert croft.settings.jwt_secret is not None
    kid = key_id(croft.settings.jwt_secret.get_secret_value())
    over = resigned(croft, device.access, {"exp": claims_of(device.access)["iat"] - 1}, kid=kid)
    assert refused(await shown(croft, over), "auth.required")
    assert (await device.ask()).status_code == 200


async def test_altered_tokens_change_nothing(croft: Croft) -> None:
    user_id, email = await new_account(croft)
    device = await device_of(croft, email)
    header, _, signature = device.refresh.split(".")
    for changes in ({"gen": 2}, {"jti": str(uuid4())}, {"use": "access"}):
        forged = f"{header}.{part(claims_of(device.refresh) | changes)}.{signature}"
        assert refused(await renew(croft.client(), forged), "auth.required")
    [session] = await stored(croft, user_id)
    assert session["generation"] == 1
