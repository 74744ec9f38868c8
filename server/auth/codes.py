"""Codes that the server makes and people copy by hand: recovery codes and app passwords.

They hold so much chance that nobody finds one by trying, not even with the digest at hand. So the digest is a plain
SHA-256: the slow hash of a password that somebody thought up would protect nothing here.
"""

import hashlib
import secrets
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Digits and letters without those that look like another: five bits each."""

_LOOK_ALIKES: Final = str.maketrans("OIL", "011")
_BETWEEN: Final = str.maketrans("", "", " -\t\u00a0\u2010\u2011\u2012\u2013\u2014\u2212")
_MOST_TYPED: Final = 100


def make_code(groups: int, characters: int) -> str:
    """A new code of so many groups of so many characters: `7KQ3-0ZVM-…`."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(characters)) for _ in range(groups))


def digest_of(typed: str, characters: int) -> bytes | None:
    """What is stored of a code of so many characters in all, however it was typed; None for what cannot be one.

    Case, spaces and dashes make no difference, nor does an O for a zero, an I or an L for a one.
    """
    if len(typed) > _MOST_TYPED:
        return None
    plain = typed.translate(_BETWEEN).upper().translate(_LOOK_ALIKES)
    if len(plain) != characters or not set(plain) <= set(_ALPHABET):
        return None
    return hashlib.sha256(plain.encode("ascii")).digest()
