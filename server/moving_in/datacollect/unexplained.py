"""What the other server shows and no event of it explains: events are made for it, so that nothing is lost."""

from collections.abc import Mapping, Sequence
from typing import Any

from server.db.connection import Row
from server.moving_in import queries
from server.moving_in.datacollect import comparing
from server.moving_in.datacollect.accounts import Taken
from server.moving_in.datacollect.events import push_own
from server.moving_in.datacollect.one_tenant import BATCH, OneTenant
from server.moving_in.datacollect.reasons import MADE_FIELDS, MADE_RECORD, NO_MEMBER
from server.moving_in.datacollect.report import Heading
from server.sync.fold import GROUP, LIVE


async def take_unexplained(one: OneTenant, taken: Taken) -> None:
    """Makes the records and adds the fields that stand in the other server's table of entities alone."""
    one.begin("records", "entities")
    groups: list[comparing.OtherEntity] = []
    async for span in comparing.spans_of(one.source, one.config.id):
        here = await entities_here(one, taken, span)
        made = [entity for guid, entity in span.entities.items() if guid not in here]
        groups += [entity for entity in made if entity.type == GROUP and entity.member_ids]
        await push_own(one, taken, [comparing.creation(one.config.id, entity) for entity in made], MADE_RECORD)
        await push_own(one, taken, await _completions(one, taken, span, here), MADE_FIELDS)
        one.progress.advance(len(span.entities) + len(span.unreadable))
    await _take_memberships(one, taken, groups)


async def entities_here(one: OneTenant, taken: Taken, span: comparing.Span) -> dict[str, Row]:
    """The entities with guids of the span that live or lived here."""
    async with one.reading(taken) as db:
        rows = await queries.list_entities_between(db, span.after, span.up_to)
    return {row["guid"]: row for row in rows}


async def _completions(
    one: OneTenant, taken: Taken, span: comparing.Span, here: Mapping[str, Row]
) -> list[dict[str, Any]]:
    lacking = [
        entity
        for guid, entity in span.entities.items()
        if guid in here and here[guid]["state"] == LIVE and comparing.lacks_fields(entity, here[guid])
    ]
    if not lacking:
        return []
    async with one.reading(taken) as db:
        keys = await queries.list_keys_in_events(db, [entity.guid for entity in lacking])
    made = (comparing.completion(one.config.id, entity, here[entity.guid], keys) for entity in lacking)
    return [raw for raw in made if raw is not None]


async def _take_memberships(one: OneTenant, taken: Taken, groups: Sequence[comparing.OtherEntity]) -> None:
    """Of groups that were just made. Members that do not live are not brought back by it."""
    types = await live_types(one, taken, sorted({guid for group in groups for guid in group.member_ids}))
    raws = []
    for group in groups:
        for member in group.member_ids:
            if member in types:
                is_group = types[member] == GROUP
                raws.append(comparing.membership(one.config.id, group, member, is_group=is_group))
            else:
                one.note(Heading.REFUSED, NO_MEMBER, "entities", group.guid, "memberIds", member)
    await push_own(one, taken, raws, None)


async def live_types(one: OneTenant, taken: Taken, guids: Sequence[str]) -> dict[str, str]:
    """'individual' or 'group' for each of the entities that live."""
    types: dict[str, str] = {}
    for at in range(0, len(guids), BATCH):
        async with one.reading(taken) as db:
            types |= await queries.list_live_types(db, guids[at : at + BATCH])
    return types
