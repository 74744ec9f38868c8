import re

import pytest

from tests.conftest import Croft


@pytest.mark.parametrize("path", ["/health", "/api/users/me", "/nowhere"])
async def test_every_answer_carries_the_security_headers(croft: Croft, path: str) -> None:
    headers = (await croft.client().get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" in headers
    assert "server" not in headers


async def test_request_id_that_is_harmless_comes_back(croft: Croft) -> None:
    answer = await croft.client().get("/health", headers={"X-Request-Id": "phone-7.sync_0042"})
    assert answer.headers["x-request-id"] == "phone-7.sync_0042"


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with space 1234", "<script>alert</script>", "a,b;c=d e f g"])
async def test_request_id_that_could_do_harm_is_replaced(croft: Croft, given: str) -> None:
    answer = await croft.client().get("/health", headers={"X-Request-Id": given})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_browser_of_another_origin_may_call_with_a_token(croft: Croft, method: str) -> None:
    answer = await croft.client().options(
        "/api/apps",
        headers={
            "Origin": "https://admin.example.org",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,x-tenant-id",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "x-tenant-id"))
    assert "access-control-allow-credentials" not in answer.headers


async def test_error_can_be_read_by_a_browser_of_another_origin(croft: Croft) -> None:
    answer = await croft.client().get("/api/users/me", headers={"Origin": "https://admin.example.org"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
