"""A phone of those in use, which speaks the older dialect: it records offline, pushes batches, then pulls pages."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

from server.demo.expectation import Unexpected
from server.demo.forms import Data
from server.demo.old_copy import OldCopy
from server.demo.remote import Session
from server.kit.clock import iso_ms

BATCH = 100


class OldPhone:
    """`copy` is what it shows, `outbox` its events that the server does not have, `clock` the time stamped on them."""

    def __init__(self, session: Session, config_id: str, clock: datetime) -> None:
        self.clock = clock
        self.copy = OldCopy()
        self.outbox: list[Data] = []
        self._session = session
        self._config_id = config_id
        self._since = ""

    def create_household(self, form: Data, members: Iterable[Data]) -> str:
        """Answers the guid. `members` are filled-in forms with a guid each."""
        event = {
            "guid": str(uuid4()),
            "entityGuid": str(uuid4()),
            "type": "create-group",
            "data": {**form, "members": list(members)},
            "timestamp": iso_ms(self.clock),
            "userId": self._session.user_id,
            "syncLevel": 0,
        }
        self.copy.apply(event)
        self.outbox.append(event)
        return str(event["entityGuid"])

    def push(self) -> Counter[str]:
        """Sends the outbox in batches, each of which leaves it when the server has answered. Answers the fates."""
        fates = Counter[str]()
        while batch := self.outbox[:BATCH]:
            answer = self._session.post("/api/sync/push", {"configId": self._config_id, "events": batch})
            fates.update(fate["status"] for fate in answer["events"])
            del self.outbox[:BATCH]
        return fates

    def pull(self) -> int:
        """Asks for pages until there are no more. Answers how many there were."""
        pages = 0
        cursor: str | None = self._since
        while cursor is not None:
            # The cursor goes back as it came, not escaped: so do the phones in use.
            page = self._session.get(f"/api/sync/pull?since={cursor}&configId={self._config_id}")
            self._apply(page["events"])
            pages += 1
            cursor = page["nextCursor"]
        return pages

    def _apply(self, events: list[Data]) -> None:
        for event in sorted(events, key=lambda event: str(event["timestamp"])):
            try:
                self.copy.apply(event)
            except ValueError as error:
                raise Unexpected(f"A pulled {event['type']}", expected="to be applied", found=str(error)) from error
            self._since = event["timestamp"]
