import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import PROJECT, project_files

ITSELF = Path(__file__).resolve().relative_to(PROJECT)

MACHINE_PATHS = re.compile(r"(?<![\w.$}/])/(?:root|Users|work|mnt|home/(?!croft\b))/?[\w.-]*/|\.pyenv/|site-packages/")
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.|unpkg\.com|jsdelivr\.net|crates\.io|ghcr\.io", re.IGNORECASE
)
HISTORY = re.compile(r"\bissues? (?:no\.? ?|number )?#?\d|\bsub-?agents?\b|\bthe brief\b", re.IGNORECASE)


def found(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in project_files():
        if path == ITSELF:
            continue
        try:
            lines = (PROJECT / path).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # not a text
        for number, line in enumerate(lines, 1):
            if pattern.search(line):
                yield f"{path}:{number}: {line.strip()[:120]}"


@pytest.mark.parametrize(
    "pattern", [MACHINE_PATHS, REGISTRIES, HISTORY], ids=["machine paths", "registry hosts", "how it was made"]
)
def test_files_speak_of_the_project_alone(pattern: re.Pattern[str]) -> None:
    places = list(found(pattern))
    assert not places, "\n".join(places)
