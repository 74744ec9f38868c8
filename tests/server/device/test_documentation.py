"""The program in the documentation works as it stands."""

import asyncio
import re
import sys
from pathlib import Path

from tests.conftest import PASSWORD, Croft
from tests.croft_process import environment

PAGE = Path(__file__).resolve().parents[3] / "docs" / "device-library.md"
ADDRESS = "http://127.0.0.1:3000"


def program() -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def test_program_is_short() -> None:
    assert len([line for line in program().splitlines() if line and "import" not in line]) <= 15


async def test_program_runs(fresh_croft: Croft, tmp_path: Path) -> None:
    await fresh_croft.tenant({"id": "north"})
    membership = {"configId": "north", "role": "collector"}
    account = {"email": "amina@north.test", "password": PASSWORD, "role": "USER", "memberships": [membership]}
    assert (await fresh_croft.operator.post("/api/users", json=account)).status_code == 201
    assert ADDRESS in program()
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program().replace(ADDRESS, fresh_croft.url)),
        cwd=tmp_path,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    shown, complaints = await asyncio.wait_for(ran.communicate(), timeout=60)
    assert ran.returncode == 0, complaints.decode()
    assert "\n4 sent, 2 received, 0 refused\n" in shown.decode()
    assert shown.decode().endswith("Grace Otieno 0711 111 111\n")
