"""Which keys of an app config must have which type. Unknown keys are allowed everywhere."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from server.kit.problem import FieldError

LONGEST_NAME = 200
LONGEST_EVENT_TYPE = 64
LONGEST_RETENTION = 36_500
"""In days."""
MOST_ROWS = 100_000
"""How many rows the entityData of a config may have in all."""

_MOST_ITEMS = {
    "entityForms": 1_000,
    "entityForms.roles": 100,
    "entityData": 1_000,
    "entityData.data": MOST_ROWS,
    "externalSync.extraFields": 200,
    "authConfigs": 50,
    "duplicates.rules": 200,
    "duplicates.rules.fields": 50,
    "customEventTypes": 1_000,
}
"""How many elements each list may have, by the keys that lead to it."""

_CONFIG_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

_MESSAGES: dict[str, str] = {
    "missing": "is missing",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "bool_type": "must be true or false",
    "too_short": "must not be empty",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least 1",
    "less_than_equal": "is too much",
    "extra_forbidden": "is no retention time",
}


def size_errors(document: Any) -> Iterator[FieldError]:
    """The lists that are too long, each with its path. Where there is none, all other checks are soon done."""
    for keys, most in _MOST_ITEMS.items():
        too_long = [path for path, items in _lists(document, "", keys.split(".")) if len(items) > most]
        yield from (FieldError(path, f"must have at most {most} elements") for path in too_long)
        if too_long:  # what is in it is not looked at
            return
    if sum(len(rows) for _, rows in _lists(document, "", ["entityData", "data"])) > MOST_ROWS:
        yield FieldError("entityData", f"must have at most {MOST_ROWS} rows in all")


def _lists(value: Any, path: str, keys: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """Every list that the keys lead to, through each element of the lists on the way."""
    if isinstance(value, list):
        if not keys:
            yield path, value
        for index, item in enumerate(value if keys else []):
            yield from _lists(item, f"{path}[{index}]", keys)
    elif isinstance(value, dict) and keys:
        yield from _lists(value.get(keys[0]), f"{path}.{keys[0]}".removeprefix("."), keys[1:])


def shape_errors(document: Any) -> Iterator[FieldError]:
    """Every wrong type, missing key and bad name, each with its path. A document that is no object has the path ''."""
    yield from _errors_of(_ConfigShape, document, ())
    sections = document.get("entityData") if isinstance(document, dict) else None
    for index, section in enumerate(sections if isinstance(sections, list) else []):
        rows = section.get("data") if isinstance(section, dict) else None
        for number, row in enumerate(rows if isinstance(rows, list) else []):
            yield from _errors_of(_RowShape, row, ("entityData", index, "data", number))


def _errors_of(shape: type[BaseModel], value: Any, place: tuple[int | str, ...]) -> Iterator[FieldError]:
    try:
        shape.model_validate(value)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            yield FieldError(_path((*place, *error["loc"])), _message(error))


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")


def _message(error: ErrorDetails) -> str:
    return _MESSAGES.get(error["type"], error["msg"])


def _rule(check: Callable[[str], bool], message: str) -> AfterValidator:
    def checked(text: str) -> str:
        if not check(text):
            raise PydanticCustomError("app_config", "{message}", {"message": message})
        return text

    return AfterValidator(checked)


def number_to_text(value: Any) -> Any:
    """A number as its text, anything else as it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _pairs(value: Any) -> Any:
    """Extra fields are also met as one object; its values are free, so there is nothing to check in it."""
    return [] if isinstance(value, dict) else value


def _at_most(characters: int) -> AfterValidator:
    return _rule(lambda text: len(text) <= characters, f"must have at most {characters} characters")


_not_blank = _rule(lambda text: bool(text.strip()), "must not be empty")
_id_pattern = _rule(
    lambda text: _CONFIG_ID.fullmatch(text) is not None,
    "must be letters, digits, '-' and '_', and begin with a letter or digit",
)

_ConfigId = Annotated[str, _id_pattern, _at_most(LONGEST_NAME)]
_Name = Annotated[str, _not_blank, _at_most(LONGEST_NAME)]
_Id = Annotated[str, _at_most(LONGEST_NAME)]
_EventType = Annotated[str, _not_blank, _at_most(LONGEST_EVENT_TYPE)]
_Version = Annotated[str, BeforeValidator(number_to_text)]
_RowId = Annotated[_Id | None, BeforeValidator(number_to_text)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel)


class _FormShape(_Shape):
    name: _Name
    id: _Id | None = None
    title: str | None = None
    depends_on: str | None = None
    roles: list[str] | None = None
    formio: dict[str, Any] | None = None


class _RowShape(_Shape):
    id: _RowId = None
    parent_id: _RowId = None


class _SeedsShape(_Shape):
    name: str
    data: list[Any] | None = None  # each a _RowShape, looked at one by one: they may be many, and all wrong


class _ExtraFieldShape(_Shape):
    name: _Name


class _ExternalSyncShape(_Shape):
    type: str | None = None
    url: str | None = None
    extra_fields: Annotated[list[_ExtraFieldShape] | None, BeforeValidator(_pairs)] = None


class _RolesShape(_Shape):
    claim: str | None = None
    map: dict[str, str] | None = None
    default: str | None = None


def _only_objects(value: Any) -> Any:
    """What an unknown type of provider means by the key is its own business, unless it looks like ours."""
    return value if isinstance(value, dict) else None


class _AuthFieldsShape(_Shape):
    roles: Annotated[_RolesShape | None, BeforeValidator(_only_objects)] = None


class _AuthConfigShape(_Shape):
    type: _Name
    fields: _AuthFieldsShape | None = None


class _DuplicateRuleShape(_Shape):
    form: str
    fields: Annotated[list[Annotated[str, _not_blank]], Field(min_length=1)]


class _DuplicatesShape(_Shape):
    rules: list[_DuplicateRuleShape] | None = None
    block_sync: bool | None = None


_Days = Annotated[int, Field(ge=1, le=LONGEST_RETENTION)]


class _FormRetentionShape(_Shape):
    days: _Days


class _RetentionShape(_Shape):
    model_config = ConfigDict(extra="forbid")

    forms: dict[str, _FormRetentionShape] | None = None
    quarantine_days: _Days | None = None
    device_audit_days: _Days | None = None


class _ConfigShape(_Shape):
    id: _ConfigId
    name: _Name
    description: str | None = None
    version: _Version | None = None
    url: str | None = None
    entity_forms: list[_FormShape] | None = None
    entity_data: list[_SeedsShape] | None = None
    external_sync: _ExternalSyncShape | None = None
    auth_configs: list[_AuthConfigShape] | None = None
    duplicates: _DuplicatesShape | None = None
    custom_event_types: list[_EventType] | None = None
    retention: _RetentionShape | None = None
