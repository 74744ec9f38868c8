"""A week without a network: two phones register households, then come back and exchange them."""

from collections.abc import Sequence
from datetime import date, timedelta
from time import perf_counter

from server.demo.cast import Cast, contents, differences
from server.demo.cultures import MAN, SPANISH, WOMAN
from server.demo.expectation import Unexpected
from server.demo.forms import HOUSEHOLD, INDIVIDUAL, household_form, person_form
from server.demo.people import Household, Person
from server.demo.phone import BATCH, Phone, offline
from server.device import Progress, SyncReport, Unavailable

_WEEK = timedelta(days=7)
_SHOWN = 6
_PUSH = "/api/v2/sync/push"


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
    with offline(cast.amina, cast.teo):
        _register_rosa(cast)
        _register(cast.amina, everywhere[:half], cast)
        _register(cast.teo, everywhere[half:], cast)
        # Names come last: a terminal may set right-to-left script its own way.
        narrator.table(
            ("Language", "People", "Village and household"),
            [(each.culture.language, each.size, f"{each.village} · {each.name}") for each in everywhere[:_SHOWN]],
        )
        _show_phones(cast)
        waiting = len(cast.amina.device.outbox())
        narrator.check(
            "Amina's phone tries to sync, finds no network, and loses nothing",
            (_reaches_the_server(cast.amina), len(cast.amina.device.outbox())),
            (False, waiting),
        )
    narrator.check("Nothing of this is on the server yet", cast.server_count(), 0)


def exchange(cast: Cast) -> None:
    """Both phones sync; in the end they and the server hold the same."""
    narrator = cast.narrator
    narrator.chapter("Back in the network")
    recorded = contents(cast.amina) | contents(cast.teo)
    narrator.say(
        "Both phones sync, Amina's once more at the end. A phone also receives its own events, with the numbers that "
        "the server has given them."
    )
    sent = len(cast.amina.device.outbox())
    narrator.check("Amina's phone syncs: every event is taken", _taken(_sync(cast, cast.amina)), sent)
    sent = len(cast.teo.device.outbox())
    cast.teo.network.lose_answer(_PUSH)
    report = _sync(cast, cast.teo)
    narrator.check("Teo's phone syncs: every event is taken", _taken(report), sent)
    narrator.check(
        "One answer was lost on the way, so his phone sent those events again: nothing is doubled",
        (report.known, cast.server_count()),
        (min(BATCH, sent), len(recorded)),
    )
    _sync(cast, cast.amina)
    _show_phones(cast)
    narrator.check("Both phones show all that either of them recorded", contents(cast.amina), recorded)
    narrator.check(
        "They show the same, field by field and member by member",
        differences(contents(cast.amina), contents(cast.teo)),
        [],
    )
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
    cast.amina.clock = cast.now - _WEEK
    cast.rosas_household = cast.amina.register(household_form(family))
    cast.rosa = cast.amina.register_member(cast.rosas_household, {**person_form(rosa), "schooling": "primary"})
    for person in others:
        cast.amina.register_member(cast.rosas_household, person_form(person))


def _register(phone: Phone, households: Sequence[Household], cast: Cast) -> None:
    days = timedelta(days=5)
    for number, household in enumerate(households):
        phone.clock = max(phone.clock, cast.now - _WEEK + days * number / len(households))
        with phone.device.together():
            _register_household(phone, household)


def _register_household(phone: Phone, household: Household) -> str:
    guid = phone.register(household_form(household))
    for person in household.people:
        phone.register_member(guid, person_form(person))
    if household.inner:
        phone.device.add_member(guid, _register_household(phone, household.inner))
    return guid


def _reaches_the_server(phone: Phone) -> bool:
    try:
        phone.sync()
    except Unexpected as failure:
        if isinstance(failure.__cause__, Unavailable):
            return False
        raise
    return True


def _sync(cast: Cast, phone: Phone) -> SyncReport:
    """Tells how far it is, and adds what was pushed to the figures."""
    started = pushed = perf_counter()

    def note(progress: Progress) -> None:
        nonlocal pushed
        if progress.stage == "push":
            pushed = perf_counter()
        tell(progress)

    with cast.narrator.syncing(f"{phone.owner}'s phone") as tell:
        report = phone.sync(note)
    cast.figures.events += report.pushed
    cast.figures.sending_seconds += pushed - started
    return report


def _taken(report: SyncReport) -> int:
    """How many events were taken as they are; those that need anybody's attention are not among them."""
    return report.pushed - report.waiting - report.without_effect - len(report.refused)


def _show_phones(cast: Cast) -> None:
    rows = [
        (
            f"{phone.owner}'s phone",
            phone.device.count(form=HOUSEHOLD),
            phone.device.count(form=INDIVIDUAL),
            len(phone.device.outbox()),
        )
        for phone in (cast.amina, cast.teo)
    ]
    cast.narrator.table(("", "Households", "People", "Events to be sent"), rows)


def _check_counts(cast: Cast) -> None:
    counted = cast.operator.get("/api/entities/count-by-form", configId=cast.programme.config_id)
    cast.narrator.check(
        "It counts them by form",
        counted,
        {form: cast.amina.device.count(form=form) for form in (HOUSEHOLD, INDIVIDUAL)},
    )
