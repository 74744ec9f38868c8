"""The files beside the data: PostgreSQL's log, and the notes of a line that tell of the server."""

import os
from pathlib import Path

_LOG_BYTES = 10 * 1024 * 1024


def private_opener(path: str, flags: int) -> int:
    """For `open`: a file that is made is for its owner alone, and a link is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def rotate(log_file: Path) -> None:
    """Put a log that has grown large aside, over the one that was put aside before."""
    if log_file.exists() and log_file.stat().st_size > _LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))


def last_lines(path: Path, count: int = 8) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


def read_line(path: Path) -> str:
    """The text of a file of one line; empty when there is no such file."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def sync_directory(path: Path) -> None:
    """Make what was renamed in a directory outlast a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
