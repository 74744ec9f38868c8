"""Erasing and exporting over HTTP."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.conftest import Croft, TenantHandle, small_config
from tests.isolation.world import submission

_IS_WAITED_FOR = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))"


@pytest.fixture
async def tenant(croft: Croft) -> TenantHandle:
    return await croft.tenant()


class Office:
    """Somebody with a role in the tenant."""

    def __init__(self, client: httpx.AsyncClient, tenant: TenantHandle) -> None:
        self._client = client
        self._headers = {"X-Tenant-Id": tenant.config_id}

    async def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = await self._client.request(method, path, headers=self._headers, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def push(self, *events: dict[str, Any]) -> None:
        await self.call("POST", "/api/sync/push", json={"events": list(events)})


@pytest.fixture
async def office(tenant: TenantHandle) -> Office:
    return Office(await tenant.caller("admin"), tenant)


async def household(office: Office) -> tuple[str, str]:
    """A person in a group: their guids."""
    person, group = str(uuid4()), str(uuid4())
    members = [{"guid": person, "name": "Ann", "village": "Kibera"}, {"guid": str(uuid4()), "name": "Ben"}]
    await office.push(
        submission("create-group", group, {"name": "House", "members": members}),
        submission("update-individual", person, {"village": "Mathare"}),
    )
    return person, group


async def test_preview_tells_what_an_erasure_would_meet_and_changes_nothing(office: Office) -> None:
    person, group = await household(office)
    before = await office.call("GET", f"/api/entities/{person}")
    told = await office.call("GET", f"/api/persons/{person}/erase")
    dry = {"reason": "on request"}
    assert told == await office.call("POST", f"/api/persons/{person}/erase?dryRun=true", json=dry)
    assert (told["guid"], told["state"], told["erased"], told["members"]) == (person, "live", None, 0)
    assert told["groups"] == [{"guid": group, "type": "group", "name": "House"}]
    assert told["found"]["events"] == 2
    assert await office.call("GET", f"/api/entities/{person}") == before


async def test_erasure_is_told_and_stays(office: Office) -> None:
    person, group = await household(office)
    order = {"reason": "on request", "confirm": person}
    done = await office.call("POST", f"/api/persons/{person}/erase", json=order)
    assert done["guid"] == person
    assert done["erased"]["reason"] == "on request"
    assert done["emptied"] == {"events": 2}
    await office.call("GET", f"/api/entities/{person}", status=404)
    [*_, last] = await office.call("GET", f"/api/entities/{person}/events")
    assert last["type"] == "delete-entity"
    events = await office.call("GET", f"/api/entities/{person}/events")
    assert [(each["type"], each.get("erased")) for each in events] == [
        ("create-group", True),
        ("update-individual", True),
        ("delete-entity", None),
    ]
    assert events[1]["data"] == {}
    assert events[0]["data"]["members"][0] == {"guid": person}
    assert events[0]["data"]["members"][1]["name"] == "Ben"
    history = await office.call("GET", f"/api/entities/{person}/history")
    assert history["fields"] == {}
    again = await office.call("POST", f"/api/persons/{person}/erase", json=order)
    assert again == done | {"emptied": {}}
    told = await office.call("GET", f"/api/persons/{person}/erase")
    assert (told["erased"], told["state"]) == (done["erased"], "deleted")
    assert group


async def test_pull_says_what_was_erased(office: Office, tenant: TenantHandle) -> None:
    person, _ = await household(office)
    await office.call("POST", f"/api/persons/{person}/erase", json={"reason": "on request", "confirm": person})
    client = await tenant.caller("collector")
    answer = await client.get(
        "/api/v2/sync/pull",
        params={"include": "events,entities"},
        headers={"X-Tenant-Id": tenant.config_id, "X-Device-Id": "tablet"},
    )
    page = answer.json()
    first, second, last = page["events"]
    assert (first["erased"], second["erased"], second["data"]) == (True, True, {})
    assert len(second["digest"]) == 64
    assert (last["type"], last["erases"], "erased" in last) == ("delete-entity", True, False)
    [her] = [each for each in page["entities"] if each["guid"] == person]
    assert (her["state"], her["erased"], her["data"]) == ("deleted", True, {})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"reason": "on request"}, 422, "persons.not-confirmed"),
        ({"reason": "on request", "confirm": "somebody else"}, 422, "persons.not-confirmed"),
        ({"confirm": "x"}, 422, "body.invalid"),
        ({"reason": "", "confirm": "x"}, 422, "body.invalid"),
    ],
)
async def test_erasure_has_to_be_confirmed_and_have_a_reason(
    office: Office, body: dict[str, str], status: int, code: str
) -> None:
    person, _ = await household(office)
    answer = await office.call("POST", f"/api/persons/{person}/erase", status, json=body)
    assert answer["code"] == code
    await office.call("GET", f"/api/entities/{person}")


async def test_nobody_of_whom_nothing_is_known_can_be_erased(office: Office) -> None:
    for guid in ("nobody", "a%00b", "a/b"):
        answer = await office.call("GET", f"/api/persons/{guid}/erase", 404)
        assert answer["code"] == "persons.unknown"
        await office.call("GET", f"/api/persons/{guid}/export", 404)
        await office.call("POST", f"/api/persons/{guid}/erase", 404, json={"reason": "x", "confirm": guid})


async def test_group_is_not_erased_while_somebody_lives_in_it(office: Office) -> None:
    person, group = await household(office)
    order = {"reason": "on request", "confirm": group}
    answer = await office.call("POST", f"/api/persons/{group}/erase", 409, json=order)
    assert answer["code"] == "persons.has-members"
    assert (await office.call("GET", f"/api/entities/{person}"))["name"] == "Ann"
    told = await office.call("GET", f"/api/persons/{group}/erase")
    assert (told["members"], told["erased"]) == (2, None)


async def test_person_who_is_in_the_quarantine_alone_can_be_erased(office: Office) -> None:
    person = str(uuid4())
    await office.push(
        {"guid": str(uuid4()), "entityGuid": person, "type": "create-individual", "data": {"name": "Ann"}}
    )
    assert (await office.call("GET", f"/api/persons/{person}/erase"))["found"]["quarantine"] == 1
    order = {"reason": "on request", "confirm": person}
    done = await office.call("POST", f"/api/persons/{person}/erase", json=order)
    assert done["emptied"] == {"quarantine": 1}
    [entry] = await office.call("GET", "/api/sync/quarantine")
    assert entry["raw"] == f'{{"entityGuid":"{person}"}}'


async def test_export_holds_all_that_is_held_about_a_person_and_nothing_of_others(
    office: Office, tenant: TenantHandle
) -> None:
    person, group = await household(office)
    await office.push({"guid": "bad", "entityGuid": person, "type": "create-individual", "data": {"name": "scrap"}})
    entry = {"guid": "entry", "timestamp": "2025-03-01T08:00:00.000Z", "action": "update", "eventGuid": "e"}
    entry |= {"entityGuid": person, "changes": {"village": "Kibera"}, "signature": ""}  # type: ignore[dict-item]
    await office.call("POST", "/api/sync/push/audit-logs", json={"auditLogs": [entry]})
    await tenant.as_owner(f"INSERT INTO external_state VALUES ('openspp', '{person}', '12', 1) RETURNING 1")
    told = await office.call("GET", f"/api/persons/{person}/export")
    assert (told["guid"], told["organization"], told["erased"]) == (person, tenant.config_id, None)
    assert told["present"]["data"] == {"name": "Ann", "village": "Mathare"}
    assert told["groups"] == [{"guid": group, "type": "group", "name": "House"}]
    assert told["externalIds"] == [{"system": "openspp", "externalId": "12", "version": 1}]
    listed, changed = told["events"]
    assert (listed["type"], listed["parts"]) == (
        "create-group",
        [{"guid": person, "name": "Ann", "village": "Kibera"}],
    )
    assert (changed["type"], changed["data"]) == ("update-individual", {"village": "Mathare"})
    assert told["quarantine"][0]["parts"][0]["data"] == {"name": "scrap"}
    assert told["deviceAudit"][0]["changes"] == {"village": "Kibera"}
    assert [each["action"] for each in told["acts"]] == ["person.exported"]
    assert "Ben" not in str(told)


async def test_export_tells_conflicts_pairs_and_rows_of_the_config(croft: Croft) -> None:
    row = {"id": "seed-of-a-person", "name": "Ann", "nationalId": "448812991"}
    tenant = await croft.tenant({"entityData": [{"name": "individual", "data": [row]}]})
    office = Office(await tenant.caller("admin"), tenant)
    twin = submission("create-individual", "twin", {"entityName": "individual", "nationalId": "448812991", "name": "A"})
    await office.push(twin)
    await office.call("GET", "/api/potential-duplicates")
    for device in ("one", "two"):
        change = submission("update-individual", "seed-of-a-person", {"village": device}) | {"baseVersion": 1}
        client = await tenant.caller("collector")
        headers = {"X-Tenant-Id": tenant.config_id, "X-Device-Id": device}
        await client.post("/api/v2/sync/push", headers=headers, json={"events": [change]})
    told = await office.call("GET", "/api/persons/seed-of-a-person/export")
    assert told["configs"] == [{"config": 1, "form": "individual", "row": row}]
    assert [each["field"] for each in told["conflicts"]] == ["village"]
    assert [(each["entityGuid"], each["duplicateGuid"]) for each in told["duplicates"]] == [
        ("twin", "seed-of-a-person")
    ]


async def test_exports_and_erasures_are_on_both_records(office: Office, tenant: TenantHandle, croft: Croft) -> None:
    person, _ = await household(office)
    await office.call("GET", f"/api/persons/{person}/export")
    await office.call("POST", f"/api/persons/{person}/erase", json={"reason": "on request", "confirm": person})
    own = (await office.call("GET", "/api/audit", params={"subject": f"person:{person}"}))["acts"]
    assert [each["action"] for each in own] == ["person.erased", "person.exported"]
    everywhere = await croft.operator.get("/api/installation/audit", params={"subject": f"person:{person}"})
    assert [each["action"] for each in everywhere.json()["acts"]] == ["person.erased", "person.exported"]
    assert own[0]["details"]["reason"] == "on request"


async def test_erasure_empties_acts_in_both_logs_and_locks_them_in_the_order_of_all(
    office: Office, tenant: TenantHandle, croft: Croft
) -> None:
    """First the operators' log, also where only the own one tells something of her: else two wait in a circle.

    What is recorded while the erasure waits for the logs is emptied, too.
    """
    person, _ = await household(office)
    number = (await croft.operator.get(f"/api/tenants/{tenant.config_id}")).json()["tenantId"]
    told = f"'7', '', '', 'entity.noted', 'entity:{person}'"
    details = """'{"name": "Ann"}'"""
    await tenant.as_owner(f"SELECT append_act({told}, NULL, {details})")
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        schema = await db.fetchval("SELECT schema_name FROM croft.tenants WHERE config_id = $1", tenant.config_id)
        async with db.transaction():
            await act_as_owner(db, "croft")
            await db.execute("SELECT FROM croft.audit_head FOR UPDATE")
            order = {"reason": "on request", "confirm": person}
            erasing = asyncio.create_task(office.call("POST", f"/api/persons/{person}/erase", json=order))
            while not (erasing.done() or await db.fetchval(_IS_WAITED_FOR)):
                pass
            await act_as_owner(db, schema)
            await db.execute(f'SELECT FROM "{schema}".acts_head FOR UPDATE NOWAIT')
            await db.execute(f'SELECT "{schema}".append_act({told}, NULL, {details})')
            await act_as_owner(db, "croft")
            await db.execute(f"SELECT croft.append_act({told}, {number}, {details})")
        assert (await erasing)["emptied"]["acts"] == 3
    finally:
        await db.close()
    everywhere = await croft.operator.get("/api/installation/audit", params={"subject": f"entity:{person}"})
    assert [each["details"] for each in everywhere.json()["acts"]] == [{}]
    assert await tenant.as_owner("SELECT count(*) FROM acts WHERE action = 'entity.noted' AND NOT erased") == 0
    assert (await office.call("GET", "/api/audit/verify"))["intact"]


async def test_erasures_beside_each_other_and_beside_all_that_speaks_of_the_same_group(croft: Croft) -> None:
    tenant = await croft.tenant()
    office = Office(await tenant.caller("admin"), tenant)
    people, group = [str(uuid4()) for _ in range(6)], str(uuid4())
    mark = f"nightjar{uuid4().hex}"
    members = [{"guid": guid, "name": mark} for guid in people]
    await office.push(submission("create-group", group, {"name": "House", "members": members}))

    async def pushing(device: int) -> None:
        for guid in people:
            said = {"guid": guid, "name": mark}
            await office.push(
                submission("update-individual", guid, {"village": f"{mark}{device}"}),
                submission("update-group", group, {"head": said, "members": [*members]}),
                {"guid": str(uuid4()), "type": "nonsense", "data": said},
            )
            entry = {**dict.fromkeys(("timestamp", "action", "eventGuid"), "x"), "guid": str(uuid4())}
            logs = [{**entry, "entityGuid": guid, "changes": {"name": mark}}]
            await office.call("POST", "/api/sync/push/audit-logs", json={"auditLogs": logs})

    async def erasing(guid: str) -> None:
        order = {"reason": "on request", "confirm": guid}
        await office.call("POST", f"/api/persons/{guid}/erase", json=order)

    async def settling() -> None:
        for _ in range(5):
            await office.call("GET", "/api/potential-duplicates")
            await office.call("GET", "/api/entities")

    twice = [*people, *people]
    await asyncio.gather(pushing(1), pushing(2), settling(), *map(erasing, twice))
    for table in ("events", "entities", "quarantine", "audit_log", "acts"):
        left = await tenant.as_owner(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%{mark}%'")
        assert left == 0, table
    assert (await office.call("GET", "/api/audit/verify"))["intact"]


async def test_erasure_takes_search_keys_pairs_and_external_ids_away(croft: Croft) -> None:
    tenant = await croft.tenant({"duplicates": {"rules": [{"form": "individual", "fields": ["village"]}]}})
    office = Office(await tenant.caller("admin"), tenant)
    person, twin = str(uuid4()), str(uuid4())
    for guid in (person, twin):
        said = {"name": "Ann", "village": "Kibera", "entityName": "individual"}
        await office.push(submission("create-individual", guid, said))
    assert await office.call("GET", "/api/potential-duplicates")
    await tenant.as_owner(f"INSERT INTO external_state VALUES ('x', '{person}', 'ann', 1) RETURNING 1")
    keys = f"SELECT count(*) FROM duplicate_keys WHERE entity_guid = '{person}'"
    assert await tenant.as_owner(keys) > 0
    await office.call("POST", f"/api/persons/{person}/erase", json={"reason": "on request", "confirm": person})
    assert await tenant.as_owner(keys) == 0
    assert await tenant.as_owner("SELECT count(*) FROM duplicates") == 0
    assert await tenant.as_owner("SELECT count(*) FROM external_state") == 0


async def test_samples_that_the_database_keeps_for_its_planner_hold_nothing_of_whoever_was_erased(
    office: Office, tenant: TenantHandle
) -> None:
    person, mark = str(uuid4()), f"nightjar{uuid4().hex}"
    told = {"guid": str(uuid4()), "type": "nonsense", "data": {"guid": person, "name": mark}}
    await office.push(
        submission("create-individual", person, {"name": mark}),
        *(submission("create-individual", str(uuid4()), {"name": f"Ben {number}"}) for number in range(5)),
        told,
        {**told, "data": {"guid": "ben"}},
    )
    holding = f"""
    SELECT count(*) FROM pg_stats WHERE schemaname = current_schema()
    AND concat(most_common_vals::text, histogram_bounds::text, most_common_elems::text) LIKE '%{mark}%'
    """
    await tenant.as_owner("SELECT sample_anew()")
    assert await tenant.as_owner(holding) > 0
    await office.call("POST", f"/api/persons/{person}/erase", json={"reason": "on request", "confirm": person})
    assert await tenant.as_owner(holding) == 0


async def test_config_that_is_uploaded_while_somebody_is_erased_keeps_nothing_of_her(
    tenant: TenantHandle, croft: Croft
) -> None:
    person, mark = str(uuid4()), f"nightjar{uuid4().hex}"
    rows = [{"name": "individual", "data": [{"id": person, "name": mark}]}]
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        schema = await db.fetchval("SELECT schema_name FROM croft.tenants WHERE config_id = $1", tenant.config_id)
        async with db.transaction():
            await act_as_owner(db, schema)
            await db.execute(f'LOCK TABLE "{schema}".erasing IN EXCLUSIVE MODE')
            config = small_config(tenant.config_id) | {"entityData": rows}
            uploading = asyncio.create_task(croft.operator.post("/api/apps", json=config))
            while not (uploading.done() or await db.fetchval(_IS_WAITED_FOR)):
                pass
            told = f"ARRAY['{person}'], ARRAY['x'], now(), '7', 'on request'"
            await db.execute(f'SELECT "{schema}".note_erasures({told})')
        assert (await uploading).status_code == 200
    finally:
        await db.close()
    shown = await croft.operator.get(f"/api/apps/{tenant.config_id}")
    assert person in shown.text
    assert mark not in shown.text


async def act_as_owner(db: "asyncpg.Connection[asyncpg.Record]", schema: str) -> None:
    owner = await db.fetchval("SELECT tableowner FROM pg_tables WHERE schemaname = $1 LIMIT 1", schema)
    await db.execute(f'RESET ROLE; SET LOCAL ROLE "{owner}"')


async def test_only_administrators_export_and_erase(tenant: TenantHandle, office: Office) -> None:
    person, _ = await household(office)
    for role in ("viewer", "collector", "reviewer"):
        caller = Office(await tenant.caller(role), tenant)
        await caller.call("GET", f"/api/persons/{person}/erase", 403)
        await caller.call("GET", f"/api/persons/{person}/export", 403)
        await caller.call("POST", f"/api/persons/{person}/erase", 403, json={"reason": "x", "confirm": person})


async def test_whoever_does_not_see_a_form_learns_and_erases_nothing_of_its_persons(croft: Croft) -> None:
    forms = [
        {"name": "household", "title": "Household", "formio": {}},
        {"name": "patient", "title": "Patient", "formio": {}, "roles": ["nurse"]},
    ]
    tenant = await croft.tenant({"entityForms": forms})
    office = Office(await tenant.caller("admin"), tenant)
    for name in ("nurse", "archivist"):
        permissions = ["persons.erase", "persons.export", "entities.read"]
        await office.call("POST", "/api/roles", 201, json={"name": name, "permissions": permissions})
    guid = str(uuid4())
    await office.push(submission("create-individual", guid, {"name": "Ann", "entityName": "patient"}))
    archivist, nurse = [Office(await tenant.caller(name), tenant) for name in ("archivist", "nurse")]
    order = {"reason": "on request", "confirm": guid}
    for method, path in (("GET", "erase"), ("GET", "export"), ("POST", "erase")):
        more = {"json": order} if method == "POST" else {}
        answer = await archivist.call(method, f"/api/persons/{guid}/{path}", 404, **more)
        assert answer["code"] == "persons.unknown"
    assert (await nurse.call("GET", f"/api/persons/{guid}/export"))["present"]["name"] == "Ann"
    await nurse.call("POST", f"/api/persons/{guid}/erase", json=order)
    await office.call("GET", f"/api/entities/{guid}", 404)
