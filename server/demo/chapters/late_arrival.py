"""What was recorded first arrives last, from a phone that still has the app that is in use."""

from collections import Counter
from datetime import timedelta

from server.demo.cast import Cast, contents, differences, old_contents
from server.demo.cultures import AMHARIC
from server.demo.forms import entry_of, household_form, person_form
from server.demo.old_phone import OldPhone
from server.kit.clock import iso_ms


def arrive_late(cast: Cast) -> None:
    """A phone that was off for days brings a household older than all the others have pulled since."""
    narrator = cast.narrator
    narrator.chapter("A record that comes late, from an old phone")
    household = cast.population.household(AMHARIC)
    recorded = cast.now - timedelta(days=6)
    old_phone = OldPhone(cast.teo.session, cast.programme.config_id, recorded)
    guid = old_phone.create_household(
        household_form(household), [entry_of(person_form(person)) for person in household.people]
    )
    narrator.say(
        f"Six days ago Teo registered {household.name} on his old phone, and its battery died. It has the app that "
        "is in use today, which speaks an older dialect. The new phones have synced since, with much that is newer. "
        "Now he charges it."
    )
    narrator.check("What the old phone sends is taken", old_phone.push(), Counter(accepted=1))
    pages = old_phone.pull()
    narrator.check(
        f"It receives all {len(old_phone.copy):,} records, in {pages} pages", len(old_phone.copy), cast.server_count()
    )
    for phone, sentence in (
        (cast.amina, "Amina's phone shows the household with all its people"),
        (cast.teo, "So does Teo's new phone"),
    ):
        phone.sync()
        narrator.check(
            sentence,
            {each.name for each in phone.members(guid)},
            {person.name for person in household.people},
        )
    events = cast.server_record(guid, "/events")
    narrator.check("Its history says when it was recorded", [each["timestamp"] for each in events], [iso_ms(recorded)])
    narrator.check(
        "The old phone shows the same as the new ones",
        differences(old_contents(old_phone.copy), contents(cast.amina)),
        [],
    )
