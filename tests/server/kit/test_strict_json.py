import datetime as dt
import enum
import ipaddress
import json
import math
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from server.kit.problem import Problem
from server.kit.strict_json import (
    MAX_INTEGER,
    MOST_INSPECTED,
    _fault,
    canonical_json,
    canonical_json_of_read,
    dump_json,
    read_json,
)

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, max_size=12)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5), max_leaves=30
)
writers: st.SearchStrategy[Callable[[Any], bytes]] = st.sampled_from(
    [
        orjson.dumps,
        lambda value: orjson.dumps(value, option=orjson.OPT_INDENT_2),
        lambda value: json.dumps(value).encode(),
        lambda value: json.dumps(value, ensure_ascii=False, separators=(" ,\t", "\r\n: ")).encode(),
    ]
)


def problem_of(raw: bytes, **limits: int) -> Problem:
    with pytest.raises(Problem) as caught:
        read_json(raw, **limits)
    assert (caught.value.code, caught.value.status) == ("json.invalid", 400)
    return caught.value


def path_of(raw: bytes, **limits: int) -> str:
    (error,) = problem_of(raw, **limits).errors
    return error.path


def message_of(raw: bytes, **limits: int) -> str:
    (error,) = problem_of(raw, **limits).errors
    return error.message


# Reading what is right


@given(values, writers)
def test_every_sound_value_is_read_as_it_was_written(value: Any, write: Callable[[Any], bytes]) -> None:
    assert read_json(write(value)) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'"\\\\u0000"', "\\u0000"),
        (b'"a\\u003ab"', "a:b"),
        (b'{"a\\u003Ab": 1}', {"a:b": 1}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[9007199254740992, -9007199254740992]", [2**53, -(2**53)]),
        (b"0.1234567890123456789012345", 0.12345678901234568),
        (b"12345678901234567890.5", 12345678901234567890.5),
        (b"1e20", 1e20),
        (b'"12345678901234567890"', "12345678901234567890"),
        (b'"see 12345678901234567890"', "see 12345678901234567890"),
        (b'{"a": {"b": 1}, "c": {"b": ": :"}}', {"a": {"b": 1}, "c": {"b": ": :"}}),
        (b"1e-999", 0.0),
    ],
)
def test_what_only_looks_suspicious_is_accepted(raw: bytes, value: Any) -> None:
    assert read_json(raw) == value


def test_awkward_text_is_kept() -> None:
    for text in ("O'Brien", "\U0001f469\u200d\U0001f33e", "مريم", "Nguyễn", "\u2028\x7f\uffff", "a\tb\n"):
        assert read_json(orjson.dumps({"name": text})) == {"name": text}


# Reading what is wrong


@pytest.mark.parametrize("raw", [b"", b" ", b"\n\t "])
def test_empty_body_is_refused(raw: bytes) -> None:
    assert "empty" in problem_of(raw).detail


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"a": 1, "a": 2}', "a"),
        (b'{"a": 1, "\\u0061": 2}', "a"),
        (b'{"a:b": 1, "a\\u003ab": 2}', '["a:b"]'),
        (b'{"events": [{}, {"data": {"name": "x", "age": 1, "name": "x"}}]}', "events[1].data.name"),
        (b'{"a" : {"": 1, "" : 1}}', 'a[""]'),
        (b'[1, 2, "x", {"k": [1, {"d": 0, "d": 0}]}]', "[3].k[1].d"),
    ],
)
def test_duplicate_key_is_refused_and_named(raw: bytes, path: str) -> None:
    assert path_of(raw) == path
    assert "twice" in message_of(raw)


@pytest.mark.parametrize("nul", [b"\\u0000", b"\x00"])
def test_nul_is_refused_in_values_and_keys(nul: bytes) -> None:
    assert path_of(b'{"events": [{"name": "a' + nul + b'b"}]}') == "events[0].name"
    assert "NUL" in message_of(b'{"x": "' + nul + b'"}')
    assert path_of(b'{"a": [{"' + nul + b'": 1}]}') == "a[0]"


@pytest.mark.parametrize("half", [b"\\ud800", b"\\uDFFF", b"\\ude00\\ud83d", b"\\ud800x", b"\\ud800\\u0041"])
def test_lone_surrogate_is_refused_and_named(half: bytes) -> None:
    assert path_of(b'{"a": ["x", "' + half + b'"]}') == "a[1]"
    assert "surrogate" in message_of(b'"' + half + b'"')


@pytest.mark.parametrize(
    "digits", ["9007199254740993", "9223372036854775808", "18446744073709551616", "1" + "0" * 5000]
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_integer_beyond_the_exact_ones_is_refused_and_named(digits: str, sign: str) -> None:
    for raw in (f'{{"a": [1, {{"n": {sign}{digits}}}]}}', f'{{"a":[1,{{"n":{sign}{digits}}}]}}'):
        assert path_of(raw.encode()) == "a[1].n"
    assert "2^53" in message_of((sign + digits).encode())


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9" * 400 + b".0"])
def test_number_that_is_not_finite_is_refused_and_named(number: bytes) -> None:
    assert path_of(b'{"a": {"b": [0, ' + number + b"]}}") == "a.b[1]"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"a": "ok", "b": ["\xff"]}', "b[0]"),
        (b'{"a": "\xed\xa0\x80"}', "a"),
        (b'{"a": 1, \xc3}', ""),
        (b'\xff{"a": 1}', ""),
        (b'{"a": "ok\\n\xff"}', "a"),
        (b'{"a": "\\\xff"}', "a"),
    ],
)
def test_bad_utf8_is_refused_and_named(raw: bytes, path: str) -> None:
    assert problem_of(raw).errors[0].path.startswith(path)
    assert "UTF-8" in message_of(raw)


def test_fault_before_bad_utf8_is_the_one_named() -> None:
    assert "twice" in message_of(b'{"a": 1, "a": 1, "b": "\xff"}')


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [65, 300, 2_000, 200_000])
def test_deep_nesting_is_refused_without_exhausting_the_stack(opening: bytes, depth: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    assert "64 deep" in message_of(opening * depth + b"1" + closing * depth)
    assert "64 deep" in message_of(opening * depth)


@pytest.mark.parametrize("inner", [b"[]", b"{}", b"[1]", b'{"a": 1}'])
def test_nesting_is_counted_in_objects_and_lists(inner: bytes) -> None:
    assert read_json(b"[" * 63 + inner + b"]" * 63)
    assert path_of(b"[" * 64 + inner + b"]" * 64) == "[0]" * 64


def test_nesting_limit_is_the_callers() -> None:
    assert read_json(b"[[1]]", max_depth=2) == [[1]]
    assert "2 deep" in message_of(b"[[[]]]", max_depth=2)
    assert read_json(b"1", max_depth=1) == 1
    assert read_json(b"[" * 250 + b"]" * 250, max_depth=250)


@pytest.mark.parametrize(
    ("raw", "path", "message"),
    [
        (b"{", "", "A key in double quotes is expected."),
        (b'{"a"', "a", "A colon"),
        (b'{"a" 1}', "a", "A colon"),
        (b'{"a": }', "a", "A value"),
        (b'{"a": 1 "b": 2}', "a", "A comma or }"),
        (b'{"a": 1,}', "a", "A key"),
        (b"{a: 1}", "", "A key"),
        (b"[1, 2,]", "[2]", "A value"),
        (b"[1, 2, , 3]", "[2]", "A value"),
        (b"[1 2]", "[0]", "A comma or ]"),
        (b"[01]", "[0]", "A comma or ]"),
        (b"[1.]", "[0]", "A comma or ]"),
        (b"[+1]", "[0]", "A value"),
        (b"['a']", "[0]", "A value"),
        (b"[tru]", "[0]", "A value"),
        (b"[1] x", "", "Nothing may follow"),
        (b'["a', "[0]", "This string does not end."),
        (b'["\\x"]', "[0]", "This escape is not valid."),
        (b'["\\u12g4"]', "[0]", "This escape is not valid."),
        (b'["a\nb"]', "[0]", "A control character"),
        (b"\xef\xbb\xbf{}", "", "A value"),
        (b"{]", "", "A key"),
        (b"[}", "[0]", "A value"),
    ],
)
def test_malformed_json_is_refused_with_path_and_reason(raw: bytes, path: str, message: str) -> None:
    assert path_of(raw) == path
    assert message_of(raw).startswith(message)


def test_malformed_json_is_refused_with_line_and_column() -> None:
    assert "at b[1] (line 3, column 12)" in problem_of(b'{\n  "a": 1,\n  "b": [0, x]\n}').detail


def test_problem_about_any_key_can_be_answered_as_json() -> None:
    for key in ("\\u0000", "\\ud800", "x" * 100_000, 'a\\"]b', "\u00e9"):
        answer = problem_of(f'{{"{key}": 1e999, "k": {{"{key}": 1, "{key}": 2}}}}'.encode()).document()
        assert len(dump_json(answer)) < 1_000


@given(st.binary(max_size=40) | st.text('[]{}",:01e.-\\u \n', max_size=30).map(str.encode))
@example(b'"\\')
@example(b'"\\ud800\\')
def test_whatever_is_read_ends_in_a_value_or_the_one_problem(raw: bytes) -> None:
    try:
        json.loads(raw, parse_constant=_refuse)
        value = read_json(raw)
    except ValueError:
        assert dump_json(problem_of(raw).document())
    except Problem as problem:
        assert problem.code == "json.invalid"  # noqa: PT017
    else:
        assert value == json.loads(raw)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@given(st.lists(st.tuples(texts, values), min_size=1, max_size=6), writers)
def test_duplicate_keys_are_found_exactly_when_there_are_some(
    members: list[tuple[str, Any]], write: Callable[[Any], bytes]
) -> None:
    raw = b"{" + b",".join(write(key) + b" : " + write(value) for key, value in members) + b"}"
    keys = [key for key, _ in members]
    if len(set(keys)) == len(keys):
        assert read_json(raw) == dict(members)
    else:
        assert "twice" in message_of(raw)


@given(values, st.integers(1, 12), writers)
def test_depth_is_measured_exactly(value: Any, limit: int, write: Callable[[Any], bytes]) -> None:
    def depth(part: Any) -> int:
        if not isinstance(part, dict | list):
            return 0
        return 1 + max(map(depth, part.values() if isinstance(part, dict) else part), default=0)

    raw = write(value)
    if depth(value) <= limit:
        assert read_json(raw, max_depth=limit) == value
    else:
        assert "deep" in message_of(raw, max_depth=limit)


@given(st.integers())
def test_integers_are_kept_exactly_or_refused(number: int) -> None:
    raw = b'{"n":%d}' % number
    if abs(number) <= MAX_INTEGER:
        assert read_json(raw) == {"n": number}
    else:
        assert path_of(raw) == "n"


# Large bodies


PADDING = b'"' + b"x" * MOST_INSPECTED + b'"'


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (b'{"a": 1, "a": 2}', "A key occurs twice"),
        (b'{"a:b": 1, "a\\u003ab": 2}', "A key occurs twice"),
        (b'"\\u0000"', "NUL"),
        (b'"\\\\\\u0000"', "NUL"),
        (b"9007199254740993", "An integer"),
        (b"-18446744073709551616", "An integer"),
        (b"[" * 64 + b"]" * 64, "64 deep"),
        (b'"[]]", ' + b'{"a":' * 64 + b'"}"' + b"}" * 64, "64 deep"),
    ],
)
def test_fault_in_a_large_body_is_told_without_its_path(member: bytes, message: str) -> None:
    problem = problem_of(b"[" + member + b", " + PADDING + b"]")
    assert message in problem.detail
    assert problem.errors == ()


@pytest.mark.parametrize(
    "member",
    [
        b'{"a": "\\\\u0000", "b:c": "\\u003a\\u003A", "d": "\\\\u003a"}',
        b'"card 8934041234567890123, [12345678901234567890], \\" -99999999999999999999 \\\\"',
        b"[9007199254740992, -9007199254740992]",
        b"[0.12345678901234567890, 12345678901234567890.5, 12345678901234567890e0]",
        b"[" * 63 + b'"[[\\"{{"' + b"]" * 63,
    ],
)
def test_large_body_that_only_looks_faulty_is_read(member: bytes) -> None:
    raw = b"[" + member + b", " + PADDING + b"]"
    assert read_json(raw) == json.loads(raw)


def test_malformed_large_body_is_told_with_line_and_column() -> None:
    assert problem_of(b"[\n" + PADDING + b",\n 1 2]").detail.endswith("at line 3, column 4.")


# Not getrusage: what that tells of a child counts the memory of the process that started it.
MEASURE = """
import re
from pathlib import Path
from server.kit.problem import Problem
from server.kit.strict_json import read_json
try:
    read_json(b"[" * 1000 + b"1," * 200_000 + b"1" + b"]" * 1000)
except Problem:
    print(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
def test_deep_list_of_many_values_is_refused_in_little_memory() -> None:
    kilobytes = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True).stdout
    assert int(kilobytes) < 200_000


@given(values, writers)
def test_fast_tests_find_no_fault_in_what_is_sound(value: Any, write: Callable[[Any], bytes]) -> None:
    raw = write(value)
    assert _fault(raw, orjson.loads(raw), 64) is None


# Writing


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Sighting:
    at: dt.datetime
    colour: Colour


class Answer(BaseModel):
    made_at: dt.datetime = Field(serialization_alias="madeAt")
    sighting: Sighting | None = None


NOON = dt.datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=dt.timezone(dt.timedelta(hours=3)))


def test_datetimes_are_written_in_utc_with_milliseconds() -> None:
    assert dump_json([NOON]) == b'["2026-01-31T09:00:00.123Z"]'


def test_naive_datetime_is_not_written() -> None:
    with pytest.raises(TypeError):
        dump_json(dt.datetime(2026, 1, 31))  # noqa: DTZ001


def test_models_and_dataclasses_are_written_with_what_they_hold() -> None:
    written = dump_json(Answer(made_at=NOON, sighting=Sighting(NOON, Colour.RED)))
    assert json.loads(written) == {
        "madeAt": "2026-01-31T09:00:00.123Z",
        "sighting": {"at": "2026-01-31T09:00:00.123Z", "colour": "red"},
    }


def test_other_plain_types_are_written() -> None:
    key = uuid.UUID(int=7)
    value = {
        "a": MappingProxyType({"b": (1, 2)}),
        "c": dt.date(2026, 1, 31),
        "d": ipaddress.ip_address("::1"),
        "e": key,
    }
    assert json.loads(dump_json(value)) == {"a": {"b": [1, 2]}, "c": "2026-01-31", "d": "::1", "e": str(key)}


@pytest.mark.parametrize("value", [object(), {1: 2}, b"bytes", "\ud800", 2**64])
def test_what_has_no_json_form_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        dump_json(value)


@given(values)
def test_what_is_written_can_be_read(value: Any) -> None:
    assert read_json(dump_json(value)) == value


# Canonical form


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555555", "333333333.3333333"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_canonical_numbers_are_those_of_the_standard(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(number) == text.encode()


def test_canonical_keys_stand_in_the_order_of_their_utf16_units() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    ordered = ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_json(dict.fromkeys(keys, 1)))) == ordered


def test_canonical_strings_escape_only_what_must_be() -> None:
    text = '\u20ac$\x0f\nA\'B"\\\\"/\u2028\x7f\b\t\f\r'
    written = '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u2028\x7f\\b\\t\\f\\r"'
    assert canonical_json(text) == written.encode()


@given(values)
def test_canonical_form_gives_the_value_back_and_is_its_own(value: Any) -> None:
    written = canonical_json(value)
    read = json.loads(written, parse_int=float)
    assert read == value
    assert canonical_json(read) == written


@given(values)
def test_canonical_form_of_what_was_read_is_the_same(value: Any) -> None:
    read = read_json(dump_json(value))
    assert canonical_json_of_read(read) == canonical_json(read)


@pytest.mark.parametrize(
    "value",
    [1.0, -0.0, 1e16, 1e-7, 1.5, [2**53], {"a": 1e21}, {"\ue000": 1, "\U00010000": 2}, "1.5", {"10e": "2E"}, None, ""],
)
def test_canonical_form_of_what_was_read_is_the_same_where_writers_differ(value: Any) -> None:
    assert canonical_json_of_read(value) == canonical_json(value)


@given(st.dictionaries(texts, values, max_size=8), st.randoms(use_true_random=False))
def test_canonical_form_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    members = list(value.items())
    random.shuffle(members)
    assert canonical_json(dict(members)) == canonical_json(value)


@given(values, values)
def test_different_values_have_different_canonical_forms(one: Any, other: Any) -> None:
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert (canonical_json(one) == canonical_json(other)) == _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    """Equality as JSON sees it: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


@given(floats)
def test_canonical_number_is_the_shortest_that_gives_the_number_back(number: float) -> None:
    text = canonical_json(number).decode()
    assert float(text) == number
    significant = text.partition("e")[0].lstrip("-").replace(".", "").strip("0")
    assert significant == repr(abs(number)).partition("e")[0].replace(".", "").strip("0")


def test_whole_floats_and_integers_have_one_canonical_form() -> None:
    assert canonical_json([1.0, -0.0, 1e3]) == canonical_json([1, 0, 1000]) == b"[1,0,1000]"


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [-math.inf], 2**53 + 1, "\ud800", {"\ud800": 1}, {1: 1}, object(), b"x", {"a": {1}}]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no canonical JSON"):
        canonical_json(value)
