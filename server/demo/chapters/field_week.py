"""A week without a network: two phones register households, then come back and exchange them."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from time import perf_counter

from server.demo.cast import Cast, contents, differences
from server.demo.cultures import MAN, SPANISH, WOMAN
from server.demo.forms import HOUSEHOLD, INDIVIDUAL, entry_of, household_entry, household_form, person_form
from server.demo.local_copy import GROUP
from server.demo.local_copy import INDIVIDUAL as PERSON
from server.demo.people import Household, Person
from server.demo.phone import Phone

_WEEK = timedelta(days=7)
_SHOWN = 6


def register_offline(cast: Cast, households: int) -> None:
    """Each phone registers its half of the households, and nobody else knows of them yet."""
    narrator = cast.narrator
    narrator.chapter("A week in the field, without a network")
    everywhere = cast.population.households(households - 1)
    shared = sum(each.inner is not None for each in everywhere)
    narrator.say(
        f"Amina and Teo go from door to door. Together they register {households:,} households. In {shared:,} of "
        "them, a grown-up child has a household under the same roof."
    )
    half = len(everywhere) // 2
    _register_rosa(cast)
    _register(cast.amina, everywhere[:half], cast)
    _register(cast.teo, everywhere[half:], cast)
    # Names come last: a terminal may set right-to-left script its own way.
    shown = everywhere[:_SHOWN]
    narrator.table(
        ("Language", "People", "Village and household"),
        [(each.culture.language, each.size, f"{each.village} · {each.name}") for each in shown],
    )
    _show_phones(cast, "Waiting to be sent")
    narrator.check("Nothing of this is on the server yet", cast.server_count(), 0)


def exchange(cast: Cast) -> None:
    """Both phones push and pull; in the end they and the server hold the same."""
    narrator = cast.narrator
    narrator.chapter("Back in the network")
    recorded = contents(cast.amina) | contents(cast.teo)
    for phone in (cast.amina, cast.teo):
        _send(cast, phone)
    again = cast.teo.push_last_batch_again()
    narrator.check(
        "Teo's phone misses the last answer and sends the batch again: nothing is doubled",
        (again.fates, cast.server_count()),
        (Counter(known=again.events), len(recorded)),
    )
    for phone in (cast.amina, cast.teo):
        _receive(cast, phone, len(recorded))
    _show_phones(cast, "Waiting to be sent")
    narrator.check("Both phones show all that either of them recorded", contents(cast.amina), recorded)
    narrator.check("They show the same, field by field and member by member", differences(cast.amina, cast.teo), [])
    narrator.check(
        "The server holds the same",
        cast.server_data(),
        {guid: data for guid, (data, _) in recorded.items()},
    )
    _check_counts(cast)


def _register_rosa(cast: Cast) -> None:
    """A household that the story comes back to."""
    family = Household(
        name="Familia Condori", culture=SPANISH, village="Quebrada Honda", roof="tiles", water="hand pump", people=()
    )
    rosa = Person("Rosa Quispe Mamani", WOMAN, date(1984, 3, 12), "head", "farmer", "901 234 567", "Z184-000001")
    others = (
        Person("Luz Condori Quispe", WOMAN, date(2004, 11, 2), "daughter", "trader", national_id="Z184-000002"),
        Person("Ángel Condori Quispe", MAN, date(2011, 5, 23), "son", "pupil"),
    )
    head = entry_of({**person_form(rosa), "schooling": "primary"})
    cast.amina.clock = cast.now - _WEEK
    cast.rosa = head["guid"]
    cast.rosas_household = cast.amina.create_household(household_form(family), [head])
    for person in others:
        cast.amina.add_member(cast.rosas_household, entry_of(person_form(person)))


def _register(phone: Phone, households: Sequence[Household], cast: Cast) -> None:
    """The head and an inner household come with the household's own form, everybody else with a form each."""
    days = timedelta(days=5)
    for number, household in enumerate(households):
        phone.clock = max(phone.clock, cast.now - _WEEK + days * number / len(households))
        head, *others = household.people
        members = [entry_of(person_form(head))]
        members += [household_entry(household.inner)] if household.inner else []
        guid = phone.create_household(household_form(household), members)
        for person in others:
            phone.add_member(guid, entry_of(person_form(person)))


def _send(cast: Cast, phone: Phone) -> None:
    started = perf_counter()
    with cast.narrator.progress(f"{phone.owner}'s phone sends", len(phone.outbox)) as advance:
        sent = phone.push(advance)
    cast.figures.sending_seconds += perf_counter() - started
    cast.figures.events += sent.events
    cast.narrator.check(f"Every event of {phone.owner}'s is accepted", sent.fates, Counter(accepted=sent.events))


def _receive(cast: Cast, phone: Phone, records: int) -> None:
    started = perf_counter()
    with cast.narrator.progress(f"{phone.owner}'s phone receives", records) as advance:
        received = phone.pull(advance)
    cast.figures.receiving_seconds += perf_counter() - started
    cast.figures.received += received.records


def _show_phones(cast: Cast, waiting: str) -> None:
    rows = [
        (f"{phone.owner}'s phone", phone.copy.count(GROUP), phone.copy.count(PERSON), len(phone.outbox))
        for phone in (cast.amina, cast.teo)
    ]
    cast.narrator.table(("", "Households", "People", waiting), rows)


def _check_counts(cast: Cast) -> None:
    counted = cast.operator.get("/api/entities/count-by-form", configId=cast.programme.config_id)
    cast.narrator.check(
        "It counts them by form",
        counted,
        {HOUSEHOLD: cast.amina.copy.count(GROUP), INDIVIDUAL: cast.amina.copy.count(PERSON)},
    )
