"""Whatever four people do to the same records, offline and in whatever order they sync, everybody ends at one state."""

from random import Random
from typing import Any

import pytest

from tests.journeys.test_old_devices import Crew, Croft, member, person, subgroup
from tests.old_client import OldClient

SEEDS = range(15)
ACTS = 60


class FieldWork:
    """Random acts of one crew; each acts on what its own device shows at that moment."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    async def of(self, crew: Crew) -> None:
        for _ in range(ACTS):
            device = self._random.choice(crew.devices)
            if self._random.random() < 0.25:
                await device.sync()
            else:
                self._act(device)

    def _act(self, device: OldClient) -> None:
        individuals = self._shown(device, "individual")
        groups = self._shown(device, "group")
        acts: list[Any] = [self._register, self._register, self._found]
        if individuals:
            acts += [self._edit, self._edit, self._fill_in_whole_form]
        if groups:
            acts += [self._add, self._add, self._edit_group]
        if individuals or groups:
            acts += [self._delete]
        if any(device.entities()[guid]["memberIds"] for guid in groups):
            acts += [self._remove]
        self._random.choice(acts)(device, individuals, groups)

    def _shown(self, device: OldClient, type_: str) -> list[str]:
        return sorted(guid for guid, entity in device.entities().items() if entity["type"] == type_)

    def _fields(self) -> dict[str, Any]:
        return {self._random.choice(("village", "trade", "roof")): self._random.randrange(100)}

    def _register(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        device.create_individual(person("Person", **self._fields()))

    def _found(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        members = [member("Member", **self._fields()) for _ in range(self._random.randrange(3))]
        if self._random.random() < 0.3:
            members.append(subgroup("Family", [member("Child")]))
        device.create_group(person("Camp", **self._fields()), members=members)

    def _edit(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        device.update_individual(self._random.choice(individuals), self._fields())

    def _fill_in_whole_form(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        device.whole_form_update(self._random.choice(individuals), **self._fields())

    def _edit_group(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        device.update_group(self._random.choice(groups), self._fields())

    def _add(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        added = subgroup("Family", [member("Child")]) if self._random.random() < 0.2 else member("Added")
        device.add_member(self._random.choice(groups), added)

    def _remove(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        group = self._random.choice([guid for guid in groups if device.entities()[guid]["memberIds"]])
        device.remove_member(group, self._random.choice(sorted(device.entities()[group]["memberIds"])))

    def _delete(self, device: OldClient, individuals: list[str], groups: list[str]) -> None:
        device.delete(self._random.choice(individuals + groups))


@pytest.mark.parametrize("seed", SEEDS)
async def test_random_field_work_ends_in_one_state(croft: Croft, seed: int) -> None:
    crew = await Crew.of(await croft.tenant())
    await FieldWork(seed).of(crew)
    await crew.converge()
