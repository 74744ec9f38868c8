"""What SECURITY.md says to be shown by a test is shown by a test that is there."""

import re

from tests.architecture.source import PROJECT

SHOWN_BY = re.compile(r"\b((?:[a-z_]+/)+test_[a-z_]+\.py)(?:::(test_\w+))?")


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = SHOWN_BY.findall((PROJECT / "SECURITY.md").read_text())
    assert len(named) > 30
    missing = [f"{file}::{test}" for file, test in named if not is_there(file, test)]
    assert not missing, "\n".join(missing)


def is_there(file: str, test: str) -> bool:
    path = PROJECT / "tests" / file
    return path.is_file() and (not test or f"def {test}(" in path.read_text())
