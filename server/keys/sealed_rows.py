"""Everything in the database that is sealed. What is sealed in a new place gets a class here and a line in KINDS.

`croft secrets status` and `croft secrets rotate` go through all of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from server.app_configs.sealing import open_document, place_of_config, seal_document
from server.app_configs.secrets import FREE_OF_SECRETS, change_secrets
from server.auth.second_factor import place_of_seed
from server.db import Connection
from server.keys import queries
from server.kit.strict_json import dump_json
from server.vault import KeyMissing, Keyring, NotSealed, key_id_of


@dataclass(frozen=True, slots=True)
class Row:
    """A row that holds secrets: what identifies it, the place it seals for, its sealed texts.

    `plain` is how many secrets in it are not sealed, from before there were keys.
    """

    key: tuple[int, ...]
    place: str
    sealed: tuple[str, ...]
    plain: int = 0

    def needs(self, keyring: Keyring) -> bool:
        """Whether sealing it anew changes anything: one that no key opens stays as it is."""
        return self.plain > 0 or any(
            not keyring.is_current(each) and opens(keyring, each, self.place) for each in self.sealed
        )


class Kind(Protocol):
    """One column that is sealed. Its rows are read in the order of their keys."""

    @property
    def name(self) -> str: ...
    @property
    def before_all(self) -> tuple[int, ...]: ...
    @property
    def batch(self) -> int: ...

    async def count(self, db: Connection) -> int:
        """How many rows there are."""

    async def list_after(self, db: Connection, key: Sequence[int]) -> list[Row]:
        """The next rows, at most `batch`."""

    async def renew(self, db: Connection, row: Row, keyring: Keyring) -> bool:
        """Seals the row with the key that seals now. False where somebody else changed it meanwhile."""


def opens(keyring: Keyring, sealed: str, place: str) -> bool:
    """Whether the keyring opens a sealed text."""
    try:
        keyring.open(sealed, place=place)
    except (KeyMissing, NotSealed):
        return False
    return True


class ConfigSecrets:
    """Secrets of app configs, in every version that is kept. Sealing keeps them all or none in a version."""

    name: Final = "app configs"
    before_all: Final = (0, 0)
    batch: Final = 20

    async def count(self, db: Connection) -> int:
        """How many versions there are."""
        return await queries.count_configs(db)

    async def list_after(self, db: Connection, key: Sequence[int]) -> list[Row]:
        """The next versions, without their forms and seed data, which may be large and hold no secrets."""
        tenant_id, number = key
        rows = await queries.list_configs_after(db, tenant_id, number, list(FREE_OF_SECRETS), self.batch)
        return [_config_row((row["tenant_id"], row["number"]), orjson.loads(row["part"] or "{}")) for row in rows]

    async def renew(self, db: Connection, row: Row, keyring: Keyring) -> bool:
        """Seals every secret of the version that can be opened."""
        tenant_id, number = row.key
        before = await queries.find_config(db, tenant_id, number)
        if before is None:
            return False
        opened = open_document(orjson.loads(before), keyring, row.place)
        after = dump_json(seal_document(opened, keyring, row.place)).decode()
        return await queries.replace_config(db, tenant_id, number, before, after)


class SecondFactorSeeds:
    """Seeds of second factors."""

    name: Final = "second factors"
    before_all: Final = (0,)
    batch: Final = 200

    async def count(self, db: Connection) -> int:
        """How many second factors there are."""
        return await queries.count_seeds(db)

    async def list_after(self, db: Connection, key: Sequence[int]) -> list[Row]:
        """The next second factors."""
        [user_id] = key
        rows = await queries.list_seeds_after(db, user_id, self.batch)
        return [Row((row["user_id"],), place_of_seed(row["user_id"]), (row["seed"],)) for row in rows]

    async def renew(self, db: Connection, row: Row, keyring: Keyring) -> bool:
        """Seals the seed."""
        [user_id], [before] = row.key, row.sealed
        after = keyring.seal(keyring.open(before, place=row.place), place=row.place)
        return await queries.replace_seed(db, user_id, before, after)


KINDS: Final[tuple[Kind, ...]] = (ConfigSecrets(), SecondFactorSeeds())


def _config_row(key: tuple[int, int], part: dict[str, Any]) -> Row:
    secrets = list(_secrets_in(part))
    sealed = tuple(text for text in secrets if isinstance(text, str) and key_id_of(text))
    return Row(key, place_of_config(key[0]), sealed, len(secrets) - len(sealed))


def _secrets_in(part: dict[str, Any]) -> Iterator[Any]:
    found: list[Any] = []
    change_secrets(part, found.append)
    return iter(found)
