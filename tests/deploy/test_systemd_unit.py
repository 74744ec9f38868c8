import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = (DEPLOY / "croft.service").read_text()
ANALYZE = shutil.which("systemd-analyze")


def service() -> dict[str, str]:
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT)
    return dict(unit["Service"])


def test_unit_starts_the_installed_command_without_rights() -> None:
    assert service()["ExecStart"] == "/opt/croft/bin/croft serve"
    assert service()["User"] == "croft"
    assert service()["CapabilityBoundingSet"] == ""
    assert service()["ProtectSystem"] == "strict"


def test_unit_lets_requests_in_flight_finish() -> None:
    shutdown = re.search(r"^#SHUTDOWN_SECONDS=(\d+)", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert shutdown
    assert int(service()["TimeoutStopSec"]) > int(shutdown[1])


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # The command and the account of an installation are not on this machine; true and root are on every one.
    here = UNIT.replace("/opt/croft/bin/croft serve", "/bin/true").replace("=croft\n", "=root\n")
    (tmp_path / "croft.service").write_text(here)
    done = analyze("verify", "--man=no", str(tmp_path / "croft.service"))
    assert done.returncode == 0, done.stderr
    assert "croft.service" not in done.stderr


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")
def test_systemd_finds_little_exposed() -> None:
    done = analyze("security", "--offline=true", "--threshold=20", str(DEPLOY / "croft.service"))
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    assert ANALYZE
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=60)
