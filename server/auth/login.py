"""Proving whose an account is: by its password and, where it has one, a second factor; or by an app password."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from server.auth import queries, second_factor
from server.auth.app_passwords import AppPassword, find_app_password
from server.auth.app_passwords.queries import note_use
from server.auth.model import Proof
from server.auth.passwords import check_password, hash_password, needs_rehash, shares_of
from server.auth.throttling import subjects
from server.auth.throttling.queries import mark_place
from server.auth.throttling.subjects import Bucket, network_of
from server.auth.throttling.throttle import clear, give_back, reserve
from server.db import Connection, Database
from server.db.connection import Row
from server.kit.problem import Problem, ProblemKind
from server.vault import Keyring

WRONG_CREDENTIALS = ProblemKind("auth.wrong-credentials", 401, "Invalid email or password")
SECOND_FACTOR_REQUIRED = ProblemKind(
    "auth.second-factor-required",
    401,
    "This account has a second factor: send its code, too. A phone that cannot signs in with an app password.",
)
WRONG_PASSWORD = ProblemKind("auth.wrong-password", 403, "This is not your password.")
WRONG_CODE = ProblemKind("auth.wrong-code", 401, "The code is wrong, over, or was used before.")

_MOST_CHECKS: Final = 3
"""How often a password is checked where its hash is made anew meanwhile, by another login with the same password."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody shows who wants to sign in, from which address, and when. The e-mail address is as typed."""

    email: str
    password: str = field(repr=False)
    address: str
    at: datetime
    code: str | None = field(default=None, repr=False)

    @property
    def network(self) -> str:
        return network_of(self.address)


@dataclass(frozen=True, slots=True)
class Checking:
    """What logins are checked with: the database, the key of second factors, and the cost of new hashes."""

    database: Database
    keyring: Keyring
    bcrypt_cost: int


async def prove(attempt: Attempt, checking: Checking) -> Proof:
    """The proof that an attempt gives. To be called outside of a transaction; none is open while a password is checked.

    Raises `auth.too-many-attempts` (429), also for the right password, `auth.busy` (429), `auth.wrong-credentials`
    (401), and after the right password `auth.second-factor-required` or `auth.wrong-code` (401). Nobody learns from
    an answer, or from its time, whether it is the account that is unknown. A success makes the place a known one.

    An app password is too long to be guessed: the right one is never held up.
    """
    async with checking.database.shared(readonly=True) as db:
        app_password = await find_app_password(db, attempt.email, attempt.password, attempt.at)
    if app_password is not None:
        return await _proof_of_app_password(app_password, attempt, checking)
    return await prove_in_person(attempt, checking)


async def prove_in_person(attempt: Attempt, checking: Checking) -> Proof:
    """The same, by the account's own password alone."""
    return await _proof_by_password(attempt, checking, asks_factor=True)


async def check_own_password(attempt: Attempt, checking: Checking) -> Proof:
    """The proof that somebody who is signed in knows the password of her account, as slowly as if she signed in.

    `email` is the account's. No second factor is asked for: the session was opened with it. Raises
    `auth.wrong-password` (403), `auth.too-many-attempts` and `auth.busy`.
    """
    try:
        return await _proof_by_password(attempt, checking, asks_factor=False)
    except Problem as problem:
        if problem.code == WRONG_CREDENTIALS.code:
            raise WRONG_PASSWORD() from None
        raise


async def _proof_by_password(attempt: Attempt, checking: Checking, *, asks_factor: bool) -> Proof:
    for _ in range(_MOST_CHECKS):
        proof = await _proof(attempt, checking, asks_factor=asks_factor)
        if proof is not None:
            return proof
    raise WRONG_CREDENTIALS()


async def _proof_of_app_password(found: AppPassword, attempt: Attempt, checking: Checking) -> Proof:
    async with checking.database.shared() as db:
        await note_use(db, found.id, attempt.at)
    return Proof(found.user_id, found.password_hash, second_factor=found.second_factor, app_password_id=found.id)


async def _proof(attempt: Attempt, checking: Checking, *, asks_factor: bool) -> Proof | None:
    """None where the hash was replaced between the check and the end."""
    async with checking.database.shared(readonly=True) as db:
        account = await queries.find_login(db, attempt.email.strip(), attempt.network, attempt.at)
        # Asked for an unknown account, too: it takes as long.
        has_factor = await second_factor.is_set_up(db, account["id"] if account else 0)
    is_known_place = account is not None and bool(account["is_known_place"])
    buckets = subjects.of_login(attempt.email, attempt.network, is_known_place=is_known_place)
    await reserve(checking.database, buckets, attempt.at)
    if not await _is_right(attempt, account, buckets, checking) or account is None:
        raise WRONG_CREDENTIALS()
    if not (has_factor and asks_factor):
        return await _accepted(attempt, account, buckets, checking)
    if not attempt.code:
        await _return(buckets, checking)
        raise SECOND_FACTOR_REQUIRED()
    of_code = subjects.of_code(account["id"], attempt.network, is_known_place=is_known_place)
    await reserve(checking.database, of_code, attempt.at)
    return await _accepted(attempt, account, [*buckets, *of_code], checking, code=attempt.code)


async def _is_right(attempt: Attempt, account: Row | None, buckets: Sequence[Bucket], checking: Checking) -> bool:
    stored = account["password_hash"] if account else None
    shares = shares_of(attempt.address, attempt.email)
    try:
        return await check_password(attempt.password, stored, cost=checking.bcrypt_cost, shares=shares)
    except Problem:
        # Nothing was checked, so nobody can have learned anything.
        await _return(buckets, checking)
        raise


async def _accepted(
    attempt: Attempt, account: Row, buckets: Sequence[Bucket], checking: Checking, *, code: str | None = None
) -> Proof | None:
    user_id, stored = account["id"], account["password_hash"]
    fresh = stored
    if needs_rehash(stored, cost=checking.bcrypt_cost):
        fresh = await hash_password(attempt.password, cost=checking.bcrypt_cost)
    async with checking.database.shared() as db:
        if fresh != stored and not await queries.replace_hash(db, user_id, stored, fresh):
            # Before the code is used up: it is shown once more.
            await give_back(db, buckets)
            return None
        if code is not None and not await _accept_code(db, user_id, code, attempt.at, checking.keyring):
            raise WRONG_CODE()
        await _reward(db, attempt, account, buckets)
    return Proof(user_id, fresh, second_factor=code is not None)


async def _accept_code(db: Connection, user_id: int, code: str, at: datetime, keyring: Keyring) -> bool:
    return await second_factor.accept_code(db, user_id, code, at, keyring=keyring)


async def _reward(db: Connection, attempt: Attempt, account: Row, buckets: Sequence[Bucket]) -> None:
    """Gives the attempt back. What was tried at a known place is forgotten; elsewhere a stranger may have tried it."""
    await give_back(db, buckets)
    if account["is_known_place"]:
        await clear(db, buckets[0])
    await mark_place(db, account["id"], attempt.network, attempt.at)


async def _return(buckets: Sequence[Bucket], checking: Checking) -> None:
    async with checking.database.shared() as db:
        await give_back(db, buckets)
