"""Two programmes are set up, people get accounts for them, and two phones are prepared."""

import secrets
import string
from datetime import datetime, timedelta

from server.demo.cast import Cast, Programme
from server.demo.forms import programme
from server.demo.narrator import Narrator
from server.demo.people import Population
from server.demo.phone import Account, Phones
from server.demo.remote import Remote, Session

_PNG = b"\x89PNG\r\n\x1a\n"
_BEFORE_THE_WEEK = timedelta(days=8)


def set_up(narrator: Narrator, remote: Remote, operator: Session, phones: Phones, now: datetime) -> Cast:
    """Uploads the two configs and makes the accounts. Their ids are new with every run."""
    narrator.chapter("Two programmes are set up")
    suffix = secrets.token_hex(3)
    first = _upload(narrator, operator, f"demo-{suffix}", "Household survey")
    second = _upload(narrator, operator, f"demo-{suffix}-next-door", "Clinic next door")
    narrator.table(("App", "Config id"), [(each.name, each.config_id) for each in (first, second)])
    _check_artifact(narrator, remote, first)

    amina, teo, ines = (_account(operator, name, first, "collector") for name in ("Amina", "Teo", "Ines"))
    oksana = _account(operator, "Oksana", first, "admin")
    keo = _account(operator, "Keo", second, "collector")
    narrator.say(
        "Amina, Teo and Ines collect for the survey; Oksana is its administrator. Keo collects for the clinic."
    )
    people = (amina, teo, ines, oksana, keo)
    narrator.check("Five people can sign in", len({each.session.user_id for each in people}), len(people))
    cast = Cast(
        narrator=narrator,
        population=Population(suffix, now.date()),
        now=now,
        operator=operator,
        phones=phones,
        oksana=oksana.session,
        amina=phones.new(amina, tenant=first.config_id, clock=now - _BEFORE_THE_WEEK),
        teo=phones.new(teo, tenant=first.config_id, clock=now - _BEFORE_THE_WEEK),
        ines=ines,
        keo=keo,
        programme=first,
        next_door=second,
    )
    narrator.check(
        "Amina's and Teo's new phones sync once: there is nothing yet",
        [phone.sync().entities for phone in (cast.amina, cast.teo)],
        [0, 0],
    )
    return cast


def _upload(narrator: Narrator, operator: Session, config_id: str, name: str) -> Programme:
    document = programme(config_id, name, "Made by `croft demo`. It can be deleted.")
    answer = operator.upload("/api/apps", document)
    stored = operator.get(f"/api/apps/{config_id}")
    narrator.check(
        f"The config “{name}” is uploaded and has a schema of its own",
        [form["name"] for form in stored["entityForms"]],
        [form["name"] for form in document["entityForms"]],
    )
    return Programme(config_id, name, artifact_id=answer["artifactId"])


def _check_artifact(narrator: Narrator, remote: Remote, first: Programme) -> None:
    artifact = remote.call("GET", f"/artifacts/{first.artifact_id}.json")
    narrator.check(
        "A phone can load the forms without signing in, and no person's data with them",
        (artifact["id"], len(artifact["entityForms"]), artifact["entityData"]),
        (first.config_id, 2, []),
    )
    address = artifact["syncServerUrl"]
    narrator.check(f"It learns there to sync with {address}", address.startswith(("http://", "https://")), True)
    code = remote.send("GET", f"/artifacts/{first.artifact_id}.png")
    narrator.check("A QR code leads there", (code.headers.get("content-type"), code.content[:8]), ("image/png", _PNG))


def _account(operator: Session, name: str, programme: Programme, role: str) -> Account:
    email, password = f"{name.lower()}@{programme.config_id}.example", _password()
    memberships = [{"configId": programme.config_id, "role": role}]
    account = {"email": email, "password": password, "role": "USER", "memberships": memberships}
    operator.post("/api/users", account, status=201)
    return Account(name, email, password, operator.remote.sign_in(email, password))


def _password() -> str:
    """Random, with one of each kind that the rules ask for."""
    alphabet = string.ascii_letters + string.digits
    return "Aa1!" + "".join(secrets.choice(alphabet) for _ in range(16))
