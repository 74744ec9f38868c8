"""An organization lets its phones be away for so many days. Whoever comes back later signs in and loses nothing."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from server.device import Device, NotSignedIn
from tests.conftest import PASSWORD, Croft, TenantHandle
from tests.old_client import SyncFailed


async def go_away(tenant: TenantHandle, *, days: int, allowed: int) -> None:
    """So many days pass since the devices signed in, and the organization allows fewer from now on."""
    db = await asyncpg.connect(tenant.croft.addresses.direct)
    try:
        await db.execute(
            "UPDATE croft.sessions SET renewed_at = renewed_at - make_interval(days => $2) WHERE user_id IN"
            " (SELECT user_id FROM croft.memberships m JOIN croft.tenants t ON t.id = m.tenant_id"
            "  WHERE t.config_id = $1)",
            tenant.config_id,
            days,
        )
        await db.execute("UPDATE croft.tenants SET offline_days = $2 WHERE config_id = $1", tenant.config_id, allowed)
    finally:
        await db.close()


async def test_installed_phone_that_was_away_too_long_signs_in_and_loses_nothing(croft: Croft) -> None:
    tenant = await croft.tenant()
    phone, colleague = await tenant.device(), await tenant.device()
    email = await tenant.account()
    await phone.login(email, PASSWORD)
    known = phone.create_individual({"name": "Amina"})
    await phone.sync()
    await go_away(tenant, days=20, allowed=14)
    waiting = [phone.create_individual({"name": f"Person {number}"}) for number in range(25)]
    phone.update_individual(known, {"name": "Amina Yusuf"})
    for _ in range(2):
        with pytest.raises(SyncFailed, match=r"401 .*auth\.away-too-long"):
            await phone.sync()
    await phone.login(email, PASSWORD)
    await phone.sync()
    await colleague.login(await tenant.account(), PASSWORD)
    await colleague.sync()
    seen = {guid: entity["data"]["name"] for guid, entity in colleague.entities().items()}
    assert seen == {known: "Amina Yusuf"} | {guid: f"Person {number}" for number, guid in enumerate(waiting)}


async def test_new_phone_that_was_away_too_long_signs_in_and_loses_nothing(croft: Croft, tmp_path: Path) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    loop = asyncio.get_running_loop()

    def story() -> None:
        with Device(tmp_path / "tablet", server=croft.url, tenant=tenant.config_id) as device:
            device.sign_in(email, PASSWORD)
            known = device.create("individual", "Amina")
            device.sync()
            away = asyncio.run_coroutine_threadsafe(go_away(tenant, days=20, allowed=14), loop)
            away.result(60)
            for number in range(25):
                device.create("individual", f"Person {number}")
            device.change(known, name="Amina Yusuf")
            with pytest.raises(NotSignedIn):
                device.sync()
            assert len(device.outbox()) == 26
            device.sign_in(email, PASSWORD)
            assert device.sync().pushed == 26
            assert device.outbox() == []

    await asyncio.to_thread(story)
    shown = await tenant.api.get("/api/entities", params={"configId": tenant.config_id, "pageSize": 100})
    assert {each["name"] for each in shown.json()} == {"Amina Yusuf", *(f"Person {number}" for number in range(25))}


async def test_phone_that_comes_back_in_time_need_not_sign_in(croft: Croft, tmp_path: Path) -> None:
    tenant = await croft.tenant()
    email = await tenant.account()
    loop = asyncio.get_running_loop()

    def story() -> None:
        with Device(tmp_path / "tablet", server=croft.url, tenant=tenant.config_id) as device:
            device.sign_in(email, PASSWORD)
            for _ in range(3):
                asyncio.run_coroutine_threadsafe(go_away(tenant, days=13, allowed=14), loop).result(60)
                device._store.set(token="one that is over by then")
                device.create("individual", "Amina")
                assert device.sync().pushed == 1

    await asyncio.to_thread(story)
