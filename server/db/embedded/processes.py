"""PostgreSQL's programs as processes: run by the account of their place, and knowing nothing of our environment."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from server.db.embedded.errors import EmbeddedPostgresError
from server.db.embedded.files import private_opener
from server.db.embedded.place import Place

# Nothing of ours: PGDATA, PGPORT, locales and time zones of the shell must not reach it.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

MOST_CONNECTIONS = 100

_SETTINGS = {
    "max_connections": str(MOST_CONNECTIONS),
    "shared_buffers": "128MB",
    "max_locks_per_transaction": "256",  # dropping or dumping a tenant's schema locks every table and index in it
    "jit": "off",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Rejected statements and the values of violated keys are people's data: they stay out of the log file.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_SETTINGS_WITHOUT_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def start_server(place: Place, port: int, log_file: Path, *, durable: bool, tcp: bool) -> "subprocess.Popen[bytes]":
    """Start `postgres` on the data of its place, and do not wait for it: `postmaster.pid` tells when it is ready."""
    with open(log_file, "ab", opener=private_opener) as log:
        return subprocess.Popen(
            [place.program("postgres"), "-D", str(place.data), *_options(place, port, durable, tcp)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_ENVIRONMENT,
            user=place.account.user,
            group=place.account.group,
            extra_groups=place.account.extra_groups,
            umask=0o077,
            start_new_session=True,  # Ctrl-C in a terminal must reach croft alone, which then stops this in order
        )


def _options(place: Place, port: int, durable: bool, tcp: bool) -> Iterator[str]:
    settings = _SETTINGS | ({} if durable else _SETTINGS_WITHOUT_DURABILITY)
    settings["listen_addresses"] = "127.0.0.1" if tcp else ""
    settings["port"] = str(port)
    settings["unix_socket_directories"] = '"' + str(place.sockets).replace('"', '""') + '"'
    for name, value in settings.items():
        yield from ("-c", f"{name}={value}")


def run(place: Place, program: str, *arguments: str, standard_input: str = "") -> None:
    """Run a program to its end. Raises EmbeddedPostgresError with what it said when it fails."""
    done = subprocess.run(
        [place.program(program), *arguments],
        input=standard_input.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        user=place.account.user,
        group=place.account.group,
        extra_groups=place.account.extra_groups,
        umask=0o077,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"{program} failed:\n{done.stdout.decode(errors='replace').strip()}")
