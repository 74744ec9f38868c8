"""The seed data of a taken-over config: what that server loaded long ago must not be loaded once more.

That server made a record of each row with an event of its own, whose guid is random, so this server's seeds, whose
guids are derived, would all be new to the log: fields changed in the field since would be set back, and rows without
an id would become records a second time. For each such seed a placeholder is put into the log instead: an event with
the seed's guid, of a type that has no effect, about an entity that stands for nothing. Then this upload and every
later one pass the seed over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.app_configs.model import AppConfig
from server.app_configs.seeds import seed_events
from server.db import Connection
from server.kit.clock import utc_now
from server.kit.strict_json import canonical_json
from server.moving_in import queries
from server.moving_in.datacollect.comparing import MAKER
from server.moving_in.datacollect.mapping import derived
from server.moving_in.datacollect.reading import read_value

TAKEN_OVER: Final = "seed-taken-over"

_BESIDE_THE_ROW: Final = frozenset({"id", "name", "entityName", "parentGuid"})
_CHUNK: Final = 5_000


def records_of_seeds(config: AppConfig) -> frozenset[str]:
    """The guids, as this server gives them, of the records of all rows."""
    return frozenset(map(_subject, seed_events(config, at=utc_now(), user_id=MAKER)))


async def seeds_to_push(db: Connection, config: AppConfig, tenant: str) -> tuple[list[dict[str, Any]], int]:
    """The seed events that the log lacks, placeholders where their records are there already; how many are none.

    In the tenant's schema, after the events of the other server.
    """
    events = seed_events(config, at=utc_now(), user_id=MAKER)
    known = await _known(db, [event["guid"] for event in events])
    lacking = [event for event in events if event["guid"] not in known]
    loaded = await _already_loaded(db, config, lacking)
    pushed = [_placeholder(event, tenant) if _subject(event) in loaded else event for event in lacking]
    return pushed, sum(1 for event in pushed if event["type"] != TAKEN_OVER)


async def _known(db: Connection, guids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(guids), _CHUNK):
        found |= await queries.list_known_events(db, guids[at : at + _CHUNK])
    return found


async def _already_loaded(db: Connection, config: AppConfig, events: Sequence[dict[str, Any]]) -> set[str]:
    """The guids, as this server gives them, of seeds of which the log has a record, be it under another guid."""
    subjects = sorted({_subject(event) for event in events})
    loaded: set[str] = set()
    for at in range(0, len(subjects), _CHUNK):
        loaded |= (await queries.list_states(db, subjects[at : at + _CHUNK])).keys()
    named = {row.id for row in config.seeds if row.id}
    nameless = {
        event["entityGuid"]: event["data"]
        for event in events
        if event["type"] != "add-member" and event["entityGuid"] not in named | loaded
    }
    return loaded | await _recognised(db, nameless)


async def _recognised(db: Connection, nameless: Mapping[str, dict[str, Any]]) -> set[str]:
    """Those rows without an id of which a record with the same content was made."""
    if not nameless:
        return set()
    forms = sorted({data["entityName"] for data in nameless.values()})
    made: set[bytes] = set()
    for text in await queries.list_created_data(db, forms):
        data = read_value(text)
        made.add(_content(data, str(data.get("name") or "")))
    return {guid for guid, data in nameless.items() if made & _contents(data)}


def _contents(data: Mapping[str, Any]) -> set[bytes]:
    """What the record of a row may hold. This server names a row that has no name, the other one does not."""
    return {_content(data, data["name"]), _content(data, "")}


def _content(data: Mapping[str, Any], name: str) -> bytes:
    rest = {key: value for key, value in data.items() if key not in _BESIDE_THE_ROW}
    parent = data.get("parentGuid")
    if "parentId" in rest:
        rest["parentId"] = str(rest["parentId"])
    return canonical_json([data.get("entityName"), name, None if parent is None else str(parent), rest])


def _subject(event: Mapping[str, Any]) -> str:
    """The record that a seed's event makes or puts into its parent."""
    return str(event["data"]["members"][0]["guid"] if event["type"] == "add-member" else event["entityGuid"])


def _placeholder(event: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    return {**event, "entityGuid": derived("seeds", tenant), "type": TAKEN_OVER, "data": {"seed": _subject(event)}}
