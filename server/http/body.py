"""Reading a request's body and query, within limits."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from server.http.load import HeldBody
from server.http.unpacking import CODINGS, Unpacker, coding_of_body
from server.kit.call import Upload
from server.kit.problem import FieldError, Problem, ProblemKind
from server.kit.strict_json import read_json, read_json_lines

TOO_LARGE = ProblemKind("body.too-large", 413, "The body is larger than this server takes.")
WRONG_TYPE = ProblemKind("body.wrong-type", 415, "Send application/json.")
ENCODED = ProblemKind("body.encoding", 415, "Send the body as it is, without a Content-Encoding.")
INVALID = ProblemKind("body.invalid", 422, "The body is not what this address takes.")
NOT_MULTIPART = ProblemKind("body.not-multipart", 400, "The multipart body cannot be read.")
BAD_QUERY = ProblemKind("query.invalid", 400, "A query parameter is not what this address takes.")

_LARGE = 128 * 1024
"""Bodies of more bytes are read in a thread, so that nobody else waits for them."""

_PIECE = 64 * 1024

NDJSON = "application/x-ndjson"

_LINE_DEPTH = 62
"""How deep a line may be nested: as deep as it could be in the list that it stands for, in a body of plain JSON."""

T = TypeVar("T")


async def read_body(request: Request, limit: int, *, packed: bool = False, held: HeldBody | None = None) -> bytes:
    """The whole body, unpacked where it came packed and `packed` allows it; else raises `body.encoding`.

    Raises `body.too-large` as soon as more than `limit` bytes are announced or came, or came out of what is packed, and
    whatever `held` raises, which counts the bytes.
    """
    coding = coding_of_body(request.headers.get("content-encoding", ""))
    if coding is None or (coding != "identity" and not packed):
        raise _encoded(packed)
    announced = request.headers.get("content-length", "")
    expected = int(announced) if announced.isdigit() and len(announced) < 20 else 0
    if expected > limit or len(announced) >= 20:
        raise _too_large(limit)
    held = held or HeldBody.of_nobody()
    held.check(expected)
    pieces: list[bytes] = []
    async for piece in _plain(_within(request.stream(), limit), coding, limit):
        held.add(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> Problem:
    return TOO_LARGE(f"The body is larger than {limit} bytes.")


def _encoded(packed: bool) -> Problem:
    if packed:
        return ENCODED(f"Send the body as it is, or packed as one of: {CODINGS}.", headers={"Accept-Encoding": CODINGS})
    return ENCODED(headers={"Accept-Encoding": "identity"})


async def _within(parts: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for part in parts:
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        yield part


async def _plain(parts: AsyncIterable[bytes], coding: str, limit: int) -> AsyncIterator[bytes]:
    """The parts of a body as they are without their coding. What is not in memory yet is not unpacked either."""
    if coding == "identity":
        async for part in parts:
            yield part
        return
    unpacker = Unpacker(coding, limit, _too_large)
    async for part in parts:
        for piece in await unpacker.unpack(part):
            yield piece
    unpacker.finish()


async def parse_body(raw: bytes, model: type[BaseModel], content_type: str, lines: str | None = None) -> BaseModel:
    """The body as the route's model. Raises problems that name the path of what is wrong.

    lines: the field of the model that a body of application/x-ndjson makes up, a value a line.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if lines is not None and kind == NDJSON:
        return await _aside(
            len(raw),
            lambda: validated(model, {lines: read_json_lines(raw, lines, max_depth=_LINE_DEPTH)}, INVALID),
        )
    if kind not in ("application/json", "text/json", ""):
        raise WRONG_TYPE(f"Send application/json or {NDJSON}." if lines else None)
    return await _aside(len(raw), lambda: validated(model, read_json(raw), INVALID))


async def _aside(size: int, read: Callable[[], T]) -> T:
    return await asyncio.to_thread(read) if size > _LARGE else read()


async def hints_in(raw: bytes) -> list[str]:
    """The configId in a body of JSON, as a list; an empty one where there is none, or no JSON."""
    try:
        document = await _aside(len(raw), lambda: read_json(raw))
    except Problem:
        return []
    named = document.get("configId") if isinstance(document, dict) else None
    return [named] if isinstance(named, str) and named else []


def parse_query(values: dict[str, str], model: type[BaseModel]) -> BaseModel:
    """The query parameters as the route's model; an empty one counts as one that was not sent."""
    return validated(model, {name: value for name, value in values.items() if value}, BAD_QUERY)


def validated(model: type[BaseModel], value: object, kind: ProblemKind) -> BaseModel:
    """The value as the model, or the problem `kind` with a path for each thing that is wrong; it tells the first."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = list(dict.fromkeys(_field_error(each, value) for each in error.errors(include_url=False)))
        raise kind(_summary(errors), errors=errors) from None


def _summary(errors: Sequence[FieldError]) -> str:
    first = errors[0]
    told = f"{first.path}: {first.message}" if first.path else first.message
    return f"{told} (and {len(errors) - 1} more)" if len(errors) > 1 else told


def _field_error(error: ErrorDetails, value: object) -> FieldError:
    path = _field_path(error, value)
    if error["type"] == "model_type":
        return FieldError(path, "Has to be an object" if path else "The body has to be an object")
    return FieldError(path, error["msg"].removeprefix("Value error, ").removesuffix("."))


def _field_path(error: ErrorDetails, value: object) -> str:
    """Where in the value it is, as callers read it: `events[3].data`.

    Steps of pydantic's location that only name a choice of the model lead nowhere in the value and are left out.
    """
    location = error["loc"]
    path = ""
    for number, step in enumerate(location, 1):
        if isinstance(step, int):
            path += f"[{step}]"
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif isinstance(value, dict) and step in value:
            path += f".{step}"
            value = value[step]
        elif number == 1 or (error["type"] == "missing" and number == len(location)):
            path += f".{step}"
    return path.removeprefix(".")


async def parse_upload(raw: bytes, headers: Headers, name: str = "config") -> Upload:
    """A JSON file, read: the multipart field `name`, or the body itself where it is plain JSON. Raises json.invalid."""
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        if kind not in ("application/json", ""):
            raise WRONG_TYPE("Send multipart/form-data with a file, or application/json.")
        return await _upload(raw)
    try:
        form = await MultiPartParser(headers, _in_pieces(raw), max_files=4, max_fields=16).parse()
    except (MultiPartException, FormParserError, KeyError) as error:
        raise NOT_MULTIPART(f"The multipart body cannot be read: {error}") from None
    try:
        file = form.get(name)
        content = await file.read() if isinstance(file, UploadFile) else None
    finally:
        await form.close()
    return Upload(came=False) if content is None else await _upload(content, is_file=True)


async def _in_pieces(raw: bytes) -> AsyncGenerator[bytes, None]:
    """The parser holds up everybody else for as long as it has something to parse."""
    for start in range(0, len(raw), _PIECE):
        yield raw[start : start + _PIECE]
        await asyncio.sleep(0)


async def _upload(content: bytes, *, is_file: bool = False) -> Upload:
    """The document in a file, without the byte order mark that some editors put before it."""
    content = content.removeprefix(BOM_UTF8)
    if not content and not is_file:
        return Upload(came=False)
    return Upload(await _aside(len(content), lambda: read_json(content)))
