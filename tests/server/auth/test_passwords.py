import asyncio
import threading

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.auth.passwords import (
    MOST_OF_ACCOUNT,
    MOST_OF_ADDRESS,
    PREFIX,
    Share,
    _check,
    _hash_of_nothing,
    _Lane,
    check_password,
    has_password,
    hash_password,
    needs_rehash,
    shares_of,
)
from server.kit.problem import Problem

TEXT = st.text(st.characters(), max_size=200)


@given(password=TEXT, other=TEXT)
@settings(max_examples=25, deadline=None)
async def test_hash_fits_the_password_it_was_made_of_and_no_other(password: str, other: str) -> None:
    stored = await hash_password(password, cost=4)
    assert await check_password(password, stored, cost=4)
    assert await check_password(other, stored, cost=4) is (other == password)


@given(password=st.text(st.characters(), min_size=70, max_size=300), place=st.integers(0, 299))
@settings(max_examples=25, deadline=None)
async def test_every_character_of_a_long_password_counts(password: str, place: int) -> None:
    stored = await hash_password(password, cost=4)
    place %= len(password)
    other = password[:place] + chr(ord(password[place]) ^ 1) + password[place + 1 :]
    assert not await check_password(other, stored, cost=4)


async def test_hashes_of_one_password_differ_and_carry_their_form_and_cost() -> None:
    first, second = await hash_password("Aa1!aaaa", cost=5), await hash_password("Aa1!aaaa", cost=5)
    assert first != second
    assert first.startswith("sha384$2b$05$")


@pytest.mark.parametrize("kind", [b"2a", b"2b", b"2y"])
async def test_plain_hash_of_an_earlier_version_or_another_server_still_holds(kind: bytes) -> None:
    stored = bcrypt.hashpw("Maïze-2026".encode(), bcrypt.gensalt(4)).replace(b"2b", kind, 1).decode()
    assert await check_password("Maïze-2026", stored, cost=4)
    assert not await check_password("Maïze-2027", stored, cost=4)


async def test_plain_hash_of_72_bytes_does_not_hold_with_more_behind_it() -> None:
    stored = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()
    assert await check_password("a" * 72, stored, cost=4)
    assert not await check_password("a" * 73, stored, cost=4)
    assert not await check_password("a" * 5000, stored, cost=4)


async def test_digest_of_a_password_is_not_a_password_for_a_plain_hash() -> None:
    fresh = await hash_password("Maize-2026", cost=4)
    assert not await check_password("Maize-2026", fresh.removeprefix(PREFIX), cost=4)
    plain = bcrypt.hashpw(b"Maize-2026", bcrypt.gensalt(4)).decode()
    assert not await check_password("Maize-2026", PREFIX + plain, cost=4)


@pytest.mark.parametrize(
    "stored", ["", "x", "plain", "$2b$", f"$2b$99${'.' * 53}", f"$2b$04${'é' * 53}", "sha384", "sha384$"]
)
async def test_what_is_no_hash_fits_nothing(stored: str) -> None:
    assert not await check_password("", stored, cost=4)
    assert not await check_password(stored, stored, cost=4)
    assert not has_password(stored)


async def test_account_of_an_identity_provider_has_no_password() -> None:
    assert not has_password(_hash_of_nothing(12))
    assert has_password(await hash_password("Maize-2026", cost=4))


@pytest.mark.parametrize(
    ("stored", "cost", "expected"),
    [
        (f"sha384$2b$12${'x' * 53}", 12, False),
        (f"sha384$2b$10${'x' * 53}", 12, True),
        (f"sha384$2b$12${'x' * 53}", 10, True),
        (f"$2b$12${'x' * 53}", 12, True),
        (f"$2a$12${'x' * 53}", 12, True),
    ],
)
def test_hash_of_another_form_or_cost_is_to_be_made_anew(stored: str, cost: int, expected: bool) -> None:
    assert needs_rehash(stored, cost=cost) is expected


@pytest.mark.parametrize("stored_cost", [0, 4, 7, 9])
def test_wrong_password_takes_as_long_whatever_the_cost_of_the_stored_hash(
    stored_cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in rounds of bcrypt, each step of the cost being twice as many; 0 is an account that is not there."""
    spent = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        spent.append(2 ** int(hashed[4:6]))
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    assert not _check("wrong", _hash_of_nothing(stored_cost) if stored_cost else "", 9)
    assert sum(spent) == 2**9


@given(password=TEXT)
@settings(max_examples=25, deadline=None)
async def test_no_password_is_right_for_an_account_that_is_not_there(password: str) -> None:
    assert not await check_password(password, None, cost=4)


@pytest.mark.parametrize("cost", [4, 10, 12])
def test_hash_of_nothing_has_the_form_and_cost_of_a_real_one(cost: int) -> None:
    assert len(_hash_of_nothing(cost)) == 60
    assert _hash_of_nothing(cost).startswith(f"$2b${cost:02d}$")


async def test_event_loop_goes_on_while_a_password_is_hashed() -> None:
    hashing = asyncio.ensure_future(hash_password("Aa1!aaaa", cost=10))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_more_passwords_than_may_wait_are_refused_with_a_time_to_come_back() -> None:
    lane, gate = _Lane(at_once=1, waiting=1), threading.Event()
    admitted = [asyncio.ensure_future(lane.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as refused:
        await lane.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*admitted) == [True, True]
    assert (refused.value.status, refused.value.code) == (429, "auth.busy")
    assert "Retry-After" in refused.value.headers
    assert await lane.run(gate.wait)


async def test_full_share_keeps_nobody_out_but_who_has_it() -> None:
    lane, gate = _Lane(at_once=1, waiting=100), threading.Event()
    greedy, modest = Share("address 192.0.2.1", 2), Share("address 192.0.2.2", 2)
    admitted = [asyncio.ensure_future(lane.run(gate.wait, [greedy])) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Problem):
        await lane.run(gate.wait, [greedy])
    admitted.append(asyncio.ensure_future(lane.run(gate.wait, [modest])))
    gate.set()
    assert await asyncio.gather(*admitted) == [True, True, True]
    assert await lane.run(gate.wait, [greedy])


async def test_refused_call_takes_no_part_of_any_share() -> None:
    lane, gate = _Lane(at_once=1, waiting=100), threading.Event()
    address, account = Share("address", 1), Share("account", 2)
    admitted = asyncio.ensure_future(lane.run(gate.wait, [address, account]))
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(Problem):
            await lane.run(gate.wait, [address, account])
    gate.set()
    assert await admitted
    assert await asyncio.gather(*(lane.run(gate.wait, [account]) for _ in range(2))) == [True, True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "", True),
    ],
)
def test_addresses_that_one_holder_can_choose_share(one: str, other: str, same: bool) -> None:
    assert (shares_of(one, "a@b")[0] == shares_of(other, "a@b")[0]) is same


def test_account_shares_whatever_the_case_and_has_room_for_more_than_one_address() -> None:
    assert shares_of("192.0.2.1", " A@b ")[1] == shares_of("192.0.2.2", "a@B")[1]
    assert MOST_OF_ACCOUNT > MOST_OF_ADDRESS
