"""Prints the requirements under the given keys of pyproject.toml, such as `project.dependencies`."""

import sys
import tomllib
from pathlib import Path

document = tomllib.loads(Path("pyproject.toml").read_text())
for path in sys.argv[1:]:
    entry = document
    for key in path.split("."):
        entry = entry[key]
    print(*entry, sep="\n")
