"""Attacks by a page of another site, which can make a browser send the cookies of a session along."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.kit.cookies import CSRF_COOKIE, SESSION_COOKIE, csrf_token_of
from tests.conftest import PASSWORD, Croft, TenantHandle

TOKEN_HEADER = "X-CSRF-Token"


class Browser:
    """Keeps the cookies that it was given, as a browser does."""

    def __init__(self, http: httpx.AsyncClient, answer: httpx.Response) -> None:
        self.http = http
        self.set = answer.headers.get_list("set-cookie")
        self.cookies = dict(each.split(";")[0].split("=", 1) for each in self.set)
        self.csrf: str = answer.json()["csrfToken"]

    async def sends(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **more}
        return await self.http.request(method, path, headers=headers)


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(croft: Croft, tenant: TenantHandle) -> Browser:
    http = croft.client()
    body = {"email": await tenant.account("admin"), "password": PASSWORD}
    answer = await http.post("/api/v2/auth/browser", json=body)
    assert answer.status_code == 200, answer.text
    http.cookies.clear()
    return Browser(http, answer)


def test_cookies_are_bound_to_this_host_and_the_session_is_hidden_from_scripts(browser: Browser) -> None:
    session, csrf = browser.set
    assert session.startswith(f"{SESSION_COOKIE}=")
    assert csrf.startswith(f"{CSRF_COOKIE}=")
    for cookie in browser.set:
        assert cookie.partition("=")[0].startswith("__Host-")
        assert {"Secure", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie
    assert "HttpOnly" in session
    assert "HttpOnly" not in csrf
    assert browser.cookies[CSRF_COOKIE] == browser.csrf == csrf_token_of(browser.cookies[SESSION_COOKIE])


async def test_cookie_alone_reads(browser: Browser, tenant: TenantHandle) -> None:
    assert (await browser.sends("GET", "/api/users/me")).status_code == 200
    assert (await browser.sends("GET", f"/api/apps/{tenant.config_id}")).status_code == 200


@pytest.mark.parametrize("given", [None, b"", b"x", b"0" * 64, b"\xe9"])
async def test_change_without_the_token_of_the_session_is_refused(browser: Browser, given: bytes | None) -> None:
    headers = {} if given is None else {TOKEN_HEADER: given}
    answer = await browser.sends("DELETE", "/api/v2/auth/sessions", **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.cross-site")
    assert (await browser.sends("GET", "/api/users/me")).status_code == 200


async def test_token_of_another_session_is_refused(browser: Browser, croft: Croft, tenant: TenantHandle) -> None:
    body = {"email": await tenant.account("admin"), "password": PASSWORD}
    other = (await croft.client().post("/api/v2/auth/browser", json=body)).json()["csrfToken"]
    answer = await browser.sends("POST", "/api/users/logout", **{TOKEN_HEADER: other})
    assert answer.status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_page_of_another_site_is_refused_even_with_the_token(browser: Browser, site: str) -> None:
    headers = {TOKEN_HEADER: browser.csrf, "Sec-Fetch-Site": site}
    assert (await browser.sends("POST", "/api/users/logout", **headers)).status_code == 403


async def test_page_of_ours_may_and_signing_out_takes_the_cookies_back(browser: Browser) -> None:
    headers = {TOKEN_HEADER: browser.csrf, "Sec-Fetch-Site": "same-origin"}
    answer = await browser.sends("DELETE", "/api/v2/auth/browser", **headers)
    assert answer.status_code == 200
    assert all("Max-Age=0" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert (await browser.sends("GET", "/api/users/me")).status_code == 401


async def test_another_site_signs_nobody_in_under_an_account_of_its_choice(croft: Croft, tenant: TenantHandle) -> None:
    body = {"email": await tenant.account("admin"), "password": PASSWORD}
    answer = await croft.client().post("/api/v2/auth/browser", json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    form = await croft.client().post("/api/v2/auth/browser", data=body)
    assert form.status_code == 415


async def test_token_of_a_phone_is_worth_nothing_in_a_cookie_nor_that_of_a_cookie_in_a_header(
    croft: Croft, browser: Browser, tenant: TenantHandle
) -> None:
    phone = await tenant.device()
    answer = await croft.client().get("/api/users/me", headers={"Cookie": f"{SESSION_COOKIE}={phone.token}"})
    assert answer.status_code == 401
    assert (await croft.client(browser.cookies[SESSION_COOKIE]).get("/api/users/me")).status_code == 401


async def test_answers_to_other_origins_never_allow_credentials(browser: Browser) -> None:
    answer = await browser.sends("GET", "/api/users/me", Origin="https://evil.example")
    assert "access-control-allow-credentials" not in answer.headers
