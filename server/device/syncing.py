"""One sync: push, a snapshot where there is none yet, pull. Each step goes on from where the last attempt came."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from server.device import queries
from server.device.errors import DeviceError, EpochChanged, NotAllowed, Rejected, SyncFailed, Unavailable
from server.device.exchange import NDJSON, Exchange, Patience, document
from server.device.model import Data, Event, OnProgress, Progress, Stage, SyncReport
from server.device.replica import Replica
from server.device.store import Store, event_from
from server.device.strict import write

MOST_EVENTS = 10_000
MOST_BYTES = 4_000_000
"""A push is kept below as many bytes, unpacked: servers take 16 MB unless told otherwise."""

EPOCHS_AT_ONCE = 3
"""How many changes of the epoch one sync goes along with."""

TOO_LARGE = "body.too-large"
BLAMES_AN_EVENT = frozenset({TOO_LARGE, "json.invalid", "body.invalid", "request.not-text", "request.out-of-range"})
"""Codes with which a server refuses a whole push for something in one of its events."""


class Sync:
    """One run. `report` fills while it is under way, so that it tells what was done also when the run fails."""

    def __init__(
        self,
        store: Store,
        exchange: Exchange,
        *,
        keep_history: bool,
        whole_history: bool,
        batch_size: int,
        progress: OnProgress | None,
    ) -> None:
        self.report = SyncReport()
        self._store = store
        self._exchange = exchange
        self._replica = Replica(store, keep_history=keep_history)
        self._include = "events,entities" if keep_history else "entities"
        self._whole_history = whole_history
        self._batch_size = batch_size
        self._progress = progress
        self._told: dict[Stage, int] = {}
        self._may_have_more = True

    def run(self) -> SyncReport:
        """Raises SyncFailed; its `report` then is this one."""
        if self._store.is_in_transaction:
            raise DeviceError("a sync cannot be part of what is recorded together")
        try:
            self._run()
        except SyncFailed as failure:
            failure.report = self.report
            raise
        return self.report

    def _run(self) -> None:
        for changes in range(EPOCHS_AT_ONCE + 1):
            try:
                self._push()
                self._begin()
                self._pull()
            except EpochChanged as change:
                if changes == EPOCHS_AT_ONCE:
                    raise
                self._replica.begin_epoch(change.epoch)
                self.report.epoch_changed = True
                self._may_have_more = True
            else:
                return

    def _tell(self, stage: Stage, done: int, total: int | None) -> None:
        """What had to be begun anew is not counted a second time: `done` waits until that is caught up with."""
        if self._progress:
            done = self._told[stage] = max(done, self._told.get(stage, 0))
            self._progress(Progress(stage, done, total if total is None else max(total, done)))

    # Push

    def _push(self) -> None:
        with self._store.transaction() as db:
            total = queries.count_to_offer(db)
        done = 0
        while batch := self._next_batch():
            for answered in self._push_events(batch):
                done += answered
                total = max(total, done)
                self._tell("push", done, total)
        self._ask_for_lost_receipts()

    def _next_batch(self) -> list[Event]:
        """The next events to offer, within the limits of a push; a single one may be over these."""
        with self._store.transaction() as db:
            rows = queries.list_to_offer(db, limit=self._batch_size)
        size, count = 0, 0
        for row in rows:
            size += len(row["data"].encode()) + 500
            if size > MOST_BYTES:
                break
            count += 1
        return [event_from(row) for row in rows[: max(count, 1)]]

    def _push_events(self, events: Sequence[Event]) -> Iterator[int]:
        """Pushes them, in halves where the server does not take them at once. Yields how many were answered for."""
        body = write({"events": [event.wire() for event in events]}).encode()
        epoch = self._store.get("epoch")
        try:
            answer = self._exchange.post("/api/v2/sync/push", body, {"epoch": epoch} if epoch else None)
        except Rejected as refusal:
            if refusal.code not in BLAMES_AN_EVENT:
                raise
            yield from self._push_halves(events, refusal)
            return
        answered = self._replica.take_answer(events, answer, self.report)
        if not answered:
            raise Unavailable("the server answered for none of the events")
        yield answered

    def _push_halves(self, events: Sequence[Event], refusal: Rejected) -> Iterator[int]:
        if len(events) == 1:
            self._replica.set_aside(events[0], refusal, self.report)
            yield 1
            return
        half = (len(events) + 1) // 2
        if refusal.code == TOO_LARGE:
            self._batch_size = half
        yield from self._push_events(events[:half])
        yield from self._push_events(events[half:])

    def _ask_for_lost_receipts(self) -> None:
        while (seq := self._replica.find_number_without_receipt()) is not None:
            try:
                answer = self._exchange.get(f"/api/v2/sync/receipts/{seq}")
            except NotAllowed:
                answer = None
            self._replica.take_lost_receipt(seq, answer, self.report)

    # Snapshot

    def _begin(self) -> None:
        """Gets all the server has where the store has no place in the log yet."""
        if self._store.get("cursor") is not None:
            return
        self.report.snapshot = not self._whole_history
        read = self._read_whole_log if self._whole_history else self._read_snapshot
        patience = Patience(self._exchange.retrying)
        while True:
            try:
                read(patience)
                return
            except Unavailable as failure:
                patience.wait(failure)
            except (EpochChanged, NotAllowed):
                raise
            except Rejected:
                if self._store.get("resume") is None:
                    raise
                self._replica.drop_building()  # the server does not know any more where that was

    def _read_snapshot(self, patience: Patience) -> None:
        resume = self._store.get("resume")
        if resume is None:
            self._replica.drop_building()
        entities: list[Data] = []
        done = total = 0
        with self._exchange.stream(
            "/api/v2/sync/snapshot", {"resume": resume} if resume else {}, headers=NDJSON
        ) as lines:
            for line in map(document, lines):
                if "entity" in line:
                    entities.append(line["entity"])
                elif "snapshot" in line:
                    done = self._begin_snapshot(line["snapshot"])
                    total = max(line["snapshot"]["total"], done)
                    self._tell("snapshot", done, total)
                elif "resume" in line:
                    self._replica.add_snapshot(entities, line["resume"])
                    done, entities = self._got(done, entities), []
                    patience.progressed()
                    self._tell("snapshot", done, max(total, done))
                elif line.get("done"):
                    self._replica.finish_snapshot(entities)
                    done = self._got(done, entities)
                    self._tell("snapshot", done, done)
                    return
        raise Unavailable("the snapshot broke off")

    def _begin_snapshot(self, header: Data) -> int:
        """A snapshot of another log than the one that was pushed to is no good: what was pushed may not be in that."""
        epoch = self._store.get("epoch")
        if epoch is not None and header["epoch"] != epoch:
            raise EpochChanged(header["epoch"])
        return self._replica.begin_snapshot(header)

    def _got(self, done: int, entities: Sequence[Data]) -> int:
        self.report.entities += len(entities)
        return done + len(entities)

    # Pull

    def _pull(self) -> None:
        patience = Patience(self._exchange.retrying)
        done = 0
        while self._may_have_more:
            try:
                for part in self._read_log(self._store.get("cursor")):
                    self.report.conflicts += self._replica.take_pulled(part.events, part.entities, part.cursor)
                    done = self._count_pulled(done, part)
                    patience.progressed()
            except Unavailable as failure:
                patience.wait(failure)
        self._replica.finish_pull()
        self._tell("pull", done, done)

    def _read_whole_log(self, patience: Patience) -> None:
        """The log from its beginning: its entities make the next generation, as those of a snapshot do."""
        done = 0
        while self._may_have_more:
            for part in self._read_log(self._store.get("resume")):
                self._replica.add_log(part.events, part.entities, part.cursor)
                done = self._count_pulled(done, part)
                patience.progressed()
        self._replica.finish_log(self._store.get("epoch") or self._ask_for_epoch())

    def _ask_for_epoch(self) -> str:
        """Of the log that was read: its lines do not tell. Raises EpochChanged where it is another one by now."""
        params = {"cursor": self._store.get("resume"), "limit": "1"}
        return str(self._exchange.get("/api/v2/sync/pull", params)["epoch"])

    def _read_log(self, cursor: str | None) -> Iterator["_Part"]:
        """The log behind the cursor, part by part; notes at the end whether there may be more."""
        part = _Part()
        params = {"include": self._include} | ({"cursor": cursor} if cursor else {})
        with self._exchange.stream("/api/v2/sync/pull", params, headers=NDJSON) as lines:
            for line in map(document, lines):
                if "event" in line:
                    part.events.append(line["event"])
                elif "entity" in line:
                    part.entities.append(line["entity"])
                elif "cursor" in line:
                    yield replace(part, cursor=line["cursor"])
                    part = _Part()
                    if "more" in line:
                        self._may_have_more = bool(line["more"])
                        return
        raise Unavailable("the pull broke off")

    def _count_pulled(self, done: int, part: "_Part") -> int:
        self.report.events += len(part.events)
        self.report.entities += len(part.entities)
        done += len(part.events) + len(part.entities)
        self._tell("pull", done, None)
        return done


@dataclass(frozen=True, slots=True)
class _Part:
    """What stands in the log before `cursor` and behind the part before."""

    events: list[Data] = field(default_factory=list)
    entities: list[Data] = field(default_factory=list)
    cursor: str = ""
