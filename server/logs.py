"""The log: one JSON object a line on standard output, or lines for people where that is a terminal.

What callers sent can get into a message, so nothing in it may end a line or steer a terminal. Query strings, bodies and
tokens are never logged; what PostgreSQL and pydantic tell of rejected values is left out of tracebacks.
"""

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from server.kit.clock import iso_ms

# Controls, separators that some readers take for the end of a line, marks that change the direction of writing, and
# halves of surrogate pairs, which are no text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PEOPLES_DATA = re.compile(r"^DETAIL: .*$|input_value=.*(?=, input_type=)", re.MULTILINE)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_CHATTY = ("uvicorn", "httpx", "httpcore", "asyncio", "yoyo")


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Sends every record from `level` on, uvicorn's among them, to `stream`; standard output by default.

    `level` is debug, info, warning or error. A second call replaces what the first one set.
    """
    stream = stream or sys.stdout
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ReadableFormatter() if stream.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their everyday messages say nothing of ours, and those of the HTTP client hold whole addresses.
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


class JsonFormatter(logging.Formatter):
    """`{"at": "…Z", "level": "info", "logger": "croft.requests", "message": "request", …extras}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII controls and line ends escaped."""
        line = {
            "at": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if failure := _failure(self, record):
            line["exception"] = failure
        return _UNSAFE.sub(_as_escape, orjson.dumps(_plain(line)).decode())


class ReadableFormatter(logging.Formatter):
    """`08:15:00.123 INFO    croft.requests: request status=200 route=/health`, a traceback indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and one more for each line of a traceback."""
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items() if value != "")
        text = f"{_time_of(record)[11:23]} {record.levelname:<7} {record.name}: {record.getMessage()}{extras}"
        lines = [text, *(f"    {line}" for line in _failure(self, record).split("\n") if line)]
        return "\n".join(escape_controls(line) for line in lines)


def escape_controls(text: str) -> str:
    r"""The text with everything that could end a line or steer a terminal written as `\u001b` and the like."""
    return _UNSAFE.sub(_as_escape, text)


def _as_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _time_of(record: logging.LogRecord) -> str:
    return iso_ms(datetime.fromtimestamp(record.created, UTC))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _failure(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return _PEOPLES_DATA.sub("[left out]", formatter.formatException(record.exc_info))


def _plain(value: Any) -> Any:
    """What JSON can hold; a lone surrogate is none of it."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)
        case Mapping():
            return {str(_plain(str(key))): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return re.sub("[\ud800-\udfff]", _as_escape, str(value))
