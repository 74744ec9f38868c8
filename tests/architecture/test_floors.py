import subprocess
import sys

import pytest

from tests.architecture.source import PROJECT, imports, modules, room_of

MAY_IMPORT_STARLETTE = {"app", "http", "routes"}
MAY_IMPORT_SETTINGS = {"__main__", "app", "cli", "first_run", "starting", "worker", "workers"}
UNAWARE_OF_TENANTS = {"conflicts", "duplicates", "entities", "sync"}


def importers(name: str) -> set[str]:
    return {room_of(module) for module in modules() if imports(module, name)}


def test_rooms_import_only_from_the_floors_below_them() -> None:
    """In a process of its own, because the linter silences the loggers of the one it runs in."""
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))"
    linter = subprocess.run([sys.executable, "-c", command], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert linter.returncode == 0, linter.stdout


def test_only_the_edge_knows_starlette() -> None:
    assert importers("starlette") <= MAY_IMPORT_STARLETTE


def test_only_what_starts_the_server_reads_the_settings() -> None:
    assert importers("server.settings") - {"settings"} <= MAY_IMPORT_SETTINGS


@pytest.mark.parametrize("name", ["server.tenants", "server.settings", "server.http"])
def test_rooms_of_one_tenants_data_do_not_import_what_tells_tenants_apart(name: str) -> None:
    assert not importers(name) & UNAWARE_OF_TENANTS
