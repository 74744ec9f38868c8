import os
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from server.cli.demo import _url, demo
from tests.conftest import settings_for_tests

SECRETS = "ADMIN_PASSWORD='Kept-Horse-7'\nJWT_SECRET='a secret of the tests that is long enough'\n"


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(demo)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, " ".join(result.stderr.split())


@pytest.fixture
def nobody_serves() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without anything in it, and no other setting."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROFT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.usefixtures("home")
def test_without_a_server_the_demo_fails_and_says_where_it_looked(nobody_serves: str) -> None:
    code, told = run("--url", nobody_serves, "--email", "admin@croft.test", "--password", "Correct-Horse-7")
    assert code == 1
    assert f"GET {nobody_serves}/health expected an answer found" in told
    assert "croft serve" in told


def test_without_a_password_the_demo_says_how_to_give_one_and_makes_nothing(home: Path) -> None:
    code, told = run()
    assert code == 1
    assert "Give --password, or set ADMIN_PASSWORD or CROFT_HOME" in told
    assert not home.exists()


def test_password_kept_in_the_home_of_the_server_is_used(home: Path, nobody_serves: str) -> None:
    home.mkdir(mode=0o700)
    (home / "secrets.env").write_text(SECRETS)
    code, told = run("--url", nobody_serves)
    assert code == 1
    assert "expected an answer" in told


@pytest.mark.parametrize(
    ("host", "reached"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")]
)
@pytest.mark.usefixtures("home")
def test_server_is_looked_for_where_the_settings_put_it(
    monkeypatch: pytest.MonkeyPatch, nobody_serves: str, host: str, reached: str
) -> None:
    port = nobody_serves.rpartition(":")[2]
    monkeypatch.setenv("HOST", host)
    monkeypatch.setenv("PORT", port)
    code, told = run("--password", "Correct-Horse-7")
    assert code == 1
    assert f"GET http://{reached}:{port}/health" in told


@pytest.mark.parametrize(("host", "url"), [("::", "http://[::1]:3000"), ("::1", "http://[::1]:3000")])
def test_address_with_colons_stands_in_brackets(host: str, url: str) -> None:
    assert _url(settings_for_tests(host=host, port=3000)) == url


@pytest.mark.usefixtures("home")
def test_port_that_is_any_free_one_has_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "0")
    code, told = run("--password", "Correct-Horse-7")
    assert (code, "--url" in told) == (1, True)


@pytest.mark.usefixtures("home")
def test_wrong_settings_are_told_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "-1")
    code, told = run()
    assert code == 2
    assert "PORT: " in told
