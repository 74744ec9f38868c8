"""Two people edit the same record while neither has a network."""

from collections import Counter
from datetime import timedelta

from server.demo.cast import Cast

_FIELDS = {"occupation": "Occupation", "schooling": "Schooling", "phone": "Phone"}


def edit_at_once(cast: Cast) -> None:
    """Edits of different fields all stand; of the same field, the later edit stands, whichever arrives last."""
    narrator = cast.narrator
    narrator.chapter("Two people edit the same record")
    before = dict(cast.amina.copy[cast.rosa].data)
    narrator.say(
        f"Both visit {before['name']}, Amina first and Teo an hour later. Neither has a network. Each writes down "
        "another phone number."
    )
    aminas = {"occupation": "weaver", "phone": "944 010 203"}
    teos = {"schooling": "secondary", "phone": "955 777 000"}
    cast.amina.clock = cast.now - timedelta(hours=3)
    cast.amina.edit_person(cast.rosa, aminas)
    cast.teo.clock = cast.now - timedelta(hours=2)
    cast.teo.edit_person(cast.rosa, teos)

    narrator.say("Then Teo's phone is the first to sync; Amina's, with the older edit, comes after it.")
    fates = Counter[str]()
    for phone in (cast.teo, cast.amina, cast.teo):
        sent, _ = phone.sync()
        fates += sent.fates
    narrator.check("Both edits are accepted", fates, Counter(accepted=2))

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
        narrator.check(f"{phone.owner}'s phone shows it so", phone.copy[cast.rosa].data, expected)
    _check_history(cast, aminas["phone"], teos["phone"])


def _check_history(cast: Cast, *numbers: str) -> None:
    events = cast.operator.get(f"/api/entities/{cast.rosa}/events", configId=cast.programme.config_id)
    written = {event["data"].get("phone") for event in events if event["type"] == "update-individual"}
    cast.narrator.check("The history keeps both edits, the one that gave way too", written, set(numbers))
