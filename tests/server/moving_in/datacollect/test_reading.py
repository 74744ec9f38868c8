import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.strict_json import canonical_json
from server.moving_in.datacollect import queries
from server.moving_in.datacollect.reading import SourceError, open_source, read_value
from tests.server.moving_in.datacollect.reference import Reference

PASSWORD = "Very-Secret-9"

on_phones = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=3)
    ),
    max_leaves=10,
)


def as_postgresql_writes(value: Any) -> str:
    """A number of a jsonb is written out in full, whatever its size."""
    if isinstance(value, float) and value == math.floor(value):
        return str(int(repr_digits(value)))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {as_postgresql_writes(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_postgresql_writes, value)) + "]"
    return json.dumps(value)


def repr_digits(value: float) -> str:
    """The shortest digits that say the number, with zeros up to its point."""
    return format(Decimal(repr(value)), "f").split(".")[0]


@given(on_phones)
def test_whatever_a_phone_wrote_is_read_as_the_same(value: Any) -> None:
    assert canonical_json(read_value(as_postgresql_writes(value))) == canonical_json(value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"n": 9007199254740993}', id="between two floats"),
        pytest.param('{"n": 1' + "0" * 400 + "}", id="beyond every float"),
        pytest.param('{"n": 1e999}', id="beyond every float, short"),
        pytest.param("[" * 100 + "]" * 100, id="too deep"),
        pytest.param("[" * 100_000 + "]" * 100_000, id="far too deep"),
    ],
)
def test_what_no_phone_wrote_or_nobody_can_keep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        read_value(text)


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://me:{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://me:{PASSWORD}@nobody.invalid/none",
        f"postgresql://me:a@{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://me:a/{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://me:12#{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://me:a?{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://me:{PASSWORD}@127.0.0.1:port/none",
        f"postgresql://me:{PASSWORD}@[::1/none",
        f"mysql://me:{PASSWORD}@127.0.0.1/none",
        PASSWORD,
    ],
)
async def test_no_failure_to_connect_tells_the_password(address: str) -> None:
    with pytest.raises(SourceError) as failure:
        async with open_source(address):
            raise AssertionError("not reached")
    assert PASSWORD not in str(failure.value)
    assert "12" not in str(failure.value).replace("127.0.0.1", "")


async def test_database_of_something_else_is_told_with_what_it_lacks(reference: Reference) -> None:
    await reference.db.execute("ALTER TABLE potential_duplicates RENAME TO pairs")
    try:
        with pytest.raises(SourceError, match=r"there is no potential_duplicates\.entity_guid"):
            async with open_source(reference.dsn):
                raise AssertionError("not reached")
    finally:
        await reference.db.execute("ALTER TABLE pairs RENAME TO potential_duplicates")


async def test_source_cannot_be_written_to(reference: Reference) -> None:
    async with open_source(reference.dsn) as source:
        with pytest.raises(Exception, match="read-only transaction"):
            await source.db.execute("INSERT INTO users (email, password_hash, role) VALUES ('a', 'b', 'c')")


async def test_what_is_written_there_meanwhile_is_left_to_the_next_run(reference: Reference) -> None:
    await reference.config("north", "a")
    async with open_source(reference.dsn) as source:
        await reference.config("south", "b")
        assert await source.ask(queries.list_config_ids) == ["north"]
