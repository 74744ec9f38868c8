"""The vault: secrets that have to be read again are encrypted where they are stored."""

from server.vault.keyring import KeyMissing, Keyring, NotSealed

__all__ = ["KeyMissing", "Keyring", "NotSealed"]
