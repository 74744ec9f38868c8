"""What proves whose an account is, and what an attempt costs, on the real database and at times of our choosing."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import bcrypt
import pytest
import pytest_asyncio
from pyotp import TOTP, random_base32

from server.auth import passwords
from server.auth.app_passwords.making import make_app_password
from server.auth.login import Attempt, Checking, check_own_password, prove, prove_in_person
from server.auth.passwords import MOST_OF_ADDRESS, check_password, hash_password, shares_of
from server.auth.queries import lock_credentials
from server.auth.second_factor import place_of_seed
from server.auth.throttling.queries import PLACE_DAYS
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.kit.problem import Problem
from server.vault import Keyring
from tests.conftest import PASSWORD, new_installation

COST = 4
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"

_numbers = count(1)


@dataclass
class House:
    """A database with accounts, and a clock that the tests set."""

    checking: Checking
    now: datetime

    @property
    def database(self) -> Database:
        return self.checking.database

    def wait(self, **time: float) -> None:
        self.now += timedelta(**time)

    async def account(self, stored: str | None = None) -> "Account":
        number = next(_numbers)
        email = f"Person{number}@North.Test"
        stored = await hash_password(PASSWORD, cost=COST) if stored is None else stored
        user_id = await self.value(
            "INSERT INTO users (email, password_hash, role) VALUES ($1, $2, 'USER') RETURNING id", email, stored
        )
        return Account(self, user_id, email)

    async def value(self, sql: str, *values: Any) -> Any:
        async with self.database.shared() as db:
            return await db.fetchval(sql, *values)


@dataclass
class Account:
    house: House
    id: int
    email: str

    def attempt(self, password: str = PASSWORD, *, at: str = HOME, code: str | None = None) -> Attempt:
        return Attempt(self.email, password, at, self.house.now, code)

    async def answer(self, password: str = PASSWORD, *, at: str = HOME, code: str | None = None) -> str:
        """What signing in is answered: "ok", or the code of a problem."""
        try:
            await prove(self.attempt(password, at=at, code=code), self.house.checking)
        except Problem as problem:
            return problem.code.removeprefix("auth.")
        return "ok"

    async def stored(self) -> str:
        return str(await self.house.value("SELECT password_hash FROM users WHERE id = $1", self.id))

    async def set_up_factor(self) -> TOTP:
        seed = random_base32()
        sealed = self.house.checking.keyring.seal(seed, place=place_of_seed(self.id))
        await self.house.value(
            "INSERT INTO second_factors (user_id, seed, begun_at, confirmed_at) VALUES ($1, $2, $3, $3)",
            self.id,
            sealed,
            self.house.now,
        )
        return TOTP(seed)

    async def app_password(self) -> str:
        password, digest = make_app_password()
        sql = "INSERT INTO app_passwords (user_id, name, digest) VALUES ($1, 'phone', $2)"
        await self.house.value(sql, self.id, digest)
        return password


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(cluster: EmbeddedPostgres) -> AsyncIterator[Database]:
    addresses = await new_installation(cluster)
    async with Database(addresses.serving) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def house(database: Database) -> House:
    """With nothing counted so far."""
    async with database.shared() as db:
        await db.execute("DELETE FROM login_buckets")
    return House(Checking(database, Keyring("a key of the tests that is long enough"), COST), datetime.now(UTC))


async def test_right_password_proves_the_account(house: House) -> None:
    account = await house.account()
    proof = await prove(account.attempt(), house.checking)
    assert (proof.user_id, proof.password_hash) == (account.id, await account.stored())
    assert (proof.second_factor, proof.app_password_id) == (False, None)


async def test_attempt_does_not_show_what_was_typed_when_it_is_printed(house: House) -> None:
    account = await house.account()
    assert PASSWORD not in repr(account.attempt(code="123456"))
    assert "123456" not in repr(account.attempt(code="123456"))


async def test_after_five_mistakes_even_the_right_password_has_to_wait(house: House) -> None:
    account = await house.account()
    assert [await account.answer("wrong") for _ in range(6)] == ["wrong-credentials"] * 5 + ["too-many-attempts"]
    assert await account.answer() == "too-many-attempts"
    house.wait(seconds=2)
    assert await account.answer() == "ok"


async def test_refused_attempt_checks_no_password(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await house.account()
    for _ in range(5):
        await account.answer("wrong")
    monkeypatch.setattr(bcrypt, "checkpw", None)
    assert await account.answer() == "too-many-attempts"


async def test_wait_grows_with_each_mistake_and_is_told(house: House) -> None:
    account = await house.account()
    for _ in range(5):
        await account.answer("wrong")
    told = []
    for _ in range(12):
        with pytest.raises(Problem) as refused:
            await prove(account.attempt(), house.checking)
        seconds = int(refused.value.headers["Retry-After"])
        told.append(seconds)
        house.wait(seconds=seconds)
        assert await account.answer("wrong") == "wrong-credentials"
    assert told == sorted(told)
    assert told[:3] == [2, 4, 8]
    assert told[-1] == 15 * 60


async def test_unknown_account_is_slowed_down_like_a_known_one(house: House) -> None:
    account = await house.account()
    nobody = Account(house, 0, "nobody@north.test")
    known = [await account.answer("wrong", at="192.0.2.7") for _ in range(7)]
    unknown = [await nobody.answer("wrong", at="192.0.2.8") for _ in range(7)]
    assert known == unknown


async def test_success_is_not_counted(house: House) -> None:
    account = await house.account()
    assert {await account.answer() for _ in range(20)} == {"ok"}
    assert [await account.answer("wrong") for _ in range(5)] == ["wrong-credentials"] * 5
    assert await house.value("SELECT coalesce(max(level), 0) FROM login_buckets WHERE level <> 5") == 0


async def test_place_is_known_after_the_first_success_there(house: House) -> None:
    account = await house.account()
    await account.answer("wrong")
    assert await house.value("SELECT count(*) FROM known_places WHERE user_id = $1", account.id) == 0
    await account.answer(at="2001:db8::7")
    assert await house.value("SELECT network FROM known_places WHERE user_id = $1", account.id) == "2001:db8::/64"


async def test_guesses_from_elsewhere_do_not_keep_the_owner_out_at_a_known_place(house: House) -> None:
    account = await house.account()
    assert await account.answer() == "ok"
    for number in range(30):
        await account.answer("wrong", at=f"198.51.100.{number}")
    assert await account.answer(at=ELSEWHERE) == "too-many-attempts"
    assert await account.answer() == "ok"


async def test_known_place_has_a_limit_of_its_own(house: House) -> None:
    account = await house.account()
    await account.answer()
    assert [await account.answer("wrong") for _ in range(6)][-1] == "too-many-attempts"
    assert await account.answer(at=ELSEWHERE) == "ok"


async def test_success_at_a_known_place_forgives_the_mistakes_made_there(house: House) -> None:
    account = await house.account()
    await account.answer()
    for _ in range(3):
        assert [await account.answer("wrong") for _ in range(4)] == ["wrong-credentials"] * 4
        assert await account.answer() == "ok"


async def test_success_at_an_unknown_place_does_not_forgive_what_strangers_tried(house: House) -> None:
    account = await house.account()
    for number in range(4):
        await account.answer("wrong", at=f"203.0.113.{number}")
    assert await account.answer(at=ELSEWHERE) == "ok"
    assert await account.answer("wrong", at="203.0.113.9") == "wrong-credentials"
    assert await account.answer("wrong", at="203.0.113.10") == "too-many-attempts"


async def test_place_is_unknown_again_after_its_days(house: House) -> None:
    account = await house.account()
    await account.answer()
    house.wait(days=PLACE_DAYS + 1)
    for number in range(6):
        await account.answer("wrong", at=f"198.51.100.{number}")
    assert await account.answer() == "too-many-attempts"


async def test_place_of_one_account_is_not_known_of_another(house: House) -> None:
    one, other = await house.account(), await house.account()
    await one.answer()
    for number in range(6):
        await other.answer("wrong", at=f"198.51.100.{number}")
    assert await other.answer() == "too-many-attempts"


async def test_network_that_guesses_at_many_accounts_is_slowed_down_and_others_are_not(house: House) -> None:
    account = await house.account()
    answers = [await Account(house, 0, f"nobody{n}@x.test").answer("wrong", at=ELSEWHERE) for n in range(52)]
    assert answers == ["wrong-credentials"] * 50 + ["too-many-attempts"] * 2
    assert await account.answer(at=ELSEWHERE) == "too-many-attempts"
    assert await account.answer(at="198.51.100.2") == "ok"


async def test_attempt_that_was_not_checked_because_all_are_busy_is_not_counted(house: House) -> None:
    account, gate = await house.account(), threading.Event()
    shares = shares_of(ELSEWHERE, "somebody else")
    waiting = [asyncio.ensure_future(passwords._sign_ins.run(gate.wait, shares)) for _ in range(MOST_OF_ADDRESS)]
    await asyncio.sleep(0)
    assert await account.answer(at=ELSEWHERE) == "busy"
    gate.set()
    await asyncio.gather(*waiting)
    assert await house.value("SELECT max(level) FROM login_buckets") == 0


# Hashes


@pytest.mark.parametrize("before", ["plain", "cheap", "dear"])
async def test_hash_of_another_form_or_cost_is_made_anew_at_the_next_login(house: House, before: str) -> None:
    stored = {
        "plain": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode(),
        "cheap": await hash_password(PASSWORD, cost=COST),
        "dear": await hash_password(PASSWORD, cost=COST + 2),
    }[before]
    cost = COST + 1
    house.checking = Checking(house.database, house.checking.keyring, cost)
    account = await house.account(stored)
    assert await account.answer("wrong") == "wrong-credentials"
    assert await account.stored() == stored
    proof = await prove(account.attempt(), house.checking)
    assert (await account.stored()).startswith(f"sha384$2b$0{cost}$")
    assert proof.password_hash == await account.stored()
    assert await account.answer() == "ok"
    assert await account.stored() == proof.password_hash


async def test_all_who_sign_in_while_the_hash_is_made_anew_succeed(house: House) -> None:
    account = await house.account(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode())
    attempts = (prove(account.attempt(at=f"192.0.2.{n}"), house.checking) for n in range(4))
    proofs = await asyncio.gather(*attempts)
    async with house.database.shared() as db:
        assert all([await lock_credentials(db, account.id, proof.password_hash) for proof in proofs])


async def test_password_that_is_changed_during_a_login_is_not_put_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await house.account(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode())
    other, check = await hash_password("Another-Horse-8", cost=COST), passwords._check
    held = threading.Event()

    def slow(password: str, stored: str, cost: int) -> bool:
        matches = check(password, stored, cost)
        held.wait(20)
        return matches

    monkeypatch.setattr(passwords, "_check", slow)
    login = asyncio.ensure_future(account.answer())
    while not await house.value("SELECT count(*) FROM login_buckets"):
        pass
    await house.value("UPDATE users SET password_hash = $2 WHERE id = $1", account.id, other)
    held.set()
    assert await login == "wrong-credentials"
    assert await account.stored() == other


async def test_account_that_is_deleted_during_a_login_is_signed_in_to_by_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await house.account()

    async def and_is_deleted(password: str, stored: str, **more: Any) -> bool:
        is_right = await check_password(password, stored, **more)
        await house.value("DELETE FROM users WHERE id = $1", account.id)
        return is_right

    monkeypatch.setattr("server.auth.login.check_password", and_is_deleted)
    proof = await prove(account.attempt(), house.checking)
    async with house.database.shared() as db:
        assert not await lock_credentials(db, proof.user_id, proof.password_hash)


@pytest.mark.parametrize("stored", ["", "!", f"$2b$12${'.' * 53}"])
async def test_account_without_a_password_is_signed_in_by_none(house: House, stored: str) -> None:
    account = await house.account(stored)
    for password in ["", "!", stored]:
        assert await account.answer(password) == "wrong-credentials"


# Second factor


async def test_second_factor_is_asked_for_after_the_right_password_alone(house: House) -> None:
    account = await house.account()
    await account.set_up_factor()
    assert await account.answer("wrong") == "wrong-credentials"
    assert await account.answer() == "second-factor-required"
    assert await account.answer("wrong", code="123456") == "wrong-credentials"


async def test_right_password_and_code_prove_both(house: House) -> None:
    account = await house.account()
    codes = await account.set_up_factor()
    proof = await prove(account.attempt(code=codes.at(house.now)), house.checking)
    assert proof.second_factor


async def test_code_is_good_once(house: House) -> None:
    account = await house.account()
    codes = await account.set_up_factor()
    code = codes.at(house.now)
    assert [await account.answer(code=code) for _ in range(2)] == ["ok", "wrong-code"]


async def test_code_is_not_used_up_where_another_login_has_just_made_the_hash_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await house.account(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode())
    codes, made_elsewhere = await account.set_up_factor(), await hash_password(PASSWORD, cost=COST)

    async def too_late(password: str, *, cost: int) -> str:
        await house.value("UPDATE users SET password_hash = $2 WHERE id = $1", account.id, made_elsewhere)
        return await hash_password(password, cost=cost)

    monkeypatch.setattr("server.auth.login.hash_password", too_late)
    assert await account.answer(code=codes.at(house.now)) == "ok"
    assert await account.stored() == made_elsewhere


async def test_asking_for_the_code_makes_no_place_known_and_counts_nothing(house: House) -> None:
    account = await house.account()
    await account.set_up_factor()
    assert {await account.answer() for _ in range(10)} == {"second-factor-required"}
    assert await house.value("SELECT count(*) FROM known_places WHERE user_id = $1", account.id) == 0


async def wrong_codes(account: Account, times: int, at: str) -> list[str]:
    """Guesses with the right password, each as soon as the password alone would be let through."""
    answers = []
    for _ in range(times):
        account.house.wait(seconds=20)
        answers.append(await account.answer(code="000000", at=at))
    return answers


async def test_guessing_codes_with_the_right_password_is_slowed_down_from_wherever(house: House) -> None:
    account = await house.account()
    codes = await account.set_up_factor()
    answers = [(await wrong_codes(account, 1, f"198.51.100.{n}"))[0] for n in range(20)]
    assert answers[:5] == ["wrong-code"] * 5
    assert answers.count("wrong-code") < 10
    assert await account.answer(code=codes.at(house.now), at="203.0.113.1") == "too-many-attempts"


async def test_guesser_of_codes_cannot_have_his_guesses_forgotten_by_asking_again(house: House) -> None:
    account = await house.account()
    await account.set_up_factor()
    for _ in range(4):
        await wrong_codes(account, 1, ELSEWHERE)
        assert await account.answer(at=ELSEWHERE) == "second-factor-required"
    assert (await wrong_codes(account, 6, ELSEWHERE)).count("wrong-code") <= 3


async def test_who_guesses_codes_elsewhere_does_not_keep_the_owner_out(house: House) -> None:
    account = await house.account()
    codes = await account.set_up_factor()
    assert await account.answer(code=codes.at(house.now)) == "ok"
    await wrong_codes(account, 15, ELSEWHERE)
    assert await account.answer(code=codes.at(house.now)) == "ok"


# App passwords


async def test_app_password_proves_the_account_for_syncing(house: House) -> None:
    account = await house.account()
    await account.set_up_factor()
    proof = await prove(account.attempt(await account.app_password()), house.checking)
    assert (proof.user_id, proof.app_password_id is not None) == (account.id, True)


async def test_app_password_is_let_through_while_strangers_guess_at_the_account(house: House) -> None:
    account = await house.account()
    password = await account.app_password()
    for number in range(10):
        await account.answer("wrong", at=f"198.51.100.{number}")
    assert await account.answer() == "too-many-attempts"
    assert await account.answer(password) == "ok"


async def test_app_password_is_no_password_where_its_owner_is_asked_for_hers(house: House) -> None:
    account = await house.account()
    password = await account.app_password()
    with pytest.raises(Problem, match=r"auth\.wrong-credentials"):
        await prove_in_person(account.attempt(password), house.checking)
    with pytest.raises(Problem, match=r"auth\.wrong-password"):
        await check_own_password(account.attempt(password), house.checking)


async def test_app_password_of_another_account_is_wrong(house: House) -> None:
    one, other = await house.account(), await house.account()
    assert await other.answer(await one.app_password()) == "wrong-credentials"


# One's own password, signed in


async def test_own_password_is_checked_without_a_code_and_as_slowly_as_a_login(house: House) -> None:
    account = await house.account()
    await account.set_up_factor()
    proof = await check_own_password(account.attempt(), house.checking)
    assert proof.user_id == account.id
    codes = []
    for _ in range(7):
        with pytest.raises(Problem) as refused:
            await check_own_password(account.attempt("wrong"), house.checking)
        codes.append((refused.value.status, refused.value.code))
    assert codes == [(403, "auth.wrong-password")] * 5 + [(429, "auth.too-many-attempts")] * 2
