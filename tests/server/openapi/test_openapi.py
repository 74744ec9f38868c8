import re
from collections.abc import Iterator
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_30_VALIDATOR, OPENAPI_31_VALIDATOR
from starlette.routing import Route

from server.app import build_app
from server.kit.problem import ProblemKind
from server.openapi.document import template
from server.openapi.swagger import as_openapi_30
from tests.conftest import Croft, settings_for_tests

Json = dict[str, Any]


@pytest.fixture
async def document(croft: Croft) -> Json:
    answer = await croft.client().get("/openapi.json")
    assert answer.status_code == 200
    body: Json = answer.json()
    return body


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from references(each)
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            yield from references(value)


def test_document_is_valid_openapi(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_what_the_page_reads_is_valid_openapi_of_its_version(document: Json) -> None:
    assert [str(error) for error in OPENAPI_30_VALIDATOR.iter_errors(as_openapi_30(document))] == []


def test_every_route_is_in_the_document(document: Json) -> None:
    served = {
        (method, template(route.path))
        for route in build_app(settings_for_tests(), "postgresql://nowhere").routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(method, path) for method, path, _ in operations(document)}


def test_every_operation_says_what_a_reader_needs(document: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["tags"], path
        assert re.fullmatch(r"[a-z][A-Za-z0-9]*", operation["operationId"])
        assert any(status.startswith(("2", "3")) for status in operation["responses"]), (method, path)
        assert ("401" in operation["responses"]) or operation["security"] == []
        in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))


def test_every_reference_leads_somewhere(document: Json) -> None:
    for reference in set(references(document)):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_every_problem_is_described_with_its_stable_code(document: Json) -> None:
    described = {
        code
        for response in document["components"]["responses"].values()
        for narrowed in response["content"]["application/problem+json"]["schema"]["allOf"][1:]
        for code in narrowed["properties"]["code"].get("enum", [])
    }
    statuses = {int(name.removeprefix("Problem")) for name in document["components"]["responses"]}
    assert described == {kind.code for kind in ProblemKind.catalogue.values() if kind.status in statuses}


def test_upload_is_described_as_a_file_and_as_json(document: Json) -> None:
    content = document["paths"]["/api/apps"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    assert content["multipart/form-data"]["schema"]["required"] == ["config"]


def test_nullable_and_constant_members_take_the_older_form() -> None:
    schema = {
        "type": "object",
        "properties": {
            "type": {"const": "group"},
            "const": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "count": {"type": ["integer", "null"], "exclusiveMinimum": 0},
        },
    }
    document = {"openapi": "3.1.0", "info": {"license": {"name": "x", "identifier": "x"}}, "schema": schema}
    assert as_openapi_30(document)["schema"]["properties"] == {
        "type": {"enum": ["group"]},
        "const": {"allOf": [{"type": "string"}], "nullable": True},
        "count": {"type": "integer", "nullable": True, "minimum": 0, "exclusiveMinimum": True},
    }


async def test_page_loads_everything_from_this_server_and_runs_no_inline_script(croft: Croft) -> None:
    page = await croft.client().get("/api-docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|https?:", page.text)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "api-docs/swagger-ui-bundle.js" in loaded
    for address in loaded:
        answer = await croft.client().get(f"/{address}")
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")


async def test_page_reads_the_document_in_the_form_it_knows(croft: Croft, document: Json) -> None:
    script = (await croft.client().get("/api-docs/start.js")).text
    address = re.search(r'url: "([^"]+)"', script)
    assert address is not None
    answer = await croft.client().get(f"/{address[1]}")
    assert answer.json()["openapi"] == "3.0.3"
    assert answer.json()["paths"].keys() == document["paths"].keys()


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2f..%2fdocument.py", "%2e%2e/document.py"])
async def test_page_has_no_other_files(croft: Croft, name: str) -> None:
    assert (await croft.client().get(f"/api-docs/{name}")).status_code == 404
