"""JSON as the protocol takes it: read so that it can be sent again, checked before it is kept, and canonical."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from server.device.errors import InvalidEvent

MAX_INTEGER = 2**53
MAX_DEPTH = 50

_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def _integer(digits: str) -> int | float:
    number = int(digits) if len(digits) < 20 else float(digits)
    return number if abs(number) <= MAX_INTEGER else float(number)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_int=_integer)


def read(text: str | bytes) -> Any:
    """The value of a JSON text. An integer that JSON does not keep exactly was a float, and becomes one again."""
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


def write(value: Any) -> str:
    """Compact JSON."""
    return _ENCODER.encode(value)


def checked(value: Any, path: str, depth: int = 0) -> Any:
    """A copy of the value in plain JSON types. Raises InvalidEvent for what the server would refuse to read."""
    if depth > MAX_DEPTH:
        raise InvalidEvent(path, f"is nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {_key(key, path): checked(each, f"{path}.{key}", depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [checked(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value)]
    if isinstance(value, str):
        return _text(value, path)
    return _plain(value, path)


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise InvalidEvent(path, "has a key that is no text")
    return _text(key, path)


def _text(text: str, path: str) -> str:
    if _UNWRITABLE.search(text):
        raise InvalidEvent(path, "holds a NUL or a lone surrogate")
    return text


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InvalidEvent(path, f"{value!r} has no place in JSON")


def canonical(value: Any) -> str:
    """The one text of a JSON value after RFC 8785."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{write(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return _number(value) if isinstance(value, float) else write(value)


def _number(number: float) -> str:
    """As ECMAScript writes it: the shortest digits that give it back, plain from 1e-6 up to 1e21."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    if text == "0":
        return "0"
    point = len(text) + exponent
    return ("-" if sign else "") + _placed(text, point)


def _placed(digits: str, point: int) -> str:
    """The digits with the point behind as many of them."""
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
