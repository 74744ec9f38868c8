"""A real PgBouncer in transaction mode, for as long as a block runs."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.db.embedded import EmbeddedPostgres

SERVER_CONNECTIONS = 3

# Whoever comes is the login `croft`, as the line of the database says, so no file with passwords is needed.
_CONFIG = """\
[databases]
* = host=127.0.0.1 port={postgres_port} user=croft password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {server_connections}
max_client_conn = 200
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
log_stats = 0
"""


def find_pgbouncer() -> str:
    """The program. Without it the test is skipped, but where everything has to be proven it fails."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        reason = "the program pgbouncer is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@contextmanager
def running_pgbouncer(program: str, postgres: EmbeddedPostgres, directory: Path) -> Iterator[int]:
    """PgBouncer in front of a PostgreSQL that listens on TCP; gives its port on loopback.

    Each database has SERVER_CONNECTIONS connections for however many clients.
    """
    port = _free_port()
    config = directory / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            postgres_port=postgres.port,
            password=postgres.password,
            port=port,
            server_connections=SERVER_CONNECTIONS,
        )
    )
    # It refuses to run as root. The file is read before it changes its user.
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([program, *as_user, str(config)], stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_until_up(process)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_up(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "process up" in line:
            return
    pytest.fail(f"pgbouncer did not start:\n{''.join(said)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
