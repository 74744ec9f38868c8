"""Sealing texts with AES-256-GCM. Each sealed text names the key it was sealed with, so that keys can be changed.

A sealed text reads `sealed:<id of the key>:<nonce and ciphertext in base64url>`.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEALED_PREFIX = "sealed:"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_CHARACTERS = 8
_FORM = re.compile(r"sealed:([0-9a-f]{8}):[A-Za-z0-9_-]{38,}={0,2}")


class NotSealed(Exception):
    """The text is not sealed, was altered, or belongs to another place."""


class KeyMissing(Exception):
    """The text was sealed with a key that this server does not have. `key_id` names it."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the key {key_id} is not there")
        self.key_id = key_id


class Keyring:
    """Seals with the first of its keys, opens with any. A key is a text of at least 32 random characters."""

    def __init__(self, key: str, others: Sequence[str] = ()) -> None:
        self._keys = {_id_of(each): AESGCM(_derived(each)) for each in (key, *others)}
        self.current = _id_of(key)

    def seal(self, text: str, *, place: str) -> str:
        """The sealed text. `place` says where it will be stored, such as `tenant 12 config`: it opens only there."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._keys[self.current].encrypt(nonce, text.encode(), place.encode())
        return f"{SEALED_PREFIX}{self.current}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, *, place: str) -> str:
        """What was sealed for the place. Raises NotSealed and KeyMissing."""
        key_id, raw = _parts(sealed)
        key = self._keys.get(key_id)
        if key is None:
            raise KeyMissing(key_id)
        try:
            return key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode()).decode()
        except InvalidTag:
            raise NotSealed from None

    def is_current(self, sealed: str) -> bool:
        """Whether it was sealed with the key that seals now."""
        return sealed.startswith(f"{SEALED_PREFIX}{self.current}:")

    def has_key(self, key_id: str) -> bool:
        """Whether what the key sealed can be opened."""
        return key_id in self._keys


def key_id_of(text: str) -> str | None:
    """The id of the key that a text was sealed with; None where it does not look like a sealed text."""
    found = _FORM.fullmatch(text)
    return found[1] if found else None


def _parts(sealed: str) -> tuple[str, bytes]:
    key_id = key_id_of(sealed)
    if key_id is None:
        raise NotSealed
    try:
        return key_id, base64.urlsafe_b64decode(sealed.rpartition(":")[2])
    except binascii.Error:
        raise NotSealed from None


def _id_of(key: str) -> str:
    return hashlib.sha256(b"croft key id\0" + key.encode()).hexdigest()[:_ID_CHARACTERS]


def _derived(key: str) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"croft secrets at rest").derive(key.encode())
