"""What is told of a body or a query that is not what the address takes."""

import asyncio
import gzip
import json
from time import perf_counter
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from server.http.body import BAD_QUERY, INVALID, parse_query, validated
from server.kit.problem import MOST_TOLD, Problem
from tests.conftest import PASSWORD, Croft, small_config


class Item(BaseModel):
    guid: str


class Order(BaseModel):
    email: str
    items: list[Item | int] = []
    gift: str | Item | None = None
    colour: Literal["red", "blue"] = "red"
    notes: dict[str, int] = {}


class Window(BaseModel):
    limit: int = 10
    before: int = Field(5, ge=1)


def refusal(value: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        validated(Order, value, INVALID)
    return refused.value


def places(value: Any) -> list[str]:
    return list(dict.fromkeys(error.path for error in refusal(value).errors))


def test_first_wrong_place_is_told_in_words_and_the_others_are_counted() -> None:
    assert refusal({"email": 1}).detail == "email: Input should be a valid string"
    assert refusal({"email": 1, "colour": "green"}).detail == "email: Input should be a valid string (and 1 more)"
    assert refusal({}).detail == "email: Field required"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"email": "a", "gift": 5}, "gift"),
        ({"email": "a", "gift": {"guid": 5}}, "gift.guid"),
        ({"email": "a", "gift": {}}, "gift.guid"),
        ({"email": "a", "items": [1, {"guid": None}]}, "items[1].guid"),
        ({"email": "a", "items": [1, "x"]}, "items[1]"),
        ({"email": "a", "items": {}}, "items"),
        ({"email": "a", "notes": {"x.y": "z"}}, "notes.x.y"),
    ],
)
def test_place_is_one_in_what_was_sent_and_names_no_part_of_the_model(value: Any, path: str) -> None:
    assert path in places(value)
    assert not [each for each in places(value) if "Item" in each or "str" in each or "int" in each]


@pytest.mark.parametrize("value", [[], [{"email": "a"}], "text", 5, None])
def test_body_that_is_no_object_is_told_so(value: Any) -> None:
    assert refusal(value).detail == "The body has to be an object"
    assert places(value) == [""]


def test_object_that_is_missing_deeper_down_is_told_with_its_place() -> None:
    assert "gift: Has to be an object" in [f"{each.path}: {each.message}" for each in refusal({"gift": 5}).errors]


@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_whatever_is_sent_is_taken_or_refused_with_words(value: Any) -> None:
    try:
        taken = validated(Order, value, INVALID)
    except Problem:
        assert refusal(value).detail
        assert refusal(value).errors
    else:
        assert isinstance(taken, Order)


def test_empty_parameter_counts_as_one_that_was_not_sent() -> None:
    assert parse_query({"limit": "", "before": ""}, Window) == Window()


def test_wrong_parameter_is_named() -> None:
    with pytest.raises(Problem) as refused:
        parse_query({"limit": "many", "before": "0"}, Window)
    assert refused.value.code == BAD_QUERY.code
    assert refused.value.detail.startswith("limit: Input should be a valid integer")
    assert refused.value.detail.endswith("(and 1 more)")


async def test_message_of_an_answer_tells_what_is_wrong(croft: Croft) -> None:
    answer = await croft.operator.post("/api/users", json={"email": "nobody", "password": "x", "role": "CHIEF"})
    assert answer.status_code == 422
    told = answer.json()
    assert told["message"] == told["detail"] == "email: This is not an e-mail address (and 1 more)"


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP", "unheard-of"])
async def test_body_that_is_encoded_is_refused_in_words(croft: Croft, coding: str) -> None:
    answer = await croft.client().post(
        "/api/users/login",
        content=gzip.compress(b'{"email": "a@b", "password": "c"}'),
        headers={"Content-Type": "application/json", "Content-Encoding": coding},
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "body.encoding")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_body_as_it_is_may_be_called_so(croft: Croft, coding: str) -> None:
    answer = await croft.client().post(
        "/api/users/login", json={"email": "a@b", "password": "c"}, headers={"Content-Encoding": coding}
    )
    assert answer.status_code == 401


async def test_large_upload_holds_nobody_up_and_is_read_once(croft: Croft) -> None:
    raw = b'{"a": 1, "id": "x", "k": [' + b'{"a": {}},' * 600_000 + b'1], "a": 2}'
    uploading = asyncio.ensure_future(
        croft.operator.post("/api/apps", content=raw, headers={"Content-Type": "application/json"})
    )
    longest = 0.0
    while not uploading.done():
        began = perf_counter()
        assert (await croft.client().get("/health")).status_code == 200
        longest = max(longest, perf_counter() - began)
    answer = await uploading
    assert (answer.status_code, answer.json()["code"]) == (400, "json.invalid")
    assert "twice" in answer.json()["detail"]
    assert longest < 2


async def test_caller_with_no_right_anywhere_is_refused_before_the_body_is_read(croft: Croft) -> None:
    tenant = await croft.tenant()
    address = urlsplit(croft.url)
    nowhere = f"{uuid4()}@example.test"
    made = await croft.operator.post("/api/users", json={"email": nowhere, "password": PASSWORD, "role": "USER"})
    assert made.status_code == 201
    cases = [
        ("/api/apps", nowhere, 403),
        ("/api/apps", await tenant.account("collector"), 403),
        ("/api/sync/push", nowhere, 403),
        ("/api/sync/push", await tenant.account("viewer"), 403),
        ("/api/sync/push", await tenant.account("collector"), None),
        ("/api/apps", await tenant.account("admin"), None),
    ]
    for path, email, status in cases:
        token = (await croft.signed_in(email)).headers["Authorization"]
        head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: {token}", "Content-Length: 1000000"]
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(
                "\r\n".join([*head, "Content-Type: application/json", "Expect: 100-continue", "", ""]).encode()
            )
            answered = int((await reader.readline()).split()[1])
        finally:
            writer.close()
            await writer.wait_closed()
        assert answered == (status or 100), (path, email)


@pytest.mark.parametrize("content_type", [None, "", "application/json", "application/json; charset=utf-8"])
async def test_body_is_json_where_its_type_is_not_said(croft: Croft, content_type: str | None) -> None:
    tenant = await croft.tenant()
    headers = {} if content_type is None else {"Content-Type": content_type}
    config = json.dumps(small_config(tenant.config_id)).encode()
    assert (await croft.operator.post("/api/apps", content=config, headers=headers)).status_code == 200
    pushed = json.dumps({"events": [], "configId": tenant.config_id}).encode()
    assert (await croft.operator.post("/api/sync/push", content=pushed, headers=headers)).status_code == 200


def test_no_more_than_a_hundred_places_are_named_and_all_are_counted() -> None:
    refused = refusal({"email": "a", "items": [None] * 5_000})
    assert len(refused.errors) == MOST_TOLD
    assert "more)" in refused.detail
