"""The quarantine, over HTTP."""

from typing import Any

import pytest

from tests.conftest import Croft

LONG = "ø" * 5_000


async def test_list_shows_the_beginning_and_one_entry_shows_all(croft: Croft) -> None:
    tenant = await croft.tenant()
    collector, reviewer = await tenant.caller(), await tenant.caller("reviewer")
    named = {"configId": tenant.config_id}
    events = [{"guid": "no event", "words": LONG}, {"guid": "short"}]
    assert (
        await collector.post("/api/sync/push", json={"configId": tenant.config_id, "events": events})
    ).status_code == 200
    listed: list[dict[str, Any]] = (await reviewer.get("/api/sync/quarantine", params=named)).json()
    short, long = sorted(listed, key=lambda each: int(each["rawLength"]))
    assert short["rawLength"] == len(short["raw"])
    assert len(long["raw"]) == 2_000
    for entry in (short, long):
        answer = await reviewer.get(f"/api/sync/quarantine/{entry['id']}", params=named)
        assert answer.status_code == 200
        whole = answer.json()
        assert whole["raw"].startswith(entry["raw"])
        assert len(whole["raw"].encode()) == entry["rawLength"]
        assert {**whole, "raw": ""} == {**entry, "raw": ""}
    assert LONG in (await reviewer.get(f"/api/sync/quarantine/{long['id']}", params=named)).json()["raw"]


@pytest.mark.parametrize("entry", ["0", "-1", "1e3", "9007199254740993", "9" * 40, "\u0661", "nothing"])
async def test_entry_that_is_not_there_is_not_found(croft: Croft, entry: str) -> None:
    tenant = await croft.tenant()
    reviewer = await tenant.caller("reviewer")
    answer = await reviewer.get(f"/api/sync/quarantine/{entry}", params={"configId": tenant.config_id})
    assert (answer.status_code, answer.json()["code"]) == (404, "sync.unknown-entry")
