"""The story from beginning to end."""

from time import perf_counter

from server.demo.cast import Cast
from server.demo.chapters.conflict import edit_at_once
from server.demo.chapters.field_week import exchange, register_offline
from server.demo.chapters.joining import hear_at_once, join_late
from server.demo.chapters.late_arrival import arrive_late
from server.demo.chapters.members import come_and_go
from server.demo.chapters.next_door import look_next_door
from server.demo.chapters.registered_twice import register_twice
from server.demo.chapters.setting_up import set_up
from server.demo.chapters.signed_for import look_at_receipts
from server.demo.forms import HOUSEHOLD, INDIVIDUAL
from server.demo.narrator import Narrator
from server.demo.phone import Phones
from server.demo.remote import Remote
from server.kit.clock import utc_now

FEWEST_HOUSEHOLDS = 10


def play(narrator: Narrator, remote: Remote, *, email: str, password: str, households: int) -> Cast:
    """Plays the whole story against a server, as its operator.

    `households`, at least FEWEST_HOUSEHOLDS, is how many are registered. Each run makes two tenants of its own and
    leaves them there. Raises Unexpected as soon as the server does not behave.
    """
    started = perf_counter()
    narrator.opening("Croft, played through", f"Phones of a team, one server at {remote.url}, and a neighbour.")
    remote.send("GET", "/health")
    operator = remote.sign_in(email, password)
    with Phones() as phones:
        cast = set_up(narrator, remote, operator, phones, utc_now())
        register_offline(cast, households)
        exchange(cast)
        edit_at_once(cast)
        arrive_late(cast)
        come_and_go(cast)
        register_twice(cast)
        ines = join_late(cast)
        hear_at_once(cast, ines)
        look_at_receipts(cast, ines)
        look_next_door(cast)
        _sum_up(cast, remote, perf_counter() - started)
    return cast


def _sum_up(cast: Cast, remote: Remote, seconds: float) -> None:
    narrator, figures, device = cast.narrator, cast.figures, cast.amina.device
    narrator.chapter("All as it should be")
    narrator.facts(
        [
            (
                "Records in the survey",
                f"{cast.server_count():,}",
                f"{device.count(form=INDIVIDUAL):,} people, {device.count(form=HOUSEHOLD):,} households",
            ),
            ("Events sent after the week", f"{figures.events:,}", _rate(figures.events, figures.sending_seconds)),
            ("Records Ines began with", f"{figures.records:,}", _rate(figures.records, figures.joining_seconds)),
            ("Checks passed", f"{narrator.checks}", f"in {seconds:.1f} seconds altogether"),
        ],
    )
    remote.send("GET", "/api-docs")
    artifact = f"{remote.url}/artifacts/{cast.programme.artifact_id}"
    narrator.say("To look at:")
    narrator.facts(
        [
            ("The reference of all calls", f"{remote.url}/api-docs"),
            ("What a phone loads first", f"{artifact}.json"),
            ("The QR code that leads there", f"{artifact}.png"),
        ],
    )
    narrator.say("To check the whole log against its receipts:")
    narrator.facts([(f"croft tenants verify {cast.programme.config_id}",)])
    narrator.say("The two tenants stay. To remove them:")
    narrator.facts([(f"croft tenants delete {each.config_id}",) for each in (cast.programme, cast.next_door)])


def _rate(number: int, seconds: float) -> str:
    return f"in {seconds:.1f} seconds, {number / seconds:,.0f} a second" if seconds else ""
