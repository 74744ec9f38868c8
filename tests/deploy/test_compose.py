import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def variables_of(example: str) -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z_]*)=", (DEPLOY / example).read_text(), re.MULTILINE))


def schema() -> Any:
    return json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())


def test_compose_file_follows_the_schema_of_compose() -> None:
    jsonschema.validators.validator_for(schema())(schema()).validate(COMPOSE)


def test_schema_of_compose_would_notice_a_mistake() -> None:
    wrong = {**COMPOSE, "services": {"croft": {**SERVICES["croft"], "restrat": "always"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validators.validator_for(schema())(schema()).validate(wrong)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_files_that_a_service_names_exist(name: str) -> None:
    service = SERVICES[name]
    build = service.get("build", {})
    context = DEPLOY / build.get("context", ".")
    named = [DEPLOY / volume.split(":")[0] for volume in service.get("volumes", []) if volume.startswith(".")]
    named += [context / build["dockerfile"]] if "dockerfile" in build else []
    copied = re.findall(r"^COPY (?:--\S+ )*(\S+) ", build.get("dockerfile_inline", ""), re.MULTILINE)
    named += [context / source for source in copied]
    assert not [str(path) for path in named if not path.is_file()]


def test_variables_come_from_the_example() -> None:
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == variables_of("compose.env.example")


@pytest.mark.parametrize("name", ["croft", "migrate"])
def test_server_is_given_only_settings_it_knows(name: str) -> None:
    assert SERVICES[name]["environment"].keys() <= variables_of("env.example")


def test_secrets_have_no_default() -> None:
    for name in ("DATABASE_PASSWORD", "DATABASE_SUPERUSER_PASSWORD", "ADMIN_PASSWORD", "JWT_SECRET", "ENCRYPTION_KEY"):
        assert set(re.findall(rf"\$\{{{name}[^}}]*}}", TEXT)) == {f"${{{name}:?}}"}


def test_volumes_networks_and_dependencies_are_declared() -> None:
    for service in SERVICES.values():
        volumes = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert volumes <= COMPOSE["volumes"].keys()
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()


def test_waiting_for_health_waits_for_a_service_that_has_a_check() -> None:
    of_image = {"croft"} if "HEALTHCHECK" in (DEPLOY / "Dockerfile").read_text() else set()
    checked = {name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})} | of_image
    for service in SERVICES.values():
        for name, dependency in service.get("depends_on", {}).items():
            assert dependency["condition"] != "service_healthy" or name in checked


def test_only_the_proxy_is_reachable_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["database"]["internal"]
    assert "web" not in SERVICES["postgres"]["networks"] + SERVICES["pgbouncer"]["networks"]


def test_stopping_leaves_time_for_requests_in_flight() -> None:
    shutdown = re.search(r"^#SHUTDOWN_SECONDS=(\d+)", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert shutdown
    assert int(SERVICES["croft"]["stop_grace_period"].removesuffix("s")) > int(shutdown[1])


def test_addresses_lead_to_services() -> None:
    environment = SERVICES["croft"]["environment"]
    assert "@pgbouncer:6432/" in environment["POSTGRES"]
    assert "@postgres:5432/" in environment["POSTGRES_DIRECT"]
    pgbouncer = (DEPLOY / "pgbouncer.ini").read_text()
    assert "host=postgres port=5432 dbname=croft" in pgbouncer
    assert "listen_port = 6432" in pgbouncer
    assert "pool_mode = transaction" in pgbouncer
    assert "reverse_proxy croft:3000" in (DEPLOY / "Caddyfile").read_text()
