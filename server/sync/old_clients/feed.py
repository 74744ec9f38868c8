"""Pull, for phones: the entities that changed since the position a phone has come to, as a page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from server.db import Connection
from server.entities.names import name_parts
from server.sync import queries
from server.sync.event import RESOLVE_DUPLICATE
from server.sync.fold import GROUP, LIVE, Entity
from server.sync.old_clients.axis import logical_time, position_of
from server.sync.old_clients.flags import can_be_flagged
from server.sync.old_clients.page import Page, Pair, is_created_openly, open_data, page_events
from server.sync.push import Source
from server.sync.records import entity_from, event_from

PAGE = 100
_MANY_ALIKE = 200
_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Served:
    """A page of events, and where to go on: None at the end."""

    events: list[dict[str, Any]]
    next_cursor: str | None


async def pull(db: Connection, since: str, source: Source) -> Served:
    """The page after `since`, which is empty or a timestamp that a page before this one held. Raises ValueError."""
    asked = position_of(since)
    head = await queries.get_head_for(db, source.device_id, source.account, since)
    after = 0 if head["is_anew"] else _after(asked, head["base"], head["head"])
    entities = [entity_from(row) for row in await queries.list_feed(db, after, PAGE, _PAGE_BYTES)]
    last = entities[-1].fed_seq if entities else after
    anew_since = since if head["is_anew"] else None
    await queries.note_pull(db, source.device_id, source.account, source.at, last, anew_since=anew_since)
    if not entities:
        return Served([], None)
    position = head["base"] + last
    events = page_events(await _page(db, entities, after, last), position=position, key=head["carrier_key"])
    more = await queries.is_fed_after(db, last)
    return Served(events, logical_time(position, len(events)) if more else None)


def _after(position: int | None, base: int, head: int) -> int:
    """The number to go on after: 0 for a position of another epoch or of another log."""
    if position is None or not 0 <= position - base <= head:
        return 0
    return position - base


async def _page(db: Connection, entities: Sequence[Entity], after: int, last: int) -> Page:
    told, below = await _told(db, entities)
    custom_types = orjson.loads(await queries.find_setting(db, "custom-event-types") or b"[]")
    rows = await queries.list_events_of_types(db, [RESOLVE_DUPLICATE, *custom_types], after, last)
    events = [event_from(row) for row in rows]
    settled = [pair for event in events for pair in event.pairs]
    openly = [each for each in told if is_created_openly(each)]
    openly += [each for each in below.values() if each.type != GROUP and is_created_openly(each)]
    pairs, common = await _flagged(db, openly)
    return Page(
        entities=told,
        below=below,
        pairs=[*settled, *pairs],
        common=common,
        custom=[event for event in events if event.type != RESOLVE_DUPLICATE and event.data],
    )


async def _told(db: Connection, entities: Iterable[Entity]) -> tuple[list[Entity], dict[str, Entity]]:
    """The entities and, beside them, all others that claim an external id of theirs; and all that is below these."""
    told = list(entities)
    while True:
        below = await _below(db, [each for each in told if each.state == LIVE and each.type == GROUP])
        known = {each.guid for each in told} | below.keys()
        claimed = {each.external_id for each in (*told, *below.values()) if each.external_id}
        rows = await queries.list_claiming(db, list(claimed)) if claimed else []
        rivals = [entity_from(row) for row in rows if row["guid"] not in known]
        if not rivals:
            return told, below
        told += rivals


async def _below(db: Connection, groups: Iterable[Entity]) -> dict[str, Entity]:
    """All that is below the groups, level by level."""
    found: dict[str, Entity] = {}
    wanted = {guid for group in groups for guid in group.member_ids}
    while wanted:
        level = [entity_from(row) for row in await queries.list_entities(db, list(wanted))]
        found |= {entity.guid: entity for entity in level if entity.state == LIVE}
        wanted = {guid for entity in level for guid in entity.member_ids} - found.keys()
    return found


async def _flagged(db: Connection, records: Iterable[Entity]) -> tuple[list[Pair], frozenset[str]]:
    """The pairs that a phone will flag when it applies the records, and the records that it would flag too many with.

    What it holds of the others may be older than what stands here, so all whose name contains the record's are taken.
    """
    pairs: list[Pair] = []
    common = set()
    for record in records:
        data = open_data(record)
        if not can_be_flagged(data):
            continue
        parts = name_parts(data["name"]) if isinstance(data["name"], str) else []
        alike = await queries.list_with_name_parts(db, parts, _MANY_ALIKE + 1) if parts else []
        if not parts or len(alike) > _MANY_ALIKE:
            common.add(record.guid)
        pairs += [(record.guid, other) for other in alike if other != record.guid]
    return pairs, frozenset(common)
