import pytest

from tests.architecture.source import SERVER, modules, project_files, room_of

SAYING_NOTHING = {"util", "helper", "manager", "base", "common", "service"}
TERMS = {"service_accounts"}
UNAWARE_OF_TENANTS = {"conflicts", "duplicates", "entities", "sync"}


def words_of(name: str) -> set[str]:
    words = name.removesuffix(".py").lower().split("_")
    return {*words, *(word.removesuffix("s") for word in words)}


def says_nothing(name: str) -> bool:
    """Whether a word says nothing that is not part of a term of the field."""
    for term in TERMS:
        name = name.replace(term, "")
    return bool(words_of(name) & SAYING_NOTHING)


def test_names_of_modules_say_something() -> None:
    python = [path for path in project_files() if path.suffix == ".py"]
    assert not [str(path) for path in python if any(says_nothing(part) for part in path.parts)]


@pytest.mark.parametrize("room", sorted(UNAWARE_OF_TENANTS))
def test_rooms_of_one_tenants_data_never_say_tenant(room: str) -> None:
    said = [
        f"server/{module}:{number}: {line.strip()}"
        for module in modules()
        if room_of(module) == room
        for number, line in enumerate([str(module), *(SERVER / module).read_text().splitlines()])
        if "tenant" in line.lower()
    ]
    assert not said, "\n".join(said)
