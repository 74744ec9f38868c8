"""Recording what happened on this device, as events that wait in the outbox."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from server.device import conflicts, overlay, queries
from server.device.errors import NotSignedIn
from server.device.model import Event
from server.device.shapes import check_shape, mentions
from server.device.store import Store
from server.device.strict import checked, write

Clock = Callable[[], datetime]
MakeGuid = Callable[[], str]


class Recorder:
    """Makes events: guids by `make_guid`, times by `clock`, in the name of whoever is signed in."""

    def __init__(self, store: Store, clock: Clock, make_guid: MakeGuid) -> None:
        self._store = store
        self._clock = clock
        self.make_guid = make_guid

    def record(self, type_: str, entity_guid: str, data: Mapping[str, Any]) -> Event:
        """Keeps one event and shows its effect. Raises InvalidEvent, and NotSignedIn while nobody ever signed in."""
        plain = checked(data, "data")
        check_shape(checked(type_, "type"), checked(entity_guid, "entityGuid"), plain)
        with self._store.transaction() as db:
            event = Event(
                guid=self.make_guid(),
                entity_guid=entity_guid,
                type=type_,
                data=plain,
                timestamp=self._timestamp(),
                user_id=self._user_id(),
                base_version=self._base_version(entity_guid),
            )
            queries.insert_event(db, row_of(event, to_offer=True), mentions(type_, entity_guid, plain))
            overlay.lay_on_top(self._store, event)
            conflicts.settle(self._store, event)
        return event

    def _user_id(self) -> str:
        user_id = self._store.get("user_id")
        if user_id is None:
            raise NotSignedIn("nobody has signed in on this device yet, so an event would be nobody's")
        return str(user_id)

    def _timestamp(self) -> str:
        """Later than every event before, also of those of the same millisecond and when the clock was put back."""
        moment = int(self._clock().timestamp() * 1000)
        moment = max(moment, self._store.get("last_ms") + 1)
        self._store.set(last_ms=moment)
        seconds, milliseconds = divmod(moment, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"

    def _base_version(self, entity_guid: str) -> int | None:
        if not self._store.is_of_present_log:
            return None
        with self._store.transaction() as db:
            row = queries.find_served(db, self._store.get("generation"), entity_guid)
            return None if row is None else int(row["version"])


def row_of(event: Event, *, to_offer: bool) -> tuple[Any, ...]:
    """The event as a row: the device's own lie on top of what the server gave until that holds them."""
    return (
        event.guid,
        event.entity_guid,
        event.type,
        write(event.data),
        event.timestamp,
        event.user_id,
        event.base_version,
        None if event.applied is None else write(event.applied),
        event.own,
        event.device_id,
        event.status,
        event.seq,
        to_offer,
        event.own and event.seq is None,
        event.digest,
    )
