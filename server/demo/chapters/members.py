"""A household changes on two phones at once."""

from datetime import timedelta

from server.demo.cast import Cast
from server.demo.cultures import WOMAN
from server.demo.forms import entry_of, person_form
from server.demo.people import Person
from server.demo.phone import Phone


def come_and_go(cast: Cast) -> None:
    """A member is added on one phone, another is removed on the other."""
    narrator = cast.narrator
    narrator.chapter("One is born, one moves out")
    before = _names(cast.amina, cast.rosas_household)
    luz = next(guid for guid in cast.teo.copy[cast.rosas_household].members if "Luz" in cast.teo.copy[guid].name)
    narrator.say("Without a network, Amina adds a newborn to Rosa's household, and Teo removes Luz, who has moved out.")
    born = (cast.now - timedelta(days=3)).date()
    baby = Person("Mayu Condori Quispe", WOMAN, born, "daughter", "at home")
    cast.amina.clock = cast.now - timedelta(minutes=80)
    newborn = cast.amina.add_member(cast.rosas_household, entry_of(person_form(baby)))
    cast.teo.clock = cast.now - timedelta(minutes=70)
    cast.teo.remove_member(cast.rosas_household, luz)
    apart = [_names(phone, cast.rosas_household) for phone in (cast.amina, cast.teo)]
    for phone in (cast.amina, cast.teo, cast.amina):
        phone.sync()

    after = _names(cast.amina, cast.rosas_household)
    columns = [before, *apart, after]
    height = max(len(column) for column in columns)
    filled = [[*column, *[""] * (height - len(column))] for column in columns]
    narrator.table(
        ("Before", "On Amina's phone", "On Teo's phone", "On both after sync"), list(zip(*filled, strict=True))
    )
    expected = {cast.rosa, newborn} | {
        guid for guid in cast.amina.copy[cast.rosas_household].members if "Ángel" in cast.amina.copy[guid].name
    }
    for phone in (cast.amina, cast.teo):
        members = set(phone.copy[cast.rosas_household].members)
        narrator.check(f"{phone.owner}'s phone shows the newborn, and not Luz", members, expected)
    narrator.check("So does the server", set(cast.server_record(cast.rosas_household)["memberIds"]), expected)
    narrator.check("Luz's own record is kept", luz in cast.amina.copy and luz in cast.teo.copy, True)


def _names(phone: Phone, household: str) -> list[str]:
    """Given names alone: the family has one name."""
    return [phone.copy[guid].name.split()[0] for guid in phone.copy[household].members]
