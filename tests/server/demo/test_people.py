import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.demo.cultures import CULTURES, Culture
from server.demo.people import Household, Person, Population, everybody

TODAY = date(2026, 6, 1)


def years_old(person: Person) -> float:
    return (TODAY - person.born).days / 365.25


def with_inner(household: Household) -> list[Household]:
    return [household, *(with_inner(household.inner) if household.inner else [])]


@given(seed=st.text(max_size=8))
@settings(max_examples=10, deadline=None)
def test_nobody_lives_twice(seed: str) -> None:
    people = everybody(Population(seed, TODAY).households(300))
    identities: list[Callable[[Person], object]] = [
        lambda person: (unicodedata.normalize("NFKD", person.name.casefold()), person.born),
        lambda person: person.phone,
        lambda person: person.national_id,
    ]
    for identity in identities:
        counted = Counter(identity(person) for person in people if identity(person))
        assert not [each for each, times in counted.items() if times > 1]


@given(seed=st.text(max_size=8))
@settings(max_examples=10, deadline=None)
def test_ages_in_a_household_fit_each_other(seed: str) -> None:
    for household in Population(seed, TODAY).households(120):
        for each in with_inner(household):
            head = each.people[0]
            parents = [person for person in each.people if person.relation in ("head", "spouse")]
            children = [person for person in each.people if person.relation in ("daughter", "son")]
            grandmothers = [person for person in each.people if person.relation == "mother"]
            assert head.relation == "head"
            assert all(years_old(person) >= 17.9 for person in parents)
            assert all(years_old(p) - years_old(child) >= 17.9 for p in parents for child in children)
            assert all(years_old(person) - years_old(head) >= 17.9 for person in grandmothers)
            assert all(person.born <= TODAY for person in each.people)
            names = [person.name for person in children]
            assert len(names) == len(set(names))
        if household.inner:
            assert years_old(household.people[0]) - years_old(household.inner.people[0]) >= 17.9


def test_same_seed_makes_the_same_people() -> None:
    assert Population("a", TODAY).households(20) == Population("a", TODAY).households(20)
    assert Population("a", TODAY).households(20) != Population("b", TODAY).households(20)


def test_households_are_of_all_cultures_and_of_five_people_or_so() -> None:
    households = Population("a", TODAY).households(450)
    assert Counter(each.culture.language for each in households) == {each.language: 50 for each in CULTURES}
    assert 4 <= sum(each.size for each in households) / len(households) <= 6
    assert sum(each.inner is not None for each in households) == 56
    assert len(everybody(households)) == sum(each.size for each in households)


@pytest.mark.parametrize("culture", CULTURES, ids=lambda culture: culture.language)
def test_names_of_a_culture_are_written_as_its_people_write_them(culture: Culture) -> None:
    assert len(culture.women) >= 8
    assert len(culture.men) >= 8
    for text in (*culture.women, *culture.men, *culture.villages):
        assert text == text.strip()
        assert text == unicodedata.normalize("NFC", text)
    names = (*culture.women, *culture.men)
    assert len(set(names)) == len(names)


def test_children_take_the_names_that_their_culture_gives_them() -> None:
    population = Population("names", TODAY)
    by_language = {culture.language: culture for culture in CULTURES}

    def child_of(language: str) -> tuple[str, str]:
        while True:
            head, *others = population.household(by_language[language]).people
            children = [person for person in others if person.relation in ("son", "daughter")]
            if children and head.sex == "male":
                return head.name, children[0].name

    father, child = child_of("Amharic")
    assert child.split()[-1] == father.split()[0]
    father, child = child_of("Lao")
    assert child.split()[-1] == father.split()[-1]
    father, child = child_of("Spanish")
    assert child.split()[-2] == father.split()[-2]
    father, child = child_of("Ukrainian")
    assert child.split()[0] == father.split()[0]
    assert child.split()[2].startswith(father.split()[1][:4])
