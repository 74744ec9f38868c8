"""What the server said, taken into the store: each answer in one transaction, with how far the sync has come by it.

Entities live in generations. The one that is shown stays as it is while a snapshot builds the next one beside it; the
swap is one transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from server.device import conflicts, erasing, overlay, queries, receipts
from server.device.errors import Rejected
from server.device.model import Conflict, Data, Entity, Event, Receipt, SyncReport
from server.device.recording import row_of
from server.device.shapes import mentions
from server.device.store import Store, entity_row, event_from, receipt_from

NEW_IN_LOG = frozenset({"accepted", "waiting", "without-effect"})
NO_EFFECT = frozenset({"without-effect", "quarantined"})


class Replica:
    """The writing side of a sync."""

    def __init__(self, store: Store, *, keep_history: bool) -> None:
        self._store = store
        self._keep_history = keep_history

    # Push

    def take_answer(self, events: Sequence[Event], answer: Data, report: SyncReport) -> int:
        """Notes the fate of each event that the server answered for, and the receipt. Answers how many those were."""
        pushed = {event.guid: event for event in events}
        fates = [fate for fate in answer["events"] if fate["guid"] in pushed]
        with self._store.transaction():
            if self._store.get("epoch") is None:
                self._store.set(epoch=answer["epoch"])
            for fate in fates:
                self._take_fate(pushed[fate["guid"]], fate, report)
            if any(fate["status"] in NO_EFFECT for fate in fates):
                overlay.make_stale(self._store)
            if answer.get("receipt"):
                seqs = [fate["seq"] for fate in fates if fate["status"] in NEW_IN_LOG]
                self._take_own_receipt(receipts.read_receipt(answer["receipt"]), seqs, report)
        return len(fates)

    def _take_fate(self, event: Event, fate: Data, report: SyncReport) -> None:
        status = fate["status"]
        kept = event.status if status == "known" and event.status != "unsent" else status
        values = (kept, fate.get("seq"), fate.get("code") or "", fate.get("path") or "", fate.get("detail") or "")
        with self._store.transaction() as db:
            queries.set_answer(db, event.guid, values, on_top=status not in NO_EFFECT)
            report.pushed += 1
            report.known += status == "known"
            report.waiting += status == "waiting"
            report.without_effect += status == "without-effect"
            if status == "quarantined":
                report.refused.append(self._event(event.guid))

    def _take_own_receipt(self, receipt: Receipt, seqs: list[int], report: SyncReport) -> None:
        self._take_receipt(receipt, report, is_own=seqs == list(range(receipt.first, receipt.last + 1)))

    def _take_receipt(self, receipt: Receipt, report: SyncReport, *, is_own: bool | None = None) -> None:
        """`is_own` tells of a receipt that came with an answer whether it is about what was pushed."""
        with self._store.transaction() as db:
            row = queries.find_receipt_before(db, receipt.epoch, receipt.first)
            held = [event_from(each) for each in queries.list_by_seq(db, receipt.first, receipt.last)]
            verified = receipts.verify(receipt, held, None if row is None else receipt_from(row))
            if is_own is False:
                verified = receipts.contradicted(receipt)
            values = (
                verified.epoch,
                verified.first,
                verified.last,
                verified.hash,
                verified.previous,
                verified.verified,
            )
            queries.insert_receipt(db, values)
            queries.note_receipt_came(db, receipt.first, receipt.last)
        report.receipts.append(verified)

    def set_aside(self, event: Event, why: Rejected, report: SyncReport) -> None:
        """An event that the server does not take at all: it waits no longer, and is kept with the reason."""
        path = str(why.errors[0].get("path", "")) if why.errors else ""
        with self._store.transaction() as db:
            queries.set_answer(db, event.guid, ("set-aside", None, why.code, path, why.detail), on_top=False)
            overlay.make_stale(self._store)
            report.refused.append(self._event(event.guid))

    def find_number_without_receipt(self) -> int | None:
        """The number of an event that the server had already when it was pushed: the answer to it was lost."""
        with self._store.transaction() as db:
            return queries.find_event_without_receipt(db)

    def take_lost_receipt(self, seq: int, answer: Data | None, report: SyncReport) -> None:
        """`answer` is None where the server has none to give."""
        if answer is None:
            with self._store.transaction() as db:
                queries.note_receipt_came(db, seq, seq)
            return
        receipt = receipts.read_receipt(answer)
        with self._store.transaction() as db:
            self._take_receipt(receipt, report)
            queries.note_receipt_came(db, seq, seq)

    def _event(self, guid: str) -> Event:
        with self._store.transaction() as db:
            row = queries.find_event(db, guid)
            assert row is not None
            return event_from(row)

    # Epochs

    def begin_epoch(self, epoch: str) -> None:
        """The server has another log now: everything held is to be offered, and a snapshot to be taken.

        What is shown stays until then. Whatever comes next, also after a kill, follows from what is noted here.
        """
        with self._store.transaction() as db:
            queries.offer_everything(db)
            self._store.set(epoch=epoch, log=self._store.get("log") + 1, cursor=None)
            self.drop_building()
            overlay.make_stale(self._store)

    # Snapshot

    def begin_snapshot(self, header: Data) -> int:
        """Begins the next generation, or goes on with the one begun. Answers how many entities it has already."""
        with self._store.transaction() as db:
            building = self._store.get("building")
            if building is None:
                building = self._store.get("generation") + 1
                self._store.set(
                    building=building, building_cursor=header["cursor"], building_epoch=header["epoch"], resume=None
                )
            return queries.count_generation(db, building)

    def add_snapshot(self, entities: Iterable[Data], resume: str) -> None:
        with self._store.transaction() as db:
            building = self._store.get("building")
            queries.upsert_entities(db, ((building, *entity_row(read_entity(each))) for each in entities))
            self._store.set(resume=resume)

    def finish_snapshot(self, entities: Iterable[Data]) -> None:
        """Shows the new generation. The cursor is the first one that was told: what changed since comes by the pull."""
        with self._store.transaction() as db:
            building = self._store.get("building")
            queries.upsert_entities(db, ((building, *entity_row(read_entity(each))) for each in entities))
            self._show_next_generation(self._store.get("building_cursor"), self._store.get("building_epoch"))

    def _show_next_generation(self, cursor: str, epoch: str) -> None:
        with self._store.transaction() as db:
            building = self._store.get("building")
            self._store.set(generation=building, generation_log=self._store.get("log"), building=None, resume=None)
            self._store.set(cursor=cursor, epoch=epoch)
            queries.drop_generations_but(db, building)
            overlay.make_stale(self._store)

    def add_log(self, events: Sequence[Data], entities: Sequence[Data], cursor: str) -> None:
        """The same with a part of the log, from its beginning on: `cursor` is where to resume."""
        with self._store.transaction():
            if self._store.get("building") is None:
                self._store.set(building=self._store.get("generation") + 1)
            self.add_snapshot(entities, cursor)
            for each in events:
                self._take_event(each)
            self._erase(entities)

    def finish_log(self, epoch: str) -> None:
        """Shows the generation that was made from the log of this epoch."""
        with self._store.transaction():
            self._show_next_generation(self._store.get("resume"), epoch)

    def drop_building(self) -> None:
        """Forgets a snapshot that was begun."""
        with self._store.transaction() as db:
            self._store.set(building=None, resume=None)
            queries.drop_generations_but(db, self._store.get("generation"))

    # Pull

    def take_pulled(self, events: Sequence[Data], entities: Sequence[Data], cursor: str) -> list[Conflict]:
        """Takes in what came before the cursor, and the cursor. Answers the conflicts that it shows."""
        with self._store.transaction() as db:
            generation = self._store.get("generation")
            queries.upsert_entities(db, ((generation, *entity_row(read_entity(each))) for each in entities))
            self._store.set(cursor=cursor)
            if (entities or events) and queries.has_on_top(db):
                overlay.make_stale(self._store)
            found = [conflict for each in events for conflict in self._take_event(each)]
            self._erase(entities)
            return found

    def _erase(self, entities: Iterable[Data]) -> None:
        for each in entities:
            if each.get("erased"):
                erasing.erase(self._store, each["guid"])

    def _take_event(self, wire: Data) -> list[Conflict]:
        with self._store.transaction() as db:
            row = queries.find_event(db, wire["guid"])
            if row is not None:
                queries.set_seen_in_log(db, wire["guid"], wire["seq"])
                return []
            event = read_event(wire)
            if self._keep_history:
                found = mentions(event.type, event.entity_guid, event.data)
                queries.insert_event(db, row_of(event, to_offer=False), found)
            return conflicts.note(self._store, event, wire.get("baseVersion"))

    def finish_pull(self) -> None:
        """The entities are those of the head: what this device pushed is in them, and has no place on top any more."""
        with self._store.transaction() as db:
            if queries.take_from_top(db):
                overlay.make_stale(self._store)


def read_entity(wire: Data) -> Entity:
    """An entity as the server sends it."""
    return Entity(
        guid=wire["guid"],
        version=wire["version"],
        state=wire["state"],
        type=wire["type"],
        form=wire["form"] or "",
        name=wire["name"] or "",
        external_id=wire["externalId"],
        data=wire["data"],
        member_ids=wire["memberIds"],
        parent_ids=wire["parentIds"],
        last_updated=wire["lastUpdated"],
    )


def read_event(wire: Data) -> Event:
    """An event of another device as the server sends it."""
    return Event(
        guid=wire["guid"],
        entity_guid=wire["entityGuid"],
        type=wire["type"],
        data=wire["data"],
        timestamp=wire["timestamp"],
        user_id=_text(wire["userId"]),
        applied=wire.get("applied"),
        own=False,
        status="pulled",
        seq=wire["seq"],
        device_id=_text(wire.get("deviceId")),
        digest=_text(wire.get("digest")),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)
