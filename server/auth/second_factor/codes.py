"""Checking what somebody shows as a second factor: a code of the moment, or a recovery code."""

import hmac
from datetime import datetime
from typing import Final

from pyotp import TOTP

from server.auth.codes import digest_of, make_code
from server.auth.second_factor import queries
from server.db import Connection
from server.kit.problem import ProblemKind
from server.vault import KeyMissing, Keyring, NotSealed

SEED_UNREADABLE = ProblemKind(
    "auth.second-factor-unreadable",
    503,
    "The server has lost the key to codes of this kind. Use a recovery code, or ask an operator to reset the second "
    "factor.",
)

RECOVERY_CODES: Final = 10
_DIGITS: Final = 6
_STEPS_AWRY: Final = 1
"""By how many steps of 30 seconds the clock of somebody's device may be ahead or behind."""

_GROUPS, _CHARACTERS = 4, 4
"""A recovery code: 16 characters of 5 bits."""


def place_of_seed(user_id: int) -> str:
    """Where the keyring is told that the seed of an account stands."""
    return f"user {user_id} second factor"


async def is_set_up(db: Connection, user_id: int) -> bool:
    """Whether the account has a second factor, confirmed with a first code. `db` is on the shared schema."""
    return await queries.has_confirmed(db, user_id)


async def accept_code(db: Connection, user_id: int, code: str, at: datetime, *, keyring: Keyring) -> bool:
    """Whether the code is good, be it one of the moment or a recovery code; if so, it is used up with the transaction.

    Of two who show the same one at once, one is believed. Raises `auth.second-factor-unreadable` (503) for a code of
    the moment when the key that sealed the account's seed is gone; recovery codes hold without it. How often somebody
    may try is not counted here.
    """
    plain = plain_digits(code)
    if plain is None:
        digest = digest_of(code, _GROUPS * _CHARACTERS)
        return digest is not None and await queries.take_recovery_code(db, user_id, digest)
    factor = await queries.find_factor(db, user_id)
    if factor is None or factor["confirmed_at"] is None:
        return False
    step = step_of(opened_seed(keyring, user_id, factor["seed"]), plain, at)
    return step is not None and await queries.take_step(db, user_id, step)


async def reset(db: Connection, user_id: int) -> bool:
    """Removes the account's second factor and ends its sessions but those of app passwords. False without a factor."""
    if not await queries.delete_factor(db, user_id):
        return False
    await queries.end_sessions(db, user_id)
    return True


def plain_digits(code: str) -> str | None:
    """The six digits that were typed, perhaps in groups; None for anything else."""
    plain = code.replace(" ", "")
    return plain if len(plain) == _DIGITS and plain.isascii() and plain.isdigit() else None


def step_of(seed: str, digits: str, at: datetime) -> int | None:
    """The newest time step about now whose code these digits are."""
    codes = TOTP(seed, digits=_DIGITS)
    now = codes.timecode(at)
    steps = range(now - _STEPS_AWRY, now + _STEPS_AWRY + 1)
    matching = [step for step in steps if hmac.compare_digest(codes.generate_otp(step), digits)]
    return max(matching, default=None)


def opened_seed(keyring: Keyring, user_id: int, sealed: str) -> str:
    """The seed in the clear. Raises `auth.second-factor-unreadable`."""
    try:
        return keyring.open(sealed, place=place_of_seed(user_id))
    except (KeyMissing, NotSealed):
        raise SEED_UNREADABLE() from None


def make_recovery_codes() -> dict[str, bytes]:
    """New recovery codes, each with what is stored of it."""
    codes = [make_code(_GROUPS, _CHARACTERS) for _ in range(RECOVERY_CODES)]
    return {code: _digest(code) for code in codes}


def _digest(code: str) -> bytes:
    digest = digest_of(code, _GROUPS * _CHARACTERS)
    assert digest is not None
    return digest
