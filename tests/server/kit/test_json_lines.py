"""Lines of JSON, read one value a line as strictly as a body is."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.problem import Problem
from server.kit.strict_json import read_json, read_json_lines

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(TEXTS, each, max_size=4),
)
# What may break out of its line when lines are put together, and what a reader of whole bodies refuses.
STRUCTURE = [b"[", b"]", b"{", b"}", b",", b'"', b":", b"\\", b"\r", b" ", b"],[", b"\x0b", b"\xef\xbb\xbf"]
FAULTS = [b'{"a":1,"a":2}', b"9" * 17, b'"\\u0000"', b"\xff", b"NaN", b"[" * 63 + b"]" * 63]
PIECES = st.sampled_from([*STRUCTURE, *FAULTS, b"1", b'"a"', b"null"])
LINES = st.lists(PIECES, max_size=4).map(b"".join)


def refusal(raw: bytes) -> Problem:
    with pytest.raises(Problem) as refused:
        read_json_lines(raw, "events", max_depth=62)
    return refused.value


@given(st.lists(VALUES), st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n\t\n"]))
def test_lines_are_their_values(values: list[Any], end: bytes) -> None:
    assert read_json_lines(end.join(map(orjson.dumps, values)), "events") == values
    assert read_json_lines(b"".join(orjson.dumps(each) + end for each in values), "events") == values


@given(st.lists(LINES, max_size=5))
def test_lines_are_read_as_each_by_itself(lines: list[bytes]) -> None:
    """The oracle reads each line as a body of its own."""
    expected: list[Any] = []
    bad = None
    for line in lines:
        if not line.strip(b" \t\r"):
            continue
        try:
            expected.append(read_json(line, max_depth=62))
        except Problem:
            bad = len(expected)
            break
    if bad is None:
        assert read_json_lines(b"\n".join(lines), "events", max_depth=62) == expected
    else:
        assert refusal(b"\n".join(lines)).errors[0].path.startswith(f"events[{bad}]")


@pytest.mark.parametrize(
    ("raw", "line", "path"),
    [
        (b"1],[2", 1, "events[0]"),
        (b"[1\n2]", 1, "events[0][0]"),
        (b'{"a":1}\n\n{"a":1},{"a":2}', 3, "events[1]"),
        (b'"a\n"', 1, "events[0]"),
        (b'1\n{"data":{"x":1,"x":2}}', 2, "events[1].data.x"),
        (b'1\n2\n\n{"data":["\\u0000"]}', 4, "events[2].data[0]"),
        (b"[9007199254740993]", 1, "events[0][0]"),
        (b"1\n" * 1_000 + b"{", 1_001, "events[1000]"),
        (b"[" * 63 + b"]" * 63, 1, "events[0]" + "[0]" * 62),
    ],
)
def test_first_bad_line_is_told_with_its_place(raw: bytes, line: int, path: str) -> None:
    problem = refusal(raw)
    assert problem.errors[0].path == path
    assert problem.detail.startswith(f"Line {line} is not valid JSON at {path}: ")


def test_line_that_is_too_large_to_look_into_is_told_all_the_same() -> None:
    problem = refusal(b"1\n" + b'{"a":"' + b"x" * 2_000_001 + b'","a":1}')
    assert problem.errors[0].path == "events[1]"
    assert "twice" in problem.detail


def test_nothing_is_no_line() -> None:
    assert read_json_lines(b"", "events") == read_json_lines(b"\n \r\n\t\n", "events") == []
