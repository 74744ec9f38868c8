"""The server process that runs on a data directory: reading about it, finding it, stopping it."""

import os
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from server.db.embedded.errors import EmbeddedPostgresError

STOP_SECONDS = 60.0
FAST_SHUTDOWN = signal.SIGINT
IMMEDIATE_SHUTDOWN = signal.SIGQUIT


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What `postmaster.pid` says of a server."""

    process_id: int
    port: int
    sockets: str
    status: str

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"


def read_postmaster(data: Path) -> Postmaster | None:
    """What the file says, be it true or not; None when there is none or not a whole one."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), lines[4], lines[7].strip())
    except (FileNotFoundError, IndexError, ValueError):
        return None  # not there, or still being written


def find_postmaster(data: Path) -> Postmaster | None:
    """The server that runs on `data`; None when the file is what a killed one left."""
    postmaster = read_postmaster(data)
    if postmaster is None:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"{postmaster.sockets}/.s.PGSQL.{postmaster.port}")
        except OSError:
            return None
        # The number may have gone to another process since: believe it only of who listens on the socket.
        if hasattr(socket, "SO_PEERCRED"):
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", credentials)[0] != postmaster.process_id:
                return None
    return postmaster


def disown_locks(data: Path, sockets: Path, port: int) -> None:
    """Let a server start in the place of one that is no more, whoever has its process id by now.

    PostgreSQL does not start while a process with the id in its lock files is there: after a restart of a container
    that is easily another one, and a process that was killed is there until its parent asks. Its own parent's id it
    passes over. Whether anybody is left who uses the data it then still finds out by the memory that is named there.
    """
    _disown(data / "postmaster.pid")
    _disown(sockets / f".s.PGSQL.{port}.lock")


def _disown(lock: Path) -> None:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "r+") as file:
        _, end, rest = file.read().partition("\n")
        file.seek(0)
        file.write(f"{os.getpid()}{end}{rest}")
        file.truncate()


def stop_postmaster(data: Path, postmaster: Postmaster) -> None:
    """Stop a server that is not our child."""
    os.kill(postmaster.process_id, FAST_SHUTDOWN)
    deadline = time.monotonic() + STOP_SECONDS
    while (data / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"The PostgreSQL of process {postmaster.process_id} does not stop.")
        time.sleep(0.02)
