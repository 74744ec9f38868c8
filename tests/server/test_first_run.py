import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.first_run import SECRETS_FILE, prepare_home
from server.kit.passwords import password_problems
from server.settings import ENCRYPTION_KEY_CHARACTERS, JWT_SECRET_CHARACTERS, Settings, SettingsError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(croft_home=tmp_path / "home")


def test_first_start_makes_every_secret_and_the_second_finds_them(settings: Settings) -> None:
    first, second = prepare_home(settings), prepare_home(settings)
    assert first.password_is_new
    assert not second.password_is_new
    assert second.settings == first.settings
    assert password_problems(first.admin_password.get_secret_value()) == []
    assert len(first.jwt_secret.get_secret_value()) >= JWT_SECRET_CHARACTERS
    assert len(first.encryption_key.get_secret_value()) >= ENCRYPTION_KEY_CHARACTERS
    assert first.encryption_key != first.jwt_secret


def test_secrets_are_for_the_owner_alone(settings: Settings) -> None:
    prepare_home(settings)
    assert mode(settings.croft_home / SECRETS_FILE) == 0o600
    assert mode(settings.croft_home) in (0o700, 0o711)
    assert [path.name for path in settings.croft_home.iterdir()] == [SECRETS_FILE]


def test_secrets_that_others_could_read_are_closed_with_a_warning(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare_home(settings)
    (settings.croft_home / SECRETS_FILE).chmod(0o644)
    assert prepare_home(settings).settings == first.settings
    assert mode(settings.croft_home / SECRETS_FILE) == 0o600
    assert "could be read by other users" in caplog.text


def test_what_is_set_wins_and_is_not_written_down(settings: Settings) -> None:
    chosen = settings.model_copy(update={"admin_password": SecretStr("Maize-2026")})
    run = prepare_home(chosen)
    assert not run.password_is_new
    assert run.admin_password.get_secret_value() == "Maize-2026"
    written = (settings.croft_home / SECRETS_FILE).read_text()
    assert "ADMIN_PASSWORD=" not in written
    assert run.jwt_secret.get_secret_value() in written
    assert run.encryption_key.get_secret_value() in written


def test_secret_missing_later_is_added_beside_the_kept_one(settings: Settings) -> None:
    kept = prepare_home(settings.model_copy(update={"admin_password": SecretStr("Maize-2026")}))
    later = prepare_home(settings)
    assert later.password_is_new
    assert later.jwt_secret == kept.jwt_secret
    assert later.encryption_key == kept.encryption_key


def test_home_of_before_there_was_a_key_gets_one_and_keeps_the_rest(settings: Settings) -> None:
    settings.croft_home.mkdir()
    (settings.croft_home / SECRETS_FILE).write_text(f"ADMIN_PASSWORD='Maize-2026'\nJWT_SECRET='{'k' * 32}'\n")
    first, second = prepare_home(settings), prepare_home(settings)
    assert not first.password_is_new
    assert first.jwt_secret.get_secret_value() == "k" * 32
    assert second.encryption_key == first.encryption_key


def test_configured_database_leaves_no_trace_of_a_home(settings: Settings) -> None:
    complete = settings.model_copy(
        update={
            "postgres": SecretStr("postgresql://db/croft"),
            "admin_password": SecretStr("Maize-2026"),
            "jwt_secret": SecretStr("k" * 32),
            "encryption_key": SecretStr("e" * 32),
        }
    )
    run = prepare_home(complete)
    assert run.settings == complete
    assert run.secrets_file is None
    assert not settings.croft_home.exists()


def test_configured_database_without_secrets_is_refused(settings: Settings) -> None:
    with pytest.raises(SettingsError):
        prepare_home(settings.model_copy(update={"postgres": SecretStr("postgresql://db/croft")}))


def test_starts_at_the_same_moment_agree_on_one_secret(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(prepare_home, [settings] * 8))
    assert len({run.jwt_secret.get_secret_value() for run in runs}) == 1
    assert len({run.encryption_key.get_secret_value() for run in runs}) == 1
    assert sum(run.password_is_new for run in runs) == 1


def test_left_over_of_a_killed_first_start_does_not_matter(settings: Settings) -> None:
    settings.croft_home.mkdir()
    (settings.croft_home / f"{SECRETS_FILE}.new").write_text("JWT_SECRET='half")
    assert prepare_home(settings).password_is_new


def test_spoiled_secrets_are_named_instead_of_replaced(settings: Settings) -> None:
    prepare_home(settings)
    (settings.croft_home / SECRETS_FILE).write_text("JWT_SECRET=short\nADMIN_PASSWORD=weak\n")
    with pytest.raises(SettingsError, match="JWT_SECRET: must be at least") as caught:
        prepare_home(settings)
    assert "weak" not in str(caught.value)


def test_existing_home_keeps_its_permissions(settings: Settings) -> None:
    settings.croft_home.mkdir(mode=0o755)
    settings.croft_home.chmod(0o755)
    prepare_home(settings)
    assert mode(settings.croft_home) == 0o755


def test_home_that_everybody_may_write_is_refused(settings: Settings) -> None:
    settings.croft_home.mkdir()
    settings.croft_home.chmod(0o777)
    with pytest.raises(SettingsError, match="CROFT_HOME"):
        prepare_home(settings)


def test_home_that_is_a_file_is_a_problem_with_a_name(settings: Settings) -> None:
    settings.croft_home.write_text("")
    with pytest.raises(SettingsError, match="CROFT_HOME"):
        prepare_home(settings)


def test_symbolic_link_in_place_of_the_secrets_is_not_followed(settings: Settings, tmp_path: Path) -> None:
    settings.croft_home.mkdir()
    (tmp_path / "elsewhere").write_text("JWT_SECRET=" + "x" * 40)
    (settings.croft_home / SECRETS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="CROFT_HOME"):
        prepare_home(settings)


def test_secrets_do_not_show_in_the_repr(settings: Settings) -> None:
    run = prepare_home(settings)
    assert run.admin_password.get_secret_value() not in repr(run)
    assert run.jwt_secret.get_secret_value() not in repr(run)
    assert run.encryption_key.get_secret_value() not in repr(run)
