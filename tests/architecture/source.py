"""The project's files, as the checks of its architecture read them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SERVER = PROJECT / "server"
UNKEPT = {".git", ".venv", ".croft", "build", "dist"}


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is or may be committed, relative to the project."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        named = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split("\0")
        paths = [Path(name) for name in named if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path.relative_to(PROJECT) for path in PROJECT.rglob("*")]
        paths = [path for path in paths if not UNKEPT & set(path.parts) and "__pycache__" not in path.parts]
    return tuple(sorted(path for path in set(paths) if (PROJECT / path).is_file()))


@cache
def modules() -> tuple[Path, ...]:
    """Every module of the server, as a path relative to it: `sync/queries.py`."""
    return tuple(sorted(path.relative_to(SERVER) for path in SERVER.rglob("*.py")))


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse((SERVER / module).read_text(), filename=f"server/{module}")


def room_of(module: Path) -> str:
    """The room a module stands in; a module that stands in none is named itself: `routes`."""
    return module.parts[0].removesuffix(".py")


def imports_of(module: Path) -> Iterator[str]:
    """The dotted names a module imports, wherever in it: `server.kit.problem.Problem`."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(module: Path, name: str) -> bool:
    """Whether a module imports the package or module `name` or something of it."""
    return any(f"{imported}.".startswith(f"{name}.") for imported in imports_of(module))
