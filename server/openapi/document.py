"""The OpenAPI 3.1 document of a route table."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from server import __version__
from server.http.body import NDJSON
from server.http.route import Route
from server.kit.problem import ProblemKind
from server.openapi.schemas import Schemas, query_properties
from server.roles.permissions import Permission

Json = dict[str, Any]

_DESCRIPTION = """\
Sync of field data that is collected offline, for many organizations (tenants) apart from each other.

A request about a tenant names it by the query parameter `configId` or by the header `X-Tenant-Id` (its config id or
its number); requests with a body may name it there. Errors are problem details after RFC 9457 with a stable `code`.
"""

_PROBLEM: Json = {
    "type": "object",
    "description": "What went wrong, after RFC 9457.",
    "required": ["type", "title", "status", "code", "detail", "message"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The code again."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "code": {"type": "string", "description": "Names the kind of problem; stable over versions."},
        "detail": {"type": "string", "description": "What went wrong, for people."},
        "message": {"type": "string", "description": "The detail again, for older clients."},
        "errors": {
            "type": "array",
            "description": "Each place in what was sent that is wrong.",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {
                    "path": {"type": "string", "examples": ["entityForms[2].dependsOn"]},
                    "message": {"type": "string"},
                },
            },
        },
    },
}

_TENANT_HEADER: Json = {
    "name": "X-Tenant-Id",
    "in": "header",
    "description": "The tenant, by config id or number, where no other part of the request names it.",
    "schema": {"type": "string"},
}
_CONFIG_ID: Json = {
    "name": "configId",
    "in": "query",
    "description": "The tenant, by config id or number, where no other part of the request names it.",
    "schema": {"type": "string"},
}
_DEVICE_HEADER: Json = {
    "name": "X-Device-Id",
    "in": "header",
    "description": "The device's own id, which the log records; without it, the session stands for the device.",
    "schema": {"type": "string", "maxLength": 128},
}
_BEARER: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "The token of POST /api/users/login.",
}


def build_document(routes: Sequence[Route]) -> Json:
    """The document of all routes, as plain JSON values."""
    schemas = Schemas(routes)
    names = operation_ids(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _Operation(route, names[route.method, route.path], schemas).describe()
        paths.setdefault(template(route.path), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Croft",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **schemas.components},
            "responses": {_response_name(each): _problem_response(each) for each in _statuses_used(routes)},
            "securitySchemes": {"bearer": _BEARER},
        },
    }


class _Operation:
    """One route as OpenAPI has it."""

    def __init__(self, route: Route, name: str, schemas: Schemas) -> None:
        self._route = route
        self._name = name
        self._schemas = schemas

    def describe(self) -> Json:
        route = self._route
        operation: Json = {
            "operationId": self._name,
            "summary": route.summary,
            "tags": [route.tag],
            "parameters": list(self._parameters()),
            "responses": self._responses(),
            "security": [] if route.is_public else [{"bearer": []}],
        }
        if content := self._request_content():
            operation["requestBody"] = {"required": not route.body_optional, "content": content}
            if route.compressed:
                operation["requestBody"]["description"] = "May have a Content-Encoding: gzip or zstd."
        return operation

    def _parameters(self) -> Iterator[Json]:
        route = self._route
        for name in re.findall(r"{([^}:]+)", route.path):
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        properties, required = query_properties(route.query)
        for name, schema in properties.items():
            yield {"name": name, "in": "query", "required": name in required, "schema": schema}
        if route.tenant != "none":
            if route.tenant_in_path is None and "configId" not in properties:
                yield _CONFIG_ID
            yield _TENANT_HEADER
        if route.permission in (Permission.SYNC_PUSH, Permission.SYNC_PULL):
            yield _DEVICE_HEADER

    def _request_content(self) -> Json:
        route = self._route
        json = {"schema": self._schemas.body(route) or {"type": "object"}}
        if route.upload:
            file = {"type": "string", "format": "binary", "contentMediaType": "application/json"}
            form = {"type": "object", "required": ["config"], "properties": {"config": file}}
            return {
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {"config": {"contentType": "application/json"}},
                },
                "application/json": json,
            }
        if not route.body:
            return {}
        lines = {NDJSON: _lines(f"Each line is one of `{route.lines}`, as JSON.")} if route.lines else {}
        return {"application/json": json, **lines}

    def _responses(self) -> Json:
        responses = {str(status): self._success(status) for status in self._route.answers or {200: None}}
        for status in problem_statuses(self._route):
            responses[str(status)] = {"$ref": f"#/components/responses/{_response_name(status)}"}
        return responses

    def _success(self, status: int) -> Json:
        answer: Json = {"description": HTTPStatus(status).phrase}
        schema = self._schemas.answer(self._route, status)
        if schema is not None:
            answer["content"] = {self._route.media_type: {"schema": schema}}
        elif status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            answer["content"] = {self._route.media_type: {}}
        if self._route.streamed and status == HTTPStatus.OK:
            answer["content"][NDJSON] = _lines("Each line is an object, as JSON. Asked for by Accept.")
        return answer


def _lines(description: str) -> Json:
    """JSON values one a line, for which OpenAPI 3.1 has no schema."""
    return {"schema": {"type": "string", "description": description}}


def problem_statuses(route: Route) -> list[int]:
    """Every status of a problem that the route can answer with."""
    statuses = {
        *route.problems,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
    takes_body = route.upload or route.body is not None
    if takes_body or not route.is_public or route.query.model_fields:
        statuses.add(HTTPStatus.BAD_REQUEST)
    if takes_body:
        statuses |= {
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        }
    if not route.is_public:
        statuses |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if "{" in route.path or route.tenant != "none":
        statuses.add(HTTPStatus.NOT_FOUND)
    if route.tenant != "none" or (takes_body and not route.is_public):
        statuses.add(HTTPStatus.TOO_MANY_REQUESTS)
    return sorted(int(status) for status in statuses)


def operation_ids(routes: Sequence[Route]) -> dict[tuple[str, str], str]:
    """A name for each method and path: the handler's, in camel case; with method and path where two share a handler."""
    names = {(route.method, route.path): _camel(_handler_name(route.handler)) for route in routes}
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    return {
        (method, path): _camel(f"{method.lower()}_{re.sub('[^A-Za-z0-9]+', '_', path).strip('_')}")
        if name in shared
        else name
        for (method, path), name in names.items()
    }


def template(path: str) -> str:
    """The path without the types of its parameters: `/files/{name:path}` is `/files/{name}`."""
    return re.sub(r"{([^}:]+):[^}]+}", r"{\1}", path)


def _handler_name(handler: Callable[..., Any]) -> str:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__name__", type(handler).__name__)


def _camel(name: str) -> str:
    first, *rest = name.strip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _statuses_used(routes: Sequence[Route]) -> list[int]:
    return sorted({status for route in routes for status in problem_statuses(route)})


def _response_name(status: int) -> str:
    return f"Problem{status}"


def _problem_response(status: int) -> Json:
    kinds = sorted((kind.code, kind.detail) for kind in ProblemKind.catalogue.values() if kind.status == status)
    codes = {"enum": [code for code, _ in kinds]} if kinds else {}
    narrowed = {"properties": {"status": {"const": status}, "code": codes}}
    response: Json = {
        "description": f"{HTTPStatus(status).phrase}.\n\n" + "\n".join(f"- `{code}`: {text}" for code, text in kinds),
        "content": {
            "application/problem+json": {"schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]}}
        },
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "string"}}
        }
    return response
