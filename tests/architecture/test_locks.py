import re
import tomllib

import pytest

from tests.architecture.source import PROJECT

SHIPPED = ("requirements.lock", "requirements-build.lock")
LOCKS = (*SHIPPED, "requirements-dev.lock", "requirements-audit.lock")
PIN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;\\]+)(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+"
)


def entries_of(lock: str) -> list[str]:
    """The requirements of a lock, each on one line."""
    text = (PROJECT / lock).read_text().replace("\\\n", " ")
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pins_of(lock: str) -> dict[str, str]:
    matches = [PIN.fullmatch(entry) for entry in entries_of(lock)]
    return {match["name"]: match["version"] for match in matches if match}


def names_required_by(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    entries = entries_of(lock)
    assert entries
    assert not [entry[:80] for entry in entries if not PIN.fullmatch(entry)]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_no_address_and_no_path(lock: str) -> None:
    text = (PROJECT / lock).read_text()
    assert not re.findall(r"://|--(?:index|extra|find|trusted)[\w-]*| @ |(?<!\w)/\w+", text)


def test_locks_hold_what_the_project_asks_for() -> None:
    document = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    groups = document["dependency-groups"]
    assert names_required_by(document["project"]["dependencies"]) <= pins_of("requirements.lock").keys()
    building = document["build-system"]["requires"] + groups["build"]
    assert names_required_by(building) <= pins_of("requirements-build.lock").keys()
    assert names_required_by(groups["dev"]) <= pins_of("requirements-dev.lock").keys()
    assert names_required_by(groups["audit"]) <= pins_of("requirements-audit.lock").keys()


def test_tests_run_on_the_versions_that_are_shipped() -> None:
    developing = pins_of("requirements-dev.lock")
    for lock in SHIPPED:
        assert pins_of(lock).items() <= developing.items()
