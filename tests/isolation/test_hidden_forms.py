"""Records of a form that is for some roles alone: by no route does anybody else see, submit, change or remove one."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from server.http.route import Route
from tests.conftest import Croft, TenantHandle, small_config
from tests.isolation.cases import CASES, ROUTES, send
from tests.isolation.world import Things, audit_entry_of, submission

HIDDEN = "case-file"
MARK = f"nightjar{uuid4().hex}"

SHOWING_THE_CONFIG = {"GET /api/apps", "GET /api/apps/{id}", "GET /api/apps/{id}/versions"}


def config_with_hidden_form(config_id: str, *roles: str) -> dict[str, Any]:
    config = small_config(config_id)
    return {
        **config,
        "entityForms": [
            *config["entityForms"],
            {"name": HIDDEN, "title": "Case file", "formio": {}, "roles": [*roles]},
        ],
        "duplicates": {"rules": [{"form": HIDDEN, "fields": ["nationalId"]}]},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def things(croft: Croft) -> Things:
    """A tenant whose form of case files is for reviewers, with marked case files in every table."""
    config_id = f"hidden-{uuid4().hex[:8]}"
    tenant = await croft.tenant(config_with_hidden_form(config_id, "Reviewer"))
    admin = await tenant.caller("admin")
    admin.headers["X-Device-Id"] = "office"
    entity, twin, group, event, audit_entry = (str(uuid4()) for _ in range(5))
    file = {"name": f"File {MARK}", "entityName": HIDDEN, "nationalId": MARK, "story": MARK}
    events = [
        submission("create-individual", entity, file, guid=event, user=MARK),
        submission("create-individual", twin, {**file, "village": MARK}, user=MARK),
        submission("create-group", group, {"name": "House", "entityName": "household", "members": []}),
        submission("add-member", group, {"members": [{"guid": entity, "entityName": HIDDEN, "name": f"File {MARK}"}]}),
        {"guid": str(uuid4()), "type": MARK},
    ]
    await pushed(admin, tenant, events)
    for device in ("one", "other"):
        change = submission("update-individual", entity, {"street": f"{device} {MARK}"}, user=MARK)
        await pushed(admin, tenant, [{**change, "baseVersion": 1}], path="/api/v2/sync/push", device=device)
    entry = audit_entry_of(audit_entry, entity, event) | {"changes": {"name": MARK}}
    logs = {"configId": config_id, "auditLogs": [entry]}
    assert (await admin.post("/api/sync/push/audit-logs", json=logs)).status_code == 200
    shown = (await croft.operator.get(f"/api/tenants/{config_id}")).json()
    number, artifact = shown["tenantId"], shown["artifactId"]
    return Things(tenant, number, artifact, MARK, "nobody@croft.test", entity, twin, group, event, audit_entry, "")


async def pushed(
    client: httpx.AsyncClient,
    tenant: TenantHandle,
    events: list[dict[str, Any]],
    *,
    path: str = "/api/sync/push",
    device: str = "office",
) -> list[dict[str, Any]]:
    """The fates of the events."""
    answer = await client.post(
        path, params={"configId": tenant.config_id}, json={"events": events}, headers={"X-Device-Id": device}
    )
    assert answer.status_code == 200, answer.text
    fates: list[dict[str, Any]] = answer.json()["events"]
    return fates


def reads_records(route: Route) -> bool:
    return route.method == "GET" and route.tenant != "none" and route.scope in ("tenant", "stream")


READING = sorted(name for name, route in ROUTES.items() if name in CASES and reads_records(route))


@pytest.mark.parametrize("name", READING)
async def test_no_route_shows_a_hidden_record_to_who_may_not_see_its_form(things: Things, name: str) -> None:
    for role in ("collector", "viewer"):
        client = await things.tenant.caller(role)
        answer = await send(client, name, things, {"query": things.config_id})
        assert MARK not in answer.text
        assert things.twin not in answer.text


@pytest.mark.parametrize("role", ["reviewer", "admin"])
async def test_whoever_may_see_the_form_sees_all_of_it(things: Things, role: str) -> None:
    client = await things.tenant.caller(role)
    for name in ("GET /api/entities", "GET /api/v2/sync/pull", "GET /api/potential-duplicates", "GET /api/conflicts"):
        answer = await send(client, name, things, {"query": things.config_id})
        assert things.entity in answer.text, name
    assert MARK in (await send(client, "GET /api/sync/quarantine", things, {"query": things.config_id})).text


async def test_counts_tell_nothing_of_hidden_records(things: Things) -> None:
    client = await things.tenant.caller("viewer")
    names = {"configId": things.config_id}
    assert (await client.get("/api/entities/count", params=names)).json() == {"count": 1}
    assert (await client.get("/api/entities/count-by-form", params=names)).json() == {"household": 1}
    for role, counted in (("viewer", 1), ("admin", 3)):
        [app] = (await (await things.tenant.caller(role)).get("/api/apps")).json()["data"]
        assert app["entitiesCount"] == counted


def _create(things: Things) -> dict[str, Any]:
    return submission("create-individual", str(uuid4()), {"name": "New", "entityName": HIDDEN})


def _update(things: Things) -> dict[str, Any]:
    return submission("update-individual", things.entity, {"name": "Intruder"})


def _delete(things: Things) -> dict[str, Any]:
    return submission("delete-entity", things.twin, {"guid": things.twin})


def _cascade(things: Things) -> dict[str, Any]:
    return submission("delete-entity", things.group, {"guid": things.group})


def _listing(things: Things) -> dict[str, Any]:
    return submission("update-group", things.group, {"members": [{"guid": things.twin, "name": "Intruder"}]})


def _member_of_the_form(things: Things) -> dict[str, Any]:
    member = {"guid": str(uuid4()), "name": "New", "entityName": HIDDEN}
    return submission("create-group", str(uuid4()), {"name": "House", "entityName": "household", "members": [member]})


def _relabelling(things: Things) -> dict[str, Any]:
    return submission("update-group", str(uuid4()), {"name": "New", "entityName": HIDDEN})


FORBIDDEN = [_create, _update, _delete, _cascade, _listing, _member_of_the_form, _relabelling]


@pytest.mark.parametrize("path", ["/api/sync/push", "/api/v2/sync/push"])
@pytest.mark.parametrize("event_of", FORBIDDEN)
async def test_event_about_a_hidden_form_is_put_aside_with_its_reason(
    things: Things, event_of: Callable[[Things], dict[str, Any]], path: str
) -> None:
    before = await things.tenant.as_owner("SELECT string_agg(e::text, ' ' ORDER BY guid) FROM entities e")
    client = await things.tenant.caller("collector")
    allowed = submission("create-individual", str(uuid4()), {"name": "Fine", "entityName": "individual"})
    deletion = submission("delete-entity", allowed["entityGuid"], {"guid": allowed["entityGuid"]})
    fates = await pushed(client, things.tenant, [event_of(things), allowed, deletion], path=path)
    assert [fate["status"] for fate in fates] == ["quarantined", "accepted", "accepted"]
    assert fates[0]["code"] == "event.form-not-allowed"
    own = f"guid <> '{allowed['entityGuid']}'"
    after = await things.tenant.as_owner(
        f"SELECT string_agg(e::text, ' ' ORDER BY guid) FROM entities e WHERE {own} AND name <> 'Fine'"
    )
    gone = await things.tenant.as_owner("SELECT count(*) FROM entities WHERE state = 'deleted' AND name <> ''")
    assert before is not None
    assert after is not None
    assert things.twin in after
    assert "Intruder" not in after
    assert gone == 0


async def test_update_that_names_no_form_is_taken_where_the_record_is_of_a_form_that_is_seen(croft: Croft) -> None:
    config = small_config(f"hidden-{uuid4().hex[:8]}")
    config["entityForms"] = [
        {"name": "individual", "title": "Individual", "formio": {}, "roles": ["reviewer"]},
        {"name": "farmer", "title": "Farmer", "formio": {}},
    ]
    tenant = await croft.tenant(config)
    client = await tenant.caller("collector")
    guid = str(uuid4())
    fates = await pushed(
        client,
        tenant,
        [
            submission("create-individual", guid, {"name": "Ann", "entityName": "farmer"}),
            submission("update-individual", guid, {"name": "Anna"}),
            submission("update-individual", str(uuid4()), {"name": "made by an update, of the hidden form"}),
        ],
    )
    assert [fate["status"] for fate in fates] == ["accepted", "accepted", "quarantined"]


async def test_device_that_comes_to_see_more_or_less_begins_anew(croft: Croft) -> None:
    tenant = await croft.tenant(config_with_hidden_form(f"hidden-{uuid4().hex[:8]}", "reviewer"))
    admin, client = await tenant.caller("admin"), await tenant.caller("reviewer")
    client.headers["X-Device-Id"] = "phone"
    guid = str(uuid4())
    await pushed(admin, tenant, [submission("create-individual", guid, {"name": "File", "entityName": HIDDEN})])
    names = {"configId": tenant.config_id, "include": "entities"}
    pulled = (await client.get("/api/v2/sync/pull", params=names)).json()
    assert [each["guid"] for each in pulled["entities"]] == [guid]

    await change_form_roles(croft, tenant, "case-worker")
    after = await client.get("/api/v2/sync/pull", params={**names, "cursor": pulled["cursor"]})
    assert (after.status_code, after.json()["code"]) == (410, "sync.epoch-changed")
    narrowed = (await client.get("/api/v2/sync/pull", params=names)).json()
    assert narrowed["entities"] == []
    assert narrowed["epoch"] == after.json()["epoch"]
    fine = submission("create-individual", str(uuid4()), {"name": "Ann", "entityName": "individual"})
    own = await tenant.caller("collector")
    answer = await own.post(
        "/api/v2/sync/push",
        params={"configId": tenant.config_id, "epoch": narrowed["epoch"]},
        json={"events": [fine]},
        headers={"X-Device-Id": "own"},
    )
    assert answer.json()["epoch"] == narrowed["epoch"]

    await change_form_roles(croft, tenant)
    anew = await client.get("/api/v2/sync/pull", params={**names, "cursor": narrowed["cursor"]})
    assert anew.status_code == 410
    assert guid in (await client.get("/api/v2/sync/pull", params=names)).text


async def test_old_phone_that_comes_to_see_a_form_gets_its_records_even_when_the_first_answer_is_lost(
    croft: Croft,
) -> None:
    tenant = await croft.tenant(config_with_hidden_form(f"hidden-{uuid4().hex[:8]}", "reviewer"))
    admin, phone = await tenant.caller("admin"), await tenant.device()
    guid = str(uuid4())
    await pushed(
        admin,
        tenant,
        [
            submission("create-individual", guid, {"name": "File", "entityName": HIDDEN}),
            submission("create-individual", str(uuid4()), {"name": "Ann", "entityName": "individual"}),
        ],
    )
    await phone.sync()
    assert guid not in phone.entities()
    assert len(phone.entities()) == 1

    await change_form_roles(croft, tenant)
    asks = {"since": phone.events.next_since, "configId": tenant.config_id}
    lost = await croft.client(phone.token).get("/api/sync/pull", params=asks)
    assert guid in lost.text
    await phone.sync()
    assert guid in phone.entities()


async def change_form_roles(croft: Croft, tenant: TenantHandle, *roles: str) -> None:
    config = config_with_hidden_form(tenant.config_id, *roles)
    answer = await croft.operator.post("/api/apps", json=config)
    assert answer.status_code == 200, answer.text


async def _tenant_with_a_case_file(croft: Croft) -> tuple[TenantHandle, httpx.AsyncClient, str]:
    """A tenant with a form of case files that is for nobody but administrators; an administrator; a file."""
    tenant = await croft.tenant(config_with_hidden_form(f"hidden-{uuid4().hex[:8]}", "case-worker"))
    admin = await tenant.caller("admin")
    guid = str(uuid4())
    file = {"name": "File", "entityName": HIDDEN, "story": MARK}
    await pushed(admin, tenant, [submission("create-individual", guid, file)])
    return tenant, admin, guid


async def test_hidden_record_stays_hidden_when_it_is_deleted(croft: Croft) -> None:
    tenant, admin, guid = await _tenant_with_a_case_file(croft)
    entry = audit_entry_of(str(uuid4()), guid, "x") | {"changes": {"story": MARK}}
    await admin.post("/api/sync/push/audit-logs", json={"configId": tenant.config_id, "auditLogs": [entry]})
    farmer = str(uuid4())
    await pushed(
        admin,
        tenant,
        [
            submission("update-individual", guid, {"village": MARK}),
            submission("create-individual", farmer, {"name": "Ann", "entityName": "individual"}),
            *(submission("delete-entity", each, {"guid": each}) for each in (guid, farmer)),
        ],
    )
    collector = await tenant.caller("collector")
    collector.headers.update({"X-Tenant-Id": tenant.config_id, "X-Device-Id": "tablet"})
    told = {
        path: (await collector.get(path)).text
        for path in (
            f"/api/entities/{guid}/events",
            f"/api/entities/{guid}/history",
            "/api/v2/sync/pull?include=events,entities",
            "/api/sync/pull?since=",
            "/api/sync/pull/audit-logs?since=",
        )
    }
    assert {path for path, text in told.items() if MARK in text} == set()
    assert farmer in told["/api/v2/sync/pull?include=events,entities"]
    assert (await collector.get(f"/api/entities/{farmer}/events")).status_code == 200
    [fate] = await pushed(
        collector, tenant, [submission("create-individual", guid, {"name": "Again", "entityName": "individual"})]
    )
    assert fate["code"] == "event.form-not-allowed"


@pytest.mark.parametrize("entry", [audit_entry_of(str(uuid4()), str(uuid4()), "x"), {"guid": "is none"}])
async def test_device_that_does_not_see_everything_can_report_what_it_did(croft: Croft, entry: dict[str, Any]) -> None:
    tenant, _, guid = await _tenant_with_a_case_file(croft)
    collector = await tenant.caller("collector")
    about_hidden = audit_entry_of(str(uuid4()), guid, "x")
    logs = {"configId": tenant.config_id, "auditLogs": [entry, about_hidden]}
    answer = await collector.post("/api/sync/push/audit-logs", json=logs)
    assert answer.status_code == 200, answer.text
    assert await tenant.as_owner("SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM quarantine)") == 2


async def test_seed_data_of_a_hidden_form_is_not_shown_with_the_config(croft: Croft) -> None:
    config = config_with_hidden_form(f"hidden-{uuid4().hex[:8]}", "case-worker")
    rows = [{"name": HIDDEN, "data": [{"name": MARK}]}, {"name": "individual", "data": [{"name": "Ann of the seeds"}]}]
    tenant = await croft.tenant({**config, "entityData": rows})
    for role, sees in (("viewer", False), ("collector", False), ("admin", True)):
        client = await tenant.caller(role)
        answer = await client.get(f"/api/apps/{tenant.config_id}")
        assert (MARK in answer.text) is sees
        assert "Ann of the seeds" in answer.text


async def test_duplicate_is_not_deleted_together_with_hidden_records_by_who_may_not_see_them(croft: Croft) -> None:
    tenant, admin, guid = await _tenant_with_a_case_file(croft)
    one, other = str(uuid4()), str(uuid4())
    house = {"name": "House", "entityName": "household", "members": []}
    await pushed(
        admin,
        tenant,
        [
            submission("create-group", one, house),
            submission("create-group", other, house),
            submission("add-member", one, {"members": [{"guid": guid}]}),
        ],
    )
    pair = {"newItem": one, "existingItem": other, "shouldDeleteNewItem": True}
    for role, status in (("reviewer", 403), ("admin", 200)):
        client = await tenant.caller(role)
        answer = await client.post(
            "/api/potential-duplicates/resolve", params={"configId": tenant.config_id}, json=pair
        )
        assert answer.status_code == status, answer.text
        state = await tenant.as_owner(f"SELECT state FROM entities WHERE guid = '{guid}'")
        assert state == ("live" if status == 403 else "deleted")


async def test_conflict_is_not_settled_by_making_it_a_record_of_a_hidden_form(croft: Croft) -> None:
    tenant, admin, _ = await _tenant_with_a_case_file(croft)
    guid = str(uuid4())
    await pushed(admin, tenant, [submission("create-individual", guid, {"name": "Ann", "entityName": "individual"})])
    for device, form in (("one", "farmer"), ("other", "fisher")):
        change = submission("update-individual", guid, {"entityName": form}) | {"baseVersion": 1}
        await pushed(admin, tenant, [change], path="/api/v2/sync/push", device=device)
    reviewer = await tenant.caller("reviewer")
    reviewer.headers["X-Tenant-Id"] = tenant.config_id
    [conflict, *_] = [each for each in (await reviewer.get("/api/conflicts")).json() if each["field"] == "entityName"]
    answer = await reviewer.post(f"/api/conflicts/{conflict['id']}/choose", json={"value": HIDDEN})
    assert (answer.status_code, answer.json()["code"]) == (403, "conflicts.form-not-allowed")
    assert await tenant.as_owner(f"SELECT entity_name FROM entities WHERE guid = '{guid}'") in ("farmer", "fisher")


async def test_quarantine_is_for_those_who_see_every_form(croft: Croft) -> None:
    """What stands in it names no form that could be trusted; a reviewer has the right to read it elsewhere."""
    tenant, admin, _ = await _tenant_with_a_case_file(croft)
    await pushed(admin, tenant, [{"guid": str(uuid4()), "type": MARK}])
    names = {"configId": tenant.config_id}
    number = (await admin.get("/api/sync/quarantine", params=names)).json()[0]["id"]
    reviewer = await tenant.caller("reviewer")
    listed = await reviewer.get("/api/sync/quarantine", params=names)
    assert (listed.status_code, listed.json()) == (200, [])
    assert (await reviewer.get(f"/api/sync/quarantine/{number}", params=names)).status_code == 404


async def test_conflict_is_hidden_whose_event_speaks_of_a_hidden_record(croft: Croft) -> None:
    tenant, admin, guid = await _tenant_with_a_case_file(croft)
    group = str(uuid4())
    house = {"name": "House", "entityName": "household", "members": []}
    await pushed(admin, tenant, [submission("create-group", group, house)])
    for device, members in (("one", []), ("other", [{"guid": guid, "name": MARK}])):
        change = submission("update-group", group, {"village": device, "members": members}) | {"baseVersion": 2}
        await pushed(admin, tenant, [change], path="/api/v2/sync/push", device=device)
    names = {"configId": tenant.config_id}
    assert [each["field"] for each in (await admin.get("/api/conflicts", params=names)).json()] == ["village"]
    reviewer = await tenant.caller("reviewer")
    answer = await reviewer.get("/api/conflicts", params=names)
    assert (answer.status_code, answer.json()) == (200, [])


async def test_cursor_that_a_listener_is_told_is_one_of_the_log_as_he_sees_it(croft: Croft) -> None:
    tenant, _, _ = await _tenant_with_a_case_file(croft)
    collector = await tenant.caller("collector")
    collector.headers.update({"X-Tenant-Id": tenant.config_id, "X-Device-Id": "tablet"})
    async with collector.stream("GET", "/api/v2/sync/live") as answer:
        lines = answer.aiter_lines()
        while not (line := await anext(lines)).startswith("id: "):
            pass
    pulled = await collector.get("/api/v2/sync/pull", params={"cursor": line.removeprefix("id: ")})
    assert pulled.status_code == 200, pulled.text
