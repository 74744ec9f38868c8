from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import Settings, SettingsError, load_settings, render_env_example

DSN = "postgresql://croft:hidden-in-dsn@db/croft"
PASSWORD = "Maize-2026"
JWT_SECRET = "s3cr3t" * 6
ENCRYPTION_KEY = "0ld-k3y" * 6
COMPLETE = {"POSTGRES": DSN, "ADMIN_PASSWORD": PASSWORD, "JWT_SECRET": JWT_SECRET, "ENCRYPTION_KEY": ENCRYPTION_KEY}
HOW_TO_MAKE_A_KEY = "; make one with: openssl rand -base64 48"
ENV_EXAMPLE = Path(__file__).parents[2] / "deploy" / "env.example"


def problems_of(environ: dict[str, str], env_file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, env_file)
    return caught.value.problems


def test_nothing_set_means_the_embedded_database_on_loopback() -> None:
    settings = load_settings({}, None)
    assert settings.uses_embedded_postgres
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert settings.croft_home == Path(".croft")
    assert settings.direct_dsn is None


def test_every_problem_is_told_at_once() -> None:
    problems = problems_of(
        {
            "POSTGRES": "mysql://db",
            "PORT": "many",
            "JWT_SECRET": "short",
            "ENCRYPTION_KEY": "short",
            "ENCRYPTION_OTHER_KEYS": f"{ENCRYPTION_KEY},short",
            "JWT_OTHER_SECRETS": f"{JWT_SECRET},short",
            "LOG_LEVEL": "loud",
            "CORS_ORIGINS": "https://app.example.org/path",
            "ALLOWED_HOSTS": "https://sync.example.org",
            "PUBLIC_BASE_URL": "sync.example.org",
            "METRICS_TOKEN": "short",
            "REQUEST_TIMEOUT_SECONDS": "inf",
            "BCRYPT_COST": "7",
            "TRUSTED_PROXIES": "10.0.0.1,proxy",
        }
    )
    assert sorted(line.partition(":")[0] for line in problems) == [
        "ADMIN_PASSWORD",
        "ALLOWED_HOSTS",
        "BCRYPT_COST",
        "CORS_ORIGINS",
        "ENCRYPTION_KEY",
        "ENCRYPTION_OTHER_KEYS",
        "JWT_OTHER_SECRETS",
        "JWT_SECRET",
        "LOG_LEVEL",
        "METRICS_TOKEN",
        "PORT",
        "POSTGRES",
        "PUBLIC_BASE_URL",
        "REQUEST_TIMEOUT_SECONDS",
        "TRUSTED_PROXIES",
    ]
    assert "JWT_SECRET: must be at least 32 characters" in problems


@pytest.mark.parametrize(
    ("missing", "how"),
    [("ADMIN_PASSWORD", ""), ("JWT_SECRET", HOW_TO_MAKE_A_KEY), ("ENCRYPTION_KEY", HOW_TO_MAKE_A_KEY)],
)
def test_configured_database_requires_every_secret(missing: str, how: str) -> None:
    environ = {name: value for name, value in COMPLETE.items() if name != missing}
    assert problems_of(environ) == [f"{missing}: is required when POSTGRES is set{how}"]


@pytest.mark.parametrize(
    "key", ["a key of 32 or more, with a comma in it", " a key of 32 or more with a blank before it"]
)
def test_key_that_could_not_be_written_among_others_is_refused(key: str) -> None:
    (problem,) = problems_of(COMPLETE | {"ENCRYPTION_KEY": key})
    assert problem.startswith("ENCRYPTION_KEY: must hold no comma")
    assert key not in problem


def test_other_keys_are_read_without_the_blanks_around_them() -> None:
    other = "another-key-that-is-long-enough-too"
    settings = load_settings(COMPLETE | {"ENCRYPTION_OTHER_KEYS": f" {other}, ,{ENCRYPTION_KEY}"}, None)
    assert [key.get_secret_value() for key in settings.encryption_other_keys] == [other, ENCRYPTION_KEY]
    assert other not in repr(settings)


def test_weak_admin_password_is_refused_with_the_broken_rules() -> None:
    problems = problems_of(COMPLETE | {"ADMIN_PASSWORD": "maize-2026"})
    assert problems == ["ADMIN_PASSWORD: must contain an upper-case letter"]


def test_weak_admin_password_is_refused_with_the_embedded_database_too() -> None:
    assert problems_of({"ADMIN_PASSWORD": "maize"})[0].startswith("ADMIN_PASSWORD: ")


def test_cheap_password_hashes_are_refused_from_the_environment_and_allowed_to_tests() -> None:
    assert problems_of({"BCRYPT_COST": "4"}) == ["BCRYPT_COST: must be at least 10"]
    assert Settings(bcrypt_cost=4).bcrypt_cost == 4


@pytest.mark.parametrize("cost", ["3", "21", "many", "7.5"])
def test_what_is_no_work_factor_is_told_once(cost: str) -> None:
    assert [line.partition(":")[0] for line in problems_of({"BCRYPT_COST": cost})] == ["BCRYPT_COST"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:hidden@db:port/croft",
        "postgresql://u:hidden@db:99999/croft",
        "postgresql://u:hidden@a:1,b:x/croft",
        "postgresql://u:hid/den@db/croft",
        "postgresql://u:hid#den@db/croft",
        "postgresql://u:hid?den@db/croft",
        "postgresql://u:hid[den@db/croft",
        "postgresql://u:hidden@db/croft?sslmode",
        "db.example.org",
    ],
)
def test_database_address_that_cannot_be_read_is_refused_without_being_shown(address: str) -> None:
    (problem,) = problems_of(COMPLETE | {"POSTGRES": address})
    assert problem.startswith("POSTGRES: must be an address")
    assert "hid" not in problem


@pytest.mark.parametrize(
    "address",
    [
        "postgres://db",
        "postgresql:///croft",
        "postgresql:///croft?host=/run/postgresql",
        "postgresql://u:p%2F%23@a:5432,b:5433/croft?sslmode=require",
        "postgresql://u:p@[::1]:5432/croft",
    ],
)
def test_every_form_of_a_database_address_is_taken(address: str) -> None:
    postgres = load_settings(COMPLETE | {"POSTGRES": address}, None).postgres
    assert postgres is not None
    assert postgres.get_secret_value() == address


@pytest.mark.parametrize("proxies", ["proxy.example.org", "10.0.0.1/8", "10.0.0", "*", "127.0.0.1,10.0.0.0/33"])
def test_proxy_that_would_never_be_recognised_is_refused(proxies: str) -> None:
    (problem,) = problems_of({"TRUSTED_PROXIES": proxies})
    assert problem.startswith("TRUSTED_PROXIES: must hold addresses or networks")
    assert problem.endswith(f"not {proxies.split(',')[-1]}")


def test_proxies_are_addresses_and_networks_of_both_families() -> None:
    settings = load_settings({"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,::1,fd00::/8"}, None)
    assert settings.trusted_proxies == ("127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8")


def test_direct_address_without_an_address_is_refused() -> None:
    assert problems_of({"POSTGRES_DIRECT": DSN}) == ["POSTGRES_DIRECT: is set, but POSTGRES is not"]


def test_direct_address_is_the_address_by_default() -> None:
    settings = load_settings(COMPLETE, None)
    assert settings.direct_dsn is not None
    assert settings.direct_dsn.get_secret_value() == DSN


def test_environment_wins_over_the_file_and_empty_counts_as_absent(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=4000\nHOST=0.0.0.0\nSOMETHING_ELSE=1\nADMIN_PASSWORD='Maize-$HOME-2026'\n")
    settings = load_settings({"PORT": "5000", "HOST": ""}, env_file)
    assert (settings.port, settings.host) == (5000, "0.0.0.0")
    assert settings.admin_password is not None
    assert settings.admin_password.get_secret_value() == "Maize-$HOME-2026"


def test_file_that_is_not_text_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(b"PORT=\xff\xfe\n")
    assert "cannot be read" in problems_of({}, env_file)[0]


def test_the_process_environment_is_not_read_behind_the_callers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9999")
    assert load_settings({}, None).port == 3000
    assert Settings().port == 3000


def test_lists_are_separated_by_commas() -> None:
    settings = load_settings(
        {"ALLOWED_HOSTS": "Sync.example.org, localhost:3000,", "CORS_ORIGINS": "https://a.example,http://b:8080"}, None
    )
    assert settings.allowed_hosts == ("sync.example.org", "localhost:3000")
    assert settings.cors_origins == ("https://a.example", "http://b:8080")


def test_none_allows_no_origin() -> None:
    assert load_settings({"CORS_ORIGINS": "none"}, None).cors_origins == ()


def test_public_base_url_loses_its_last_slash() -> None:
    assert load_settings({"PUBLIC_BASE_URL": "https://a.example/x/"}, None).public_base_url == "https://a.example/x"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example/?q",
        "https://a:port",
        "https://[",
        "//a",
    ],
)
def test_public_base_url_must_be_an_address_devices_can_use(url: str) -> None:
    assert problems_of({"PUBLIC_BASE_URL": url})[0].startswith("PUBLIC_BASE_URL: ")


def test_secrets_show_neither_in_repr_nor_in_problems() -> None:
    shown = repr(load_settings(COMPLETE | {"METRICS_TOKEN": "metrics-token-0123"}, None))
    refused = str(problems_of({"POSTGRES": "hidden-in-dsn", "JWT_SECRET": "hidden-key", "ADMIN_PASSWORD": "hidden"}))
    for secret in ("hidden", PASSWORD, JWT_SECRET, ENCRYPTION_KEY, "metrics-token-0123"):
        assert secret not in shown
    assert "hidden" not in refused


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        setattr(settings, "port", 1)  # noqa: B010


def test_env_example_is_what_the_settings_render() -> None:
    assert ENV_EXAMPLE.read_text() == render_env_example()


def test_env_example_names_every_setting_and_changes_none(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(render_env_example())
    assert load_settings({}, env_file) == Settings()
    for name in Settings.model_fields:
        assert f"\n#{name.upper()}=" in render_env_example()


def test_defaults_written_out_are_the_defaults(tmp_path: Path) -> None:
    lines = [line.removeprefix("#") for line in render_env_example().splitlines() if line.startswith("#")]
    env_file = tmp_path / ".env"
    env_file.write_text("\n".join(line for line in lines if not line.startswith(" ")))
    assert load_settings({}, env_file) == Settings()


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").strip().endswith((".", "48")), name


@pytest.mark.parametrize("url", ["mail.test", "http://mail.test", "smtp://u:hidden-in-url@relay.test?tls=off"])
def test_address_of_no_mail_server_is_refused_without_its_password(url: str) -> None:
    [problem] = problems_of({"SMTP_URL": url})
    assert problem.startswith("SMTP_URL: ")
    assert "hidden-in-url" not in problem


def test_address_of_the_mail_server_does_not_show_in_the_settings() -> None:
    settings = load_settings({"SMTP_URL": "smtps://u:hidden-in-url@mail.test"}, None)
    assert "hidden-in-url" not in repr(settings)


@pytest.mark.parametrize(
    "sender", ["Croft", "a@b.test, c@d.test", "Croft <croft@x.test>\nBcc: c@d.test", "@x.test", "a@"]
)
def test_sender_of_mails_is_one_address(sender: str) -> None:
    assert problems_of({"MAIL_FROM": sender}) == [
        "MAIL_FROM: must be an e-mail address, such as Croft <croft@example.org>"
    ]


@pytest.mark.parametrize("password", ["Password1!", "Wanjiru-Amina-1"])
def test_first_administrators_password_keeps_the_rules_of_all_others(password: str) -> None:
    [problem] = problems_of({"ADMIN_EMAIL": "wanjiru.amina@north.test", "ADMIN_PASSWORD": password})
    assert problem.startswith("ADMIN_PASSWORD: must not be ")
    assert password not in problem
