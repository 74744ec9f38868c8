"""A device: what it holds, what is done on it, and how it syncs."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from server.device import conflicts, overlay, queries
from server.device.errors import NotHeld
from server.device.exchange import Exchange, Retrying
from server.device.listening import HEARTBEAT_SECONDS, Listening
from server.device.model import GROUP, LIVE, Conflict, Entity, Event, Head, OnProgress, Receipt, SyncReport
from server.device.recording import Clock, MakeGuid, Recorder
from server.device.shapes import ADD_MEMBER, CREATE_GROUP, CREATE_INDIVIDUAL, DELETE_ENTITY, REMOVE_MEMBER
from server.device.store import Store, entity_from, event_from, receipt_from
from server.device.syncing import MOST_EVENTS, Sync
from server.device.tokens import StoredTokens

_PAGE = 1000
_NO_LIMIT = -1

Fields = Mapping[str, Any]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_guid() -> str:
    return str(uuid4())


class Device:
    """One device of one tenant. Everything but signing in, `sync` and `live` works without a network.

    `store` is the path of its file, made where there is none, for the owner's eyes alone; raises StoreInUse while it
    is open elsewhere, StoreUnusable when it is not a store of this tenant. `keep_history` keeps the events of other
    devices, too, so that they can be offered again when a server has lost them; else only the device's own are kept.
    `whole_history` gets the whole log the first time instead of a snapshot: slower, but then none is missing.
    `batch_size` is how many events go into one push, `timeout` the seconds to wait for any part of an answer.
    `clock`, `make_guid` and `transport` are for tests. A device may be used from several threads at once.
    """

    def __init__(
        self,
        store: str | PathLike[str],
        *,
        server: str,
        tenant: str,
        keep_history: bool = True,
        whole_history: bool = False,
        batch_size: int = 1000,
        retrying: Retrying | None = None,
        timeout: float = 60.0,
        clock: Clock = _now,
        make_guid: MakeGuid = _new_guid,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not 0 < batch_size <= MOST_EVENTS:
            raise ValueError(f"batch_size must be from 1 to {MOST_EVENTS}")
        if httpx.URL(server).scheme not in ("http", "https"):
            raise ValueError(f"{server} is no address of a server: http://… or https://… is")
        self._store = Store(Path(store), tenant, make_guid())
        self._tokens = StoredTokens(self._store)
        self._recorder = Recorder(self._store, clock, make_guid)
        self._keep_history = keep_history or whole_history
        self._whole_history = whole_history
        self._batch_size = batch_size
        self._syncing = threading.Lock()
        self._is_open = True
        self.id = str(self._store.get("device_id"))
        try:
            self._exchange = Exchange(
                server,
                tenant,
                self.id,
                tokens=self._tokens,
                retrying=retrying or Retrying(),
                timeout=timeout,
                transport=transport,
            )
        except BaseException:
            self._store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store, so that others may open it."""
        self._is_open = False
        self._exchange.close()
        self._store.close()

    # Who uses it

    def sign_in(self, email: str, password: str, *, code: str | None = None, name: str = "") -> None:
        """Gets tokens, which renew themselves, and keeps them in the store, never the password.

        `code` is one of the account's second factor, `name` what the device is called in the list of its owner's
        sessions. Raises NotSignedIn, Unavailable.
        """
        answer = self._exchange.sign_in(email, password, code=code, device_name=name)
        self._tokens.sign_in(str(answer["userId"]), str(answer["accessToken"]), str(answer["refreshToken"]))

    def use_token(self, token: str, *, user_id: str) -> None:
        """Goes on with a token that was got elsewhere; events are recorded in the name of `user_id`."""
        self._tokens.sign_in(user_id, token, None)

    def sign_out(self) -> None:
        """Forgets the tokens. Events that wait in the outbox keep the name of whoever recorded them."""
        self._tokens.sign_out()

    # What is done on it

    def create(
        self, form: str, name: str, fields: Fields | None = None, *, guid: str | None = None, **more: Any
    ) -> str:
        """A new person: `form` is the name of a form of the tenant's config. Answers the guid."""
        return self._create(CREATE_INDIVIDUAL, form, name, {**(fields or {}), **more}, guid)

    def create_group(
        self, form: str, name: str, fields: Fields | None = None, *, guid: str | None = None, **more: Any
    ) -> str:
        """A new group, without members. Answers the guid."""
        return self._create(CREATE_GROUP, form, name, {**(fields or {}), **more}, guid)

    def _create(self, type_: str, form: str, name: str, fields: Fields, guid: str | None) -> str:
        guid = guid or self._recorder.make_guid()
        self.record(type_, guid, {"entityName": form, "name": name, **fields})
        return guid

    def change(self, guid: str, fields: Fields | None = None, **more: Any) -> Event:
        """Sets these fields, and no others. Raises NotHeld."""
        return self.record(f"update-{self._held(guid).type}", guid, {**(fields or {}), **more})

    def add_member(self, group: str, member: str) -> Event:
        """Puts a person or a group into a group. Raises NotHeld."""
        entry = {"guid": member, "type": GROUP} if self._held(member).type == GROUP else {"guid": member}
        return self.record(ADD_MEMBER, self._held_group(group), {"members": [entry]})

    def remove_member(self, group: str, member: str) -> Event:
        """Takes a member out of a group; one that is a group itself is deleted with all below it. Raises NotHeld."""
        return self.record(REMOVE_MEMBER, self._held_group(group), {"memberId": member})

    def delete(self, guid: str) -> Event:
        """Deletes a person, or a group with its members. Raises NotHeld."""
        self._held(guid)
        return self.record(DELETE_ENTITY, guid, {"guid": guid})

    def record(self, type_: str, entity_guid: str, data: Fields) -> Event:
        """Keeps an event of any type in the outbox and shows its effect.

        Raises InvalidEvent for one that the server would not take, and NotSignedIn while nobody ever signed in here.
        """
        return self._recorder.record(type_, entity_guid, data)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is recorded in the block is kept as a whole or, when it raises, not at all. Faster for many events."""
        with self._store.transaction():
            yield

    def _held(self, guid: str) -> Entity:
        entity = self.get(guid)
        if entity is None:
            raise NotHeld(f"the device holds no living entity {guid}")
        return entity

    def _held_group(self, guid: str) -> str:
        if self._held(guid).type != GROUP:
            raise NotHeld(f"{guid} is no group")
        return guid

    # What it holds

    def get(self, guid: str) -> Entity | None:
        """The entity as this device sees it; None for one that it does not know or that is deleted."""
        entity = overlay.find(self._store, guid)
        return entity if entity and entity.state == LIVE else None

    def find(
        self,
        *,
        form: str | None = None,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - the name of the field
        external_id: str | None = None,
        limit: int | None = None,
    ) -> list[Entity]:
        """Those that match all that is given, by name from A to Z; `name` is a part of the name in any case."""
        wanted = _wanted(form, name, type, external_id, limit)
        with self._store.transaction() as db:
            overlay.bring_up_to_date(self._store)
            return [entity_from(row) for row in queries.list_matching(db, wanted)]

    def entities(self, *, form: str | None = None) -> Iterator[Entity]:
        """All, or all of a form, in the order of their guids; read in parts, so there may be many of them."""
        after = ""
        while True:
            with self._store.transaction() as db:
                overlay.bring_up_to_date(self._store)
                rows = queries.list_page(db, _wanted(form, limit=_PAGE) | {"after": after})
            yield from map(entity_from, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["guid"]

    def count(self, *, form: str | None = None) -> int:
        """How many entities there are, or how many of a form."""
        with self._store.transaction() as db:
            overlay.bring_up_to_date(self._store)
            return queries.count_matching(db, _wanted(form))

    def history(self, guid: str) -> list[Event]:
        """The events held that speak of an entity, as they were made. What a snapshot summed up is not among them.

        Of a person who was erased on the server they hold nothing any more but that they were made.
        """
        return self._events(lambda db: queries.list_events_of(db, guid))

    def outbox(self) -> list[Event]:
        """This device's events that the server has not answered for."""
        return self._events(queries.list_outbox)

    def refused(self) -> list[Event]:
        """Events that the server could not take: `code`, `path` and `detail` say why."""
        return self._events(queries.list_refused)

    def offer_again(self, guid: str) -> None:
        """Puts a refused event back into the outbox, for a server that may take it by now. Raises NotHeld."""
        self._change_refused(guid, queries.offer_again)

    def discard(self, guid: str) -> None:
        """Deletes a refused event from this device. Raises NotHeld."""
        self._change_refused(guid, queries.forget_event)

    def _change_refused(self, guid: str, change: Callable[[queries.Database, str], None]) -> None:
        with self._store.transaction() as db:
            if all(event.guid != guid for event in self.refused()):
                raise NotHeld(f"the device holds no refused event {guid}")
            change(db, guid)
            overlay.make_stale(self._store)

    def conflicts(self) -> list[Conflict]:
        """Fields that another device and this one wrote without having seen each other, until one of them decides."""
        return conflicts.list_open(self._store)

    def receipts(self) -> list[Receipt]:
        """What the server signed for, the oldest first."""
        with self._store.transaction() as db:
            return [receipt_from(row) for row in queries.list_receipts(db)]

    def _events(self, list_rows: Callable[[queries.Database], Sequence[queries.Row]]) -> list[Event]:
        with self._store.transaction() as db:
            return [event_from(row) for row in list_rows(db)]

    # How it syncs

    def sync(self, progress: OnProgress | None = None) -> SyncReport:
        """Pushes what waits, takes a snapshot the first time, pulls what is new.

        Raises SyncFailed of some kind: NotSignedIn, Unavailable, NotAllowed, Rejected. What was done until then is
        kept, and the next sync goes on from there. Waits while another thread syncs this device.
        """
        with self._syncing:
            sync = Sync(
                self._store,
                self._exchange,
                keep_history=self._keep_history,
                whole_history=self._whole_history,
                batch_size=self._batch_size,
                progress=progress,
            )
            return sync.run()

    def live(
        self, *, until: Callable[[], bool] = lambda: False, heartbeat: float = HEARTBEAT_SECONDS
    ) -> Iterator[Head]:
        """Yields as soon as the server has more, and at first where this device is behind: `sync`, then go on.

        Goes on through lost connections until `until` answers True; it is asked with the server's every sign of life.
        `heartbeat` is after how many silent seconds the server counts as gone. Raises NotSignedIn, NotAllowed.
        """
        listening = Listening(
            self._exchange,
            cursor=lambda: self._store.get("cursor"),
            is_over=lambda: not self._is_open or until(),
            silence=heartbeat,
        )
        return listening.heads()


def _wanted(
    form: str | None,
    name: str | None = None,
    type_: str | None = None,
    external_id: str | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    return {
        "form": form,
        "name": None if name is None else name.casefold(),
        "type": type_,
        "external_id": external_id,
        "limit": _NO_LIMIT if limit is None else limit,
    }
