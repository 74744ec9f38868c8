"""What was recorded first arrives last."""

from datetime import timedelta

from server.demo.cast import Cast, differences
from server.demo.cultures import AMHARIC
from server.demo.forms import entry_of, household_form, person_form
from server.demo.phone import Phone
from server.kit.clock import iso_ms


def arrive_late(cast: Cast) -> None:
    """A phone that was off for days brings a household older than all the others have pulled since."""
    narrator = cast.narrator
    narrator.chapter("A record that comes late")
    household = cast.population.household(AMHARIC)
    recorded = cast.now - timedelta(days=6)
    old_phone = Phone("Teo", cast.teo.session, cast.programme.config_id, recorded)
    members = [entry_of(person_form(person)) for person in household.people]
    guid = old_phone.create_household(household_form(household), members)
    narrator.say(
        f"Six days ago Teo registered {household.name} on an old phone, and its battery died. "
        "The other phones have synced since, with much that is newer. Today he charges it."
    )
    _, received = old_phone.sync()
    narrator.check(
        f"The old phone receives all {received.records:,} records, in {received.pages} pages",
        received.records,
        cast.server_count(),
    )
    for phone, sentence in (
        (cast.amina, "Amina's phone shows the household with all its people"),
        (cast.teo, "So does Teo's other phone"),
    ):
        phone.sync()
        narrator.check(
            sentence,
            [phone.copy[each].name for each in phone.copy[guid].members] if guid in phone.copy else "no such household",
            [person.name for person in household.people],
        )
    events = cast.operator.get(f"/api/entities/{guid}/events", configId=cast.programme.config_id)
    narrator.check("Its history says when it was recorded", [each["timestamp"] for each in events], [iso_ms(recorded)])
    narrator.check("All three phones show the same", differences(old_phone, cast.amina), [])
