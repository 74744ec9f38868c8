"""The server is restored from a backup, and the devices give it back what it lost."""

import asyncio
from pathlib import Path

import asyncpg

from server.db.embedded import EmbeddedPostgres
from server.device import Device, SyncReport
from server.starting import Addresses
from tests.conftest import PASSWORD, new_database, small_config, start_croft, upload_of

NAMES = ("amina", "teo")


async def copy_of(addresses: Addresses, cluster: EmbeddedPostgres, suffix: str) -> Addresses:
    """Another database with the same content, as from a backup."""
    db = await asyncpg.connect(addresses.direct)
    name = await db.fetchval("SELECT current_database()")
    await db.close()
    db = await asyncpg.connect(cluster.superuser_dsn("postgres"))
    try:
        await db.execute(f'CREATE DATABASE "{name}_{suffix}" TEMPLATE "{name}" OWNER croft')
        await db.execute(f'REVOKE TEMP ON DATABASE "{name}_{suffix}" FROM PUBLIC')
    finally:
        await db.close()
    dsn = cluster.dsn(database=f"{name}_{suffix}")
    return Addresses(dsn, dsn)


def open_device(home: Path, name: str, url: str, *, whole_history: bool = False) -> Device:
    device = Device(home / name, server=url, tenant="north", whole_history=whole_history)
    device.sign_in("amina@north.test", PASSWORD)
    return device


def before_the_backup(home: Path, url: str) -> None:
    with open_device(home, "amina", url) as amina, open_device(home, "teo", url) as teo:
        for number in range(3):
            amina.create("individual", f"Person {number}", guid=f"person-{number}", phone="0")
        amina.sync()
        teo.sync()


def after_the_backup(home: Path, url: str) -> None:
    with open_device(home, "amina", url) as amina, open_device(home, "teo", url) as teo:
        teo.create_group("household", "Otieno", guid="household")
        teo.add_member("household", "person-0")
        teo.delete("person-2")
        teo.sync()
        amina.change("person-1", phone="1")
        amina.sync()
        teo.sync()
        amina.create("individual", "Not synced yet", guid="waiting")
    with open_device(home, "keo", url, whole_history=True) as keo:
        report = keo.sync()
        assert (report.snapshot, report.events, keo.count()) == (False, 7, 3)


def after_the_restore(home: Path, url: str) -> list[SyncReport]:
    with open_device(home, "amina", url) as amina, open_device(home, "teo", url) as teo:
        shown = {each.guid: each.data for each in amina.entities()}
        # Teo's device never comes back to the server: what it had pushed, Amina's device has pulled.
        reports = [amina.sync(), amina.sync()]
        assert {each.guid: each.data for each in amina.entities()} == shown
        assert shown.keys() == {"person-0", "person-1", "household", "waiting"}
        assert amina.get("household").member_ids == ["person-0"]  # type: ignore[union-attr]
        assert shown["person-1"]["phone"] == "1"
        assert amina.outbox() == []
        reports.append(teo.sync())
        with open_device(home, "a new device", url) as keo:
            keo.sync()
            assert list(keo.entities()) == list(amina.entities()) == list(teo.entities())
        return reports


def when_no_other_device_comes_back(home: Path, url: str) -> None:
    with open_device(home, "keo", url, whole_history=True) as keo:
        before = {each.guid: (each.data, each.member_ids) for each in keo.entities()}
        report = keo.sync()
        assert (report.epoch_changed, report.pushed, report.known) == (True, 7, 0)
        assert {each.guid: (each.data, each.member_ids) for each in keo.entities()} == before


async def test_what_a_restored_server_has_lost_comes_back_from_whichever_device_holds_it(
    cluster: EmbeddedPostgres, tmp_path: Path
) -> None:
    addresses = await new_database(cluster)
    async with start_croft(addresses) as croft:
        await croft.operator.post("/api/apps", files={"config": upload_of(small_config("north"))})
        membership = {"configId": "north", "role": "collector"}
        account = {"email": "amina@north.test", "password": PASSWORD, "role": "USER", "memberships": [membership]}
        assert (await croft.operator.post("/api/users", json=account)).status_code == 201
    empty = await copy_of(addresses, cluster, "empty")
    async with start_croft(addresses) as croft:
        await asyncio.to_thread(before_the_backup, tmp_path, croft.url)
    restored = await copy_of(addresses, cluster, "restored")
    async with start_croft(addresses) as croft:
        await asyncio.to_thread(after_the_backup, tmp_path, croft.url)
    async with start_croft(restored) as croft:
        first, second, third = await asyncio.to_thread(after_the_restore, tmp_path, croft.url)
    assert (first.epoch_changed, first.pushed, first.known) == (True, 8, 3)
    assert first.receipts
    assert all(receipt.verified for receipt in first.receipts)
    assert not second.epoch_changed
    assert (third.epoch_changed, third.pushed, third.known) == (True, 4, 4)
    async with start_croft(empty) as croft:
        await asyncio.to_thread(when_no_other_device_comes_back, tmp_path, croft.url)
