"""A page as a phone gets it: events that bring it to the state of some entities, whatever it held before.

What a phone does with an event depends on two copies it keeps and on its clock, with three exceptions on which the page
is built: what is listed as a member of a group is written anew; a deletion takes a group's members along; and an entity
that the phone does not have is made as it is told. In order:

1. Everything gone, and every group about to come, is listed in the group carrier as an empty group, and the carrier is
   deleted: the phone holds none of them any more, nor the carriers, where a page before this one was broken off. Where
   somebody claims an external id, everybody about to come is listed, because any of them may have it on the phone.
2. People are listed with their whole data in the people carrier. Then that is listed in the group carrier as an empty
   group, which loses it its members, and the group carrier is deleted: the people stay, the carriers are gone. Groups
   whose name very many others contain come along, because what is listed is never flagged as a duplicate; the phone
   keeps a `type` in their data.
3. Each other group is created with its whole data and all that is below it. Who is in several groups is told whole
   where he comes last, because a listing makes him anew; so no page grows beyond the number of its memberships.
4. A person whose data could not be a member's entry is wiped as in 1 and created.
5. Pairs that the phone will have flagged meanwhile are settled.

A phone cannot hold two records with one external id, and fails at a page on which two claim it: one of them keeps it,
the others are told without it.

Events of types for which the app has appliers of its own follow as they were pushed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server.sync.event import (
    CREATE_GROUP,
    CREATE_INDIVIDUAL,
    DELETE_ENTITY,
    RESOLVE_DUPLICATE,
    Data,
    Event,
)
from server.sync.fold import GROUP, LIVE, Entity
from server.sync.old_clients.axis import logical_time
from server.sync.old_clients.marks import GROUP_CARRIER, PEOPLE_CARRIER, new_mark

USER = "croft"
_DEEPEST = 50
"""How many groups may be in one another on a page."""

_SYNC_LEVEL = 1

Pair = tuple[str, str]


@dataclass(slots=True)
class Page:
    """What a page is made of.

    `entities` are those the page is about, tombstones too; `below` holds all that is below its groups, at any depth.
    Whoever shares an external id with one of them has to be among them, too. `common` are groups whose name very many
    others contain.
    """

    entities: Sequence[Entity]
    below: Mapping[str, Entity] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()
    common: frozenset[str] = frozenset()
    custom: Sequence[Event] = ()


def page_events(page: Page, *, position: int, key: bytes) -> list[dict[str, Any]]:
    """The page as events in the contract's form, in the order of their timestamps."""
    made = [*_made_events(page), *((each.guid, each.entity_guid, each.type, each.data) for each in page.custom)]
    return [
        {
            "guid": guid or new_mark(key),
            "entityGuid": entity_guid,
            "type": type_,
            "data": data,
            "timestamp": logical_time(position, place),
            "userId": USER,
            "syncLevel": _SYNC_LEVEL,
        }
        for place, (guid, entity_guid, type_, data) in enumerate(made)
    ]


_Made = tuple[str, str, str, Data]
"""guid (empty: a mark), entity guid, type, data"""


def _made_events(page: Page) -> Iterator[_Made]:
    is_claimed = any(_claims(each) for each in (*page.entities, *page.below.values()))
    page = _with_one_holder_each(page)
    live = {entity.guid: entity for entity in page.entities if entity.state == LIVE}
    groups = [entity for entity in live.values() if entity.type == GROUP]
    inside = _inside(groups, page.below)
    tops = sorted((each for each in groups if each.guid not in inside), key=lambda top: top.guid not in page.common)
    told = [*live.values(), *(page.below[guid] for guid in inside if guid not in live)]
    odd = [entity for entity in told if entity.type != GROUP and not _fits_entry(entity)]
    people = [e for e in live.values() if e.type != GROUP and e.guid not in inside and _fits_entry(e)]

    gone = [entity.guid for entity in page.entities if entity.state != LIVE]
    freed = [entity.guid for entity in told if is_claimed or entity.type == GROUP]
    yield from _wipe([PEOPLE_CARRIER, *gone, *freed])
    groups_told = _told_groups(tops, page.below)
    listed = [{**data, "guid": top.guid, "type": GROUP} for top, data in groups_told if top.guid in page.common]
    if people or listed:
        members = [*(_entry(each) for each in people), *listed]
        yield "", PEOPLE_CARRIER, CREATE_GROUP, {"name": PEOPLE_CARRIER, "members": members}
        yield from _wipe([PEOPLE_CARRIER])
    for top, data in groups_told:
        if top.guid not in page.common:
            yield "", top.guid, CREATE_GROUP, data
    if odd:
        yield from _wipe([each.guid for each in odd])
        for each in odd:
            yield "", each.guid, CREATE_INDIVIDUAL, open_data(each)
    if page.pairs:
        yield "", GROUP_CARRIER, RESOLVE_DUPLICATE, _settled(page.pairs)


def _inside(groups: Iterable[Entity], below: Mapping[str, Entity]) -> set[str]:
    """Everything that comes to the phone inside the event of a group above it.

    Of groups that are in each other, the first is taken as the one above.
    """
    inside: set[str] = set()
    for group in groups:
        if group.guid in inside:
            continue
        open_, seen = list(group.member_ids), {group.guid}
        while open_:
            guid = open_.pop()
            if guid in seen or guid not in below:
                continue
            seen.add(guid)
            open_.extend(below[guid].member_ids)
        inside |= seen - {group.guid}
    return inside


def _wipe(guids: Iterable[str]) -> Iterator[_Made]:
    """Takes entities from the phone, whatever it holds of them, and nothing that was in them."""
    empty = [{"guid": guid, "type": GROUP, "name": "-"} for guid in guids]
    yield "", GROUP_CARRIER, CREATE_GROUP, {"name": GROUP_CARRIER, "members": empty}
    yield "", GROUP_CARRIER, DELETE_ENTITY, {"name": GROUP_CARRIER}


def _with_one_holder_each(page: Page) -> Page:
    """The page with every external id left to one entity alone: of those that claim it, the one with the least guid."""
    holders: dict[str, str] = {}
    for guid, entity in sorted({**page.below, **{each.guid: each for each in page.entities}}.items()):
        if external_id := _claims(entity):
            holders.setdefault(external_id, guid)

    def told(entity: Entity) -> Entity:
        external_id = _claims(entity)
        if external_id is None or holders[external_id] == entity.guid:
            return entity
        data = {key: value for key, value in entity.data.items() if key != "externalId"}
        return replace(entity, data=data)

    below = {guid: told(entity) for guid, entity in page.below.items()}
    return replace(page, entities=[told(entity) for entity in page.entities], below=below)


def _claims(entity: Entity) -> str | None:
    """The external id that a phone would give it. One that was emptied since stays with the entity, not in its data."""
    return entity.external_id if entity.data.get("externalId") else None


def is_created_openly(entity: Entity) -> bool:
    """Whether a page creates it by an event of its own, which is when a phone looks for duplicates of it."""
    return entity.state == LIVE and (entity.type == GROUP or not _fits_entry(entity))


def _fits_entry(person: Entity) -> bool:
    """Whether the data can stand in a member's entry without being taken for something else."""
    return "guid" not in person.data and person.data.get("type") != GROUP


def open_data(entity: Entity) -> Data:
    """What an entity is created with by an event of its own.

    A phone would give one without a name that of all others without one, and take them for duplicates.
    """
    return entity.data if entity.data.get("name") else {**entity.data, "name": entity.name or entity.guid}


def _entry(person: Entity) -> Data:
    """A person as a member. A phone takes no record without any data; an empty name does no harm to it."""
    return {**(person.data or {"name": ""}), "guid": person.guid}


def _told_groups(tops: Sequence[Entity], below: Mapping[str, Entity]) -> list[tuple[Entity, Data]]:
    """The groups with their data and all that is in them.

    Put together from the end, so that who comes several times is whole the last time and empty before.
    """
    whole: set[str] = set()
    told = [
        (group, {**open_data(group), "members": _entries(group, below, (group.guid,), whole)})
        for group in reversed(tops)
    ]
    return told[::-1]


def _entries(group: Entity, below: Mapping[str, Entity], path: tuple[str, ...], whole: set[str]) -> list[Data]:
    """Its members in the order of their births. Left out: a group that is above itself, and what is very deep."""
    if group.guid in whole or len(path) > _DEEPEST:
        return []
    whole.add(group.guid)
    members = [below[guid] for guid in group.member_ids if guid in below and guid not in path]
    in_order = sorted(members, key=lambda member: member.born or ())
    return [_member_entry(member, below, path, whole) for member in reversed(in_order)][::-1]


def _member_entry(member: Entity, below: Mapping[str, Entity], path: tuple[str, ...], whole: set[str]) -> Data:
    if member.type == GROUP:
        inside = _entries(member, below, (*path, member.guid), whole)
        return {**member.data, "members": inside, "guid": member.guid, "type": GROUP}
    if not _fits_entry(member) or member.guid in whole:
        return {"guid": member.guid, "name": "-"}
    whole.add(member.guid)
    return _entry(member)


def _settled(pairs: Iterable[Pair]) -> Data:
    both = dict.fromkeys(way for one, other in pairs for way in ((one, other), (other, one)))
    return {
        "duplicates": [{"entityGuid": one, "duplicateGuid": other} for one, other in both],
        "shouldDelete": False,
    }
