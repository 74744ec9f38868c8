"""A field device as it is in people's hands: the client library, its quirks included, held in memory.

Everything local (creating, changing, opening a record) is an ordinary call; only what needs the network is awaited:

    async with OldClient("http://127.0.0.1:3000", "north") as device:
        await device.login("ann@example.org", "Secret-1!")
        guid = device.create_individual({"name": "Ann"})
        await device.sync()

Nothing here is what we would build. Each oddity is one that the server has to live with, so none may be tidied away.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import uuid4

import httpx

Event: TypeAlias = dict[str, Any]
Entity: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[str, str]
CustomApplier: TypeAlias = Callable[[Entity, Event, "EntityStore"], Entity | None]

LOCAL, REMOTE = 0, 1
CHUNK_SIZE = 10
ATTEMPTS = 3
MILLISECOND = timedelta(milliseconds=1)


class DeviceError(Exception):
    """Whatever the device reports to its user as a failure."""


class InvalidEvent(DeviceError):
    """The event lacks something that every event must have; it is not kept."""


class CannotApply(DeviceError):
    """The event was kept but could not be applied; it will be skipped from now on."""


class SyncFailed(DeviceError):
    """A request was answered with anything but 2xx, or not at all."""


class OpenDuplicates(DeviceError):
    """The device holds an open pair of duplicates and refuses to sync."""


def truthy(value: Any) -> bool:
    """What JavaScript takes for true: empty lists and objects are."""
    return isinstance(value, dict | list) or bool(value)


def clone(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def milliseconds(timestamp: Any) -> float:
    """The instant as JavaScript's Date sees it, in ms since 1970; 0 for what is no date."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except (TypeError, ValueError):
        return 0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


class DeviceClock:
    """The device's own clock, `skew` away from `source`, told as ISO 8601 UTC with milliseconds.

    Two readings never give the same millisecond unless the clock is frozen, so a test needs no sleep for events to
    have an order. Set `skew` to move the clock; it may go back.
    """

    def __init__(self, skew: timedelta = timedelta(0), source: Callable[[], datetime] | None = None) -> None:
        self.skew = skew
        self._source = source or (lambda: datetime.now(UTC))
        self._last = datetime.min.replace(tzinfo=UTC)
        self._is_frozen = False

    def now(self) -> str:
        if not self._is_frozen:
            self._tick()
        return (self._last + self.skew).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block every reading is the same instant."""
        self._tick()
        self._is_frozen = True
        try:
            yield
        finally:
            self._is_frozen = False

    def follow(self, other: "DeviceClock") -> None:
        """The next reading is later than every one of `other` so far, their skews aside."""
        self._last = max(self._last, other._last)

    def _tick(self) -> None:
        moment = self._source()
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        self._last = max(moment, self._last + MILLISECOND)


@dataclass(frozen=True, slots=True)
class EntityPair:
    """The two copies of one entity. They may be one and the same object, which changes what a later edit does."""

    initial: Entity
    modified: Entity

    @property
    def has_local_changes(self) -> bool:
        return bool(self.initial["version"] != self.modified["version"])

    def copy(self) -> "EntityPair":
        modified = clone(self.modified)
        return EntityPair(modified if self.initial is self.modified else clone(self.initial), modified)


class EntityStore:
    """The device's records and its open pairs of duplicates. What goes in and out is copied."""

    def __init__(self) -> None:
        self._pairs: dict[str, EntityPair] = {}
        self._searchable: dict[str, dict[str, Any]] = {}
        self._external_ids: dict[Any, str] = {}
        self._open: dict[Pair, None] = {}

    def __iter__(self) -> Iterator[EntityPair]:
        return (pair.copy() for pair in self._pairs.values())

    def get(self, guid: str) -> EntityPair | None:
        pair = self._pairs.get(guid)
        return pair.copy() if pair else None

    def save(self, initial: Entity, modified: Entity) -> None:
        """Raises CannotApply when another entity holds the same externalId."""
        guid = initial["guid"]
        self._claim_external_id(guid, modified.get("externalId"))
        pair = EntityPair(initial, modified).copy()
        self._pairs[guid] = pair
        self._searchable[guid] = _searchable(pair)

    def delete(self, guid: str) -> None:
        self._release_external_id(guid)
        self._pairs.pop(guid, None)
        self._searchable.pop(guid, None)
        self._open = {pair: None for pair in self._open if guid not in pair}

    def search(self, fields: Mapping[str, Any]) -> list[str]:
        """The guids of the entities that match every field."""
        tests = [(key, value.lower() if isinstance(value, str) else value) for key, value in fields.items()]
        return [guid for guid, values in self._searchable.items() if _matches(values, tests)]

    @property
    def open_pairs(self) -> list[Pair]:
        return list(self._open)

    def flag(self, entity_guid: str, duplicate_guid: str) -> None:
        self._open[entity_guid, duplicate_guid] = None

    def settle(self, entity_guid: str, duplicate_guid: str) -> None:
        """The pair in this direction goes; the other way round it is another pair."""
        self._open.pop((entity_guid, duplicate_guid), None)

    def _claim_external_id(self, guid: str, external_id: Any) -> None:
        is_indexed = isinstance(external_id, str | int | float) and not isinstance(external_id, bool)
        if is_indexed and self._external_ids.get(external_id, guid) != guid:
            raise CannotApply(f"externalId {external_id!r} belongs to another entity")
        self._release_external_id(guid)
        if is_indexed:
            self._external_ids[external_id] = guid

    def _release_external_id(self, guid: str) -> None:
        known = self._pairs.get(guid)
        external_id = known.modified.get("externalId") if known else None
        if not isinstance(external_id, dict | list) and self._external_ids.get(external_id) == guid:
            del self._external_ids[external_id]


def _searchable(pair: EntityPair) -> dict[str, Any]:
    """Under each key what a search looks at: the first truthy one of the four places, else the last place's value."""
    values: dict[str, Any] = {}
    places = (pair.modified["data"], pair.initial["data"], pair.modified, pair.initial)
    for place in places:
        values.update((key, value) for key, value in place.items() if place is places[0] or truthy(value))
    return {key: value.lower() if isinstance(value, str) else value for key, value in values.items()}


def _matches(values: Mapping[str, Any], tests: Iterable[tuple[str, Any]]) -> bool:
    for key, wanted in tests:
        found = values.get(key)
        if isinstance(wanted, bool) or isinstance(found, bool):
            return False
        if isinstance(wanted, str):
            if not isinstance(found, str) or wanted not in found:
                return False
        elif found != wanted:
            return False
    return True


class EventStore:
    """Every event the device ever saw, by the row number its database gave it.

    The number is part of the stored event, as its `id`, and so of what is pushed. A pulled event that brings an `id`
    takes that row from whatever event had it.
    """

    def __init__(self) -> None:
        self._rows: dict[int, Event] = {}
        self._numbers: dict[str, int] = {}
        self._next_number = 1
        self.last_push = ""
        self.next_since = ""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, guid: str) -> bool:
        return guid in self._numbers

    def __iter__(self) -> Iterator[Event]:
        return (clone(event) for event in self._rows.values())

    def save(self, event: Event) -> None:
        if event["guid"] in self:
            raise CannotApply(f"event {event['guid']} is stored already")
        number = event.get("id") or self._next_number
        self._next_number = max(self._next_number, number + 1)
        if number in self._rows:
            del self._numbers[self._rows[number]["guid"]]
        self._rows[number] = {**clone(event), "id": number}
        self._numbers[event["guid"]] = number

    def later_than(self, timestamp: str) -> list[Event]:
        """Events whose timestamp, as text, is greater; oldest first."""
        found = [event for event in self._rows.values() if event["timestamp"] > timestamp]
        return [clone(event) for event in sorted(found, key=lambda event: str(event["timestamp"]))]

    def mark_as_remote(self, events: Iterable[Event]) -> None:
        for event in events:
            if event["guid"] in self:
                self._rows[self._numbers[event["guid"]]]["syncLevel"] = REMOTE


def validate(event: Event) -> None:
    """Raises InvalidEvent for an event that no device takes in, and whose arrival in a pull stops sync for ever."""
    for key in ("guid", "entityGuid", "type", "timestamp", "userId"):
        if not truthy(event.get(key)):
            raise InvalidEvent(f"event without {key}")
    if not isinstance(event.get("data"), dict) or not event["data"]:
        raise InvalidEvent("event without data")


class EventApplier:
    """Keeps events and turns them into records."""

    def __init__(self, events: EventStore, entities: EntityStore, clock: DeviceClock) -> None:
        self._events = events
        self._entities = entities
        self._clock = clock
        self.custom: dict[str, CustomApplier] = {}

    def submit(self, event: Event) -> Entity | None:
        """Store the event, then apply it. An event that cannot be applied stays stored.

        Answers the entity it changed, None for deletions and settled duplicates. Raises InvalidEvent, CannotApply.
        """
        event = clone(event)
        validate(event)
        pair = self._entities.get(event["entityGuid"])
        self._events.save(event)
        if pair and event.get("syncLevel", LOCAL) != LOCAL and pair.has_local_changes:
            if milliseconds(pair.modified["lastUpdated"]) >= milliseconds(event["timestamp"]):
                return pair.modified
            existing: Entity | None = clone(pair.initial)
        else:
            existing = pair.modified if pair else None
        changed = self._apply(event, existing, is_known=pair is not None)
        if changed is not None:
            self._flag_duplicates(changed["guid"])
        return changed

    def _apply(self, event: Event, existing: Entity | None, *, is_known: bool) -> Entity | None:
        match event["type"]:
            case "create-group" | "update-group":
                return self._write_group(existing, event["entityGuid"], event["data"])
            case "create-individual" | "update-individual":
                return self._write_individual(existing, event["entityGuid"], event["data"])
            case "add-member":
                return self._add_member(event)
            case "remove-member":
                return self._remove_member(event)
            case "delete-entity":
                self._delete(event["entityGuid"], is_known)
            case "resolve-duplicate":
                self._resolve_duplicate(event, is_known)
            case _:
                return self._apply_custom(event, existing)
        return None

    def _write_individual(self, existing: Entity | None, guid: str, data: dict[str, Any]) -> Entity:
        if not data:
            raise InvalidEvent("member without data")
        individual: Entity = clone(existing) or {
            "id": guid,
            "guid": guid,
            "type": "individual",
            "name": _either(data.get("name"), "Unnamed Individual"),
            "version": 0,
            "data": {"name": "Unnamed Individual"},
        }
        individual["data"] = {**individual["data"], **data}
        individual["name"] = _either(individual["data"].get("name"), individual["name"])
        self._touch(individual, data)
        self._entities.save(existing or individual, individual)
        return individual

    def _write_group(self, existing: Entity | None, guid: str, data: dict[str, Any]) -> Entity:
        group: Entity = existing or {
            "id": guid,
            "guid": guid,
            "type": "group",
            "name": _either(data.get("name"), "Unnamed Group"),
            "version": 0,
            "data": data,
            "memberIds": [],
        }
        group["name"] = _either(data.get("name"), group["name"])
        group["data"]["name"] = _either(group["name"], "Unnamed Group")
        members = data.get("members")
        if truthy(members):
            written = self._write_members(members)
            if "memberIds" not in group:
                raise CannotApply(f"{guid} is no group")
            group["memberIds"] = list(dict.fromkeys([*group["memberIds"], *written]))
        group["data"] = {**group["data"], **data}
        group["data"].pop("members", None)
        self._touch(group, data)
        self._entities.save(group, group)
        return group

    def _write_members(self, members: Any) -> list[str]:
        """Write every entry anew. One bad entry fails the event, but only after the others were written."""
        if not isinstance(members, list):
            raise CannotApply("members is no list")
        written: list[str] = []
        failure: DeviceError | None = None
        for member in members:
            try:
                written.append(self._write_member(member))
            except DeviceError as error:
                failure = failure or error
        if failure:
            raise failure
        return written

    def _write_member(self, member: Any) -> str:
        if not isinstance(member, dict) or not truthy(member.get("guid")):
            raise CannotApply("member without guid")
        guid = str(member.pop("guid"))
        if member.get("type") == "group":
            self._write_group(None, guid, member)
        else:
            self._write_individual(None, guid, member)
        return guid

    def _add_member(self, event: Event) -> Entity:
        pair = self._group(event["entityGuid"])
        members = event["data"].get("members")
        if not isinstance(members, list) or not members:
            raise CannotApply("add-member without a member")
        guid = self._write_member(members[0])
        group = pair.modified
        if guid not in group["memberIds"]:
            group["memberIds"].append(guid)
            group["version"] += 1
            group["lastUpdated"] = self._clock.now()
        self._entities.save(pair.initial, group)
        return group

    def _remove_member(self, event: Event) -> Entity:
        member_guid = event["data"].get("memberId")
        if not truthy(member_guid):
            raise CannotApply("remove-member without memberId")
        pair = self._group(event["entityGuid"])
        group = {
            **pair.modified,
            "memberIds": [guid for guid in pair.modified["memberIds"] if guid != member_guid],
            "version": pair.modified["version"] + 1,
            "lastUpdated": self._clock.now(),
        }
        self._entities.save(pair.initial, group)
        member = self._entities.get(member_guid)
        if member and member.modified["type"] == "group":
            self._cascade(member_guid, ())
        return group

    def _group(self, guid: str) -> EntityPair:
        pair = self._entities.get(guid)
        if not pair or pair.modified["type"] != "group":
            raise CannotApply(f"{guid} is no group of this device")
        return pair

    def _resolve_duplicate(self, event: Event, is_known: bool) -> None:
        # The library swallows what goes wrong here: a bad entry hides the ones behind it and fails nothing.
        with suppress(TypeError, KeyError):
            for pair in event["data"]["duplicates"]:
                self._entities.settle(pair["entityGuid"], pair["duplicateGuid"])
        if truthy(event["data"].get("shouldDelete")):
            self._delete(event["entityGuid"], is_known)

    def _delete(self, guid: str, is_known: bool) -> None:
        if is_known:
            self._cascade(guid, ())

    def _cascade(self, guid: str, above: tuple[str, ...]) -> None:
        if guid in above:
            raise CannotApply(f"{guid} is a member of itself: the library never comes back from deleting it")
        pair = self._entities.get(guid)
        if pair and pair.modified["type"] == "group":
            for member_guid in pair.modified["memberIds"]:
                self._cascade(member_guid, (*above, guid))
        self._entities.delete(guid)

    def _apply_custom(self, event: Event, existing: Entity | None) -> Entity | None:
        applier = self.custom.get(event["type"])
        if not applier:
            raise CannotApply(f"no applier for {event['type']}")
        new: Entity = {
            "id": event["entityGuid"],
            "guid": event["entityGuid"],
            "type": "individual",
            "version": 1,
            "data": {"name": "Unnamed Entity"},
            "lastUpdated": event["timestamp"],
        }
        return applier(existing or new, event, self._entities)

    def _touch(self, entity: Entity, data: Mapping[str, Any]) -> None:
        if truthy(data.get("externalId")):
            entity["externalId"] = data["externalId"]
        entity["version"] += 1
        entity["lastUpdated"] = self._clock.now()

    def _flag_duplicates(self, guid: str) -> None:
        pair = self._entities.get(guid)
        if not pair:
            raise CannotApply(f"{guid} is gone")
        fields = dict(_primitive_fields(pair.modified["data"]))
        if not fields:
            return
        for other in self._entities.search(fields):
            if other != guid:
                self._entities.flag(guid, other)


def _either(first: Any, second: Any) -> Any:
    return first if truthy(first) else second


def _primitive_fields(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted path and value of each field that is neither empty nor a list."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _primitive_fields(value, f"{prefix}{key}.")
        elif value is not None and value != "" and not isinstance(value, list):
            yield prefix + key, value


class OldClient:
    """One device of one tenant.

    `skew` is how far its clock is off, `now` the time it is off from, `retry_delay` the seconds before a chunk is
    tried again (then twice as long; the library takes 1), `transport` what stands in for the network.

    Attributes for tests: `clock`, `events` (an EventStore: `len`, `in`, iteration, `last_push`, `next_since`),
    `custom_appliers` (event type to function), `config_id`, `user_id`, `token`.
    """

    def __init__(
        self,
        base_url: str,
        config_id: str,
        *,
        skew: timedelta = timedelta(0),
        now: Callable[[], datetime] | None = None,
        retry_delay: float = 0.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.config_id = config_id
        self.clock = DeviceClock(skew, now)
        self.events = EventStore()
        self.user_id = "field-user"
        self.token = ""
        self._entities = EntityStore()
        self._applier = EventApplier(self.events, self._entities, self.clock)
        self._retry_delay = retry_delay
        self._is_syncing = False
        self._http = httpx.AsyncClient(base_url=base_url, transport=transport, timeout=60)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def reconnect(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Talk through `transport` from now on; None is the plain network."""
        base_url = self._http.base_url
        await self._http.aclose()
        self._http = httpx.AsyncClient(base_url=base_url, transport=transport, timeout=60)

    async def login(self, email: str, password: str) -> None:
        """Raises SyncFailed when the server refuses."""
        body = await self._request("POST", "/api/users/login", {"email": email, "password": password})
        self.token = body["token"]
        self.user_id = str(body["userId"])

    # What a person does on the device

    @property
    def custom_appliers(self) -> dict[str, CustomApplier]:
        return self._applier.custom

    @property
    def open_pairs(self) -> list[Pair]:
        """(entityGuid, duplicateGuid) of each pair that keeps the device from syncing."""
        return self._entities.open_pairs

    def entities(self) -> dict[str, Entity]:
        """The current copy of every record, by guid."""
        return {pair.modified["guid"]: pair.modified for pair in self._entities}

    def pair(self, guid: str) -> EntityPair | None:
        """Both copies of one record."""
        return self._entities.get(guid)

    def create_individual(self, data: Mapping[str, Any], guid: str | None = None) -> str:
        """Answers the guid of the new individual."""
        return self._record("create-individual", guid or str(uuid4()), data)

    def update_individual(self, guid: str, data: Mapping[str, Any]) -> None:
        """Change only the fields in `data`."""
        self._record("update-individual", guid, data)

    def whole_form_update(self, guid: str, **changes: Any) -> None:
        """Save the form as the stock app does: all fields as the device has them, with `changes`."""
        pair = self._entities.get(guid)
        if not pair:
            raise DeviceError(f"{guid} is not on this device")
        self._record(f"update-{pair.modified['type']}", guid, {**pair.modified["data"], **changes})

    def create_group(
        self, data: Mapping[str, Any], members: Sequence[Mapping[str, Any]] = (), guid: str | None = None
    ) -> str:
        """Answers the guid of the new group. Members, at any depth, that have no guid are given one."""
        return self._record("create-group", guid or str(uuid4()), _with_members(data, members))

    def update_group(self, guid: str, data: Mapping[str, Any], members: Sequence[Mapping[str, Any]] = ()) -> None:
        """Change fields of the group, add `members`."""
        self._record("update-group", guid, _with_members(data, members))

    def add_member(self, group_guid: str, member: Mapping[str, Any]) -> str:
        """Answers the member's guid, a new one unless `member` has one."""
        members = _with_members({}, [member])["members"]
        self._record("add-member", group_guid, {"members": members})
        return str(members[0]["guid"])

    def remove_member(self, group_guid: str, member_guid: str) -> None:
        self._record("remove-member", group_guid, {"memberId": member_guid})

    def delete(self, guid: str) -> None:
        self._record("delete-entity", guid, {"guid": guid})

    def resolve_duplicate(self, entity_guid: str, duplicate_guid: str, *, should_delete: bool) -> None:
        """Settle the pair in this direction; with `should_delete` the entity `entity_guid` goes."""
        pair = {"entityGuid": entity_guid, "duplicateGuid": duplicate_guid}
        self._record("resolve-duplicate", entity_guid, {"duplicates": [pair], "shouldDelete": should_delete})

    def load_group(self, guid: str) -> Entity:
        """Open the group on screen. When members are missing the library itself submits an update of the group."""
        pair = self._entities.get(guid)
        if not pair:
            raise DeviceError(f"{guid} is not on this device")
        group = pair.modified
        loaded = [member for member in group.get("memberIds", []) if self._entities.get(member)]
        if len(loaded) < len(group.get("memberIds", [])):
            self._record("update-group", guid, {**group, "memberIds": loaded}, user_id="system")
        return group

    def submit(self, event: Event) -> Entity | None:
        """Store and apply an event as it is. Raises InvalidEvent, CannotApply."""
        return self._applier.submit(event)

    def _record(self, kind: str, entity_guid: str, data: Mapping[str, Any], user_id: str | None = None) -> str:
        self.submit(
            {
                "guid": str(uuid4()),
                "entityGuid": entity_guid,
                "type": kind,
                "data": dict(data),
                "timestamp": self.clock.now(),
                "userId": user_id or self.user_id,
                "syncLevel": LOCAL,
            }
        )
        return entity_guid

    # What happens when the device is online

    async def sync(self) -> None:
        """Push, then pull. Does nothing while another sync of this device runs.

        Raises OpenDuplicates before any request, SyncFailed, and InvalidEvent or CannotApply for a pulled event.
        """
        await self._run(self._upload, self._download)

    async def push_only(self) -> None:
        """A sync that ends after the upload."""
        await self._run(self._upload)

    async def pull_only(self) -> None:
        """A sync that leaves the upload out."""
        await self._run(self._download)

    async def _run(self, *steps: Callable[[], Awaitable[None]]) -> None:
        if self._is_syncing:
            return
        self._is_syncing = True
        try:
            if self.open_pairs:
                raise OpenDuplicates(f"{len(self.open_pairs)} open pairs")
            for step in steps:
                await step()
        finally:
            self._is_syncing = False

    async def _upload(self) -> None:
        events = self.events.later_than(self.events.last_push)
        if not events:
            return
        sent: list[Event] = []
        try:
            for start in range(0, len(events), CHUNK_SIZE):
                chunk = events[start : start + CHUNK_SIZE]
                await self._push_chunk(chunk)
                sent += chunk
        except SyncFailed:
            if sent:
                self.events.last_push = sent[-1]["timestamp"]
            raise
        else:
            self.events.last_push = self.clock.now()
        finally:
            self.events.mark_as_remote(sent)

    async def _push_chunk(self, chunk: list[Event]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._request("POST", "/api/sync/push", {"events": chunk, "configId": self.config_id})
                return
            except SyncFailed:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(self._retry_delay * attempt)

    async def _download(self) -> None:
        cursor: str | None = self.events.next_since
        while cursor is not None:
            page = await self._request("GET", f"/api/sync/pull?since={cursor}&configId={self.config_id}")
            events: list[Event] = sorted(page["events"], key=lambda event: milliseconds(event.get("timestamp")))
            for event in events:
                self._take_in(event)
            if events:
                self.events.next_since = events[-1]["timestamp"]
            cursor = page["nextCursor"]

    def _take_in(self, event: Event) -> None:
        if str(event.get("guid")) not in self.events:
            self.submit({**event, "syncLevel": REMOTE})

    async def _request(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        # Escaped text, so that a lone surrogate leaves the device just as JSON.stringify would send it.
        content = json.dumps(body).encode() if body is not None else None
        try:
            response = await self._http.request(method, url, headers=headers, content=content)
        except httpx.HTTPError as error:
            raise SyncFailed(f"{method} {url}: {error!r}") from error
        if not response.is_success:
            raise SyncFailed(f"{method} {url}: {response.status_code} {response.text}")
        return response.json() if method == "GET" or url.endswith("/login") else None


def _with_members(data: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**data, "members": [_with_guid(member) for member in members]} if members else dict(data)


def _with_guid(member: Mapping[str, Any]) -> dict[str, Any]:
    members = member.get("members", ()) if member.get("type") == "group" else ()
    return _with_members({"guid": str(uuid4()), **member}, members)
