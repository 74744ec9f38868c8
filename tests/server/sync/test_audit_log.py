from datetime import timedelta
from typing import Any

import pytest

from server.kit.clock import iso_ms
from server.sync import audit_log
from server.sync.push import Source
from tests.server.sync.conftest import AT, Log


def entry(guid: Any = "entry-1", **changes: Any) -> dict[str, Any]:
    return {
        "guid": guid,
        "timestamp": "2026-01-31T08:00:00.000Z",
        "userId": "somebody else",
        "action": "create-individual",
        "eventGuid": "event-1",
        "entityGuid": "ann",
        "changes": {"name": "Ann"},
        "signature": "signed",
        **changes,
    }


async def receive(log: Log, *raws: Any, minutes: int = 0, account: str = "ann@example.org") -> None:
    async with log.inside() as db:
        await audit_log.receive(db, raws, Source(account, "a phone", AT + timedelta(minutes=minutes)))


async def since(log: Log, at: str = "") -> list[dict[str, Any]]:
    async with log.inside() as db:
        return await audit_log.list_since(db, at, AT + timedelta(hours=1))


async def test_entries_come_back_as_they_were_sent_with_the_account_as_user(log: Log) -> None:
    await receive(log, entry())
    assert await since(log) == [entry(userId="ann@example.org")]


async def test_entry_counts_once_however_often_it_comes(log: Log) -> None:
    await receive(log, entry(), entry())
    await receive(log, entry(action="other"), entry("entry-2"))
    assert [(each["guid"], each["action"]) for each in await since(log)] == [
        ("entry-1", "create-individual"),
        ("entry-2", "create-individual"),
    ]


async def test_since_goes_by_arrival_not_by_the_clock_of_the_device(log: Log) -> None:
    await receive(log, entry("first"), minutes=0)
    await receive(log, entry("made earlier, sent later", timestamp="2020-01-01T00:00:00.000Z"), minutes=10)
    assert [each["guid"] for each in await since(log, iso_ms(AT + timedelta(minutes=5)))] == [
        "made earlier, sent later"
    ]
    assert [each["guid"] for each in await since(log, iso_ms(AT))] == ["first", "made earlier, sent later"]
    assert await since(log, iso_ms(AT + timedelta(minutes=11))) == []


async def test_since_of_a_clock_that_is_ahead_holds_nothing_back(log: Log) -> None:
    await receive(log, entry())
    assert len(await since(log, "2099-01-01T00:00:00.000Z")) == 1


async def test_since_that_is_no_time_is_a_value_error(log: Log) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await since(log, "yesterday")


@pytest.mark.parametrize("changes", [None, [], ["a"], "text", 5, {}, {"deep": {"er": [1]}}])
async def test_changes_may_be_any_json(log: Log, changes: Any) -> None:
    await receive(log, entry(changes=changes))
    assert [each["changes"] for each in await since(log)] == [changes]


@pytest.mark.parametrize("signature", [None, ""])
async def test_signature_may_be_missing(log: Log, signature: Any) -> None:
    raw = entry(signature=signature)
    await receive(log, raw, {key: value for key, value in entry("entry-2").items() if key != "signature"})
    assert [each["signature"] for each in await since(log)] == ["", ""]


BAD: dict[str, tuple[Any, str]] = {
    "no object": (7, ""),
    "null": (None, ""),
    "a list": ([], ""),
    "no guid": (entry(guid=""), "guid"),
    "number as guid": (entry(guid=7), "guid"),
    "huge guid": (entry(guid="g" * 257), "guid"),
    "no timestamp": ({**entry(), "timestamp": None}, "timestamp"),
    "object as action": (entry(action={}), "action"),
    "list as event": (entry(eventGuid=[]), "eventGuid"),
    "huge entity": (entry(entityGuid="e" * 257), "entityGuid"),
    "object as signature": (entry(signature={}), "signature"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_entry_is_put_aside_and_holds_up_no_other(log: Log, name: str) -> None:
    bad, path = BAD[name]
    await receive(log, entry("before"), bad, entry("after"))
    assert [each["guid"] for each in await since(log)] == ["before", "after"]
    (row,) = await log.fetch("SELECT code, path, account FROM quarantine")
    assert (row["code"], row["path"], row["account"]) == ("audit-log.invalid", path, "ann@example.org")


async def test_text_of_every_script_comes_back_to_the_letter(log: Log) -> None:
    awkward = 'O\'Brien "quoted" \u202eעברית \U0001f600'
    await receive(log, entry(action=awkward, changes={awkward: awkward}))
    assert [(each["action"], each["changes"]) for each in await since(log)] == [(awkward, {awkward: awkward})]
