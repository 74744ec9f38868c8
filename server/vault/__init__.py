"""The vault: secrets that have to be read again are encrypted where they are stored."""

from server.vault.keyring import KeyMissing, Keyring, NotSealed, key_id_of

__all__ = ["KeyMissing", "Keyring", "NotSealed", "key_id_of"]
