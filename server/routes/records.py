"""Records: entities, duplicates, conflicts, and a person's rights."""

from functools import partial
from typing import Any

from server.conflicts import api as conflicts
from server.conflicts.finding import note_conflicts
from server.conflicts.model import Choice, Conflict, ConflictsQuery, History, HistoryQuery
from server.duplicates import api as duplicates
from server.duplicates.model import PairsQuery, PotentialDuplicate, Resolution, Resolved
from server.entities import api as entities
from server.entities.model import (
    EntitiesQuery,
    EntityCount,
    EntityDetail,
    EntityEvent,
    EntityQuery,
    EntitySummary,
    EventsQuery,
)
from server.http.route import Handler, Route
from server.persons import api as persons
from server.persons.model import ErasureAnswer, ErasureOrder, ErasurePreview, ErasureQuery, PersonExport
from server.roles.permissions import Permission
from server.routes.parts import Parts


def record_routes(parts: Parts) -> list[Route]:
    """Every route of records."""
    return [*_persons(), *_conflicts(), *_entities(), *_duplicates()]


def _entities() -> list[Route]:
    def line(path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route("GET", path, handler, Permission.ENTITIES_READ, summary, "entities", write=False, **more)

    return [
        line(
            entities.PATH,
            entities.list_entities,
            "List entities, the newest first",
            query=EntitiesQuery,
            answers={200: list[EntitySummary]},
        ),
        line(
            f"{entities.PATH}/count",
            entities.count_entities,
            "How many entities there are",
            answers={200: EntityCount},
        ),
        line(
            f"{entities.PATH}/count-by-form",
            entities.count_entities_by_form,
            "How many entities there are of each form",
            answers={200: dict[str, int]},
        ),
        line(
            f"{entities.PATH}/{{guid:text}}/events",
            entities.list_entity_events,
            "The events that speak of an entity, as they were pushed, the oldest first",
            query=EventsQuery,
            answers={200: list[EntityEvent]},
            problems=(404,),
        ),
        line(
            f"{entities.PATH}/{{guid:text}}",
            entities.get_entity,
            "One entity",
            query=EntityQuery,
            answers={200: EntityDetail},
            problems=(404,),
        ),
    ]


def _duplicates() -> list[Route]:
    return [
        Route(
            "GET",
            duplicates.PATH,
            duplicates.list_open_pairs,
            Permission.DUPLICATES_READ,
            "List pairs of entities that may be the same, the newest first",
            "duplicates",
            query=PairsQuery,
            answers={200: list[PotentialDuplicate]},
        ),
        Route(
            "POST",
            f"{duplicates.PATH}/resolve",
            duplicates.resolve_pair,
            Permission.DUPLICATES_SETTLE,
            "Settle a pair: keep both, or delete the newer one",
            "duplicates",
            body=Resolution,
            answers={200: Resolved},
            problems=(404, 409),
        ),
    ]


def _conflicts() -> list[Route]:
    return [
        Route(
            "GET",
            conflicts.PATH,
            conflicts.list_conflicts,
            Permission.CONFLICTS_READ,
            "List fields that devices changed without having seen each other's change, the newest first",
            "conflicts",
            write=False,
            query=ConflictsQuery,
            answers={200: list[Conflict]},
        ),
        Route(
            "POST",
            f"{conflicts.PATH}/{{conflict}}/choose",
            partial(conflicts.choose_value, follow=note_conflicts),
            Permission.CONFLICTS_SETTLE,
            "Settle a conflict: say which value is to stand",
            "conflicts",
            body=Choice,
            answers={200: Conflict},
            problems=(404, 409),
        ),
        Route(
            "GET",
            f"{entities.PATH}/{{guid:text}}/history",
            conflicts.show_history,
            Permission.ENTITIES_READ,
            "How an entity came to be what it is, field by field",
            "entities",
            write=False,
            query=HistoryQuery,
            answers={200: History},
            problems=(404,),
        ),
    ]


def _persons() -> list[Route]:
    one = f"{persons.PATH}/{{guid:text}}"
    return [
        Route(
            "GET",
            f"{one}/erase",
            persons.preview_erasure,
            Permission.PERSONS_ERASE,
            "What erasing a person would meet",
            "persons",
            write=False,
            answers={200: ErasurePreview},
            problems=(404,),
        ),
        Route(
            "POST",
            f"{one}/erase",
            partial(persons.erase_person, follow=note_conflicts),
            Permission.PERSONS_ERASE,
            "Erase a person for good: everything that is held about her, everywhere",
            "persons",
            query=ErasureQuery,
            body=ErasureOrder,
            answers={200: ErasureAnswer},
            problems=(404, 409),
        ),
        Route(
            "GET",
            f"{one}/export",
            persons.export_person,
            Permission.PERSONS_EXPORT,
            "All that is held about a person",
            "persons",
            scope="stream",
            answers={200: PersonExport},
            problems=(404,),
        ),
    ]
