"""The endpoints of one's own second factor."""

from typing import Final
from urllib.parse import urlsplit

import segno
from pyotp import TOTP, random_base32

from server.audit import author_of, record
from server.auth.login import Checking
from server.auth.model import Message
from server.auth.passwords import check_password
from server.auth.queries import lock_account
from server.auth.second_factor import queries
from server.auth.second_factor.codes import (
    accept_code,
    make_recovery_codes,
    opened_seed,
    place_of_seed,
    plain_digits,
    step_of,
)
from server.auth.second_factor.model import RecoveryCodes, SecondFactorBegun, SecondFactorState
from server.auth.throttling.rules import CODE
from server.auth.throttling.subjects import Bucket
from server.auth.throttling.throttle import give_back, reserve
from server.db import Connection
from server.db.connection import Row
from server.kit.call import Call
from server.kit.problem import FieldError, Problem, ProblemKind
from server.vault import KeyMissing, Keyring, NotSealed

SET_UP_ALREADY = ProblemKind("second-factor.set-up-already", 409, "You have a second factor already: remove it first.")
NOT_BEGUN = ProblemKind("second-factor.not-begun", 409, "There is no second factor that waits for a first code.")
NOT_SET_UP = ProblemKind("second-factor.not-set-up", 404, "You have no second factor.")
WRONG_PASSWORD = ProblemKind("second-factor.wrong-password", 403, "This is not your password.")
WRONG_CODE = ProblemKind("second-factor.wrong-code", 403, "This code is wrong, or was used before.")

ISSUER: Final = "Croft"
_MODULE_PIXELS = 5


async def show_state(call: Call, *, keyring: Keyring) -> SecondFactorState:
    """Whether the caller has a second factor, and how many recovery codes are left."""
    row = await queries.find_factor(call.db, call.caller.account_id)
    if row is None:
        return SecondFactorState(state="off", since=None, recoveryCodesLeft=0, isReadable=True)
    return SecondFactorState(
        state="on" if row["confirmed_at"] else "begun",
        since=row["confirmed_at"] or row["begun_at"],
        recoveryCodesLeft=row["recovery_codes"],
        isReadable=_is_readable(keyring, call.caller.account_id, row),
    )


async def begin(call: Call, *, checking: Checking) -> SecondFactorBegun:
    """Begins to set up a second factor, in place of one that was begun and never confirmed.

    Raises `second-factor.wrong-password` and `second-factor.set-up-already`.
    """
    user_id = call.caller.account_id
    if _is_on(await _factor(call, checking)):
        raise SET_UP_ALREADY()
    await _check_password(call, checking)
    seed = random_base32()
    sealed = checking.keyring.seal(seed, place=place_of_seed(user_id))
    async with checking.database.shared() as db:
        if not await queries.begin(db, user_id, sealed, call.at):
            raise SET_UP_ALREADY()
        await give_back(db, _attempts_of(call))
        await _record(db, call, "second-factor.begun")
    return _begun(call, seed)


async def confirm(call: Call, *, checking: Checking) -> RecoveryCodes:
    """Takes the first code; from then on a second factor is asked for at each login. Answers the recovery codes.

    This session counts as one that showed it. The account's other sessions are ended: each of them was opened with the
    password alone, by somebody who may not be its owner. Those of app passwords stay, which can do nothing but sync; an
    app password that was made before does not count where a second factor is asked for.

    Raises `second-factor.not-begun` and `second-factor.wrong-code`.
    """
    user_id, session_id = call.caller.account_id, call.caller.session_id
    factor = await _factor(call, checking)
    if factor is None or _is_on(factor):
        raise NOT_BEGUN()
    await reserve(checking.database, _attempts_of(call), call.at)
    step = _step_shown(call, checking.keyring, factor)
    async with checking.database.shared() as db:
        await lock_account(db, user_id)
        if not await queries.confirm(db, user_id, factor["seed"], call.at, step):
            raise NOT_BEGUN()
        codes = make_recovery_codes()
        await queries.replace_recovery_codes(db, user_id, list(codes.values()))
        await queries.mark_session(db, session_id, call.at)
        await queries.end_sessions(db, user_id, but=session_id)
        await give_back(db, _attempts_of(call))
        await _record(db, call, "second-factor.set-up")
    return RecoveryCodes(recoveryCodes=list(codes))


async def remove(call: Call, *, checking: Checking) -> Message:
    """Removes the second factor. Where one is asked for, the account's sessions lack it from now on.

    Raises `second-factor.wrong-password`, `second-factor.wrong-code` and `second-factor.not-set-up`.
    """
    user_id = call.caller.account_id
    await _check_owner(call, checking)
    async with checking.database.shared() as db:
        await _take_code(db, call, checking)
        await queries.delete_factor(db, user_id)
        await queries.unmark_sessions(db, user_id)
        await _record(db, call, "second-factor.removed")
    return Message(message="The second factor is removed")


async def renew_recovery_codes(call: Call, *, checking: Checking) -> RecoveryCodes:
    """New recovery codes; the old ones hold no longer, the one that was shown for it included.

    Raises `second-factor.wrong-password`, `second-factor.wrong-code` and `second-factor.not-set-up`.
    """
    await _check_owner(call, checking)
    codes = make_recovery_codes()
    async with checking.database.shared() as db:
        await _take_code(db, call, checking)
        await queries.replace_recovery_codes(db, call.caller.account_id, list(codes.values()))
        await _record(db, call, "second-factor.recovery-codes-renewed")
    return RecoveryCodes(recoveryCodes=list(codes))


async def _factor(call: Call, checking: Checking) -> Row | None:
    async with checking.database.shared(readonly=True) as db:
        return await queries.find_factor(db, call.caller.account_id)


def _is_on(factor: Row | None) -> bool:
    return factor is not None and factor["confirmed_at"] is not None


async def _check_owner(call: Call, checking: Checking) -> None:
    if not _is_on(await _factor(call, checking)):
        raise NOT_SET_UP()
    await _check_password(call, checking)


async def _check_password(call: Call, checking: Checking) -> None:
    """Counts an attempt and checks the password. What follows gives the attempt back when all was right.

    No connection is held while the password is checked.
    """
    await reserve(checking.database, _attempts_of(call), call.at)
    async with checking.database.shared(readonly=True) as db:
        stored = await queries.find_password_hash(db, call.caller.account_id)
    if not await check_password(call.body.password, stored, cost=checking.bcrypt_cost):
        raise WRONG_PASSWORD(errors=[FieldError("password", "This is not your password.")])


async def _take_code(db: Connection, call: Call, checking: Checking) -> None:
    if not await accept_code(db, call.caller.account_id, call.body.code, call.at, keyring=checking.keyring):
        raise _wrong_code()
    await give_back(db, _attempts_of(call))


def _step_shown(call: Call, keyring: Keyring, factor: Row) -> int:
    digits = plain_digits(call.body.code)
    seed = opened_seed(keyring, call.caller.account_id, factor["seed"])
    step = None if digits is None else step_of(seed, digits, call.at)
    if step is None:
        raise _wrong_code()
    return step


def _attempts_of(call: Call) -> tuple[Bucket, ...]:
    """Where it is counted what the account's sessions show: apart from logins, so that no stranger is in the way."""
    return (Bucket.of(CODE, "own factor", call.caller.account),)


def _is_readable(keyring: Keyring, user_id: int, factor: Row) -> bool:
    try:
        keyring.open(factor["seed"], place=place_of_seed(user_id))
    except (KeyMissing, NotSealed):
        return False
    return True


def _begun(call: Call, seed: str) -> SecondFactorBegun:
    host = urlsplit(call.origin).hostname
    issuer = f"{ISSUER} {host}" if host else ISSUER
    uri = TOTP(seed, name=call.caller.email, issuer=issuer).provisioning_uri()
    image = segno.make_qr(uri, error="m").svg_data_uri(scale=_MODULE_PIXELS)
    return SecondFactorBegun(seed=seed, uri=uri, qrCode=image)


def _wrong_code() -> Problem:
    return WRONG_CODE(errors=[FieldError("code", "This code is wrong, or was used before.")])


async def _record(db: Connection, call: Call, action: str) -> None:
    await record(db, author_of(call), action, f"user:{call.caller.account_id}")
