"""Somebody joins when there is much already, and from then on hears of everything at once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Event
from time import perf_counter

from server.demo.cast import Cast, contents, differences
from server.demo.expectation import Unexpected
from server.demo.forms import Data
from server.demo.phone import Phone, told_of
from server.device import Progress

_AT_ONCE = 5.0
"""Seconds. A server that only looked now and then would take longer."""

_PATIENCE = 30.0


def join_late(cast: Cast) -> Phone:
    """A new phone takes a snapshot: every record in one go, without the history. Answers the phone."""
    narrator = cast.narrator
    narrator.chapter("Ines joins late")
    ines = cast.phones.new(cast.ines, tenant=cast.programme.config_id, clock=cast.now - timedelta(minutes=30))
    narrator.say("Ines is new in the team. Her phone holds nothing; she signs in and syncs for the first time.")
    ines.sign_in(cast.ines)
    there = cast.server_count()
    told: list[Progress] = []
    started = perf_counter()
    with narrator.syncing("Ines's phone") as tell:

        def note(progress: Progress) -> None:
            told.append(progress)
            tell(progress)

        report = ines.sync(note)
    cast.figures.joining_seconds = perf_counter() - started
    cast.figures.records = report.entities
    narrator.check(
        "It knew from the beginning how many records there are", (told[0].stage, told[0].total), ("snapshot", there)
    )
    narrator.check(
        "It got each of them once, and none of the events that made them", (report.entities, report.events), (there, 0)
    )
    narrator.check("It shows the same as Amina's phone", differences(contents(ines), contents(cast.amina)), [])
    return ines


def hear_at_once(cast: Cast, ines: Phone) -> None:
    """A phone that listens is told as soon as there is more, and pulls it."""
    narrator = cast.narrator
    narrator.chapter("News at once")
    missed, news = {"occupation": "teacher"}, {"schooling": "higher"}
    _change(cast.amina, cast.rosa, missed)
    narrator.say("While Ines's phone is in her bag, Amina changes a record. Then Ines opens the app, and it listens.")
    with _listening(ines, [(cast.rosa, missed), (cast.rosa, news)]) as heard:
        next(heard)
        narrator.check("It is told at once of what it missed", _shows(ines, cast.rosa, missed), True)
        started = perf_counter()
        _change(cast.teo, cast.rosa, news)
        seconds = next(heard) - started
    narrator.check(
        f"Teo's phone sends another change; Ines's phone shows it {seconds:.2f} seconds later",
        seconds < _AT_ONCE,
        True,
    )


def _change(phone: Phone, guid: str, fields: Data) -> None:
    phone.device.change(guid, fields)
    phone.sync()


def _shows(phone: Phone, guid: str, fields: Data) -> bool:
    return phone.show(guid).data.items() >= fields.items()


_News = tuple[str, Data]
"""A record and the fields that it will have."""


@contextmanager
def _listening(phone: Phone, awaited: Sequence[_News]) -> Iterator[Iterator[float]]:
    """The phone listens beside the block, which is given when it showed each of the news, by `perf_counter`."""
    heard = SimpleQueue[float | Unexpected]()
    is_over = Event()
    with ThreadPoolExecutor(1) as beside:
        beside.submit(_listen, phone, awaited, heard, is_over)
        try:
            yield _times(heard)
        finally:
            is_over.set()


def _listen(phone: Phone, awaited: Sequence[_News], heard: "SimpleQueue[float | Unexpected]", is_over: Event) -> None:
    try:
        with told_of(f"{phone.owner}'s phone listens"):
            heads = phone.device.live(until=is_over.is_set)
            for guid, fields in awaited:
                for _ in heads:
                    phone.sync()
                    if _shows(phone, guid, fields):
                        break
                heard.put(perf_counter())
    except Unexpected as failure:
        heard.put(failure)


def _times(heard: "SimpleQueue[float | Unexpected]") -> Iterator[float]:
    """Raises Unexpected where the phone failed or hears nothing."""
    while True:
        try:
            told = heard.get(timeout=_PATIENCE)
        except Empty:
            found = f"nothing for {_PATIENCE:.0f} seconds"
            raise Unexpected("A phone that listens", expected="to hear of news", found=found) from None
        if isinstance(told, Unexpected):
            raise told
        yield told
