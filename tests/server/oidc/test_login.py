"""Signing in with a browser at a tenant's provider."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from server.kit.cookies import SESSION_COOKIE
from server.oidc.login import LOGIN_COOKIE, own_path
from tests.conftest import Croft, TenantHandle
from tests.oidc_issuer import CLIENT_ID, CLIENT_SECRET, SmallIssuer, anonymous
from tests.server.oidc.conftest import TenantOf
from tests.server.oidc.test_access_tokens import BY_GROUPS, linked


@dataclass
class Browser:
    """Keeps cookies and follows redirects one by one, as a browser does."""

    croft: Croft
    http: httpx.AsyncClient = field(init=False)
    cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http = anonymous(self.croft)

    async def goes(self, path: str, **more: Any) -> httpx.Response:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        answer = await self.http.get(path, headers=headers, **more)
        for cookie in answer.headers.get_list("set-cookie"):
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        self.http.cookies.clear()
        return answer

    async def starts(self, tenant: TenantHandle, kind: str = "oidc", **query: str) -> httpx.Response:
        return await self.goes(f"/api/v2/auth/{tenant.config_id}/{kind}/start", params=query)

    async def visits_issuer(self, location: str) -> str:
        """Where the issuer sends the browser back to, as a path of ours."""
        async with httpx.AsyncClient(verify=False) as http:
            back = (await http.get(location)).headers["location"]
        assert urlsplit(back).path.startswith("/api/v2/auth/")
        assert urlsplit(back).path.endswith("/callback")
        return back.removeprefix(self.croft.url)

    async def signs_in(self, tenant: TenantHandle, kind: str = "oidc", **query: str) -> httpx.Response:
        started = await self.starts(tenant, kind, **query)
        assert started.status_code == 302, started.text
        return await self.goes(await self.visits_issuer(started.headers["location"]))


async def test_login_page_is_told_types_and_names(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer, "keycloak", displayName="Ministry", clientSecret=CLIENT_SECRET)
    http = anonymous(friendly)
    answer = await http.get("/api/v2/auth/providers", params={"configId": tenant.config_id})
    assert answer.json() == {"providers": [{"type": "keycloak", "name": "Ministry"}]}
    for unknown in ("nowhere", "", "x\0y"):
        answer = await http.get("/api/v2/auth/providers", params={"configId": unknown})
        assert (answer.status_code, answer.json()) == (200, {"providers": []})


@pytest.mark.parametrize("secret", [CLIENT_SECRET, None])
async def test_browser_signs_in_with_code_and_proof_key(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf, secret: str | None
) -> None:
    tenant = await tenant_of(issuer, **({"clientSecret": secret} if secret else {}))
    await linked(tenant, issuer)
    browser = Browser(friendly)
    started = await browser.starts(tenant, returnTo="/admin/people?page=2")
    assert started.status_code == 302
    cookie = started.headers["set-cookie"]
    assert cookie.startswith(f"{LOGIN_COOKIE}=sealed:")
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    asked = {name: values[0] for name, values in parse_qs(urlsplit(started.headers["location"]).query).items()}
    assert asked["client_id"] == CLIENT_ID
    assert asked["scope"].split()[0] == "openid"
    assert asked["state"] not in cookie
    answer = await browser.goes(await browser.visits_issuer(started.headers["location"]))
    assert (answer.status_code, answer.headers["location"]) == (302, "/admin/people?page=2")
    assert SESSION_COOKIE in browser.cookies
    assert LOGIN_COOKIE not in browser.cookies
    entities = await browser.goes("/api/entities", params={"configId": tenant.config_id})
    assert entities.status_code == 200, entities.text


async def test_session_reaches_its_tenant_alone_and_is_not_the_persons_own(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant, other = await tenant_of(issuer), await friendly.tenant()
    email = await linked(tenant, issuer)
    memberships = [{"configId": each.config_id, "role": "admin"} for each in (tenant, other)]
    await friendly.operator.put(f"/api/users/{email}", json={"memberships": memberships})
    browser = Browser(friendly)
    assert (await browser.signs_in(tenant)).status_code == 302
    assert (await browser.goes("/api/entities", params={"configId": other.config_id})).status_code == 403
    me = (await browser.goes("/api/users/me")).json()
    assert [each["configId"] for each in me["memberships"]] == [tenant.config_id]
    apps = (await browser.goes("/api/apps")).json()
    assert [each["id"] for each in apps["data"]] == [tenant.config_id]
    answer = await browser.goes("/api/v2/auth/sessions")
    assert (answer.status_code, answer.json()["code"]) == (403, "access.own-login-needed")


async def test_role_of_the_session_is_what_the_provider_said(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, roles=BY_GROUPS)
    await linked(tenant, issuer, "viewer")
    params = {"configId": tenant.config_id}
    for groups, pulling, members in ((["field-workers"], 200, 403), (["managers"], 200, 200), (["none"], 403, 403)):
        issuer.person["groups"] = groups
        browser = Browser(friendly)
        assert (await browser.signs_in(tenant)).status_code == 302
        assert (await browser.goes("/api/sync/pull", params=params)).status_code == pulling
        assert (await browser.goes("/api/members", params=params)).status_code == members


async def test_roles_that_only_the_access_token_tells_count(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, "keycloak", roles={"claim": "realm_access.roles", "map": {"head": "admin"}})
    await linked(tenant, issuer, "viewer")
    issuer.access_claims = {"realm_access": {"roles": ["head"]}, "typ": "Bearer", "aud": "account"}
    browser = Browser(friendly)
    assert (await browser.signs_in(tenant, "keycloak")).status_code == 302
    assert (await browser.goes("/api/members", params={"configId": tenant.config_id})).status_code == 200


async def test_account_is_made_at_first_sight_in_a_browser_as_well(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer, createAccounts=True, roles={"default": "viewer"})
    issuer.person = {"sub": "new"}
    browser = Browser(friendly)
    assert (await browser.signs_in(tenant)).status_code == 302
    assert (await browser.goes("/api/entities", params={"configId": tenant.config_id})).status_code == 200


async def test_stranger_gets_no_session(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer)
    issuer.person = {"sub": "stranger"}
    browser = Browser(friendly)
    answer = await browser.signs_in(tenant)
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.not-admitted")
    assert SESSION_COOKIE not in browser.cookies


async def test_unknown_tenant_and_unknown_provider_are_the_same(
    friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf
) -> None:
    tenant = await tenant_of(issuer)
    browser = Browser(friendly)
    known = await browser.starts(tenant, "other")
    unknown = await browser.goes("/api/v2/auth/nowhere/oidc/start")
    assert (known.status_code, known.json()["code"]) == (404, "auth.unknown-provider")
    assert known.json() == unknown.json()


async def test_issuer_in_an_outage_is_told_as_one(friendly: Croft, issuer: SmallIssuer, tenant_of: TenantOf) -> None:
    tenant = await tenant_of(issuer)
    await issuer.stop()
    assert (await Browser(friendly).starts(tenant)).status_code == 503


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/people?page=2#end", "/a//b", "/a\u0062"])
def test_way_back_is_a_path_of_this_server(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "admin",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "https://evil.test",
        "javascript:alert(1)",
        "/a\\..\\\\evil.test",
        "/\t/evil.test",
        "/\r\nSet-Cookie: a=b",
        "/ä",
        "/a b",
        " /admin",
        "/" + "a" * 600,
    ],
)
def test_way_back_leads_to_no_other_host(path: str) -> None:
    assert own_path(path) == "/"
