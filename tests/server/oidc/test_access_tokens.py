"""Requests with tokens that a tenant's provider has issued."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from server.db.embedded import EmbeddedPostgres
from server.kit.problem import Problem
from server.oidc.identification import TenantProviders
from tests.conftest import Croft, TenantHandle, new_database, start_croft, upload_of
from tests.oidc_issuer import (
    CLIENT_ID,
    LOOPBACK,
    SmallIssuer,
    anonymous,
    ec_key,
    provider_config,
    rsa_key,
    running_issuer,
)
from tests.server.oidc.conftest import Clock, TenantOf
from tests.server.outbound.test_outbound import write_certificate

BY_GROUPS = {"claim": "groups", "map": {"managers": "admin", "field-workers": "collector", "ghosts": "no-such-role"}}


async def ask(
    croft: Croft, tenant: TenantHandle, token: str, kind: str = "oidc", path: str = "/api/entities", **more: Any
) -> httpx.Response:
    """A request about the tenant, with a token of its provider."""
    params = {"configId": tenant.config_id}
    return await croft.operator.get(path, params=params, headers={"Authorization": f"{kind} {token}"}, **more)


async def linked(tenant: TenantHandle, issuer: SmallIssuer, role: str = "collector") -> str:
    """Lets the issuer's person be a member of the tenant by her e-mail address."""
    email = await tenant.account(role)
    issuer.person = {"sub": f"subject of {email}", "email": email, "email_verified": True}
    return email


async def change_provider(tenant: TenantHandle, *auth_configs: dict[str, Any]) -> None:
    document = {"id": tenant.config_id, "authConfigs": list(auth_configs)}
    answer = await tenant.api.put(f"/api/apps/{tenant.config_id}", files={"config": upload_of(document)})
    assert answer.status_code == 200, answer.text


async def test_member_is_known_by_the_address_that_the_provider_verified(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    answer = await ask(friendly, tenant, issuer.token())
    assert answer.status_code == 200, answer.text
    issuer.person = {"sub": issuer.person["sub"]}
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200, "the subject is enough from now on"


async def test_scheme_names_the_provider_in_any_case(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer, "keycloak")
    await linked(tenant, issuer)
    for scheme in ("keycloak", "Keycloak", "KEYCLOAK", "Bearer", "bearer"):
        assert (await ask(friendly, tenant, issuer.token(), scheme)).status_code == 200
    assert (await ask(friendly, tenant, issuer.token(), "auth0")).status_code == 401


async def test_issuer_is_asked_once_for_any_number_of_requests(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    token = issuer.token()
    answers = await asyncio.gather(*(ask(friendly, tenant, token) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert issuer.asked == {"openid-configuration": 1, "keys": 1}


async def test_curve_signs_as_well(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token(kid="curve"))).status_code == 200
    only_rsa = await tenant_of(issuer, algorithms=["RS256"])
    await linked(only_rsa, issuer)
    assert (await ask(friendly, only_rsa, issuer.token())).status_code == 200
    assert (await ask(friendly, only_rsa, issuer.token(kid="curve"))).status_code == 401


async def test_names_of_fields_may_be_written_with_underscores(friendly: Croft, issuer: SmallIssuer) -> None:
    fields = {"authority": issuer.issuer, "client_id": CLIENT_ID, "jwks_uri": f"{issuer.url}/keys"}
    tenant = await friendly.tenant({"authConfigs": [{"type": "oidc", "fields": fields}]})
    await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    assert issuer.asked == {"keys": 1}


async def test_realm_of_keycloak_needs_its_address_and_name(friendly: Croft) -> None:
    async with running_issuer("/auth/realms/field") as issuer:
        server = issuer.url.removesuffix("/realms/field")
        roles = {"claim": "realm_access.roles", "map": {"field": "collector"}}
        fields = {"url": f"{server}/", "realm": "field", "clientId": CLIENT_ID, "roles": roles}
        tenant = await friendly.tenant({"authConfigs": [{"type": "keycloak", "fields": fields}]})
        await linked(tenant, issuer, "viewer")
        content: dict[str, Any] = {
            "aud": "account",
            "typ": "Bearer",
            "realm_access": {"roles": ["offline_access", "field"]},
        }
        for audience in ("account", ["account", "other"]):
            token = issuer.token(**{**content, "aud": audience})
            answer = await ask(friendly, tenant, token, "keycloak", path="/api/sync/pull")
            assert answer.status_code == 200, answer.text
        other_client = issuer.token(**content, azp="another-client")
        assert (await ask(friendly, tenant, other_client, "keycloak")).status_code == 401


async def test_domain_of_auth0_is_enough(
    cluster: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its issuer ends with a slash and is reached by https, whose certificate is verified."""
    files = write_certificate(tmp_path_factory.mktemp("auth0"), "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", files[0])
    audience = "https://api.croft.test"
    async with (
        running_issuer("/", tls=files) as issuer,
        start_croft(await new_database(cluster), outbound_private_networks=(LOOPBACK,)) as croft,
    ):
        fields = {"domain": f"127.0.0.1:{issuer.port}", "clientId": CLIENT_ID, "audience": audience}
        tenant = await croft.tenant({"authConfigs": [{"type": "auth0", "fields": fields}]})
        await linked(tenant, issuer)
        token = issuer.token(aud=[audience, f"{issuer.url}userinfo"])
        assert (await ask(croft, tenant, token, "auth0")).status_code == 200
        assert (await ask(croft, tenant, issuer.token(), "auth0")).status_code == 401, "meant for the client alone"


async def test_several_providers_work_beside_each_other(friendly: Croft, issuer: SmallIssuer) -> None:
    async with running_issuer() as other, running_issuer() as third:
        tenant = await friendly.tenant(
            {
                "authConfigs": [
                    provider_config(issuer, "auth0"),
                    provider_config(other, "keycloak"),
                    provider_config(third, "keycloak"),
                    {"type": "unheard-of", "fields": {"anything": [1, 2]}},
                ]
            }
        )
        for each, kind in ((issuer, "auth0"), (other, "keycloak"), (third, "keycloak")):
            await linked(tenant, each)
            assert (await ask(friendly, tenant, each.token(), kind)).status_code == 200
            assert (await ask(friendly, tenant, each.token())).status_code == 401, "no provider of this type"
        assert (await ask(friendly, tenant, issuer.token(), "keycloak")).status_code == 401
        assert (await ask(friendly, tenant, other.token(), "auth0")).status_code == 401
        assert (await ask(friendly, tenant, issuer.token(), "unheard-of")).status_code == 401


async def test_new_config_counts_at_once(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    await change_provider(tenant, provider_config(issuer, clientId="another-client"))
    assert (await ask(friendly, tenant, issuer.token())).status_code == 401
    await change_provider(tenant)
    assert (await ask(friendly, tenant, issuer.token(azp="another-client", aud="another-client"))).status_code == 401


# The tenant's name, where old clients put it


def pushed(tenant: TenantHandle, **more: Any) -> dict[str, Any]:
    return {"events": [], "configId": tenant.config_id, **more}


async def test_old_client_names_its_tenant_in_the_body(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, "keycloak")
    await linked(tenant, issuer)
    client = anonymous(friendly)
    client.headers["Authorization"] = f"keycloak {issuer.token()}"
    assert (await client.post("/api/sync/push", json=pushed(tenant))).status_code == 200
    header = {"X-Tenant-Id": tenant.config_id}
    assert (await client.post("/api/sync/push", json={"events": []}, headers=header)).status_code == 200
    assert (await client.post("/api/sync/push", json={"events": []})).status_code == 401
    assert (await client.post("/api/sync/push", json={"events": [], "configId": "nowhere"})).status_code == 401
    assert (await client.post("/api/sync/push", content=b"{", headers={"Content-Type": "application/json"})).is_error
    assert (await client.get("/api/sync/pull")).status_code == 401


async def test_large_body_names_its_tenant_elsewhere(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer, "keycloak")
    await linked(tenant, issuer)
    client = anonymous(friendly)
    client.headers["Authorization"] = f"keycloak {issuer.token()}"
    body = pushed(tenant, padding="x" * 1024 * 1024)
    assert (await client.post("/api/sync/push", json=body)).status_code == 413
    params = {"configId": tenant.config_id}
    assert (await client.post("/api/sync/push", json=body, params=params)).status_code == 200


async def test_who_is_sent_in_the_body_to_another_tenant_is_refused(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant, other = await tenant_of(issuer), await friendly.tenant()
    await linked(tenant, issuer)
    client = anonymous(friendly)
    client.headers["Authorization"] = f"oidc {issuer.token()}"
    answer = await client.post("/api/sync/push", json=pushed(other), params={"configId": tenant.config_id})
    assert answer.status_code in (400, 401)


# Time


async def test_clock_of_the_issuer_may_be_off_by_a_minute(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    for claim, near, far in (("exp", -50, -70), ("nbf", 50, 70), ("iat", 50, 70)):
        for seconds, expected in ((near, 200), (far, 401)):
            moment: dict[str, Any] = {claim: int(time.time()) + seconds}
            assert (await ask(friendly, tenant, issuer.token(**moment))).status_code == expected, (claim, seconds)


# Keys


async def test_new_keys_of_the_issuer_are_taken_while_serving(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    old = issuer.token()
    assert (await ask(friendly, tenant, old)).status_code == 200
    issuer.rotate()
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    assert (await ask(friendly, tenant, old)).status_code == 401, "the old key is withdrawn"


async def identified(providers: TenantProviders, tenant: TenantHandle, token: str) -> bool:
    """Whether the token is good; False where it is refused. Raises other problems."""
    try:
        identity = await providers.identify("oidc", token, tenant=tenant.config_id, device_id="")
    except Problem as problem:
        if problem.code != "auth.required":
            raise
        return False
    return identity.tenant is not None and identity.tenant.config_id == tenant.config_id


async def test_unknown_key_ids_do_not_make_us_ask_again_and_again(
    issuer: SmallIssuer, tenant_of: TenantOf, providers: TenantProviders, clock: Clock
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    assert await identified(providers, tenant, issuer.token())
    for number in range(20):
        assert not await identified(providers, tenant, issuer.token(headers={"kid": f"random {number}"}))
    assert issuer.asked["keys"] == 2
    issuer.rotate()
    assert not await identified(providers, tenant, issuer.token())
    clock.now += 10
    assert await identified(providers, tenant, issuer.token())
    assert issuer.asked["keys"] == 3


async def test_withdrawn_key_is_good_for_five_minutes_at_most(
    issuer: SmallIssuer, tenant_of: TenantOf, providers: TenantProviders, clock: Clock
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    token = issuer.token()
    assert await identified(providers, tenant, token)
    issuer.keys = {"first": rsa_key(5), "curve": ec_key(5)}
    clock.now += 299
    assert await identified(providers, tenant, token)
    clock.now += 1
    assert not await identified(providers, tenant, token)


async def test_known_keys_go_on_through_an_outage_for_a_day(
    issuer: SmallIssuer, tenant_of: TenantOf, providers: TenantProviders, clock: Clock
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    token = issuer.token(exp=int(time.time()) + 3600)
    assert await identified(providers, tenant, token)
    await issuer.stop()
    for _ in range(24):
        clock.now += 3599
        assert await identified(providers, tenant, token)
    clock.now += 60
    with pytest.raises(Problem) as caught:
        await identified(providers, tenant, token)
    assert (caught.value.code, caught.value.status) == ("auth.provider-unavailable", 503)
    assert caught.value.headers == {"Retry-After": "30"}
    await issuer.start()
    clock.now += 15
    assert await identified(providers, tenant, token)


async def test_issuer_that_was_never_reached_is_told_as_an_outage(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    await issuer.stop()
    answer = await ask(friendly, tenant, issuer.token())
    assert answer.status_code == 503
    assert answer.json()["code"] == "auth.provider-unavailable"
    assert answer.headers["retry-after"] == "30"
    assert str(issuer.port) not in answer.text


async def test_issuer_that_calls_itself_otherwise_is_not_believed(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    issuer.description = {"issuer": "https://other.test"}
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token())).status_code == 503
    assert issuer.asked["keys"] == 0


# Who it is


async def test_stranger_to_the_tenant_is_refused_with_a_clear_code(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    issuer.person = {"sub": "stranger", "email": "stranger@elsewhere.test", "email_verified": True}
    answer = await ask(friendly, tenant, issuer.token())
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.not-admitted")


async def test_address_that_the_provider_did_not_verify_links_nobody(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    unclear: tuple[Any, ...] = (False, None, "false", 0, "yes", [])
    for unverified in unclear:
        answer = await ask(friendly, tenant, issuer.token(email_verified=unverified))
        assert answer.status_code == 403
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200


async def test_second_subject_with_the_same_address_is_somebody_else(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    assert (await ask(friendly, tenant, issuer.token(sub="a successor"))).status_code == 403


async def members_of(tenant: TenantHandle) -> dict[str, str]:
    answer = await tenant.api.get("/api/users")
    return {
        each["email"]: membership["role"]
        for each in answer.json()
        for membership in each["memberships"]
        if membership["configId"] == tenant.config_id
    }


async def test_account_is_made_at_first_sight_where_the_config_allows_it(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, createAccounts=True, roles=BY_GROUPS)
    issuer.person = {"sub": "new", "email": "new@ministry.test", "email_verified": True, "groups": ["field-workers"]}
    answers = await asyncio.gather(*(ask(friendly, tenant, issuer.token()) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    [(email, role)] = (await members_of(tenant)).items()
    assert role == "collector"
    assert email.startswith("new@ministry.test.")
    assert email.endswith(".invalid")


async def test_account_is_not_made_for_who_would_have_no_role(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, createAccounts=True, roles=BY_GROUPS)
    for groups in ([], ["ghosts"], ["strangers"], "field", None, 7, {"field-workers": True}):
        issuer.person = {"sub": "new", "groups": groups}
        answer = await ask(friendly, tenant, issuer.token())
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.not-admitted")
    assert await members_of(tenant) == {}


async def test_made_account_does_not_tell_whether_an_address_is_taken(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    elsewhere = await friendly.tenant()
    taken = await elsewhere.account()
    tenant = await tenant_of(issuer, createAccounts=True, roles={"default": "viewer"})
    for subject, email in (("one", taken), ("other", "free@ministry.test")):
        issuer.person = {"sub": subject, "email": email, "email_verified": True}
        assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    made = await members_of(tenant)
    assert len(made) == 2
    assert all(email.endswith(".invalid") for email in made)
    mail = {"email": "free@ministry.test", "password": "Correct-Horse-7", "role": "USER"}
    assert (await friendly.operator.post("/api/users", json=mail)).status_code == 201, (
        "the address is still its owner's"
    )


async def test_role_is_what_the_provider_says_at_each_request(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, roles=BY_GROUPS)
    await linked(tenant, issuer, "viewer")
    versions = f"/api/apps/{tenant.config_id}/versions"
    expected = {"managers": (200, 200), "field-workers": (200, 200), "ghosts": (403, 403), "others": (403, 403)}
    for group, (reading, pulling) in expected.items():
        token = issuer.token(groups=[group])
        assert (await ask(friendly, tenant, token, path=versions)).status_code == reading, group
        assert (await ask(friendly, tenant, token, path="/api/sync/pull")).status_code == pulling, group
    several = issuer.token(groups=["field-workers", "managers"])
    assert (await ask(friendly, tenant, several, path="/api/members")).status_code == 200, "the first that is met"
    collector = issuer.token(groups=["field-workers"])
    assert (await ask(friendly, tenant, collector, path="/api/members")).status_code == 403


async def test_own_role_of_the_tenant_can_be_given(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer, roles={"claim": "role", "map": {"clerk": "clerk"}})
    await linked(tenant, issuer, "viewer")
    token = issuer.token(role="clerk")
    assert (await ask(friendly, tenant, token)).status_code == 403, "no such role yet"
    admin = await tenant.caller("admin")
    body = {"name": "clerk", "permissions": ["entities.read"]}
    answer = await admin.post("/api/roles", params={"configId": tenant.config_id}, json=body)
    assert answer.status_code == 201, answer.text
    assert (await ask(friendly, tenant, token)).status_code == 200
    assert (await ask(friendly, tenant, token, path="/api/sync/pull")).status_code == 403


async def test_member_who_is_removed_is_out_whatever_the_provider_says(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, roles={"default": "admin"})
    email = await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    await friendly.operator.put(f"/api/users/{email}", json={"memberships": []})
    assert (await ask(friendly, tenant, issuer.token())).status_code == 403


async def test_second_factor_that_a_tenant_asks_for_has_to_be_the_providers(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    asks_nobody, asks_always = await tenant_of(issuer), await tenant_of(issuer, secondFactor=True)
    tokens = {}
    for tenant in (asks_nobody, asks_always):
        await linked(tenant, issuer)
        tokens[tenant.config_id] = issuer.token(), issuer.token(amr=["pwd", "otp"])
        change = {"secondFactorRequired": True}
        answer = await friendly.operator.put(f"/api/tenants/{tenant.config_id}/security", json=change)
        assert answer.status_code == 200, answer.text
    plain, with_code = tokens[asks_nobody.config_id]
    answer = await ask(friendly, asks_nobody, plain)
    assert (answer.status_code, answer.json()["code"]) == (403, "access.second-factor-needed")
    assert (await ask(friendly, asks_nobody, with_code)).status_code == 200
    assert (await ask(friendly, asks_always, tokens[asks_always.config_id][0])).status_code == 200


async def test_suspended_tenant_is_closed_to_its_provider(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    assert (await ask(friendly, tenant, issuer.token())).status_code == 200
    await friendly.operator.post(f"/api/tenants/{tenant.config_id}/suspend")
    assert (await ask(friendly, tenant, issuer.token())).status_code == 403
    await friendly.operator.post(f"/api/tenants/{tenant.config_id}/resume")
    await friendly.operator.delete(f"/api/apps/{tenant.config_id}")
    assert (await ask(friendly, tenant, issuer.token())).status_code == 401


async def test_identity_is_on_record(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer)
    await linked(tenant, issuer)
    await ask(friendly, tenant, issuer.token())
    admin = await tenant.caller("admin")
    acts = await admin.get("/api/audit", params={"configId": tenant.config_id})
    assert acts.status_code == 200, acts.text
    assert "identity.linked" in acts.text
    assert issuer.person["sub"] in acts.text
