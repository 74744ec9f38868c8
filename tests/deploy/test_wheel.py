"""The package as it is installed, with no checkout beside it."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx
import pytest

from tests.croft_process import ROOT, croft_process


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv of its own with the wheel in it; what Croft depends on is lent to it."""
    place = tmp_path_factory.mktemp("installed")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(ROOT))
    (wheel,) = place.glob("croft-*.whl")
    venv.create(place / "venv")
    python = place / "venv/bin/python"
    _pip("--python", str(python), "install", "--no-deps", str(wheel))
    (packages,) = place.glob("venv/lib/python3*/site-packages")
    # A line of a .pth file lends the packages, but not what is installed there in place.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return place / "venv/bin/croft"


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def test_installed_wheel_serves_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    with croft_process(
        cwd=tmp_path, program=[str(installed)], PYTHONPATH="", CROFT_HOME=str(tmp_path / "home")
    ) as croft:
        assert httpx.get(f"{croft.url}/ready").json() == {"status": "ready", "tenantsBehind": 0}
        assert httpx.get(f"{croft.url}/api-docs").status_code == 200
    code = subprocess.run(
        [installed.parent / "python", "-c", "import server; print(server.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert code.stdout.startswith(str(installed.parents[1]))
