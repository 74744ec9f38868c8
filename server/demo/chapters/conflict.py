"""Two people edit the same record while neither has a network; somebody decides what stands."""

from datetime import datetime, timedelta

from server.demo.cast import Cast
from server.demo.forms import Data
from server.demo.phone import Phone, offline
from server.device import Conflict
from server.kit.clock import iso_ms

_FIELDS = {"occupation": "Occupation", "schooling": "Schooling", "phone": "Phone"}
_FIELD = "phone"
_CONFLICTS = "/api/conflicts"


def edit_at_once(cast: Cast) -> None:
    """Edits of different fields all stand; of the same field the later one does, until somebody chooses the other."""
    narrator = cast.narrator
    narrator.chapter("Two people edit the same record")
    before = cast.amina.show(cast.rosa).data
    narrator.say(
        f"Both visit {before['name']}, Amina first and Teo an hour later. Neither has a network. Each writes down "
        "another phone number."
    )
    aminas = {"occupation": "weaver", _FIELD: "944 010 203"}
    teos = {"schooling": "secondary", _FIELD: "955 777 000"}
    with offline(cast.amina, cast.teo):
        edits = (
            _edit(cast.amina, cast.rosa, aminas, at=cast.now - timedelta(hours=3)),
            _edit(cast.teo, cast.rosa, teos, at=cast.now - timedelta(hours=2)),
        )
    narrator.say("Then Teo's phone is the first to sync; Amina's, with the older edit, comes after it.")
    reports = [phone.sync() for phone in (cast.teo, cast.amina, cast.teo)]
    narrator.check("Both edits are taken", [report.pushed for report in reports], [1, 1, 0])

    stands = cast.server_record(cast.rosa)["data"]
    narrator.table(
        ("Field", "Before", "Amina, first", "Teo, later", "Stands now"),
        [
            (label, before[field], aminas.get(field, ""), teos.get(field, ""), str(stands.get(field)))
            for field, label in _FIELDS.items()
        ],
    )
    expected = {**before, **aminas, **teos}
    narrator.check("What only one of them changed stands; of the phone number, the later edit does", stands, expected)
    for phone in (cast.amina, cast.teo):
        narrator.check(f"{phone.owner}'s phone shows it so", phone.show(cast.rosa).data, expected)
    _check_notice(cast, aminas, teos)
    _choose_the_other(cast, before, edits, expected)


def _edit(phone: Phone, guid: str, fields: Data, *, at: datetime) -> Data:
    """What the server should tell of this edit as one side of a conflict."""
    phone.clock = at
    event = phone.device.change(guid, fields)
    return {
        "value": fields[_FIELD],
        "event": event.guid,
        "at": iso_ms(at),
        "userId": phone.session.user_id,
        "deviceId": phone.device.id,
    }


def _check_notice(cast: Cast, aminas: Data, teos: Data) -> None:
    cast.narrator.check(
        "Each phone has noticed by itself that somebody wrote another number",
        [[_sides(each) for each in phone.device.conflicts()] for phone in (cast.amina, cast.teo)],
        [[(_FIELD, aminas[_FIELD], teos[_FIELD])], [(_FIELD, teos[_FIELD], aminas[_FIELD])]],
    )


def _sides(conflict: Conflict) -> tuple[str, str, str]:
    return conflict.field, conflict.mine.data[conflict.field], conflict.theirs.data[conflict.field]


def _choose_the_other(cast: Cast, before: Data, edits: tuple[Data, Data], shown: Data) -> None:
    narrator = cast.narrator
    aminas, teos = edits
    [conflict] = _check_list(cast, standing=teos, other=aminas)
    choice = {"event": conflict["other"]["event"], "configId": cast.programme.config_id}
    path = f"{_CONFLICTS}/{conflict['id']}/choose"
    narrator.check(
        "That is not for a collector to decide: Teo is refused",
        cast.teo.session.status_of("POST", path, json=choice),
        403,
    )
    narrator.say("Oksana calls both numbers. Rosa answers at the one that Amina wrote down: Oksana chooses it.")
    cast.oksana.post(path, choice)
    narrator.check("No conflict is left", _conflicts(cast), [])
    chosen = {**shown, _FIELD: aminas["value"]}
    for phone in (cast.amina, cast.teo):
        phone.sync()
        narrator.check(
            f"{phone.owner}'s phone shows the chosen number, and no conflict any more",
            (phone.show(cast.rosa).data, phone.device.conflicts()),
            (chosen, []),
        )
    written = cast.server_record(cast.rosa, "/history")["fields"][_FIELD]
    narrator.check(
        "The history keeps every number that was written, and says which one stands",
        [(each["value"], each["stood"]) for each in written],
        [(before[_FIELD], False), (aminas["value"], False), (teos["value"], False), (aminas["value"], True)],
    )


def _check_list(cast: Cast, *, standing: Data, other: Data) -> list[Data]:
    listed = _conflicts(cast)
    cast.narrator.check(
        "The server lists the conflict, with both values, who wrote them, when and on which phone",
        [
            (each["entityGuid"], each["field"], *(_told(each[side]) for side in ("standing", "other")))
            for each in listed
        ],
        [(cast.rosa, _FIELD, standing, other)],
    )
    names = {phone.session.user_id: phone.owner for phone in (cast.amina, cast.teo)}
    cast.narrator.table(
        (listed[0]["entityName"], "Phone", "Written by", "When (UTC)"),
        [
            (state, str(side["value"]), names[side["account"]], str(side["at"])[:16].replace("T", " "))
            for state, side in (("Stands", listed[0]["standing"]), ("Gave way", listed[0]["other"]))
        ],
    )
    return listed


def _told(side: Data) -> Data:
    return {key: side[key] for key in ("value", "event", "at", "userId", "deviceId")}


def _conflicts(cast: Cast) -> list[Data]:
    found: list[Data] = cast.oksana.get(_CONFLICTS, configId=cast.programme.config_id)
    return found
