"""JSON as it is read from callers (strictly), written to them, and hashed (canonically, RFC 8785).

Reading is two passes. orjson reads the body; tests over whole buffers then tell exactly whether it has a fault that
orjson lets through. Only if it has one, or orjson refuses the body, does a second pass in Python walk the text: it
finds the first bad place and names it. That pass is slow and is kept for bodies of at most MOST_INSPECTED bytes; a
larger one is refused without the path.

The tests:

- Duplicate keys: orjson keeps the last of them, so the value written again has fewer colons than the body. Colons
  within strings are the same on both sides, once those that the body escapes are counted in.
- Nesting: of the body only the brackets outside of strings are kept, and the innermost pairs taken away as often as
  the limit allows. Nothing is left of a body that keeps it.
- Integers beyond 2^53: they are found in the body as a run of 16 digits or more, outside of strings, that no fraction
  or exponent accounts for.
- NUL: its escape is looked for. Lone surrogates, NaN, overflow, and bad UTF-8 are refused by orjson itself.

None of them takes more memory than a few copies of the body. Bodies of more than some 100 KB are still best read in a
thread, so that others are served meanwhile.
"""

import datetime as dt
import decimal
import gc
import ipaddress
import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson
from pydantic import BaseModel

from server.kit.clock import iso_ms
from server.kit.problem import FieldError, Problem, ProblemKind

JSON_INVALID = ProblemKind("json.invalid", 400, "The body is not valid JSON.")

MAX_INTEGER = 2**53
"""The largest integer, of either sign, that every JSON reader keeps exactly."""

MOST_INSPECTED = 2_000_000
"""The largest body, in bytes, whose first fault is told with its path."""


def read_json(raw: bytes, *, max_depth: int = 64) -> Any:
    """The value of a JSON text in UTF-8.

    Raises Problem `json.invalid` (400) for malformed JSON, an empty body, a duplicate key, a lone surrogate, a NUL
    character, an integer beyond ±2^53, a number that is not finite, invalid UTF-8, and objects or lists nested deeper
    than `max_depth` (1 to 250; the body's own object counts as one). Its `errors` hold the path of the first bad
    place, like `events[3].data.name`, and its detail says line and column. Of a body with more than MOST_INSPECTED
    bytes there is no path, only what is wrong, and line and column where the JSON is malformed.
    """
    if not raw or raw.isspace():
        raise JSON_INVALID("The body is empty where JSON is expected.")
    try:
        value = _load(raw)
    except orjson.JSONDecodeError as error:
        _find_fault(raw, max_depth)
        raise JSON_INVALID(f"The body is not valid JSON at line {error.lineno}, column {error.colno}.") from error
    if fault := _fault(raw, value, max_depth):
        _find_fault(raw, max_depth)
        raise JSON_INVALID(f"The body is not strictly valid JSON: {fault}")
    return value


def read_json_lines(raw: bytes, name: str, *, max_depth: int = 64) -> list[Any]:
    """The values of a text in UTF-8 that holds one JSON value a line; lines without any are passed over.

    Refuses in each line what `read_json` refuses in a body. The path of the first bad place reads like
    `events[3].data.name`, where `name` is "events"; the detail says which line of the text it is, the first being 1.
    """
    lines = [(number, line) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip(b" \t\r")]
    values: list[Any] = []
    for start in range(0, len(lines), _LINES_AT_ONCE):
        some = lines[start : start + _LINES_AT_ONCE]
        texts = [line for _, line in some]
        try:
            # One by one: only so is it certain that none of them ends what another began.
            read = _load_each(texts)
        except orjson.JSONDecodeError:
            _refuse_first_bad_line(some, name, start, max_depth)
        if _fault(b"[%b]" % b",".join(texts), read, max_depth + 1):
            _refuse_first_bad_line(some, name, start, max_depth)
        values += read
    return values


def dump_json(value: Any) -> bytes:
    """Compact JSON in UTF-8, keys in their given order.

    Takes what orjson takes (dataclasses, enums and UUIDs among it), pydantic models (by alias), other mappings, and
    aware datetimes, written as `2026-01-31T08:15:00.000Z`. Raises TypeError for anything else, for a naive datetime,
    for an integer of more than 64 bits and for a lone surrogate. A float that is not finite becomes null.
    """
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value after RFC 8785, for digests: equal values give equal bytes, 1 and 1.0 among them.

    Takes dict with str keys, list, tuple, str, int, float, bool and None, nested at most 250 deep. Raises ValueError
    for what has no such form: an integer beyond ±2^53, a float that is not finite, a lone surrogate, another type.
    """
    try:
        return orjson.dumps(_canonical(value))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no canonical JSON: {error}") from error


def canonical_json_of_read(value: Any) -> bytes:
    """What `canonical_json` gives, several times as fast, for a value that `read_json` gave: nothing else is taken."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return canonical_json(value) if _MAY_NOT_BE_CANONICAL.search(text) else text


def _load(raw: bytes) -> Any:
    """Reads without the garbage collector, which finds no garbage here but would take most of the time for looking."""
    if not gc.isenabled():
        return orjson.loads(raw)
    gc.disable()
    try:
        return orjson.loads(raw)
    finally:
        gc.enable()


def _load_each(texts: list[bytes]) -> list[Any]:
    if not gc.isenabled():
        return [orjson.loads(text) for text in texts]
    gc.disable()
    try:
        return [orjson.loads(text) for text in texts]
    finally:
        gc.enable()


# Reading: lines

_LINES_AT_ONCE = 200
"""Few enough that no step holds up other threads for long, as orjson and tests over a buffer do."""


def _refuse_first_bad_line(lines: list[tuple[int, bytes]], name: str, first: int, max_depth: int) -> NoReturn:
    for index, (number, line) in enumerate(lines, first):
        try:
            read_json(line, max_depth=max_depth)
        except Problem as problem:
            inner, message = _place_of(problem)
            path = f"{name}[{index}]{inner}"
            raise JSON_INVALID(
                f"Line {number} is not valid JSON at {path}: {message}", errors=[FieldError(path, message)]
            ) from None
    raise JSON_INVALID()


def _place_of(problem: Problem) -> tuple[str, str]:
    """The path within a line, as what follows the path of the line, and what is wrong there."""
    if not problem.errors:
        return "", problem.detail
    place = problem.errors[0]
    return f".{place.path}" if place.path and not place.path.startswith("[") else place.path, place.message


# Reading: the fast tests

_NUL = "The character NUL (U+0000) is not allowed."
_LARGE_INTEGER = "An integer must lie within ±2^53; send a longer one as a string."
_TWICE = "A key occurs twice in its object."

_ONLY_DIGITS = bytes(ord("0") if chr(code) in "0123456789" else ord(" ") for code in range(256))
_INTEGER_DIGITS = len(str(MAX_INTEGER))
_MANY_DIGITS = b"0" * _INTEGER_DIGITS
_LONG_INTEGER = re.compile(rb"(?:^|[\s,:\[\-])([0-9]{%d,}+)(?![.eE])" % _INTEGER_DIGITS)
_ALL_BRACKETS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(code for code in range(256) if chr(code) not in '[]{}"')
_STRING_WITHOUT_ESCAPES = re.compile(rb'"[^"]*+"')


def _fault(raw: bytes, value: Any, max_depth: int) -> str | None:
    """What is wrong with `raw` though orjson read `value` from it."""
    # Without escaped backslashes a backslash begins an escape; without escaped quotes a quote begins or ends a string.
    escaped = raw.replace(b"\\\\", b"") if b"\\\\" in raw else raw
    plain = escaped.replace(b'\\"', b"") if b'\\"' in escaped else escaped
    if b"\\u0000" in escaped:
        return _NUL
    if _is_deeper(plain, max_depth):
        return _too_deep(max_depth)
    if _has_large_integer(plain):
        return _LARGE_INTEGER
    written = orjson.dumps(value)
    colons = raw.count(b":") + escaped.count(b"\\u003a") + escaped.count(b"\\u003A")
    return _TWICE if colons != written.count(b":") else None


def _too_deep(max_depth: int) -> str:
    return f"Objects and lists may be nested {max_depth} deep, not deeper."


def _is_deeper(plain: bytes, max_depth: int) -> bool:
    brackets = plain.translate(_ALL_BRACKETS_SQUARE, _NO_BRACKETS).replace(b'""', b"")
    brackets = _STRING_WITHOUT_ESCAPES.sub(b"", brackets)
    for _ in range(max_depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _has_large_integer(plain: bytes) -> bool:
    if _MANY_DIGITS not in plain.translate(_ONLY_DIGITS):
        return False
    seen = quotes = 0
    for found in _LONG_INTEGER.finditer(plain):
        quotes += plain.count(b'"', seen, found.start())
        seen = found.start()
        is_large = len(found[1]) > _INTEGER_DIGITS or int(found[1]) > MAX_INTEGER
        if is_large and quotes % 2 == 0:
            return True
    return False


# Reading: the exact pass

_SPACE = re.compile(r"[ \t\n\r]*+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)((?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ITEM = r"""[ \t\n\r]*+(?:"[^"\\\x00-\x1f]*+"|-?(?:0|[1-9][0-9]{0,14})|true|false|null)[ \t\n\r]*+,"""
_HARMLESS_ITEM = re.compile(_ITEM)
_HARMLESS_ITEMS = re.compile(f"(?:{_ITEM}){{1,1000}}+")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_read_string = json.JSONDecoder().raw_decode
_NAMES = {"true": 4, "false": 5, "null": 4}


def _find_fault(raw: bytes, max_depth: int) -> None:
    """Raises the Problem of the first bad place, if there is one and the body is not too large to look for it."""
    if len(raw) > MOST_INSPECTED:
        return
    try:
        _Inspection(raw.decode(), max_depth).run()
    except UnicodeDecodeError as error:
        # What stands before the bad byte is read for its path, and may hold a fault that comes first.
        _Inspection(raw[: error.start].decode(), max_depth, cut="This is not valid UTF-8.").run()


@dataclass(slots=True)
class _Open:
    """An object or list whose end is not reached. `place` is the key or index of the member being read."""

    closer: str
    place: str | int | None = None
    keys: set[str] = field(default_factory=set)


class _Inspection:
    """Walks a JSON text without recursion. `cut` is the message for reaching the end of a text that was cut off."""

    def __init__(self, text: str, max_depth: int, *, cut: str | None = None) -> None:
        self.text = text
        self.max_depth = max_depth
        self.cut = cut
        self.at = 0
        self.open: list[_Open] = []

    def run(self) -> None:
        self.value()
        while self.open:
            if not self.close():
                self.member()
                self.value()
        if self.next_character() or self.cut:
            self.fail("Nothing may follow the value.")

    def value(self) -> None:
        match self.next_character():
            case "{":
                self.enter("}")
            case "[":
                self.enter("]")
            case '"':
                self.string()
            case _:
                self.number_or_name()

    def enter(self, closer: str) -> None:
        if len(self.open) == self.max_depth:
            self.fail(_too_deep(self.max_depth))
        self.open.append(_Open(closer))
        self.at += 1

    def close(self) -> bool:
        """Leaves the innermost object or list if it ends here."""
        inner = self.open[-1]
        if self.next_character() != inner.closer:
            return False
        self.open.pop()
        self.at += 1
        return True

    def member(self) -> None:
        """Goes to the value of the next member, past the comma and the key."""
        inner = self.open[-1]
        if inner.place is not None:
            self.expect(",", f"A comma or {inner.closer} is expected.")
        if inner.closer == "}":
            self.key(inner)
        else:
            self.index(inner)

    def index(self, inner: _Open) -> None:
        inner.place = inner.place + 1 if isinstance(inner.place, int) else 0
        harmless = _HARMLESS_ITEMS.match(self.text, self.at)
        if harmless:
            self.at = harmless.end()
            inner.place += len(_HARMLESS_ITEM.findall(self.text, harmless.start(), self.at))

    def key(self, inner: _Open) -> None:
        if self.next_character() != '"':
            self.fail("A key in double quotes is expected.")
        start = self.at
        key = self.string()
        inner.place = key
        if key in inner.keys:
            self.fail("This key occurs twice in its object.", start)
        inner.keys.add(key)
        self.expect(":", "A colon is expected after the key.")

    def string(self) -> str:
        start = self.at
        try:
            string, self.at = _read_string(self.text, start)
        except json.JSONDecodeError as error:
            self.bad_string(start, error)
        if "\0" in string:
            self.fail(_NUL, start)
        if _SURROGATE.search(string):
            self.fail("A lone surrogate is not a character.", start)
        assert isinstance(string, str)
        return string

    def bad_string(self, start: int, error: json.JSONDecodeError) -> NoReturn:
        if error.pos == start:
            self.fail("This string does not end.", start, ended=True)
        found = self.text[error.pos : error.pos + 1]
        if found == "\0":
            self.fail(_NUL, error.pos)
        if found and found < " ":
            self.fail("A control character in a string must be escaped.", error.pos)
        self.fail("This escape is not valid.", error.pos, ended=len(self.text) - error.pos < 6)

    def number_or_name(self) -> None:
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.number(number)
            return
        for name, length in _NAMES.items():
            if self.text.startswith(name, self.at):
                self.at += length
                return
        if self.text.startswith(("NaN", "Infinity", "-Infinity"), self.at):
            self.fail("A number must be finite.")
        self.fail("A value is expected.")

    def number(self, number: re.Match[str]) -> None:
        digits = number.group()
        if number.group(1):
            if math.isinf(float(digits)):
                self.fail("This number is too large.")
        elif len(digits) > _INTEGER_DIGITS + 1 or abs(int(digits)) > MAX_INTEGER:
            self.fail(_LARGE_INTEGER)
        self.at = number.end()

    def next_character(self) -> str:
        """The next character that is not white space, or none at the end of the text."""
        character = self.text[self.at : self.at + 1]
        if character > " " or not character:
            return character
        space = _SPACE.match(self.text, self.at)
        if space:
            self.at = space.end()
        return self.text[self.at : self.at + 1]

    def expect(self, character: str, otherwise: str) -> None:
        if self.next_character() != character:
            self.fail(otherwise)
        self.at += 1

    def fail(self, message: str, at: int | None = None, *, ended: bool = False) -> NoReturn:
        at = self.at if at is None else at
        if ended or at >= len(self.text):
            at = len(self.text)
            message = self.cut or (message if ended else f"{message} The text ends here.")
        path = self.path()
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        where = f"at {path} (line {line}, column {column})" if path else f"at line {line}, column {column}"
        raise JSON_INVALID(f"The body is not valid JSON {where}: {message}", errors=[FieldError(path, message)])

    def path(self) -> str:
        steps = "".join(_step(inner.place) for inner in self.open if inner.place is not None)
        return steps.removeprefix(".")


def _step(place: str | int) -> str:
    if isinstance(place, int):
        return f"[{place}]"
    if _PLAIN_KEY.fullmatch(place):
        return f".{place}"
    # Escaped to ASCII: a key may hold what cannot be answered as JSON. Cut: it may be as long as the body.
    return f"[{json.dumps(place if len(place) <= 64 else place[:64] + '…')}]"


# Writing


def _plain(value: Any) -> Any:
    """What stands in JSON for a type that orjson does not know."""
    match value:
        case BaseModel():
            return value.model_dump(by_alias=True)
        case dt.datetime() if value.tzinfo is None:
            raise TypeError("a naive datetime says no point in time")
        case dt.datetime():
            return iso_ms(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case uuid.UUID() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


# Canonical form

# What orjson writes otherwise: floats and large integers, and the order of keys beyond the first 65,536 characters.
# Inside of strings they do no harm, but the search need not know.
_MAY_NOT_BE_CANONICAL = re.compile(rb"[0-9][.eE]|[0-9]{16}|[\xf0-\xf4]")


def _canonical(value: Any) -> Any:
    """The value with keys sorted and floats as their text, in a form that orjson writes as it is."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        ordered = sorted(value) if all(map(str.isascii, value)) else sorted(value, key=_utf16)
        return {key: _canonical(value[key]) for key in ordered}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ValueError(f"no canonical JSON: {value} lies beyond ±2^53")
        return value
    if isinstance(value, float):
        return orjson.Fragment(_number_text(value))
    raise ValueError(f"no canonical JSON: {type(value).__name__}")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _number_text(number: float) -> str:
    """The number as ECMAScript writes it: the shortest digits that give it back, plain from 1e-6 up to 1e21."""
    if not math.isfinite(number):
        raise ValueError(f"no canonical JSON: {number} is not finite")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    shortest = decimal.Decimal(repr(abs(number))).as_tuple()
    assert isinstance(shortest.exponent, int)
    written = "".join(map(str, shortest.digits))
    point = len(written) + shortest.exponent  # how many digits stand before the point
    return sign + _place_point(written.rstrip("0"), point)


def _place_point(digits: str, point: int) -> str:
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
