"""Folding the log anew beside what stands, to prove that all of it is what the log says."""

from collections import Counter
from dataclasses import dataclass

from server.db import Connection
from server.sync.rebuilding import Refolded, refold
from server.sync.records import event_from, form_of
from server.sync.verification import queries


@dataclass(frozen=True, slots=True)
class Replay:
    """How many events were folded into how many entities, and what of the log's making stands otherwise.

    `entities` and `outcomes` hold guids of entities and of events, `mentions` numbers of events, `counts` forms.
    """

    folded: int
    into: int
    entities: list[str]
    outcomes: list[str]
    mentions: list[int]
    counts: list[str]

    @property
    def is_right(self) -> bool:
        """Whether everything stands as the log says."""
        return not (self.entities or self.outcomes or self.mentions or self.counts)


async def replay(db: Connection) -> Replay:
    """Folds the whole log in memory and compares. Nothing may have been read in the transaction before."""
    await queries.keep_one_view(db)
    head = (await queries.get_end(db))["head"]
    found = await refold(db)
    # A place in the feed may be behind the last mention, where a fold anew changed the entity, but not behind the head.
    astray = [guid for guid, entity in found.entities.items() if entity.fed_seq > head]
    return Replay(
        folded=len(found.rows),
        into=len(found.entities),
        entities=sorted({*found.differing, *astray}),
        outcomes=sorted(guid for guid, _, _ in found.outcomes),
        mentions=await _wrong_mentions(db, found),
        counts=await _wrong_counts(db, found),
    )


async def _wrong_mentions(db: Connection, found: Refolded) -> list[int]:
    noted = {row["seq"]: set(row["guids"]) for row in await queries.list_mentions(db)}
    due = {row["seq"]: set(event_from(row).mentions) for row in found.rows}
    return sorted(seq for seq in noted.keys() | due.keys() if noted.get(seq) != due.get(seq))


async def _wrong_counts(db: Connection, found: Refolded) -> list[str]:
    noted = await queries.list_counts(db)
    due = Counter(form for entity in found.entities.values() if (form := form_of(entity)) is not None)
    return sorted(form for form in noted.keys() | due.keys() if noted.get(form, 0) != due[form])
