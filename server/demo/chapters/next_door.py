"""The tenant next door uses the same server and sees none of it."""

from typing import Any

from server.demo.cast import Cast, contents, differences
from server.demo.chapters.registered_twice import BORN
from server.demo.cultures import FILIPINO, HAUSA, WOMAN
from server.demo.expectation import Unexpected
from server.demo.forms import household_form, person_form
from server.demo.people import Household, Person
from server.demo.phone import Phone
from server.demo.remote import Session
from server.device import NotAllowed

_FORBIDDEN = 403
_UNAUTHORIZED = 401
_ANSWERS = {_FORBIDDEN: "refused"}
_MADE_UP = "made.up.token"
_RECORDS = 5


def look_next_door(cast: Cast) -> None:
    """Its lists, counts and events are its own, and its people are refused everything of the programme."""
    narrator = cast.narrator
    narrator.chapter("The tenant next door sees none of it")
    cast.amina.sync()
    before = contents(cast.amina)
    keo = cast.phones.new(cast.keo, tenant=cast.next_door.config_id, clock=cast.now)
    _register(cast, keo)
    recorded = contents(keo)
    report = keo.sync()
    narrator.check(
        "Keo's phone syncs, and shows what Keo recorded and nothing else",
        (len(report.refused), len(recorded), contents(keo)),
        (0, _RECORDS, recorded),
    )
    _check_lists(cast, keo)
    narrator.check(
        "A phone of Keo's that is set to the survey is refused", _gets_into(cast, cast.programme.config_id), False
    )
    _check_refusals(cast)
    cast.amina.sync()
    narrator.check("On Amina's phone nothing has changed", differences(before, contents(cast.amina)), [])


def _register(cast: Cast, keo: Phone) -> None:
    """A family; and, under the very guid of Rosa's household, one with a woman who is like the one registered twice."""
    cast.narrator.say(
        "At the clinic, Keo registers two families. By a rare chance one gets the same identifier as Rosa's household."
    )
    patient = Person("Ligaya B. Manalo", WOMAN, BORN, "head", "teacher")
    namesake = Person("Hauwa Sani", WOMAN, BORN, "head", "trader")
    mother = Person("Rakiya Sani", WOMAN, BORN.replace(year=1969), "mother", "at home")
    first = Household("Pamilya Manalo", FILIPINO, "Sitio Maligaya", "tiles", "piped", (patient,))
    second = Household("Gidan Hauwa Sani", HAUSA, "Unguwar Rimi", "tiles", "piped", (namesake, mother))
    for household, guid in ((first, None), (second, cast.rosas_household)):
        registered = keo.register(household_form(household), guid)
        for person in household.people:
            keo.register_member(registered, person_form(person))


def _check_lists(cast: Cast, keo: Phone) -> None:
    narrator, clinic, config_id = cast.narrator, keo.session, cast.next_door.config_id
    listed = clinic.get("/api/entities", configId=config_id, limit=1000)
    counted = clinic.get("/api/entities/count", configId=config_id)["count"]
    narrator.check(
        "The clinic's list and count hold its own five records",
        ({each["guid"] for each in listed}, counted),
        (set(contents(keo)), _RECORDS),
    )
    history = clinic.get(f"/api/entities/{cast.rosas_household}/history", configId=config_id)
    narrator.check(
        "Asked for the history under the identifier that both use, it answers its own",
        [each["value"] for each in history["fields"]["name"]],
        ["Gidan Hauwa Sani"],
    )
    strangers = clinic.status_of("GET", f"/api/entities/{cast.rosa}", params={"configId": config_id})
    narrator.check("Rosa's record is not to be found there", strangers, 404)
    pairs = clinic.get("/api/potential-duplicates", configId=config_id)
    narrator.check("Its Hauwa Sani is nobody's duplicate", pairs, [])


def _gets_into(cast: Cast, config_id: str) -> bool:
    """Whether a phone of Keo's syncs with a tenant, or gets anything from it."""
    phone = cast.phones.new(cast.keo, tenant=config_id, clock=cast.now)
    try:
        phone.sync()
    except Unexpected as failure:
        if isinstance(failure.__cause__, NotAllowed):
            return phone.device.count() > 0
        raise
    return True


def _check_refusals(cast: Cast) -> None:
    narrator = cast.narrator
    survey, clinic = cast.programme.config_id, cast.next_door.config_id
    answers = _knocks(cast.keo.session, survey, cast.rosa)
    narrator.table(
        ("Keo asks the survey for", "Answer"),
        [(door, _ANSWERS.get(status, str(status))) for door, status in answers.items()],
    )
    narrator.check("Keo is refused everywhere", set(answers.values()), {_FORBIDDEN})
    answers = _knocks(cast.amina.session, clinic, cast.rosa)
    narrator.check("So is Amina at the clinic", set(answers.values()), {_FORBIDDEN})
    stranger = Session(cast.operator.remote, token=_MADE_UP, user_id="0")
    answers = _knocks(stranger, survey, cast.rosa)
    narrator.check("A made-up token opens nothing at all", set(answers.values()), {_UNAUTHORIZED})


def _knocks(session: Session, config_id: str, guid: str) -> dict[str, int]:
    """What a session is answered at each door of a tenant."""
    query: dict[str, Any] = {"params": {"configId": config_id}}
    device = {**query, "headers": {"X-Device-Id": "keo"}}
    pair = {"newItem": guid, "existingItem": guid, "shouldDeleteNewItem": True, "configId": config_id}
    doors: dict[str, tuple[str, str, dict[str, Any]]] = {
        "its list of records": ("GET", "/api/entities", query),
        "its count of records": ("GET", "/api/entities/count", query),
        "Rosa's record": ("GET", f"/api/entities/{guid}", query),
        "the history of Rosa's record": ("GET", f"/api/entities/{guid}/history", query),
        "a snapshot": ("GET", "/api/v2/sync/snapshot", device),
        "what is new for a phone": ("GET", "/api/v2/sync/pull", device),
        "the same, as old phones ask": ("GET", "/api/sync/pull", {"params": {"configId": config_id, "since": ""}}),
        "the same, asked another way": ("GET", "/api/sync/pull", {"headers": {"X-Tenant-Id": config_id}}),
        "word when there is news": ("GET", "/api/v2/sync/live", device),
        "leave to send an event": ("POST", "/api/v2/sync/push", {**device, "json": {"events": []}}),
        "the same, as old phones send": ("POST", "/api/sync/push", {"json": {"configId": config_id, "events": []}}),
        "its first receipt": ("GET", "/api/v2/sync/receipts/1", device),
        "its conflicts": ("GET", "/api/conflicts", query),
        "leave to settle one": ("POST", "/api/conflicts/1/choose", {**query, "json": {"value": "0"}}),
        "its possible duplicates": ("GET", "/api/potential-duplicates", query),
        "leave to settle a pair": ("POST", "/api/potential-duplicates/resolve", {"json": pair}),
        "its config": ("GET", f"/api/apps/{config_id}", {}),
    }
    return {name: session.status_of(method, path, **request) for name, (method, path, request) in doors.items()}
