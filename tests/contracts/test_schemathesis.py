"""The server answers whatever /openapi.json allows to send, and only in ways that are described there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from server.app import build_app
from server.db.embedded import EmbeddedPostgres
from server.openapi.document import template
from tests.conftest import (
    ADMIN_EMAIL,
    METRICS_TOKEN,
    PASSWORD,
    new_database,
    settings_for_tests,
    small_config,
    upload_of,
)
from tests.croft_process import croft_process, settings_of

pytestmark = pytest.mark.slow

EXAMPLES = 50
TENANT = "north-hills"
ENDS_THE_SESSION = {
    "POST /api/users/logout",
    "DELETE /api/v2/auth/browser",
    "DELETE /api/v2/auth/sessions",
    "DELETE /api/users/{user}/sessions",
}
ENDLESS = "/api/v2/sync/live"
"""An answer without an end cannot be compared with its description."""


@dataclass
class Api:
    """A server with one tenant, and an operator who speaks to it."""

    url: str
    session: requests.Session

    def sign_in(self) -> None:
        answer = httpx.post(f"{self.url}/api/users/login", json={"email": ADMIN_EMAIL, "password": PASSWORD})
        self.session.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def make_tenant(self) -> None:
        answer = httpx.post(
            f"{self.url}/api/apps", files={"config": upload_of(small_config(TENANT))}, headers=self.authorization
        )
        assert answer.status_code == 200, answer.text

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": str(self.session.headers["Authorization"])}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(cluster: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """A server in a process of its own, so that it answers while the test waits."""
    addresses = await new_database(cluster)
    place: Path = tmp_path_factory.mktemp("contract")
    values = settings_of({"POSTGRES": addresses.serving, "METRICS_TOKEN": METRICS_TOKEN})
    with croft_process("--migrate", cwd=place, **values) as croft, requests.Session() as session:
        api = Api(croft.url, session)
        api.sign_in()
        api.make_tenant()
        yield api


@pytest.fixture(scope="module")
def described(api: Api) -> Any:
    """The description that the server gives of itself."""
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


def operations() -> list[tuple[str, str]]:
    """Method and path of everything that the server serves."""
    app = build_app(settings_for_tests(), "postgresql://nowhere")
    return [
        (method, template(route.path))
        for route in app.routes
        if isinstance(route, Route) and route.path != ENDLESS
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


@pytest.mark.parametrize(("method", "path"), [pytest.param(*each, id=" ".join(each)) for each in operations()])
def test_every_answer_is_one_that_is_described(method: str, path: str, described: Any, api: Api) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.one_of([described[path][method].as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode])
    )
    def call_and_check(case: Any) -> None:
        aim_at_the_tenant(case)
        case.call_and_validate(session=api.session, checks=CHECKS)

    call_and_check()
    if f"{method} {path}" in ENDS_THE_SESSION:
        api.sign_in()


def test_operator_is_still_signed_in(api: Api) -> None:
    """Else most of what was sent above was only refused."""
    assert httpx.get(f"{api.url}/api/users/me", headers=api.authorization).status_code == 200


def is_no_fault_of_the_server(_: Any, response: schemathesis.Response, case: Any) -> None:
    """Only another system may fail, where the description says that this one passes it on."""
    described = case.operation.definition.raw["responses"]
    assert response.status_code < 500 or (response.status_code == 502 and "502" in described), response.text


CHECKS = [is_no_fault_of_the_server, status_code_conformance, content_type_conformance, response_schema_conformance]


def aim_at_the_tenant(case: Any) -> None:
    """Nearly no tenant has a name made by chance: names the one that is there wherever a tenant is to be named."""
    named = [each.name for each in case.operation.iter_parameters() if each.name in ("configId", "X-Tenant-Id")]
    if "X-Tenant-Id" in named and case.headers is not None:
        case.headers["X-Tenant-Id"] = TENANT
    if "configId" in named and case.query is not None:
        case.query["configId"] = TENANT
    if isinstance(case.body, dict) and "configId" in case.body:
        case.body["configId"] = TENANT
