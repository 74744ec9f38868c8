"""A small simulated phone that speaks the protocol of those in use: it records offline, pushes, then pulls pages."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from server.demo.expectation import Unexpected
from server.demo.local_copy import Data, LocalCopy
from server.demo.remote import Session
from server.kit.clock import iso_ms

BATCH = 100
_BETWEEN_EVENTS = timedelta(seconds=1)

Progress = Callable[[int], None]
"""Told how many more are done."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A push: how many events, and how many of each fate."""

    events: int
    fates: Counter[str]


@dataclass(frozen=True, slots=True)
class Received:
    """A pull: how many pages, and how many different records were written."""

    pages: int
    records: int


class Phone:
    """A collector's phone in one programme. Recording needs no network; `push`, `pull` and `sync` do.

    Attributes: `copy`, what it shows; `outbox`, its events that the server does not have; `clock`, the time its next
    event is stamped with, which moves on a second with each: set it to record at another time.
    """

    def __init__(self, owner: str, session: Session, config_id: str, clock: datetime) -> None:
        self.owner = owner
        self.session = session
        self.config_id = config_id
        self.clock = clock
        self.copy = LocalCopy()
        self.outbox: list[Data] = []
        self._last_batch: list[Data] = []
        self._since = ""

    # Recording

    def create_household(self, data: Data, members: Iterable[Data] = (), guid: str | None = None) -> str:
        """Answers the guid. `members` are entries with a guid each; an entry of the type group may have its own."""
        return self._record("create-group", guid or new_guid(), {**data, "members": list(members)})

    def add_member(self, household: str, entry: Data) -> str:
        """Registers a person as a member. Answers the guid of the entry."""
        self._record("add-member", household, {"members": [entry]})
        return str(entry["guid"])

    def remove_member(self, household: str, member: str) -> None:
        """The person is a member no longer; the record stays."""
        self._record("remove-member", household, {"memberId": member})

    def edit_person(self, guid: str, changes: Mapping[str, Any]) -> None:
        """Sends the whole form with the changes in it, as the app in use does."""
        self._record("update-individual", guid, {**self.copy[guid].data, **changes})

    def _record(self, type_: str, entity_guid: str, data: Data) -> str:
        event = {
            "guid": new_guid(),
            "entityGuid": entity_guid,
            "type": type_,
            "data": data,
            "timestamp": iso_ms(self.clock),
            "userId": self.session.user_id,
            "syncLevel": 0,
        }
        self.clock += _BETWEEN_EVENTS
        self.copy.apply(event)
        self.outbox.append(event)
        return entity_guid

    # With a network

    def sync(self, progress: Progress = lambda _: None) -> tuple[Sent, Received]:
        """Push, then pull."""
        return self.push(progress), self.pull()

    def push(self, progress: Progress = lambda _: None) -> Sent:
        """Sends the outbox in batches; a batch leaves it when the server has answered."""
        sent = Sent(len(self.outbox), Counter())
        while self.outbox:
            batch = self.outbox[:BATCH]
            sent.fates.update(self._send(batch))
            del self.outbox[: len(batch)]
            self._last_batch = batch
            progress(len(batch))
        return sent

    def push_last_batch_again(self) -> Sent:
        """What a phone does when the answer to a batch was lost on the way."""
        return Sent(len(self._last_batch), Counter(self._send(self._last_batch)))

    def pull(self, progress: Progress = lambda _: None) -> Received:
        """Asks for pages until there are no more."""
        pages, received = 0, set[str]()
        cursor: str | None = self._since
        while cursor is not None:
            # The cursor goes back as it came, not escaped: so do the phones in use.
            page = self.session.get(f"/api/sync/pull?since={cursor}&configId={self.config_id}")
            new = {guid for guid in self._apply(page["events"]) if guid in self.copy} - received
            received |= new
            pages += 1
            progress(len(new))
            cursor = page["nextCursor"]
        return Received(pages, len(received))

    def _apply(self, events: list[Data]) -> set[str]:
        """Gives the guids that the events wrote; of the carriers among them, nothing is left at the end of a page."""
        written: set[str] = set()
        for event in sorted(events, key=lambda event: str(event["timestamp"])):
            try:
                written |= self.copy.apply(event)
            except ValueError as error:
                raise Unexpected(f"A pulled {event['type']}", expected="to be applied", found=str(error)) from error
            self._since = event["timestamp"]
        return written

    def _send(self, batch: list[Data]) -> list[str]:
        answer = self.session.post("/api/sync/push", {"configId": self.config_id, "events": batch})
        return [fate["status"] for fate in answer["events"]]


def new_guid() -> str:
    """A guid as phones make them."""
    return str(uuid4())
