"""What was recorded first arrives last."""

from datetime import timedelta

from server.demo.cast import Cast, differences
from server.demo.cultures import AMHARIC
from server.demo.forms import entry_of, household_form, person_form
from server.demo.phone import Phone


def arrive_late(cast: Cast) -> None:
    """A phone that was off for days brings a household older than all the others have pulled since."""
    narrator = cast.narrator
    narrator.chapter("A record that comes late")
    household = cast.population.household(AMHARIC)
    old_phone = Phone("Teo", cast.teo.session, cast.programme.config_id, cast.now - timedelta(days=6))
    members = [entry_of(person_form(person)) for person in household.people]
    guid = old_phone.create_household(household_form(household), members)
    narrator.say(
        f"Six days ago Teo registered {household.name} on another phone, and its battery died. "
        "Meanwhile the others have received much that is newer. Today he charges it."
    )
    _, received = old_phone.sync()
    narrator.check(
        f"The old phone receives all {received.records:,} records, in {received.pages} pages",
        received.records,
        cast.server_count(),
    )
    for phone in (cast.amina, cast.teo):
        phone.sync()
        narrator.check(
            f"{phone.owner}'s other phone shows the household" if phone is cast.teo else "Amina's phone shows it",
            [phone.copy[each].name for each in phone.copy[guid].members] if guid in phone.copy else "no such household",
            [person.name for person in household.people],
        )
    narrator.check("All three phones show the same", differences(old_phone, cast.amina), [])
