"""What tests of keys put into a database: tenants with secrets in their configs, second factors with their seeds."""

import asyncpg
import orjson

from server.app_configs.sealing import open_document, place_of_config
from server.auth.second_factor import place_of_seed
from server.starting import Addresses
from server.vault import Keyring
from tests.conftest import Croft, TenantHandle

OLD = "the old key of these tests that is long enough"
NEW = "the new key of these tests that is long enough"


def external_sync(number: int) -> dict[str, object]:
    """A section with two secrets, one of them a number."""
    fields = [{"name": "pin", "value": 100_000 + number}]
    return {"type": "openspp", "url": "https://a.example.org", "password": f"hunter2-{number}", "extraFields": fields}


async def tenants_with_secrets(croft: Croft, how_many: int) -> list[TenantHandle]:
    """Tenants whose externalSync is `external_sync` of 0, 1, …"""
    return [await croft.tenant({"externalSync": external_sync(number)}) for number in range(how_many)]


async def account_with_seed(croft: Croft, keyring: Keyring, email: str, seed: str) -> int:
    """An account with a confirmed second factor."""
    answer = await croft.operator.post(
        "/api/users", json={"email": email, "password": "Correct-Horse-7", "role": "USER"}
    )
    assert answer.status_code == 201, answer.text
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        user_id = await db.fetchval("SELECT id FROM croft.users WHERE email = $1", email)
        sealed = keyring.seal(seed, place=place_of_seed(user_id))
        await db.execute(
            "INSERT INTO croft.second_factors (user_id, seed, begun_at, confirmed_at) VALUES ($1, $2, now(), now())",
            user_id,
            sealed,
        )
        return int(user_id)
    finally:
        await db.close()


async def value(addresses: Addresses, sql: str, *args: object) -> object:
    """The first value that the SQL gives, as the serving login."""
    db = await asyncpg.connect(addresses.direct)
    try:
        return await db.fetchval(f"SET search_path = croft; {sql}" if not args else sql, *args)
    finally:
        await db.close()


async def present_sections(addresses: Addresses, keyring: Keyring) -> dict[str, dict[str, object]]:
    """The externalSync of each tenant's present config, opened, by the tenant's config id."""
    db = await asyncpg.connect(addresses.direct)
    try:
        rows = await db.fetch(
            "SELECT t.id, t.config_id, v.document::text AS document FROM croft.tenants t "
            "JOIN croft.config_versions v ON v.tenant_id = t.id AND v.number = t.config_number"
        )
    finally:
        await db.close()
    return {
        row["config_id"]: open_document(orjson.loads(row["document"]), keyring, place_of_config(row["id"]))[
            "externalSync"
        ]
        for row in rows
    }


async def seeds(addresses: Addresses, keyring: Keyring) -> dict[int, str]:
    """The seeds of all second factors, opened, by the account's number."""
    db = await asyncpg.connect(addresses.direct)
    try:
        rows = await db.fetch("SELECT user_id, seed FROM croft.second_factors")
    finally:
        await db.close()
    return {row["user_id"]: keyring.open(row["seed"], place=place_of_seed(row["user_id"])) for row in rows}
