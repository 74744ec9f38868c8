import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.logs import JsonFormatter, ReadableFormatter, configure_logging, escape_controls

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))  # lone surrogates included


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Logging as it was, whatever the test sets."""
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, level = before[0], before[1]
    root.setLevel(level)


def record(message: str, **extras: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "croft", "levelname": "INFO", "msg": message, **extras})


@given(ANY_TEXT, ANY_TEXT)
def test_whatever_is_logged_is_one_line_of_json(message: str, tenant: str) -> None:
    line = JsonFormatter().format(record(message.replace("%", ""), tenant=tenant))
    assert line == escape_controls(line)
    assert len(line.splitlines()) == 1
    line.encode()
    assert json.loads(line)["level"] == "info"


@given(ANY_TEXT, ANY_TEXT)
def test_whatever_is_logged_is_one_line_that_steers_no_terminal(message: str, tenant: str) -> None:
    line = ReadableFormatter().format(record(message.replace("%", ""), tenant=tenant))
    assert len(line.splitlines()) == 1
    assert line == escape_controls(line)
    line.encode()


def test_extras_of_a_record_are_fields_of_the_line() -> None:
    line = json.loads(JsonFormatter().format(record("request", status=200, ms=1.5, route="/health", nested={"a": [1]})))
    assert {"message": "request", "status": 200, "ms": 1.5, "route": "/health", "nested": {"a": [1]}}.items() <= (
        line.items()
    )
    assert line["at"].endswith("Z")


@pytest.mark.parametrize("formatter", [JsonFormatter(), ReadableFormatter()])
def test_traceback_leaves_out_what_the_database_tells_of_people(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("duplicate key\n" + "DETAIL:  Key (email)=(" + "asha@example.org) exists.")
    except ValueError:
        text = formatter.format(record("failed", exc_info=sys.exc_info()))
    assert "duplicate key" in text
    assert "Traceback" in text
    assert "(email)=(asha@example.org)" not in text


@pytest.mark.usefixtures("restored_logging")
def test_messages_of_the_http_server_take_the_same_form() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    logging.getLogger("uvicorn.error").info("Started server process [1]")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("httpx").info("GET https://registry.example.org/?token=secret")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("uvicorn.error", "Invalid HTTP request received.")
    ]


@pytest.mark.usefixtures("restored_logging")
def test_only_a_terminal_gets_lines_for_people() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging("warning", stream)
    logging.getLogger("croft").info("unheard")
    logging.getLogger("croft").warning("heard", extra={"tenant": "north"})
    assert stream.getvalue().endswith("WARNING croft: heard tenant=north\n")
    assert stream.getvalue().count("\n") == 1
