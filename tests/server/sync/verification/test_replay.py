import pytest

from server.sync.verification.replay import Replay, replay
from tests.server.sync.conftest import Log
from tests.server.sync.strategies import event
from tests.server.sync.verification.test_chain import tamper


async def filled(log: Log) -> None:
    """A group, two people in it, a late change of one, and an event that waits for what it is about."""
    await log.push(
        [
            event("create-group", "camp", {"name": "Camp", "members": [{"guid": "ann", "name": "Ann"}]}, at=5),
            event("add-member", "camp", {"members": [{"guid": "ben", "name": "Ben"}]}, at=6),
        ]
    )
    await log.push([event("update-individual", "ann", {"village": "East"}, at=1)])
    await log.push([event("delete-entity", "ben", {"why": "left"}, at=8)])
    await log.push([event("add-member", "dorm", {"members": [{"guid": "cleo", "name": "Cleo"}]}, at=9)])


async def replayed(log: Log) -> Replay:
    async with log.database.inside(log.scope, readonly=True) as db:
        return await replay(db)


async def test_what_pushes_made_is_what_a_replay_makes(log: Log) -> None:
    await filled(log)
    found = await replayed(log)
    assert found.is_right, found
    assert (found.folded, found.into) == (5, 5)


async def test_empty_log_replays_to_nothing(log: Log) -> None:
    assert await replayed(log) == Replay(0, 0, [], [], [], [])


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("UPDATE entities SET name = 'Else' WHERE guid = 'ann'", {"entities": ["ann"]}),
        ("UPDATE entities SET data = data - 'village' WHERE guid = 'ann'", {"entities": ["ann"]}),
        ("UPDATE entities SET member_ids = '{}' WHERE guid = 'camp'", {"entities": ["camp"]}),
        ("UPDATE entities SET fed_seq = 1 WHERE guid = 'ann'", {"entities": ["ann"]}),
        ("UPDATE entities SET fed_seq = 99 WHERE guid = 'ann'", {"entities": ["ann"]}),
        ("UPDATE entities SET state = 'live' WHERE guid = 'ben'", {"entities": ["ben"]}),
        ("DELETE FROM entities WHERE guid = 'ben'", {"entities": ["ben"]}),
        ("INSERT INTO entities (guid, state, created) VALUES ('eve', 'live', true)", {"entities": ["eve"]}),
        ("UPDATE events SET outcome = 'waiting' WHERE seq = 1", {"outcomes": ["create-group camp 5"]}),
        ("UPDATE events SET reason = 'else' WHERE seq = 5", {"outcomes": ["add-member dorm 9"]}),
        ("DELETE FROM mentions WHERE seq = 3", {"mentions": [3]}),
        ("INSERT INTO mentions VALUES ('eve', 4)", {"mentions": [4]}),
        ("UPDATE entity_counts SET n = n + 1 WHERE form = 'group'", {"counts": ["group"]}),
        ("INSERT INTO entity_counts VALUES ('household', 1)", {"counts": ["household"]}),
    ],
)
async def test_what_stands_otherwise_is_found(log: Log, statement: str, wrong: dict[str, list[object]]) -> None:
    await filled(log)
    await tamper(log, statement)
    found = await replayed(log)
    nothing: dict[str, list[object]] = {"entities": [], "outcomes": [], "mentions": [], "counts": []}
    assert {what: getattr(found, what) for what in nothing} == nothing | wrong


async def test_replay_changes_nothing_and_is_of_one_moment(log: Log) -> None:
    await filled(log)
    async with log.database.inside(log.scope, readonly=True) as db:
        found = await replay(db)
        await log.push([event("update-individual", "ann", {"village": "West"}, at=20)])
        assert (await db.fetchval("SELECT head FROM sync_head"), found.is_right) == (5, True)
    assert (await replayed(log)).folded == 6
