"""The entity data of a config as events, with ids that stay the same from upload to upload.

Every row becomes one create event, and one add-member event on its parent if it has one. The guid of an entity is the
row's `id`, or else is derived from the form and the content of the row; the guids of its events are derived from the
guid of the entity. A second upload therefore offers the same events again for the rows it had before, which a log that
knows their guids passes over: only new rows and new memberships have an effect, and what was changed in the field since
is not set back. A row without an id that was changed in the file is a new row.

Rows of a form on which another form depends, and rows that are some row's parent, become groups.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from server.app_configs.model import AppConfig, SeedRow
from server.entities.erasing import fields_without
from server.kit.clock import MILLISECOND, iso_ms
from server.kit.strict_json import canonical_json

_NAMESPACE = UUID("6f1dcb0e-2f6b-5e0c-9a57-0d3a5b1c7e42")
_SYNCED = 1


@dataclass(frozen=True, slots=True)
class _Seed:
    row: SeedRow
    guid: str
    is_group: bool
    title: str
    depth: int


def seed_events(config: AppConfig, *, at: datetime, user_id: str) -> list[dict[str, Any]]:
    """The events, in the wire's form, that bring the config's rows into being. Empty without entityData.

    Parents come before their members and creates before memberships, each event one millisecond after the last one;
    the last is at `at` (aware), so that none lies in the future. The data of a create is the row without `id`, with
    entityName (the form's name), parentGuid (the parent's guid, as the apps read it) and a name: the row's own, or its
    first text, or the form's title.
    """
    seeds = sorted(_seeds(config), key=lambda seed: seed.depth)
    events = [_create(seed) for seed in seeds]
    events += [_membership(seed.row.parent_id, seed) for seed in seeds if seed.row.parent_id]
    first = at - MILLISECOND * (len(events) - 1)
    for place, event in enumerate(events):
        event |= {"timestamp": iso_ms(first + MILLISECOND * place), "userId": user_id, "syncLevel": _SYNCED}
    return events


def without_persons(document: dict[str, Any], persons: Collection[str]) -> dict[str, Any]:
    """The document of a config without what its rows say of the persons; itself where they say nothing.

    A person's own row keeps its place in the file, so that a later upload or a roll-back finds it again. A row that had
    no id has from now on that which was derived from what it said.
    """
    sections = document.get("entityData") or []
    rows = tuple(
        SeedRow(section["name"], row.get("id") or None, row.get("parentId") or None, row)
        for section in sections
        for row in section["data"]
    )
    left = [_row_without(row, guid, persons) for row, guid in _with_guids(rows)]
    if all(each is row.fields for each, row in zip(left, rows, strict=True)):
        return document
    rest = iter(left)
    return {**document, "entityData": [{**each, "data": [next(rest) for _ in each["data"]]} for each in sections]}


def rows_of(document: dict[str, Any], guid: str) -> list[dict[str, Any]]:
    """The rows of a config's document that stand for the entity, each with its form as {form, row}."""
    rows = tuple(
        SeedRow(section["name"], row.get("id") or None, None, row)
        for section in document.get("entityData") or []
        for row in section["data"]
    )
    return [{"form": row.form, "row": row.fields} for row, own in _with_guids(rows) if own == guid]


def guid_of_creation(guid: str) -> str:
    """The guid of the event that creates a row's entity."""
    return _derived("create", guid)


def _row_without(row: SeedRow, guid: str, persons: Collection[str]) -> Mapping[str, Any]:
    if guid in persons:
        bare = {"id": guid} | ({"parentId": row.parent_id} if row.parent_id else {})
        return row.fields if row.fields == bare else bare
    left = fields_without(row.fields, persons)
    return left if left is row.fields else {**left, "id": guid}


def _seeds(config: AppConfig) -> Iterator[_Seed]:
    depended_on = {form.depends_on for form in config.forms}
    titles = {form.name: form.title for form in config.forms}
    # A parent that is no row of this config is one of an earlier version's, in the log already.
    parents: dict[str, str | None] = {row.parent_id: None for row in config.seeds if row.parent_id}
    parents |= {row.id: row.parent_id for row in config.seeds if row.id}
    with_members = {row.parent_id for row in config.seeds if row.parent_id}
    depths = _depths(parents)
    for row, guid in _with_guids(config.seeds):
        yield _Seed(
            row=row,
            guid=guid,
            is_group=row.form in depended_on or row.id in with_members,
            title=titles[row.form],
            depth=depths[row.parent_id] + 1 if row.parent_id else 0,
        )


def _with_guids(rows: tuple[SeedRow, ...]) -> Iterator[tuple[SeedRow, str]]:
    """Rows that are the same in all they say are told apart by counting them."""
    seen: Counter[bytes] = Counter()
    for row in rows:
        if row.id:
            yield row, row.id
            continue
        content = canonical_json([row.form, row.fields])
        yield row, _derived("row", content.decode(), str(seen[content]))
        seen[content] += 1


def _depths(parents: Mapping[str, str | None]) -> dict[str, int]:
    """How many parents stand above each row with an id. A valid config has no circles."""
    depths: dict[str, int] = {}
    for start in parents:
        above: list[str] = []
        row_id: str | None = start
        while row_id is not None and row_id not in depths:
            above.append(row_id)
            row_id = parents[row_id]
        depth = -1 if row_id is None else depths[row_id]
        for row_id in reversed(above):
            depth += 1
            depths[row_id] = depth
    return depths


def _create(seed: _Seed) -> dict[str, Any]:
    """Its guid does not depend on the type, so that a row which becomes a parent later is not created again."""
    data = {key: value for key, value in seed.row.fields.items() if key != "id"}
    if seed.row.parent_id:
        data["parentGuid"] = seed.row.parent_id
    data |= {"entityName": seed.row.form, "name": _name(seed)}
    return {
        "guid": guid_of_creation(seed.guid),
        "entityGuid": seed.guid,
        "type": "create-group" if seed.is_group else "create-individual",
        "data": data,
    }


def _membership(parent_guid: str | None, seed: _Seed) -> dict[str, Any]:
    """The entry holds no fields: they would overwrite those of the member, which exists already.

    A group is named as one, because a phone keeps that of a group that is in another, and the server does as it does.
    """
    entry = {"guid": seed.guid}
    if seed.is_group and "type" not in seed.row.fields:
        entry["type"] = "group"
    return {
        "guid": _derived("add-member", str(parent_guid), seed.guid),
        "entityGuid": parent_guid,
        "type": "add-member",
        "data": {"members": [entry]},
    }


def _name(seed: _Seed) -> str:
    name = seed.row.fields.get("name")
    if isinstance(name, int | float) and not isinstance(name, bool):
        return str(name)
    texts = (value for key, value in seed.row.fields.items() if key not in ("id", "parentId"))
    candidates = (text for text in (name, *texts, seed.title) if isinstance(text, str) and text.strip())
    return next(candidates, seed.row.form)


def _derived(*parts: str) -> str:
    return str(uuid5(_NAMESPACE, canonical_json(list(parts)).decode()))
