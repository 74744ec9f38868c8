import asyncio
import os
import re
from pathlib import Path

from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft

README = Path(__file__).resolve().parents[2] / "README.md"


async def test_first_session_of_the_readme_works_as_it_stands(fresh_croft: Croft, tmp_path: Path) -> None:
    session = "\n".join(re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL))
    (tmp_path / ".croft").mkdir()
    (tmp_path / ".croft" / "secrets.env").write_text(f"ADMIN_PASSWORD='{PASSWORD}'\n")
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", session),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "CROFT": fresh_croft.url, "ADMIN_EMAIL": ADMIN_EMAIL},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    shown, complaints = await asyncio.wait_for(shell.communicate(), timeout=60)
    assert shell.returncode == 0, complaints.decode()
    assert "Grace Otieno" in shown.decode()
