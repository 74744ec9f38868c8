"""The tenant next door uses the same server and sees none of it."""

from collections import Counter
from typing import Any

from server.demo.cast import Cast, contents
from server.demo.chapters.registered_twice import BORN
from server.demo.cultures import FILIPINO, HAUSA, WOMAN
from server.demo.forms import entry_of, household_form, person_form
from server.demo.people import Household, Person
from server.demo.remote import Session

_FORBIDDEN = 403
_UNAUTHORIZED = 401
_ANSWERS = {_FORBIDDEN: "refused"}
_MADE_UP = "made.up.token"


def look_next_door(cast: Cast) -> None:
    """Its lists, counts and events are its own, and its people are refused everything of the programme."""
    narrator = cast.narrator
    narrator.chapter("The tenant next door sees none of it")
    before = contents(cast.amina)
    _register(cast)
    sent, received = cast.keo.sync()
    narrator.check("Keo's records are accepted", sent.fates, Counter(accepted=sent.events))
    narrator.check(
        "Keo's phone shows what Keo recorded and nothing else", (received.records, len(cast.keo.copy)), (5, 5)
    )
    _check_lists(cast)
    _check_refusals(cast)
    cast.amina.sync()
    narrator.check("On Amina's phone nothing has changed", contents(cast.amina) == before, True)


def _register(cast: Cast) -> None:
    """A family; and, under the very guid of Rosa's household, one with a woman who is like the one registered twice."""
    narrator = cast.narrator
    narrator.say(
        "At the clinic, Keo registers two families. By a rare chance one gets the same identifier as Rosa's household."
    )
    patient = Person("Ligaya B. Manalo", WOMAN, BORN, "head", "teacher")
    namesake = Person("Hauwa Sani", WOMAN, BORN, "head", "trader")
    mother = Person("Rakiya Sani", WOMAN, BORN.replace(year=1969), "mother", "at home")
    first = Household("Pamilya Manalo", FILIPINO, "Sitio Maligaya", "tiles", "piped", (patient,))
    second = Household("Gidan Hauwa Sani", HAUSA, "Unguwar Rimi", "tiles", "piped", (namesake, mother))
    for household, guid in ((first, None), (second, cast.rosas_household)):
        cast.keo.clock = cast.now
        cast.keo.create_household(
            household_form(household), [entry_of(person_form(person)) for person in household.people], guid
        )


def _check_lists(cast: Cast) -> None:
    narrator, keo, clinic = cast.narrator, cast.keo.session, cast.next_door.config_id
    own = {record.guid for record in cast.keo.copy}
    listed = keo.get("/api/entities", configId=clinic, limit=1000)
    counted = keo.get("/api/entities/count", configId=clinic)["count"]
    narrator.check(
        "The clinic's list and count hold its own five records", ({each["guid"] for each in listed}, counted), (own, 5)
    )
    events = keo.get(f"/api/entities/{cast.rosas_household}/events", configId=clinic)
    narrator.check("Asked for the history under the identifier that both use, it answers its own", len(events), 1)
    strangers = keo.status_of("GET", f"/api/entities/{cast.rosa}", params={"configId": clinic})
    narrator.check("Rosa's record is not to be found there", strangers, 404)
    pairs = keo.get("/api/potential-duplicates", configId=clinic)
    narrator.check("Its Hauwa Sani is nobody's duplicate", pairs, [])


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
    query = {"params": {"configId": config_id}}
    pair = {"newItem": guid, "existingItem": guid, "shouldDeleteNewItem": True, "configId": config_id}
    doors: dict[str, tuple[str, str, dict[str, Any]]] = {
        "its list of records": ("GET", "/api/entities", query),
        "its count of records": ("GET", "/api/entities/count", query),
        "Rosa's record": ("GET", f"/api/entities/{guid}", query),
        "the history of Rosa's record": ("GET", f"/api/entities/{guid}/events", query),
        "what is new for a phone": ("GET", "/api/sync/pull", {"params": {"configId": config_id, "since": ""}}),
        "the same, asked another way": ("GET", "/api/sync/pull", {"headers": {"X-Tenant-Id": config_id}}),
        "leave to send an event": ("POST", "/api/sync/push", {"json": {"configId": config_id, "events": []}}),
        "its possible duplicates": ("GET", "/api/potential-duplicates", query),
        "leave to settle one": ("POST", "/api/potential-duplicates/resolve", {"json": pair}),
        "its config": ("GET", f"/api/apps/{config_id}", {}),
    }
    return {name: session.status_of(method, path, **request) for name, (method, path, request) in doors.items()}
