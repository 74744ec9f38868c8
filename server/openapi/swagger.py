"""The document in the form that the bundled Swagger UI reads: OpenAPI 3.0, which knows less of JSON Schema."""

from typing import Any

Json = dict[str, Any]

# Not in OpenAPI 3.0's schemas, and nothing is missed in a page for people without them.
_UNKNOWN = frozenset(
    {"patternProperties", "propertyNames", "prefixItems", "contentMediaType", "unevaluatedProperties", "$defs"}
)
_VALUES = frozenset({"default", "example", "enum"})


def as_openapi_30(document: Json) -> Json:
    """A copy of an OpenAPI 3.1 document as OpenAPI 3.0."""
    info = {**document["info"], "license": {"name": document["info"]["license"]["name"]}}
    return {**_converted(document), "openapi": "3.0.3", "info": info}


def _converted(node: Any) -> Any:
    if isinstance(node, list):
        return [_converted(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {name: _converted_member(name, value) for name, value in _without_news(node).items()}


def _converted_member(name: str, value: Any) -> Any:
    if name in _VALUES:
        return value
    if name == "properties":  # its members have names of the model's choice
        return {each: _converted(schema) for each, schema in value.items()}
    if name in ("items", "not") and isinstance(value, bool):
        return {}
    return _converted(value)


def _without_news(schema: Json) -> Json:
    """One schema without what OpenAPI 3.0 does not know; other objects of the document as they are."""
    schema = {name: value for name, value in schema.items() if name not in _UNKNOWN}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if isinstance(schema.get("examples"), list):
        schema["example"] = schema.pop("examples")[0]
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in schema and not isinstance(schema[bound], bool):
            schema[limit], schema[bound] = schema[bound], True
    return _nullable(schema)


def _nullable(schema: Json) -> Json:
    types = schema.get("type")
    if isinstance(types, list):
        named = [each for each in types if each != "null"]
        rest = {"type": named[0]} if len(named) == 1 else {"anyOf": [{"type": each} for each in named]}
        return {**{k: v for k, v in schema.items() if k != "type"}, **rest, "nullable": "null" in types}
    if types == "null":
        return {**{k: v for k, v in schema.items() if k != "type"}, "nullable": True}
    choices = schema.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        left = [each for each in choices if each != {"type": "null"}]
        rest = {"allOf": left} if len(left) == 1 else {"anyOf": left}
        return {**{k: v for k, v in schema.items() if k != "anyOf"}, **rest, "nullable": True}
    return schema
