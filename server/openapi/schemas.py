"""The JSON schemas of a route table's models, as one set of components."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from server.http.route import Route

Json = dict[str, Any]
_Key = tuple[str, str, str]

_REFERENCE = "#/components/schemas/{model}"


class Schemas:
    """Schemas of bodies as they are read and of answers as they are written; models they share are components."""

    def __init__(self, routes: Sequence[Route]) -> None:
        inputs = list(_inputs(routes))
        self._schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE)
        self.components: Json = definitions.get("$defs", {})
        for route in routes:
            self.components.update(_query_schema(route.query).get("$defs", {}))

    def body(self, route: Route) -> Json | None:
        """The schema of what the route reads, None where it reads no JSON that has a model."""
        return self._schemas.get((_key(route, "body"), "validation"))

    def answer(self, route: Route, status: int) -> Json | None:
        """The schema of what the route writes with the status, None where that is no JSON or has no model."""
        return self._schemas.get((_key(route, str(status)), "serialization"))


def query_properties(model: type[BaseModel]) -> tuple[dict[str, Json], list[str]]:
    """The schemas of a query model's parameters by name, and the names of those that must be there."""
    schema = _query_schema(model)
    return schema.get("properties", {}), schema.get("required", [])


def _inputs(routes: Sequence[Route]) -> Iterator[tuple[_Key, Literal["validation", "serialization"], TypeAdapter[Any]]]:
    for route in routes:
        if route.body is not None:
            yield _key(route, "body"), "validation", TypeAdapter(route.body)
        for status, model in route.answers.items():
            if model is not None:
                yield _key(route, str(status)), "serialization", TypeAdapter(model)


def _key(route: Route, part: str) -> _Key:
    return route.method, route.path, part


def _query_schema(model: type[BaseModel]) -> Json:
    return model.model_json_schema(ref_template=_REFERENCE)
