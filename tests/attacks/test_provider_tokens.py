"""Attacks with tokens of identity providers: forged ones, others' ones, and those of an issuer that lies."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from server.db.embedded import EmbeddedPostgres
from server.kit.cookies import SESSION_COOKIE
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft, TenantHandle, new_database, start_croft, upload_of
from tests.oidc_issuer import (
    CLIENT_ID,
    LOOPBACK,
    SmallIssuer,
    anonymous,
    jwk_of,
    private_pem,
    provider_config,
    public_pem,
    rsa_key,
    running_issuer,
)
from tests.past_the_server import number_of, rows
from tests.server.oidc.test_login import Browser

EVILS_KEY = 99
"""The number of a key that no issuer tells of."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def croft(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    async with start_croft(await new_database(cluster), outbound_private_networks=(LOOPBACK,)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer() -> AsyncIterator[SmallIssuer]:
    """The issuer that the attacked tenant trusts."""
    async with running_issuer() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant(croft: Croft, issuer: SmallIssuer) -> TenantHandle:
    """The attacked tenant, with a member whom its issuer means and who has been here."""
    tenant = await croft.tenant({"authConfigs": [provider_config(issuer)]})
    email = await tenant.account("collector")
    issuer.person = {"sub": "amina", "email": email, "email_verified": True}
    assert await is_taken(croft, tenant, issuer.token())
    return tenant


async def answered(croft: Croft, tenant: TenantHandle, token: str, scheme: str = "oidc") -> httpx.Response:
    params = {"configId": tenant.config_id}
    return await croft.operator.get("/api/entities", params=params, headers={"Authorization": f"{scheme} {token}"})


async def is_taken(croft: Croft, tenant: TenantHandle, token: str) -> bool:
    """Whether a request with the token succeeds by any of the two schemes that could lead to the provider."""
    statuses = {(await answered(croft, tenant, token, scheme)).status_code for scheme in ("oidc", "Bearer")}
    assert len(statuses) == 1, statuses
    return statuses == {200}


async def is_refused(croft: Croft, tenant: TenantHandle, token: str) -> bool:
    """Whether it is answered like any bad token, and tells nothing of why."""
    for scheme in ("oidc", "Bearer"):
        answer = await answered(croft, tenant, token, scheme)
        if (answer.status_code, answer.json()["code"]) != (401, "auth.required"):
            return False
    return True


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def claims_of(issuer: SmallIssuer, **more: Any) -> dict[str, Any]:
    """What a good token holds."""
    claims: dict[str, Any] = jwt.decode(issuer.token(), options={"verify_signature": False})
    return {**claims, **more}


def forged(issuer: SmallIssuer, headers: dict[str, Any], **more: Any) -> str:
    """Signed with a key of the attacker's."""
    key = private_pem(rsa_key(EVILS_KEY))
    return jwt.encode(claims_of(issuer, **more), key, algorithm="RS256", headers=headers)


# Signatures


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_unsigned_token(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, algorithm: str) -> None:
    for kid in ({}, {"kid": "first"}):
        token = f"{part({'alg': algorithm, 'typ': 'JWT', **kid})}.{part(claims_of(issuer))}."
        assert await is_refused(croft, tenant, token)
    signature = issuer.token().rpartition(".")[2]
    assert await is_refused(
        croft, tenant, f"{part({'alg': algorithm, 'kid': 'first'})}.{part(claims_of(issuer))}.{signature}"
    )


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_public_key_as_the_secret_of_a_shared_one(
    croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, algorithm: str
) -> None:
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    key = issuer.keys["first"]
    modulus = jwk_of(key, "first")["n"].encode()
    for secret in (public_pem(key), public_pem(key).strip(), modulus, b"", b"first"):
        text = f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'first'})}.{part(claims_of(issuer))}"
        signature = hmac.new(secret, text.encode(), digest).digest()
        token = f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert await is_refused(croft, tenant, token)


async def test_tenant_that_asks_for_shared_secrets_gets_none(croft: Croft, issuer: SmallIssuer) -> None:
    """Not even the config of the tenant can turn a public key into a secret."""
    weak = await croft.tenant({"authConfigs": [provider_config(issuer, algorithms=["HS256", "none"])]})
    secret = public_pem(issuer.keys["first"])
    text = f"{part({'alg': 'HS256', 'kid': 'first'})}.{part(claims_of(issuer))}"
    signature = base64.urlsafe_b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).rstrip(b"=")
    for token in (
        f"{text}.{signature.decode()}",
        f"{part({'alg': 'none'})}.{part(claims_of(issuer))}.",
        issuer.token(),
    ):
        assert await is_refused(croft, weak, token)


async def test_key_of_another_kind_than_the_algorithm(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    _, claims, signature = issuer.token(kid="curve").split(".")
    for header in (
        {"alg": "ES256", "kid": "first"},
        {"alg": "RS256", "kid": "curve"},
        {"alg": "PS256", "kid": "first"},
    ):
        assert await is_refused(croft, tenant, f"{part(header)}.{claims}.{signature}")


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "' OR '1'='1",
        "first' UNION SELECT 'key",
        "first; DROP TABLE users",
        "http://127.0.0.1/keys",
        "",
        "first\n",
        "x" * 4000,
    ],
)
async def test_key_id_that_is_a_path_or_sql(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, kid: str) -> None:
    assert await is_refused(croft, tenant, forged(issuer, {"kid": kid}))
    text = f"{part({'alg': 'HS256', 'kid': kid})}.{part(claims_of(issuer))}"
    signature = base64.urlsafe_b64encode(hmac.new(b"", text.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    assert await is_refused(croft, tenant, f"{text}.{signature}")


@pytest.mark.parametrize("kid", [7, None, ["first"], {"first": 1}, True])
async def test_key_id_that_is_no_text(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, kid: Any) -> None:
    signature = issuer.token().rpartition(".")[2]
    assert await is_refused(
        croft, tenant, f"{part({'alg': 'RS256', 'kid': kid})}.{part(claims_of(issuer))}.{signature}"
    )


async def test_key_that_the_token_brings_along(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    """`jwk`, `jku` and `x5u` are not even looked at: nobody is asked for the attacker's keys."""
    async with running_issuer() as evil:
        evil.keys = {"first": rsa_key(EVILS_KEY)}
        for kid in ("first", "evil"):
            for brought in (
                {"jwk": jwk_of(rsa_key(EVILS_KEY), kid)},
                {"jku": f"{evil.url}/keys"},
                {"x5u": f"{evil.url}/keys"},
                {"x5c": [base64.b64encode(public_pem(rsa_key(EVILS_KEY))).decode()]},
            ):
                assert await is_refused(croft, tenant, forged(issuer, {"kid": kid, **brought}))
        assert not evil.asked


async def test_changed_claims_under_an_old_signature(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    head, _, signature = issuer.token().split(".")
    for change in ({"sub": "somebody-else"}, {"exp": int(time.time()) + 99999}, {}):
        assert await is_refused(croft, tenant, f"{head}.{part(claims_of(issuer, jti='x', **change))}.{signature}")
    assert await is_refused(croft, tenant, issuer.token()[:-4] + "AAAA")


async def test_weak_key_of_a_careless_issuer(croft: Croft) -> None:
    async with running_issuer() as careless:
        careless.keys = {"first": rsa.generate_private_key(public_exponent=65537, key_size=1024), "good": rsa_key()}
        weak = await croft.tenant({"authConfigs": [provider_config(careless)]})
        careless.person = {"sub": "amina", "email": await weak.account(), "email_verified": True}
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            token = careless.token()
        assert await is_refused(croft, weak, token)
        assert await is_taken(croft, weak, careless.token(kid="good"))


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "e30.e30.",
        "eyJhbGciOiJSUzI1NiJ9..",
        "." * 2000,
        part({"alg": "RS256", "b64": False, "crit": ["b64"]}) + "." + part({"iss": "x"}) + ".AAAA",
        part({"alg": "RS256"}) + "." + base64.urlsafe_b64encode(b"[" * 9000).decode().rstrip("=") + ".AAAA",
        part({"alg": "RS256"}) + "." + part({"iss": "x" * 9000, "sub": "y"}) + ".AAAA",
        part({"alg": "RS256"}) + "." + part({"iss": "a\0b", "sub": "a\0b"}) + ".AAAA",
        part({"alg": "RS256"}) + "." + part({"iss": "https://x", "sub": "\ud800"}) + ".AAAA",
        part({"alg": "RS256"}) + "." + part({"iss": ["https://x"], "sub": {}}) + ".AAAA",
        part({"alg": "RS256"}) + "." + part({"iss": "https://x", "sub": "y", "exp": 10**400}) + ".AAAA",
        part({"alg": ["RS256"]}) + "." + part({"iss": "https://x", "sub": "y"}) + ".AAAA",
        "\u00e9" * 10,
    ],
)
async def test_garbage_is_refused_like_any_bad_token(croft: Croft, tenant: TenantHandle, token: str) -> None:
    for scheme in ("oidc", "Bearer"):
        headers = {b"Authorization": f"{scheme} {token}".encode()}
        answer = await croft.operator.get("/api/entities", params={"configId": tenant.config_id}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.required")


async def test_moments_that_are_no_moments(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    moments: tuple[Any, ...] = (float("inf"), float("nan"), "soon", None, [], {})
    for moment in moments:
        for claim in ("exp", "nbf", "iat"):
            assert await is_refused(croft, tenant, issuer.signed({**claims_of(issuer), claim: moment})), (claim, moment)


# Meant for somebody else


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-api"},
        {"aud": ["another-api", "account"]},
        {"aud": None},
        {"aud": ""},
        {"aud": []},
        {"aud": {CLIENT_ID: True}},
        {"aud": f"{CLIENT_ID} "},
        {"aud": CLIENT_ID.upper()},
        {"azp": "another-client"},
        {"azp": None, "client_id": "another-client"},
        {"azp": [CLIENT_ID]},
        {"aud": "account"},
        {"exp": None},
        {"exp": 1},
        {"nbf": 99999999999},
        {"sub": None},
        {"iss": None},
        {"iss": "https://other.test"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"typ": 7},
        {"nonce": "n"},
        {"at_hash": "x"},
    ],
)
async def test_token_that_is_not_meant_for_us(
    croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, claims: dict[str, Any]
) -> None:
    assert await is_taken(croft, tenant, issuer.token())
    assert await is_refused(croft, tenant, issuer.token(**claims))


@pytest.mark.parametrize("kind", ["id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE"])
async def test_token_of_another_type(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, kind: str) -> None:
    assert await is_refused(croft, tenant, issuer.token(headers={"typ": kind}))
    assert await is_taken(croft, tenant, issuer.token(headers={"typ": "at+jwt"}))


async def test_id_token_as_an_access_token(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    """What a login page was given proves who signed in there, and is not for asking this server."""
    browser = Browser(croft)
    started = await browser.starts(tenant)
    location = await browser.visits_issuer(started.headers["location"])
    async with httpx.AsyncClient(verify=False) as http:
        query = httpx.URL(location).params
        verifier = {"grant_type": "authorization_code", "code": query["code"], "client_id": CLIENT_ID}
        assert (await http.post(f"{issuer.url}/token", data=verifier)).status_code == 400, "only with the verifier"
    now = int(time.time())
    id_token = issuer.signed(
        {"iss": issuer.issuer, "aud": CLIENT_ID, "exp": now + 300, "iat": now, "nonce": "n", **issuer.person}
    )
    assert await is_refused(croft, tenant, id_token)


# Tenants against each other


async def test_token_of_another_tenants_issuer(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    async with running_issuer() as evil:
        evil.keys = {"first": rsa_key(EVILS_KEY)}
        evils = await croft.tenant({"authConfigs": [provider_config(evil)]})
        evil.person = {**issuer.person}
        assert await is_refused(croft, tenant, evil.token())
        assert await is_refused(croft, tenant, evil.token(iss=issuer.issuer)), "in the other's name"
        assert await is_refused(croft, evils, issuer.token())


async def test_issuer_that_claims_to_be_another_tenants(
    croft: Croft, tenant: TenantHandle, issuer: SmallIssuer
) -> None:
    """A tenant names the other's issuer, with keys of its own: that counts in itself alone and spoils nothing there."""
    async with running_issuer() as evil:
        evil.keys = {"first": rsa_key(EVILS_KEY)}
        config = provider_config(issuer, jwksUri=f"{evil.url}/keys", createAccounts=True, roles={"default": "admin"})
        evils = await croft.tenant({"authConfigs": [config]})
        token = forged(issuer, {"kid": "first"}, sub="amina")
        assert (await answered(croft, evils, token)).status_code == 200
        assert await is_refused(croft, tenant, token)
        assert await is_taken(croft, tenant, issuer.token()), "its keys are still its own"
        client = anonymous(croft)
        client.headers["Authorization"] = f"oidc {token}"
        people = (await client.get("/api/members", params={"configId": evils.config_id})).json()["data"]
        assert [each["email"].endswith(".invalid") for each in people] == [True], "an account of its own"


async def test_config_id_that_is_the_number_of_another_tenant(
    croft: Croft, cluster: EmbeddedPostgres, issuer: SmallIssuer
) -> None:
    """Whoever is made known in the one, by token or browser, is unknown in the other."""
    async with running_issuer() as evil:
        evil.keys = {"first": rsa_key(EVILS_KEY)}
        config = {"createAccounts": True, "roles": {"default": "viewer"}}
        attacked = await croft.tenant({"authConfigs": [provider_config(issuer, **config)]})
        number = await number_of(cluster, croft, attacked.config_id)
        evils = await croft.tenant({"id": str(number), "authConfigs": [provider_config(evil, **config)]})
        evils_number = await number_of(cluster, croft, evils.config_id)
        evil.person = {"sub": "evil"}
        for tenant, known, good, bad in (
            (evils, evils_number, evil.token(), issuer.token(sub="good")),
            (attacked, number, issuer.token(sub="good"), evil.token()),
        ):
            assert await is_taken(croft, tenant, good)
            assert await is_refused(croft, tenant, bad)
            browser = Browser(croft)
            assert (await browser.signs_in(tenant)).status_code == 302
            sql = "SELECT DISTINCT tenant_id FROM sessions WHERE kind = 'browser' AND tenant_id IN ($1, $2)"
            found = {row["tenant_id"] for row in await rows(cluster, croft, sql, number, evils_number)}
            assert known in found
        sql = "SELECT tenant_id, issuer FROM external_identities WHERE tenant_id IN ($1, $2)"
        found = {(row["tenant_id"], row["issuer"]) for row in await rows(cluster, croft, sql, number, evils_number)}
        assert found == {(number, issuer.issuer), (evils_number, evil.issuer)}


async def test_tenant_that_is_named_twice(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    async with running_issuer() as evil:
        config = provider_config(evil, createAccounts=True, roles={"default": "admin"})
        evils = await croft.tenant({"authConfigs": [config]})
        evil.person = {"sub": "evil"}
        assert await is_taken(croft, evils, evil.token())
        client = anonymous(croft)
        client.headers["Authorization"] = f"oidc {evil.token()}"
        for first, second in ((evils, tenant), (tenant, evils)):
            names = {"params": {"configId": first.config_id}, "headers": {"X-Tenant-Id": second.config_id}}
            assert (await client.get("/api/entities", **names)).status_code in (400, 401)  # type: ignore[arg-type]
            body = {"configId": second.config_id, "events": []}
            answer = await client.post("/api/sync/push", params={"configId": first.config_id}, json=body)
            assert answer.status_code in (400, 401)


async def test_member_of_several_tenants_is_spoken_for_in_one(croft: Croft, issuer: SmallIssuer) -> None:
    """The issuer of one tenant means an account that is an administrator elsewhere."""
    async with running_issuer() as evil:
        evils = await croft.tenant({"authConfigs": [provider_config(evil)]})
        rich = await croft.tenant()
        email = await rich.account("admin")
        memberships = [{"configId": rich.config_id, "role": "admin"}, {"configId": evils.config_id, "role": "viewer"}]
        await croft.operator.put(f"/api/users/{email}", json={"memberships": memberships})
        evil.person = {"sub": "x", "email": email, "email_verified": True}
        assert await is_taken(croft, evils, evil.token())
        assert await is_refused(croft, rich, evil.token())
        client = anonymous(croft)
        client.headers["Authorization"] = f"oidc {evil.token()}"
        for path in ("/api/users/me", "/api/apps", "/api/v2/auth/sessions", "/api/users"):
            for params in ({}, {"configId": evils.config_id}, {"configId": rich.config_id}):
                answer = await client.get(path, params=params)
                assert answer.status_code in (401, 403)
                assert rich.config_id not in answer.text


async def test_address_of_an_operator(croft: Croft) -> None:
    for creates, expected in ((False, 403), (True, 200)):
        async with running_issuer() as evil:
            config = provider_config(evil, createAccounts=creates, roles={"default": "admin"})
            evils = await croft.tenant({"authConfigs": [config]})
            evil.person = {"sub": "operator", "email": ADMIN_EMAIL, "email_verified": True}
            assert (await answered(croft, evils, evil.token())).status_code == expected
            # Not even where the operator is a member: what a tenant's issuer says makes nobody an operator.
            memberships = [{"configId": evils.config_id, "role": "viewer"}]
            await croft.operator.put(f"/api/users/{ADMIN_EMAIL}", json={"memberships": memberships})
            evil.person["sub"] = "operator again"
            assert (await answered(croft, evils, evil.token())).status_code == expected
            client = anonymous(croft)
            client.headers["Authorization"] = f"oidc {evil.token()}"
            for path in ("/api/users", "/api/tenants", "/api/installation/audit"):
                assert (await client.get(path, params={"configId": evils.config_id})).status_code in (401, 403)
    await croft.operator.put(f"/api/users/{ADMIN_EMAIL}", json={"memberships": []})


async def test_member_who_becomes_an_operator_is_none_by_the_tenants_issuer(croft: Croft) -> None:
    async with running_issuer() as evil:
        evils = await croft.tenant({"authConfigs": [provider_config(evil)]})
        rich = await croft.tenant()
        email = await evils.account("viewer")
        evil.person = {"sub": "x", "email": email, "email_verified": True}
        assert await is_taken(croft, evils, evil.token())
        await croft.operator.put(f"/api/users/{email}", json={"role": "ADMIN"})
        assert (await answered(croft, evils, evil.token())).status_code == 200
        assert await is_refused(croft, rich, evil.token())
        client = anonymous(croft)
        client.headers["Authorization"] = f"oidc {evil.token()}"
        answer = await client.get("/api/sync/quarantine", params={"configId": evils.config_id})
        assert answer.status_code == 403, "a viewer, no operator"
        browser = Browser(croft)
        assert (await browser.signs_in(evils)).status_code == 302
        assert (await browser.goes("/api/entities", params={"configId": evils.config_id})).status_code == 200
        assert (await browser.goes("/api/entities", params={"configId": rich.config_id})).status_code == 403
        for path in ("/api/users", "/api/tenants"):
            assert (await browser.goes(path)).status_code == 403


async def test_deleted_person_comes_back(croft: Croft, cluster: EmbeddedPostgres) -> None:
    async with running_issuer() as issuer:
        config = provider_config(issuer, createAccounts=True, roles={"default": "viewer"})
        tenant = await croft.tenant({"authConfigs": [config]})
        issuer.person = {"sub": "gone", "email": await tenant.account(), "email_verified": True}
        assert await is_taken(croft, tenant, issuer.token())
        assert (await croft.operator.delete(f"/api/users/{issuer.person['email']}")).status_code == 200
        for _ in range(2):
            answer = await answered(croft, tenant, issuer.token())
            assert (answer.status_code, answer.json()["code"]) == (403, "auth.not-admitted")
        assert (await Browser(croft).signs_in(tenant)).status_code == 403
        found = await rows(cluster, croft, "SELECT subject, user_id FROM external_identities WHERE subject = 'gone'")
        assert [(row["subject"], row["user_id"]) for row in found] == [("gone", None)]


async def test_account_that_a_provider_made_is_signed_in_to_with_a_password(
    croft: Croft, cluster: EmbeddedPostgres
) -> None:
    async with running_issuer() as issuer:
        config = provider_config(issuer, createAccounts=True, roles={"default": "admin"})
        tenant = await croft.tenant({"authConfigs": [config]})
        issuer.person = {"sub": "x", "email": "x@ministry.test", "email_verified": True}
        assert await is_taken(croft, tenant, issuer.token())
        [found] = await rows(cluster, croft, "SELECT email FROM users WHERE email LIKE 'x@ministry.test.%'")
        for password in ("", PASSWORD, "x@ministry.test", "." * 31):
            for email in (found["email"], "x@ministry.test"):
                body = {"email": email, "password": password}
                answer = await anonymous(croft).post("/api/users/login", json=body)
                assert answer.status_code in (401, 422, 429)


# Logins


async def test_code_and_state_are_used_again(croft: Croft, tenant: TenantHandle, issuer: SmallIssuer) -> None:
    browser = Browser(croft)
    started = await browser.starts(tenant)
    location = await browser.visits_issuer(started.headers["location"])
    kept = dict(browser.cookies)
    assert (await browser.goes(location)).status_code == 302
    asked = issuer.asked["token"]
    thief = Browser(croft, cookies=kept)
    answer = await thief.goes(location)
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.login-failed")
    assert SESSION_COOKIE not in thief.cookies
    assert issuer.asked["token"] == asked, "the issuer is not even asked"


async def test_login_is_ended_in_another_browser(croft: Croft, tenant: TenantHandle) -> None:
    """Somebody is lured to the callback of an attacker's login, to work under the attacker's account."""
    attacker, victim = Browser(croft), Browser(croft)
    location = await attacker.visits_issuer((await attacker.starts(tenant)).headers["location"])
    assert (await victim.goes(location)).status_code == 400
    await victim.starts(tenant)
    assert (await victim.goes(location)).status_code == 400, "the state is of another login"
    assert SESSION_COOKIE not in victim.cookies


@pytest.mark.parametrize(
    "change",
    [
        {"state": ""},
        {"state": "x"},
        {"code": ""},
        {"code": "guessed"},
        {"iss": "https://other.test"},
        {"error": "denied"},
    ],
)
async def test_callback_is_changed_on_the_way(croft: Croft, tenant: TenantHandle, change: dict[str, str]) -> None:
    browser = Browser(croft)
    location = await browser.visits_issuer((await browser.starts(tenant)).headers["location"])
    changed = httpx.URL(location).copy_merge_params(change)
    answer = await browser.goes(str(changed))
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.login-failed")
    assert SESSION_COOKIE not in browser.cookies


async def test_cookie_of_a_login_is_altered(croft: Croft, tenant: TenantHandle) -> None:
    browser = Browser(croft)
    location = await browser.visits_issuer((await browser.starts(tenant)).headers["location"])
    [(name, sealed)] = browser.cookies.items()
    for altered in (sealed[:-6] + "AAAAA=", sealed.replace("sealed:", ""), "", "{}", "sealed:00000000:" + "A" * 60):
        assert (await Browser(croft, cookies={name: altered}).goes(location)).status_code == 400
    assert (await browser.goes(location)).status_code == 302


async def test_issuer_brings_another_logins_id_token(
    croft: Croft, tenant: TenantHandle, issuer: SmallIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in (
        {"nonce": "another"},
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"]},
        {"azp": "another-client"},
        {"at_hash": "AAAA"},
        {"exp": 1},
        {"iss": "https://other.test"},
    ):
        browser = Browser(croft)
        location = await browser.visits_issuer((await browser.starts(tenant)).headers["location"])
        sign = issuer.signed

        def changed(content: dict[str, Any], change: dict[str, Any] = change, sign: Any = sign, **more: Any) -> str:
            return str(sign({**content, **change} if "nonce" in content else content, **more))

        with monkeypatch.context() as patch:
            patch.setattr(issuer, "signed", changed)
            answer = await browser.goes(location)
        assert (answer.status_code, answer.json()["code"]) == (400, "auth.login-failed"), change
        assert SESSION_COOKIE not in browser.cookies


async def test_login_at_a_provider_that_the_tenant_has_dropped(croft: Croft) -> None:
    async with running_issuer() as issuer:
        tenant = await croft.tenant({"authConfigs": [provider_config(issuer)]})
        issuer.person = {"sub": "x", "email": await tenant.account(), "email_verified": True}
        browser = Browser(croft)
        location = await browser.visits_issuer((await browser.starts(tenant)).headers["location"])
        document = {"id": tenant.config_id, "authConfigs": []}
        files = {"config": upload_of(document)}
        assert (await croft.operator.put(f"/api/apps/{tenant.config_id}", files=files)).status_code == 200
        assert (await browser.goes(location)).status_code == 400
        assert not issuer.asked["token"]


async def test_code_of_one_provider_is_brought_to_another(
    croft: Croft, tenant: TenantHandle, issuer: SmallIssuer
) -> None:
    """A tenant's provider sends its visitor on to that of another tenant, which does not name itself (RFC 9207).

    With the attacker's own challenge and nonce the code would open the visitor's account in the attacker's browser.
    """
    attacker, victim = Browser(croft), Browser(croft)
    wanted = httpx.URL((await attacker.starts(tenant)).headers["location"])
    async with running_issuer() as evil:
        evils = await croft.tenant({"authConfigs": [provider_config(evil)]})
        begun = httpx.URL((await victim.starts(evils)).headers["location"])
        sent_on = wanted.copy_set_param("state", begun.params["state"])
        back = httpx.URL(await victim.visits_issuer(str(sent_on))).copy_remove_param("iss")
        answer = await victim.goes(str(back))
        assert (answer.status_code, answer.json()["code"]) == (400, "auth.login-failed")
        assert not evil.asked["token"], "the code is not told"


async def test_session_outlives_the_provider_that_opened_it(croft: Croft) -> None:
    async with running_issuer() as issuer:
        tenant = await croft.tenant({"authConfigs": [provider_config(issuer)]})
        issuer.person = {"sub": "x", "email": await tenant.account("admin"), "email_verified": True}
        browser, params = Browser(croft), {"configId": tenant.config_id}
        assert (await browser.signs_in(tenant)).status_code == 302
        for change, status in (({"name": "Other name"}, 200), ({"authConfigs": []}, 401)):
            files = {"config": upload_of({"id": tenant.config_id, **change})}
            assert (await croft.operator.put(f"/api/apps/{tenant.config_id}", files=files)).status_code == 200
            assert (await browser.goes("/api/members", params=params)).status_code == status


async def test_login_leads_to_another_host_afterwards(croft: Croft, tenant: TenantHandle) -> None:
    for target in ("https://evil.test/", "//evil.test/", "/\\evil.test", "/\t/evil.test", "javascript:alert(1)"):
        answer = await Browser(croft).signs_in(tenant, returnTo=target)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
