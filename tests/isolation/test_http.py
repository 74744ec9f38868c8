"""No caller reaches a tenant that is not his: every route, every role, every way to name a tenant or its things."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.db.embedded import EmbeddedPostgres
from server.roles.permissions import Permission
from tests.conftest import Croft, TenantHandle, new_database, small_config, start_croft
from tests.isolation.cases import (
    CASES,
    DISAGREE,
    FORBIDDEN,
    NOT_SIGNED_IN,
    OF_A_TENANT,
    PUBLIC_ROUTES,
    ROUTES,
    STATUSES,
    at_disagreement,
    disagreements,
    namings,
    send,
    tells,
)
from tests.isolation.world import CALLERS, MEMBERS, RECORDS, Things, World, make_world, new_account, plant, submission


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    async with start_croft(await new_database(cluster)) as croft:
        yield croft


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(server: Croft, cluster: EmbeddedPostgres) -> World:
    return await make_world(server, cluster)


def names_at_home(name: str, things: Things) -> dict[str, str]:
    """The first way there is to name the tenant to a route; nothing where it takes none."""
    return dict(next(namings(name, things), {}))


async def state_but_records(world: World, things: Things) -> dict[str, str]:
    return {name: digest for name, digest in (await world.state_of(things)).items() if name not in RECORDS}


def test_every_route_has_a_line_and_a_case() -> None:
    known = {*STATUSES, *PUBLIC_ROUTES}
    assert not ROUTES.keys() - known, "routes without a line in cases.py"
    assert not known - ROUTES.keys(), "lines in cases.py without a route"
    assert STATUSES.keys() == CASES.keys()


def test_what_is_public_leads_to_no_tenant() -> None:
    public = [name for name, route in ROUTES.items() if route.permission is Permission.PUBLIC]
    assert sorted(public) == sorted(PUBLIC_ROUTES)
    assert not [name for name in public if ROUTES[name].tenant != "none" or ROUTES[name].scope == "tenant"]


@pytest.mark.parametrize("name", STATUSES)
async def test_each_caller_may_at_home_what_the_table_says(world: World, name: str) -> None:
    answered = {}
    for caller in CALLERS:
        client, things = world.clients[caller], world.home
        if CASES[name].destroys and STATUSES[name][caller] < 300:
            things = await plant(world.croft)
            client = await things.tenant.caller(caller) if caller in MEMBERS else client
        if CASES[name].signs_out and caller in world.emails:
            client = await world.croft.signed_in(world.emails[caller])
        answer = await send(client, name, things, names_at_home(name, things))
        answered[caller] = answer.status_code
        assert caller == "operator" or not tells(answer, world.neighbour)
        assert tells(answer, world.home) or not (CASES[name].shows and answer.is_success)
    assert answered == STATUSES[name]


@pytest.mark.parametrize("name", OF_A_TENANT)
async def test_nobody_enters_the_neighbour_by_any_name(world: World, name: str) -> None:
    before = await world.state_of(world.neighbour)
    for caller in set(CALLERS) - {"operator"}:
        expected = NOT_SIGNED_IN if caller == "nobody" else FORBIDDEN
        for names in namings(name, world.neighbour):
            answer = await send(world.clients[caller], name, world.neighbour, names)
            assert answer.status_code == expected, (caller, names, answer.text)
            assert not tells(answer, world.neighbour)
    assert await world.state_of(world.neighbour) == before


@pytest.mark.parametrize("name", OF_A_TENANT)
async def test_two_names_that_disagree_are_refused(world: World, name: str) -> None:
    before = [await state_but_records(world, things) for things in (world.neighbour, world.home)]
    answered = set()
    for caller in ("viewer", "admin", "stranger", "nobody", "operator"):
        for one, other in ((world.home, world.neighbour), (world.neighbour, world.home)):
            for names in disagreements(name, one, other):
                answer = await send(world.clients[caller], name, other, names)
                expected = at_disagreement(name, caller, names, world.home)
                assert answer.status_code == expected, (caller, names, answer.text)
                assert not tells(answer, world.neighbour)
                answered.add(expected)
    assert answered == {DISAGREE, FORBIDDEN, NOT_SIGNED_IN}
    assert [await state_but_records(world, things) for things in (world.neighbour, world.home)] == before


@pytest.mark.parametrize("name", OF_A_TENANT)
async def test_things_of_the_neighbour_are_nothing_at_home(world: World, name: str) -> None:
    before = await world.state_of(world.neighbour)
    for caller in CALLERS:
        answer = await send(world.clients[caller], name, world.neighbour, names_at_home(name, world.home))
        assert answer.status_code in {STATUSES[name][caller], 404}, (caller, answer.text)
        assert not tells(answer, world.neighbour)
    assert await world.state_of(world.neighbour) == before


@pytest.mark.parametrize("name", sorted(STATUSES.keys() - set(OF_A_TENANT)))
async def test_route_without_a_tenant_gives_nothing_of_the_neighbour_away(world: World, name: str) -> None:
    before = await world.state_of(world.neighbour)
    for caller in set(CALLERS) - {"operator"}:
        for names in ({"query": world.neighbour.config_id}, {"header": str(world.neighbour.number)}):
            client = world.clients[caller]
            if CASES[name].signs_out and caller in world.emails:
                client = await world.croft.signed_in(world.emails[caller])
            answer = await send(client, name, world.neighbour, names)
            assert answer.status_code == STATUSES[name][caller], (caller, answer.text)
            assert not tells(answer, world.neighbour)
    assert await world.state_of(world.neighbour) == before


async def test_public_artifact_holds_what_a_phone_needs_and_nothing_of_the_people(world: World) -> None:
    artifact = await world.clients["nobody"].get(f"/artifacts/{world.neighbour.artifact_id}.json")
    assert artifact.json()["entityData"] == []
    assert tells(artifact, world.neighbour)
    for word in ("Seed", "Person", "House", "secret"):
        assert f"{word} {world.neighbour.mark}" not in artifact.text
    for path in ("/health", "/ready", "/openapi.json", "/api-docs"):
        answer = await world.clients["nobody"].get(path, params={"configId": world.neighbour.config_id})
        assert answer.status_code == 200
        assert not tells(answer, world.neighbour)


async def test_metrics_name_no_tenant(world: World) -> None:
    token = world.croft.settings.metrics_token
    assert token is not None
    answer = await world.croft.client(token.get_secret_value()).get("/metrics")
    assert answer.status_code == 200
    assert world.neighbour.config_id not in answer.text
    assert not tells(answer, world.neighbour)


# Names


async def test_name_given_twice_in_one_place_must_agree(world: World) -> None:
    client = world.clients["admin"]
    config_ids = [world.home.config_id, world.neighbour.config_id]
    for given, expected in ((config_ids, DISAGREE), (config_ids[::-1], FORBIDDEN)):
        in_query = await client.get("/api/entities", params={"configId": given})
        in_header = await client.get("/api/entities", headers=[("X-Tenant-Id", each) for each in given])
        assert (in_query.status_code, in_header.status_code) == (expected, expected)


async def test_two_unknown_names_disagree_too(world: World) -> None:
    query = {"configId": "opened-nowhere"}
    answer = await world.clients["operator"].post("/api/apps", params=query, json={"id": "other", "name": "Other"})
    assert answer.status_code == DISAGREE


@pytest.mark.parametrize("role", [*MEMBERS, "stranger"])
async def test_only_operators_open_a_tenant(world: World, role: str) -> None:
    config = small_config("opened-by-a-member")
    client = world.clients[role]
    assert (await client.post("/api/apps", json=config)).status_code == FORBIDDEN
    named = await client.post("/api/apps", json=config, params={"configId": world.home.config_id})
    assert named.status_code == (DISAGREE if role == "admin" else FORBIDDEN)
    assert (await world.croft.operator.get("/api/tenants/opened-by-a-member")).status_code == 404


async def test_config_id_and_number_of_one_tenant_agree(world: World) -> None:
    answer = await world.clients["viewer"].get(
        "/api/entities",
        params={"configId": world.home.config_id},
        headers={"X-Tenant-Id": str(world.home.number)},
    )
    assert answer.status_code == 200
    assert tells(answer, world.home)


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        str.title,
        "{} ".format,
        " {}".format,
        "{}\0".format,
        "{}/".format,
        "{}%".format,
        "0{}".format,
        "{}'".format,
    ],
)
@pytest.mark.parametrize("kind", ["config id", "number"])
async def test_name_that_is_not_exactly_the_tenants_finds_nothing(
    world: World, kind: str, spell: Callable[[str], str]
) -> None:
    name = world.home.config_id if kind == "config id" else f"{world.home.number}"
    spelled = spell(name)
    answer = await world.clients["admin"].get("/api/entities", params={"configId": spelled})
    if spelled == name:
        assert answer.status_code == 200
    else:
        assert answer.status_code in (400, 404), answer.text


async def test_config_ids_that_look_alike_are_tenants_apart(world: World) -> None:
    look_alikes = ["Look-Alike", "look-alike", "look_alike", "Look_Alike"]
    tenants = [(await world.croft.tenant({"id": config_id})).config_id for config_id in look_alikes]
    members = {
        config_id: await world.croft.signed_in(
            await new_account(world.croft, memberships=[{"configId": config_id, "role": "admin"}])
        )
        for config_id in tenants
    }
    for config_id, client in members.items():
        body = {"events": [submission("create-individual", "person", {"name": config_id})], "configId": config_id}
        assert (await client.post("/api/sync/push", json=body)).status_code == 200
    for (own, client), other in product(members.items(), look_alikes):
        answer = await client.get("/api/entities/person", params={"configId": other})
        assert answer.status_code == (200 if own == other else FORBIDDEN)
        assert own != other or answer.json()["name"] == own


async def test_tenant_whose_config_id_is_a_neighbours_number_stays_itself(world: World) -> None:
    number = str(world.neighbour.number)
    tenant = await world.croft.tenant({"id": number})
    own = await tenant.caller("admin")
    answer = await own.get("/api/entities", headers={"X-Tenant-Id": number})
    assert (answer.status_code, answer.json()) == (200, [])
    of_neighbour = await world.neighbour.tenant.caller("admin")
    assert (await of_neighbour.get("/api/entities", headers={"X-Tenant-Id": number})).status_code == FORBIDDEN
    by_config_id = await of_neighbour.get("/api/entities", params={"configId": world.neighbour.config_id})
    assert tells(by_config_id, world.neighbour)
    await world.croft.operator.delete(f"/api/tenants/{number}")


# Guids and cursors


async def test_cursor_of_a_neighbour_is_only_a_place_in_the_own_log(world: World) -> None:
    query = {"configId": world.home.config_id, "since": world.neighbour.cursor}
    for client in (world.clients["collector"], world.clients["reviewer"]):
        answer = await client.get("/api/sync/pull", params=query)
        assert answer.status_code == 200
        assert not tells(answer, world.neighbour)


async def push(client: httpx.AsyncClient, tenant: TenantHandle, events: list[dict[str, Any]]) -> list[str]:
    answer = await client.post("/api/sync/push", json={"configId": tenant.config_id, "events": events})
    assert answer.status_code == 200, answer.text
    return [fate["status"] for fate in answer.json()["events"]]


async def test_event_guid_that_one_tenant_knows_is_new_to_another(world: World) -> None:
    one, other = await world.croft.tenant(), await world.croft.tenant()
    collector, neighbour = await one.caller(), await other.caller()
    event = submission("create-individual", "person", {"name": "Ours"})
    theirs = {**event, "data": {"name": "Theirs"}}
    first = await push(collector, one, [event])
    assert await push(neighbour, other, [theirs]) == first
    again = await push(collector, one, [event])
    assert again != first
    assert await push(neighbour, other, [theirs]) == again
    for client, tenant, name in ((collector, one, "Ours"), (neighbour, other, "Theirs")):
        shown = await client.get("/api/entities/person", params={"configId": tenant.config_id})
        assert shown.json()["name"] == name
        events = await client.get("/api/entities/person/events", params={"configId": tenant.config_id})
        assert [each["data"] for each in events.json()] == [{"name": name}]


async def test_same_records_in_two_tenants_are_no_duplicates_of_each_other(world: World) -> None:
    person = {"name": "Amina Yusuf", "nationalId": "77-1234", "entityName": "individual"}
    tenants = [await world.croft.tenant() for _ in range(2)]
    for tenant in tenants:
        await push(await tenant.caller(), tenant, [submission("create-individual", "person", person)])
    for tenant in tenants:
        pairs = await tenant.api.get("/api/potential-duplicates", params={"configId": tenant.config_id})
        assert (pairs.status_code, pairs.json()) == (200, [])


async def test_person_in_two_tenants_sees_in_each_only_what_is_there(world: World) -> None:
    config_ids = [world.home.config_id, world.neighbour.config_id]
    email = await new_account(world.croft, memberships=[{"configId": each, "role": "admin"} for each in config_ids])
    client = await world.croft.signed_in(email)
    for things, other in ((world.home, world.neighbour), (world.neighbour, world.home)):
        for name in OF_A_TENANT:
            if ROUTES[name].method == "GET":
                answer = await send(client, name, other, names_at_home(name, things))
                assert answer.status_code in (200, 404)
                assert not tells(answer, other), name


# Access that ends


@pytest_asyncio.fixture(loop_scope="session")
async def ending(world: World) -> Things:
    """A tenant to be without."""
    return await plant(world.croft)


async def change(croft: Croft, email: str, **fields: Any) -> None:
    answer = await croft.operator.put(f"/api/users/{email}", json=fields)
    assert answer.status_code == 200, answer.text


async def account_is_deleted(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    assert (await world.croft.operator.delete(f"/api/users/{email}")).status_code == 200


async def session_is_ended(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/users/logout")).status_code == 200


async def session_expires(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    async with world.superuser() as db:
        await db.execute(
            "UPDATE croft.sessions SET expires_at = now() "
            "WHERE user_id = (SELECT id FROM croft.users WHERE email = $1)",
            email,
        )


async def password_is_changed(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    await change(world.croft, email, password="Another-Horse-8")


async def tenant_is_deleted(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    assert (await world.croft.operator.delete(f"/api/apps/{things.config_id}")).status_code == 200


async def tenant_is_suspended(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    assert (await world.croft.operator.post(f"/api/tenants/{things.config_id}/suspend")).status_code == 200


async def membership_is_removed(world: World, things: Things, email: str, client: httpx.AsyncClient) -> None:
    await change(world.croft, email, memberships=[])


async def membership_moves_to_another_tenant(
    world: World, things: Things, email: str, client: httpx.AsyncClient
) -> None:
    await change(world.croft, email, memberships=[{"configId": world.home.config_id, "role": "admin"}])


End = Callable[[World, Things, str, httpx.AsyncClient], Awaitable[None]]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (account_is_deleted, NOT_SIGNED_IN),
        (session_is_ended, NOT_SIGNED_IN),
        (session_expires, NOT_SIGNED_IN),
        (password_is_changed, NOT_SIGNED_IN),
        (tenant_is_deleted, NOT_SIGNED_IN),
        (tenant_is_suspended, FORBIDDEN),
        (membership_is_removed, FORBIDDEN),
        (membership_moves_to_another_tenant, FORBIDDEN),
    ],
)
async def test_access_ends_at_once(world: World, ending: Things, end: End, expected: int) -> None:
    email = await ending.tenant.account("admin")
    client = await world.croft.signed_in(email)
    for name in OF_A_TENANT:
        answer = await send(client, name, ending, names_at_home(name, ending))
        assert answer.status_code == STATUSES[name]["admin"], name
    await end(world, ending, email, client)
    for name in OF_A_TENANT:
        answer = await send(client, name, ending, names_at_home(name, ending))
        assert answer.status_code == expected, (name, answer.text)
        assert not tells(answer, ending)


async def test_deleted_tenant_is_unknown_to_who_is_still_a_member_elsewhere(world: World, ending: Things) -> None:
    config_ids = [world.home.config_id, ending.config_id]
    email = await new_account(world.croft, memberships=[{"configId": each, "role": "admin"} for each in config_ids])
    client = await world.croft.signed_in(email)
    await world.croft.operator.delete(f"/api/apps/{ending.config_id}")
    for name in OF_A_TENANT:
        for names in namings(name, ending):
            answer = await send(client, name, ending, names)
            expected = FORBIDDEN if ROUTES[name].tenant == "optional" else 404
            assert answer.status_code == expected, (name, names, answer.text)
            assert not tells(answer, ending)


@pytest.mark.parametrize("role", MEMBERS)
async def test_smaller_role_holds_at_once(world: World, ending: Things, role: str) -> None:
    email = await ending.tenant.account("admin")
    client = await world.croft.signed_in(email)
    await change(world.croft, email, memberships=[{"configId": ending.config_id, "role": role}])
    for name in OF_A_TENANT:
        answer = await send(client, name, ending, names_at_home(name, ending))
        assert answer.status_code == STATUSES[name][role], name


async def test_operator_who_is_made_a_user_reaches_no_tenant_any_more(world: World, ending: Things) -> None:
    email = await new_account(world.croft, role="ADMIN")
    client = await world.croft.signed_in(email)
    assert tells(await client.get("/api/entities", params={"configId": ending.config_id}), ending)
    await change(world.croft, email, role="USER")
    for name in STATUSES:
        if CASES[name].destroys or CASES[name].signs_out:
            continue
        answer = await send(client, name, ending, names_at_home(name, ending))
        assert answer.status_code in {NOT_SIGNED_IN, STATUSES[name]["stranger"]}, name
        assert not tells(answer, ending)
