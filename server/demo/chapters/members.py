"""A household changes on two phones at once."""

from datetime import timedelta

from server.demo.cast import Cast
from server.demo.cultures import WOMAN
from server.demo.forms import person_form
from server.demo.people import Person
from server.demo.phone import Phone, offline


def come_and_go(cast: Cast) -> None:
    """A member is added on one phone, another is removed on the other."""
    narrator, household = cast.narrator, cast.rosas_household
    narrator.chapter("One is born, one moves out")
    before = _names(cast.amina, household)
    members = {each.name.split()[0]: each.guid for each in cast.teo.members(household)}
    narrator.say("Without a network, Amina adds a newborn to Rosa's household, and Teo removes Luz, who has moved out.")
    born = (cast.now - timedelta(days=3)).date()
    baby = Person("Mayu Condori Quispe", WOMAN, born, "daughter", "at home")
    with offline(cast.amina, cast.teo):
        cast.amina.clock = cast.now - timedelta(minutes=80)
        newborn = cast.amina.register_member(household, person_form(baby))
        cast.teo.clock = cast.now - timedelta(minutes=70)
        cast.teo.device.remove_member(household, members["Luz"])
        apart = [_names(phone, household) for phone in (cast.amina, cast.teo)]
    for phone in (cast.amina, cast.teo, cast.amina):
        phone.sync()

    columns = [before, *apart, _names(cast.amina, household)]
    height = max(len(column) for column in columns)
    filled = [[*column, *[""] * (height - len(column))] for column in columns]
    narrator.table(
        ("Before", "On Amina's phone", "On Teo's phone", "On both after sync"), list(zip(*filled, strict=True))
    )
    expected = {cast.rosa, newborn, members["Ángel"]}
    for phone in (cast.amina, cast.teo):
        shown = set(phone.show(household).member_ids)
        narrator.check(f"{phone.owner}'s phone shows the newborn, and not Luz", shown, expected)
    narrator.check("So does the server", set(cast.server_record(household)["memberIds"]), expected)
    narrator.check(
        "Luz's own record is kept, in no household",
        [phone.show(members["Luz"]).parent_ids for phone in (cast.amina, cast.teo)],
        [[], []],
    )


def _names(phone: Phone, household: str) -> list[str]:
    """Given names alone: the family has one name."""
    return [each.name.split()[0] for each in phone.members(household)]
