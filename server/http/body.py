"""Reading a request's body, within limits."""

from collections.abc import AsyncGenerator

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from server.kit.call import Upload
from server.kit.problem import FieldError, ProblemKind
from server.kit.strict_json import read_json

TOO_LARGE = ProblemKind("body.too-large", 413, "The body is larger than this server takes.")
WRONG_TYPE = ProblemKind("body.wrong-type", 415, "Send application/json.")
INVALID = ProblemKind("body.invalid", 422, "The body is not what this address takes.")
NOT_MULTIPART = ProblemKind("body.not-multipart", 400, "The multipart body cannot be read.")
BAD_QUERY = ProblemKind("query.invalid", 400, "A query parameter is not what this address takes.")


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises `body.too-large` as soon as more than `limit` bytes are announced or came."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TOO_LARGE(f"The body is larger than {limit} bytes.")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TOO_LARGE(f"The body is larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


def parse_json(raw: bytes, model: type[BaseModel], content_type: str) -> BaseModel:
    """The body as the route's model. Raises problems that name the path of what is wrong."""
    if content_type.partition(";")[0].strip().lower() not in ("application/json", "text/json", ""):
        raise WRONG_TYPE()
    return validated(model, read_json(raw), INVALID)


def parse_query(values: dict[str, str], model: type[BaseModel]) -> BaseModel:
    """The query parameters as the route's model."""
    return validated(model, values, BAD_QUERY)


def validated(model: type[BaseModel], value: object, kind: ProblemKind) -> BaseModel:
    """The value as the model, or the problem `kind` with a path for each thing that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = [FieldError(field_path(each["loc"]), each["msg"]) for each in error.errors(include_url=False)]
        places = ", ".join(each.path for each in errors if each.path)
        raise kind(f"{kind.detail} See: {places}." if places else None, errors=errors) from None


def field_path(location: tuple[int | str, ...]) -> str:
    """A pydantic location as callers read it: `events[3].data`."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path


async def parse_upload(raw: bytes, headers: Headers, name: str = "config") -> Upload:
    """A JSON file: the multipart field `name`, or the body itself where it is plain JSON."""
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        if kind not in ("application/json", ""):
            raise WRONG_TYPE("Send multipart/form-data with a file, or application/json.")
        return Upload(raw or None)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield raw

    try:
        form = await MultiPartParser(headers, stream(), max_files=4, max_fields=16).parse()
    except (MultiPartException, FormParserError, KeyError) as error:
        raise NOT_MULTIPART(f"The multipart body cannot be read: {error}") from None
    try:
        file = form.get(name)
        return Upload(await file.read() if isinstance(file, UploadFile) else None)
    finally:
        await form.close()
