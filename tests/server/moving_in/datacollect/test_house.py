"""What is there after everything was moved: looked at as its people, its phones and its operator see it."""

from typing import Any

import orjson
import pytest

from server.moving_in.datacollect import reasons
from server.moving_in.datacollect.report import Heading
from server.moving_in.datacollect.seeds import TAKEN_OVER
from server.tenants.versioning import opened_document
from tests.conftest import KEYRING, upload_of
from tests.server.moving_in.datacollect.conftest import House
from tests.server.moving_in.datacollect.moving import head_of, inside, move, records_of
from tests.server.moving_in.datacollect.reference import (
    ARTIFACT,
    CHILD_OF_NOBODY,
    NAMELESS_ROW,
    NEVER_LOADED,
    PASSWORD,
    SOUTH_ARTIFACT,
)


async def entity(house: House, guid: str, tenant: str = "north") -> dict[str, Any]:
    answer = await house.croft.operator.get(f"/api/entities/{guid}", params={"configId": tenant})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def live(house: House, tenant: str = "north") -> set[str]:
    return set(await records_of(house.database, tenant))


# Configs, codes and accounts


async def test_printed_codes_lead_to_the_same_config_without_its_secrets(house: House) -> None:
    for artifact, tenant in ((ARTIFACT, "north"), (SOUTH_ARTIFACT, "south")):
        answer = await house.croft.client().get(f"/artifacts/{artifact}.json")
        assert answer.status_code == 200
        assert answer.json()["id"] == tenant
    config = (await house.croft.client().get(f"/artifacts/{ARTIFACT}.json")).json()
    assert config["authConfigs"][0]["fields"]["client_id"] == "app"
    assert config["version"] == "3"
    assert "credentials" not in config.get("externalSync", {})


async def test_both_forms_of_outside_systems_are_kept_as_they_were(house: House) -> None:
    async with house.database.shared() as db:
        stored = [
            opened_document(orjson.loads(row["document"]), row["id"], KEYRING)["externalSync"]
            for row in await db.fetch(
                "SELECT t.id, document::text AS document FROM config_versions v JOIN tenants t ON t.id = v.tenant_id "
                "WHERE t.config_id IN ('north', 'south') AND v.number = 1 ORDER BY t.config_id"
            )
        ]
    assert stored[0]["credentials"] == {"username": "u", "password": "p"}
    assert stored[1] == {"type": "x", "auth": "basic", "url": "https://x.test"}


async def test_people_sign_in_with_the_password_they_had(house: House) -> None:
    for email in ("boss@field.test", "ann@field.test"):
        await house.croft.signed_in(email, PASSWORD)


async def test_administrator_of_that_server_administers_its_tenants_and_nothing_else(house: House) -> None:
    boss = await house.croft.signed_in("boss@field.test", PASSWORD)
    me = (await boss.get("/api/users/me")).json()
    assert me["role"] == "USER"
    assert {each["configId"]: each["role"] for each in me["memberships"]} == {"north": "admin", "south": "admin"}
    assert (await boss.get("/api/users")).status_code == 403
    assert (await boss.get("/api/entities", params={"configId": "taken"})).status_code == 403


async def test_everybody_else_collects(house: House) -> None:
    ann = await house.croft.signed_in("ann@field.test", PASSWORD)
    me = (await ann.get("/api/users/me")).json()
    assert {each["configId"]: each["role"] for each in me["memberships"]} == {
        "north": "collector",
        "south": "collector",
    }
    assert (await ann.get("/api/sync/pull", params={"configId": "north"})).status_code == 200


# Events and records


async def test_events_keep_guid_time_and_content(house: House) -> None:
    answer = await house.croft.operator.get("/api/entities/ann/events", params={"configId": "north"})
    events = answer.json()
    assert [event["guid"] for event in events][:4] == ["n-1", "n-1-1", "n-1-2", "n-1-3"]
    assert events[0]["timestamp"] == "2024-01-01T08:00:00.123Z"
    assert events[0]["data"] == {"name": "Ann O'Hara", "age": 30}
    assert events[0]["userId"] == "1"


@pytest.mark.parametrize(
    ("guid", "data"),
    [
        pytest.param("ann", {"name": "Ann O'Hara", "age": 33}, id="all updates count"),
        pytest.param("ahead", {"name": "Ahead", "v": "right"}, id="a clock a year ahead does not win"),
        pytest.param("big", {"name": "Big", "n": 12345678901234567000}, id="a number that phones can hold"),
        pytest.param("escape", {"name": "\\u0000 is no NUL"}, id="what only looks like NUL"),
        pytest.param("lost", {"name": "L'Hôpital"}, id="an apostrophe"),
        pytest.param("family", {"name": "Family"}, id="noise of a phone's library"),
        pytest.param("imported", {"name": "Imported", "externalId": "reg-7"}, id="written past the log"),
        pytest.param("linked", {"name": "Linked", "externalId": "reg-8"}, id="a field written past the log"),
        pytest.param("no-user", {"name": "No user"}, id="its only event was refused"),
    ],
)
async def test_records_are_what_the_log_and_what_is_beside_it_say(
    house: House, guid: str, data: dict[str, Any]
) -> None:
    assert (await entity(house, guid))["data"] == data


async def test_groups_have_their_members_at_every_depth(house: House) -> None:
    assert set((await entity(house, "family"))["memberIds"]) == {"father", "inner"}
    assert (await entity(house, "inner"))["memberIds"] == ["child"]
    assert set((await entity(house, "camp"))["memberIds"]) == {"imported", "ann"}


async def test_what_the_log_deletes_does_not_come_back(house: House) -> None:
    assert "gone" not in await live(house)
    assert "vanished" not in await live(house)


async def test_guids_that_two_tenants_share_stay_apart(house: House) -> None:
    assert (await entity(house, "ann", "south"))["name"] == "Southern Ann"
    assert (await entity(house, "imported", "south"))["name"] == "Only of the south"
    assert await live(house, "south") == {"ann", "imported"}


async def test_what_cannot_be_an_event_is_kept_with_its_reason_and_its_own_words(house: House) -> None:
    answer = await house.croft.operator.get("/api/sync/quarantine", params={"configId": "north"})
    kept = {each["guid"]: each for each in answer.json()}
    bad = {"empty", "null", "entity", "time", "year", "user", "members", "digits", "size"}
    assert {f"bad-{name}" for name in bad} <= kept.keys()
    assert kept["bad-members"]["path"] == "data.members"
    assert '"n": 12345678901234567891' in kept["bad-digits"]["raw"]
    assert len(kept) == len(bad) + 1  # and an entry of the audit log


async def test_log_is_proven_by_its_chain(house: House) -> None:
    pushes = await inside(house.database, "north", "SELECT first_seq, last_seq FROM pushes ORDER BY last_seq")
    numbers = [seq for row in pushes for seq in range(row["first_seq"], row["last_seq"] + 1)]
    assert numbers == list(range(1, await head_of(house.database, "north") + 1))


# Seeds


async def test_seeds_are_not_doubled_and_not_set_back(house: House) -> None:
    shown = [each for each in (await records_of(house.database, "north")).values() if "entityName" in each[2]]
    assert sorted(each[1] for each in shown) == ["Coast", "High Hills", "Shelter"]
    assert (await entity(house, "area-1"))["name"] == "High Hills"
    assert (await entity(house, "random-guid"))["data"]["beds"] == NAMELESS_ROW["beds"]


async def test_uploading_the_old_file_again_adds_no_seed(house: House) -> None:
    before, records = await head_of(house.database, "north"), await records_of(house.database, "north")
    config = (await house.croft.operator.get("/api/apps/north")).json()
    assert config["entityData"][0]["data"] == [CHILD_OF_NOBODY, NAMELESS_ROW, NEVER_LOADED]
    answer = await house.croft.operator.put("/api/apps/north", files={"config": upload_of(config)})
    assert answer.status_code == 200, answer.text
    assert await head_of(house.database, "north") == before
    assert await records_of(house.database, "north") == records


async def test_placeholders_of_seeds_are_no_records_and_no_phone_is_sent_them(house: House) -> None:
    rows = await inside(house.database, "north", "SELECT DISTINCT entity_guid FROM events WHERE type = $1", TAKEN_OVER)
    [placeholder] = [row["entity_guid"] for row in rows]
    assert placeholder not in await live(house)
    ann = await house.croft.signed_in("ann@field.test", PASSWORD)
    page = (await ann.get("/api/sync/pull", params={"configId": "north"})).json()
    assert TAKEN_OVER not in {event["type"] for event in page["events"]}
    assert "approve" in {event["type"] for event in page["events"]}


# Pairs and the audit log


async def test_open_pairs_are_open_and_unknown_ones_are_told(house: House) -> None:
    pairs = (await house.croft.operator.get("/api/potential-duplicates", params={"configId": "north"})).json()
    assert {"entityGuid": "twin-2", "duplicateGuid": "twin-1"} in pairs
    assert not [pair for pair in pairs if "nobody" in pair.values()]
    assert [line["detail"] for line in house.moved.told(reasons.UNKNOWN_PAIR)] == ["nobody"]


async def test_audit_log_keeps_its_users_and_times(house: House) -> None:
    entries = (await house.croft.operator.get("/api/sync/pull/audit-logs", params={"configId": "north"})).json()
    by_guid = {entry["guid"]: entry for entry in entries}
    assert len(entries) == len(by_guid) == 4
    assert by_guid["same"]["timestamp"] == "2024-02-01T00:00:00.000Z"
    assert by_guid["audit-of-n-1"]["userId"] == "1"
    since = {"configId": "north", "since": "2024-01-15T00:00:00.000Z"}
    later = (await house.croft.operator.get("/api/sync/pull/audit-logs", params=since)).json()
    assert len(later) == 2


# What is told


async def test_report_tells_everything_by_its_reason(house: House) -> None:
    assert house.moved.reasons(Heading.REFUSED) == {
        reasons.TENANT_EXISTS: 1,
        reasons.NO_CONFIG: 1,
        reasons.BAD_EVENT: 9,
        reasons.BAD_ENTRY: 1,
        reasons.NO_MEMBER: 1,
        reasons.UNKNOWN_PAIR: 1,
        reasons.UNREADABLE: 1,
        reasons.SAME_EMAIL: 1,
        reasons.BAD_EMAIL: 1,
        reasons.BAD_HASH: 1,
    }
    assert house.moved.reasons(Heading.CHANGED) == {
        reasons.CUSTOM_TYPES: 1,
        reasons.SEED_LOADED: 1,
        reasons.MADE_RECORD: 4,
        reasons.MADE_FIELDS: 1,
    }
    assert house.moved.reasons(Heading.NOTED) == {reasons.WAITING: 1}


async def test_differences_are_told_with_their_places_and_their_reasons(house: House) -> None:
    told = {
        line["row"]: (line["reason"], line.get("path")) for line in house.moved.lines if line["heading"] == "differs"
    }
    assert told == {
        "ann": (reasons.NOT_APPLIED, "data.age"),
        "big": (reasons.LOST_THERE, None),
        "lost": (reasons.LOST_THERE, None),
        "gone": (reasons.DELETED_HERE, None),
        "camp": (reasons.OTHER_MEMBERS, "memberIds"),
    }


async def test_nothing_that_is_told_holds_a_password_or_a_hash(house: House) -> None:
    told = orjson.dumps(house.moved.lines).decode()
    assert "$2b$" not in told
    assert PASSWORD not in told


async def test_tenant_of_somebody_else_is_left_alone(house: House) -> None:
    assert house.moved.outcome.refused == ["taken"]
    assert await head_of(house.database, "taken") == 0


async def test_nothing_was_written_to_the_other_server(house: House) -> None:
    assert await house.reference.fingerprint() == house.fingerprint


async def test_second_run_takes_nothing_and_tells_the_same_differences(house: House) -> None:
    heads = [await head_of(house.database, tenant) for tenant in ("north", "south")]
    records = await records_of(house.database, "north")
    again = await move(house.reference, house.database)
    assert [await head_of(house.database, tenant) for tenant in ("north", "south")] == heads
    assert await records_of(house.database, "north") == records
    counts = again.report.counts["north"]
    assert (counts["events"], counts["made"], counts["pairs"], counts["entries"]) == (0, 0, 0, 0)
    assert counts["known"] == house.moved.report.counts["north"]["events"]
    assert again.reasons(Heading.DIFFERS) == house.moved.reasons(Heading.DIFFERS)
