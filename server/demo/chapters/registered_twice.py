"""One person is registered on two phones; the server notices, and somebody settles it."""

from datetime import date, timedelta

from server.demo.cast import Cast
from server.demo.cultures import HAUSA, WOMAN
from server.demo.forms import HOUSEHOLD, Data, household_form, person_form
from server.demo.people import Household, Person
from server.demo.phone import Phone, offline

BORN = date(1991, 7, 3)


def register_twice(cast: Cast) -> None:
    """Found and listed without holding anybody up; settled by deleting one; the phones follow."""
    narrator = cast.narrator
    narrator.chapter("The same woman, registered twice")
    narrator.say("Amina registers Hauwa Sani at her mother's. Teo, who cannot know, at her husband's, in capitals.")
    at_mothers = Person("Hauwa Sani", WOMAN, BORN, "daughter", "trader", "+234 803 110 2200")
    at_husbands = Person("HAUWA  SANI", WOMAN, BORN, "spouse", "trader")
    with offline(cast.amina, cast.teo):
        cast.amina.clock = cast.now - timedelta(minutes=50)
        first = _register(cast.amina, "Gidan Talatu Bello", "Tudun Wada", at_mothers)
        cast.teo.clock = cast.now - timedelta(minutes=40)
        second = _register(cast.teo, "Gidan Musa Ibrahim", "Kofar Kudu", at_husbands)
    for phone in (cast.amina, cast.teo, cast.amina):
        phone.sync()
    narrator.check(
        "The open question holds nobody up: each phone shows both records",
        [phone.device.get(guid) is not None for phone in (cast.amina, cast.teo) for guid in (first, second)],
        [True] * 4,
    )
    pairs = _pairs(cast)
    narrator.check(
        "Among all the records, the server finds this pair and no other",
        [{pair["entityGuid"], pair["duplicateGuid"]} for pair in pairs],
        [{first, second}],
    )
    _show(cast, first, second)
    _settle(cast, first, second)


def _settle(cast: Cast, first: str, second: str) -> None:
    narrator = cast.narrator
    decision = {
        "newItem": second,
        "existingItem": first,
        "shouldDeleteNewItem": True,
        "configId": cast.programme.config_id,
    }
    path = "/api/potential-duplicates/resolve"
    narrator.check(
        "Nor is that for a collector to decide: Teo is refused",
        cast.teo.session.status_of("POST", path, json=decision),
        403,
    )
    narrator.say("Oksana looks at both. It is the same woman: she keeps Amina's record and deletes Teo's.")
    cast.oksana.post(path, decision)
    narrator.check("No pair is left to settle", _pairs(cast), [])
    for phone in (cast.amina, cast.teo):
        phone.sync()
        narrator.check(
            f"{phone.owner}'s phone keeps the one and lets go of the other",
            [phone.device.get(guid) is not None for guid in (first, second)],
            [True, False],
        )
    households = [each.name for each in cast.teo.device.entities(form=HOUSEHOLD) if second in each.member_ids]
    narrator.check("No household lists the deleted record any more", households, [])
    narrator.check("Phones and server count the same records", cast.server_count(), cast.amina.device.count())


def _register(phone: Phone, name: str, village: str, person: Person) -> str:
    household = Household(name, HAUSA, village, roof="iron sheets", water="open well", people=(person,))
    return phone.register_member(phone.register(household_form(household)), person_form(person))


def _pairs(cast: Cast) -> list[Data]:
    pairs: list[Data] = cast.oksana.get("/api/potential-duplicates", configId=cast.programme.config_id)
    return pairs


def _show(cast: Cast, *guids: str) -> None:
    rows = []
    for registered_by, guid in zip(("Amina", "Teo"), guids, strict=True):
        person = cast.amina.show(guid)
        [household] = person.parent_ids
        rows.append((registered_by, person.name, str(person.data["dateOfBirth"]), cast.amina.show(household).name))
    cast.narrator.table(("Registered by", "Name", "Born", "Household"), rows)
