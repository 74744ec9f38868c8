"""What an operator can set, by environment variables or a `.env` file. Read once, at start; passed on as values."""

import ipaddress
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from server.kit.mail_server import CONSOLE, domain_of, parse_smtp_url
from server.kit.passwords import password_problems

JWT_SECRET_CHARACTERS = 32
ENCRYPTION_KEY_CHARACTERS = 32
METRICS_TOKEN_CHARACTERS = 16
PRODUCTION_BCRYPT_COST = 10

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HOST = re.compile(r"[a-z0-9._-]+(:\d+)?|\[[0-9a-f:]+\](:\d+)?")

Names = Annotated[tuple[str, ...], NoDecode]
"""A list, in the environment written with commas."""

SecretNames = Annotated[tuple[SecretStr, ...], NoDecode]
"""A list of secrets, in the environment written with commas."""


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds one line for each, `NAME: what is wrong`, without secret values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Every setting of the server, by the lower-case name of its variable. Frozen; secrets do not show in its repr.

    Use `load_settings` to read them from an environment. The constructor takes values only as arguments and is
    for tests: it allows a `bcrypt_cost` of 4 and does not ask for secrets.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    postgres: SecretStr | None = Field(
        None,
        description="Address of the PostgreSQL database (15 or newer), such as "
        "postgresql://croft:password@db.example.org/croft. It may be a PgBouncer in transaction mode. "
        "Without it, croft runs a PostgreSQL of its own whose data is in CROFT_HOME.",
    )
    postgres_direct: SecretStr | None = Field(
        None,
        description="Address of the same database past any PgBouncer, for migrations, commands and LISTEN. Where "
        "commands are given it may lead to another login, as deploy/runbooks/managed-postgresql.md says. "
        "Default: the value of POSTGRES.",
    )
    postgres_pool_size: int = Field(
        10,
        ge=1,
        le=1000,
        description="Most connections the server opens to POSTGRES, all of its WORKERS together; each of these has one "
        "more, to POSTGRES_DIRECT. At least 2 for each of WORKERS.",
    )
    postgres_prepared_statements: bool = Field(
        True, description="Set to false behind a PgBouncer older than 1.21, which cannot carry prepared statements."
    )
    postgres_tenants_per_connection: int = Field(
        200,
        ge=1,
        description="Tenants that a connection to POSTGRES serves before another takes its place: PostgreSQL keeps "
        "some memory for each of them, per connection. Behind a PgBouncer, its server_lifetime does the same.",
    )
    postgres_wait_seconds: float = Field(
        20,
        gt=0,
        allow_inf_nan=False,
        description="Longest wait of a request for a connection to POSTGRES, in seconds; the client is told to retry.",
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address the server listens on. 0.0.0.0 is every network: put TLS in front of it.",
    )
    port: int = Field(3000, ge=0, le=65535, description="Port the server listens on; 0 takes any free one.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="How many processes serve, as many as there are processors at the most. They share the port and "
        "POSTGRES_POOL_SIZE, and one that ends is replaced.",
    )
    admin_email: str = Field(
        "admin@croft.local", description="E-mail address of the first administrator, made when there is none."
    )
    admin_password: SecretStr | None = Field(
        None,
        description="Password of the first administrator: 8 characters or more, with an upper-case and a lower-case "
        "letter, a digit and a special character, and none that is guessed early on. Required with POSTGRES; without "
        "it, one is made at the first start, shown once and kept in CROFT_HOME/secrets.env.",
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description=f"Key that signs the access tokens: at least {JWT_SECRET_CHARACTERS} random characters, the same "
        "on every server process. To change it while everybody stays signed in, see "
        "deploy/runbooks/changing-keys.md. Required with POSTGRES; without it, one is made at the first start and kept "
        "in CROFT_HOME/secrets.env. Make one with: openssl rand -base64 48",
    )
    jwt_other_secrets: SecretNames = Field(
        (),
        description="Further keys, separated by commas, whose access tokens are accepted and that sign none: earlier "
        "values of JWT_SECRET, or the next one.",
    )
    encryption_key: SecretStr | None = Field(
        None,
        description="Key that encrypts the secrets kept in the database, such as passwords of external systems: at "
        f"least {ENCRYPTION_KEY_CHARACTERS} random characters, the same on every server process. Keep a copy away from "
        "the database's backups: without it these secrets have to be entered again. To change it, see "
        "deploy/runbooks/changing-keys.md. Required with POSTGRES; without it, one is made at the first start and kept "
        "in CROFT_HOME/secrets.env. Make one with: openssl rand -base64 48",
    )
    encryption_other_keys: SecretNames = Field(
        (),
        description="Earlier values of ENCRYPTION_KEY, separated by commas, that still open what was encrypted with "
        "them and encrypt nothing new. `croft secrets status` tells which of them are still needed.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server that sends invitations and password resets: smtp://user:password@mail.example.org:587 "
        "(with STARTTLS) or smtps://user:password@mail.example.org. A relay of your own network without TLS and "
        "password: smtp://relay.example.org:25?tls=off. The word console, and the default without POSTGRES: mails are "
        "shown in the log, for development; who reads it can use the links in them. Default with POSTGRES: no mails.",
    )
    mail_from: str = Field(
        "Croft <croft@localhost>",
        description="Sender of these mails, such as Croft <croft@example.org>. To be set with SMTP_URL.",
    )
    public_base_url: str | None = Field(
        None,
        description="Address under which devices reach the server, such as https://sync.example.org. It is written "
        "into the configurations and QR codes that devices load. Without it, the host of the request is used if it is "
        "one of ALLOWED_HOSTS.",
    )
    allowed_hosts: Names = Field(
        ("localhost", "127.0.0.1"),
        description="Hosts, separated by commas, that a request's Host header may name for addresses in answers "
        "while PUBLIC_BASE_URL is not set. Without a port, every port of the host.",
    )
    cors_origins: Names = Field(
        ("*",),
        description="Origins of web pages, separated by commas, that may call the server from a browser, such as "
        "https://app.example.org. * is every origin, which is safe as far as the browser goes: tokens travel in a "
        "header, cookies are never accepted from another origin. The word none: no origin at all.",
    )
    trusted_proxies: Names = Field(
        ("127.0.0.1",),
        description="Addresses or networks of reverse proxies, separated by commas, whose X-Forwarded-For and "
        "X-Forwarded-Proto headers are believed. The word none: nobody's.",
    )
    outbound_private_networks: Names = Field(
        (),
        description="Networks, separated by commas, that organizations may make this server speak to although they are "
        "not on the public Internet, such as 10.20.0.0/16 for a sign-in service of your own. Everything that can be "
        "reached there then is within reach of whoever administers an organization. The word none: no network.",
    )
    oidc_userinfo_issuers: Names = Field(
        (),
        description="Issuers of sign-in services, separated by commas and written as they write themselves, whose "
        "opaque tokens may be checked by asking for userinfo. That does not prove that a token was meant for this "
        "server: any application that somebody signed in to could use it here. The word none: no issuer.",
    )
    croft_home: Path = Field(
        Path(".croft"), description="Directory of what the server keeps beside the database: the embedded PostgreSQL "
        "and the secrets made at first start. Relative to the current directory.",
    )  # fmt: skip
    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Largest request body, in bytes (16 MiB).")
    max_bodies_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1024,
        description="Bytes of request bodies that one process works on at once (128 MiB); a tenant may have a quarter "
        "of them. Clients beyond are told to retry.",
    )
    max_tenant_requests: int = Field(
        500, ge=1, description="Requests of one tenant that one process takes in at once. More are told to retry."
    )
    max_live_listeners: int = Field(
        10_000,
        ge=1,
        description="Devices that one process keeps connected to tell them of news; a tenant may have half of them. "
        "Each takes a file descriptor.",
    )
    request_timeout_seconds: float = Field(
        60,
        gt=0,
        allow_inf_nan=False,
        description="Longest time to answer a request, in seconds; then it is cancelled and rolled back.",
    )
    statement_timeout_seconds: float = Field(
        30, gt=0, allow_inf_nan=False, description="Longest time of one SQL statement of a request, in seconds."
    )
    lock_timeout_seconds: float = Field(
        10,
        gt=0,
        allow_inf_nan=False,
        description="Longest wait for a lock in the database, in seconds; the client is told to retry.",
    )
    clock_tolerance_seconds: int = Field(
        900, ge=0, description="How far ahead of the server a device's clock may be, in seconds, before its events are "
        "ordered by their arrival instead.",
    )  # fmt: skip
    session_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Days that a session lasts without being renewed, and so a phone may be offline, unless a tenant "
        "of the account says less; then a login is asked for. Old clients cannot renew theirs.",
    )
    session_most_days: int = Field(
        365, ge=1, le=3650, description="Days after which a login has to be repeated, however often it was renewed."
    )
    access_token_minutes: int = Field(
        10, ge=1, le=1440, description="Minutes until clients that renew their sessions have to do so."
    )
    operators_need_second_factor: bool = Field(
        False,
        description="Whether operators have to show a second factor. One who has none can sign in and set it up, and "
        "do nothing else until then.",
    )
    bcrypt_cost: int = Field(
        12, ge=4, le=20, description="Work factor of password hashes, at least 10: each step doubles a login's time."
    )
    metrics_token: SecretStr | None = Field(
        None,
        description=f"Bearer token that reads /metrics, {METRICS_TOKEN_CHARACTERS} characters or more. Without it, "
        "/metrics is not served.",
    )
    retention_days: int = Field(
        30, ge=0, description="Days that a deleted tenant's data is kept and can be restored before it may be purged."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages to log: debug, info, warning or error."
    )
    shutdown_seconds: float = Field(
        30,
        ge=0,
        allow_inf_nan=False,
        description="Time that requests in flight have to finish when the server is stopped, in seconds.",
    )

    @property
    def uses_embedded_postgres(self) -> bool:
        return self.postgres is None

    @property
    def direct_dsn(self) -> SecretStr | None:
        """Where migrations and LISTEN connect; None with the embedded database."""
        return self.postgres_direct or self.postgres

    @field_validator("jwt_other_secrets", "encryption_other_keys", mode="before")
    @classmethod
    def _split_keys_at_commas(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @field_validator(
        "allowed_hosts",
        "cors_origins",
        "trusted_proxies",
        "outbound_private_networks",
        "oidc_userinfo_issuers",
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str) and value.strip().lower() == "none":
            return ()
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("postgres", "postgres_direct")
    @classmethod
    def _is_postgres_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_postgres_address(value.get_secret_value())
        return value

    @field_validator("admin_email")
    @classmethod
    def _is_email(cls, value: str) -> str:
        if not _EMAIL.fullmatch(value):
            raise ValueError("must be an e-mail address")
        return value

    @field_validator("admin_password")
    @classmethod
    def _is_strong(cls, value: SecretStr | None, known: ValidationInfo) -> SecretStr | None:
        about = [known.data.get("admin_email", "")]
        problems = password_problems(value.get_secret_value(), about=about) if value is not None else []
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < JWT_SECRET_CHARACTERS:
            raise ValueError(f"must be at least {JWT_SECRET_CHARACTERS} characters")
        return value

    @field_validator("encryption_key")
    @classmethod
    def _is_long_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_key(value)
        return value

    @field_validator("jwt_other_secrets", "encryption_other_keys")
    @classmethod
    def _are_long_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            _check_key(key)
        return value

    @field_validator("metrics_token")
    @classmethod
    def _is_not_guessable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < METRICS_TOKEN_CHARACTERS:
            raise ValueError(f"must be at least {METRICS_TOKEN_CHARACTERS} characters")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and value.get_secret_value() != CONSOLE:
            parse_smtp_url(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, value: str) -> str:
        domain_of(value)
        return value

    @field_validator("public_base_url")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        _check_web_address(value, "https://sync.example.org")
        return value.rstrip("/")

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        wrong = [host for host in hosts if not _HOST.fullmatch(host)]
        if wrong:
            raise ValueError(f"must hold host names without a scheme or path, not {', '.join(wrong)}")
        return hosts

    @field_validator("trusted_proxies", "outbound_private_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [each for each in value if not _is_network(each)]
        if wrong:
            raise ValueError(f"must hold addresses or networks such as 10.0.0.0/8, not {', '.join(wrong)}")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*":
                _check_web_address(origin, "https://app.example.org")
                if urlsplit(origin).path:
                    raise ValueError(f"must hold origins without a path, not {origin}")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load_settings merges the sources: there an empty variable counts as absent, and all problems are told at once.
        return (init_settings,)


def load_settings(environ: Mapping[str, str], env_file: Path | None = Path(".env")) -> Settings:
    """The settings of `environ`, and for what it lacks of `env_file`, if that exists.

    An empty variable counts as absent. Raises SettingsError naming every problem.
    """
    values = {name.lower(): value for name, value in _read_variables(environ, env_file).items()}
    problems = _missing_secrets(values) + _cheap_hashes(values)
    try:
        settings = Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = [_problem_line(detail["loc"], detail["msg"]) for detail in error.errors()] + problems
    if problems:
        raise SettingsError(problems)
    return settings


def render_env_example() -> str:
    """The text of `deploy/env.example`: every variable, commented out, with its description and default."""
    entries = [_render_entry(name, field) for name, field in Settings.model_fields.items()]
    return _ENV_EXAMPLE_HEAD + "\n" + "\n".join(entries)


_ENV_EXAMPLE_HEAD = """\
# Settings of the croft server. Copy to .env in its working directory, or to the environment file of its unit, with mode
# 0600, and uncomment what you change. Variables of the environment win over .env. An empty value counts as not set.
"""


def _read_variables(environ: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    known = {name.upper() for name in Settings.model_fields}
    from_file: Mapping[str, str | None] = {}
    if env_file is not None and env_file.is_file():
        try:
            # No interpolation: a $ in a password is a $.
            from_file = dotenv_values(env_file, interpolate=False)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([f"{env_file}: cannot be read ({error})"]) from error
    variables = {name: value for name, value in from_file.items() if value} | {k: v for k, v in environ.items() if v}
    return {name: value for name, value in variables.items() if name in known}


_MAKE_ONE = "; make one with: openssl rand -base64 48"
_REQUIRED_WITH_POSTGRES = {"admin_password": "", "jwt_secret": _MAKE_ONE, "encryption_key": _MAKE_ONE}


def _missing_secrets(values: Mapping[str, str]) -> list[str]:
    if "postgres" not in values:
        direct = "POSTGRES_DIRECT: is set, but POSTGRES is not"
        return [direct] if "postgres_direct" in values else []
    return [
        f"{name.upper()}: is required when POSTGRES is set{how}"
        for name, how in _REQUIRED_WITH_POSTGRES.items()
        if name not in values
    ]


def _cheap_hashes(values: Mapping[str, str]) -> list[str]:
    """What is wrong with a work factor that only tests may have."""
    alone = {name: value for name, value in values.items() if name == "bcrypt_cost"}
    try:
        cost = Settings(**alone).bcrypt_cost  # type: ignore[arg-type]
    except ValidationError:
        return []  # no work factor at all, which is told with whatever else is wrong
    return [f"BCRYPT_COST: must be at least {PRODUCTION_BCRYPT_COST}"] if cost < PRODUCTION_BCRYPT_COST else []


def _problem_line(location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{str(location[0]).upper()}: {text[:1].lower()}{text[1:]}"


def _check_key(key: SecretStr) -> None:
    text = key.get_secret_value()
    if len(text) < ENCRYPTION_KEY_CHARACTERS:
        raise ValueError(f"must be at least {ENCRYPTION_KEY_CHARACTERS} characters")
    if "," in text or text != text.strip():
        raise ValueError("must hold no comma and no blank at its ends: it could not become one of several keys")


def _check_postgres_address(value: str) -> None:
    """Several hosts may be named, separated by commas. What is wrong is told without the password."""
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be an address that begins with postgresql://")
    try:
        parts = urlsplit(value)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
        valid = not parts.fragment and all(_names_host(host) for host in hosts)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(
            "must be an address such as postgresql://croft:password@db.example.org/croft; in the password, characters "
            "such as / ? # [ @ : are written %2F %3F %23 %5B %40 %3A"
        )


def _names_host(netloc: str) -> bool:
    """Whether it is a host with or without a port; nothing at all is the default of both."""
    parts = urlsplit(f"//{netloc}")
    return parts.port is None or parts.port > 0


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _check_web_address(value: str, example: str) -> None:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None or any(c.isspace() for c in value):
        raise ValueError(f"must be an address such as {example}")


def _render_entry(name: str, field: FieldInfo) -> str:
    comment = "\n".join(f"# {line}" for line in _wrap(field.description or ""))
    return f"{comment}\n#{name.upper()}={_render_default(field.default)}\n"


def _render_default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, width=110, break_long_words=False, break_on_hyphens=False)
