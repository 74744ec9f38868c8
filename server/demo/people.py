"""Households that could be real: names, ages and kinship that fit each other, and nobody twice."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from random import Random

from server.demo.cultures import CULTURES, MAN, WOMAN, Culture, Lineage

ADULT = 18
_YEAR = timedelta(days=365.25)
_WORK = ("farmer", "fisher", "trader", "weaver", "teacher", "midwife", "mason", "driver", "herder")
_ROOFS = ("thatch", "iron sheets", "tiles", "concrete")
_WATER = ("river", "open well", "hand pump", "piped")
_CHILDREN = (0, 1, 1, 2, 2, 3, 3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Person:
    """`phone` and `national_id` are empty for who has none. `occupation` is the word of the form's choice."""

    name: str
    sex: str
    born: date
    relation: str
    occupation: str
    phone: str = ""
    national_id: str = ""


@dataclass(frozen=True, slots=True)
class Household:
    """`people` begin with the head. `inner` is the household of a grown-up child under the same roof."""

    name: str
    culture: Culture
    village: str
    roof: str
    water: str
    people: tuple[Person, ...]
    inner: "Household | None" = None

    @property
    def size(self) -> int:
        """How many people live in it, those of the inner household too."""
        return len(self.people) + (self.inner.size if self.inner else 0)


@dataclass(frozen=True, slots=True)
class _Parents:
    father: str
    family: str
    mothers_family: str

    @property
    def lineage(self) -> Lineage:
        return Lineage(self.father, self.family, self.mothers_family)


class Population:
    """Makes households. No two people have the same name and date of birth, the same phone or the same national id.

    The same seed makes the same households for the same `today`.
    """

    def __init__(self, seed: str, today: date) -> None:
        self._random = Random(seed)  # noqa: S311
        self._today = today
        self._known: set[tuple[str, date]] = set()
        self._numbers = count(1)

    def households(self, number: int) -> list[Household]:
        """Households of all cultures by turns; in one of eight a grown-up child has a household of his own."""
        return [self.household(CULTURES[index % len(CULTURES)], extended=index % 8 == 5) for index in range(number)]

    def household(self, culture: Culture, *, extended: bool = False) -> Household:
        """One household; an extended one has another inside."""
        village = self._random.choice(culture.villages)
        if not extended:
            return self._household(culture, village, head_age=self._random.uniform(22, 60))
        age = self._random.uniform(48, 72)
        family = self._random.choice(culture.families)
        inner = self._household(culture, village, head_age=self._random.uniform(20, age - 24), family=family)
        return self._household(culture, village, head_age=age, family=family, inner=inner)

    def _household(
        self,
        culture: Culture,
        village: str,
        *,
        head_age: float,
        family: str | None = None,
        inner: Household | None = None,
    ) -> Household:
        random = self._random
        family = family or random.choice(culture.families)
        people, parents = self._couple(culture, head_age, family)
        youngest = min(self._age(person) for person in people)
        people += self._children(culture, parents, oldest=youngest - ADULT)
        if inner is None and random.random() < 0.2:
            people.append(self._mother_of_head(culture, family, head_age))
        return Household(
            name=culture.household.format(head=people[0].name, family=family),
            culture=culture,
            village=village,
            roof=random.choice(_ROOFS),
            water=random.choice(_WATER),
            people=tuple(people),
            inner=inner,
        )

    def _couple(self, culture: Culture, head_age: float, family: str) -> tuple[list[Person], _Parents]:
        """The head and mostly a spouse. One head in five is a woman who raises her children alone."""
        random = self._random
        man, woman = random.choice(culture.men), random.choice(culture.women)
        her_family = random.choice(culture.families)
        parents = _Parents(father=man, family=family, mothers_family=her_family)
        alone = random.random() < 0.2
        married_name = family if alone or culture.wife_takes_family else her_family
        hers = Lineage(random.choice(culture.men), married_name, her_family)
        if alone:
            return [self._person(culture, woman, WOMAN, hers, age=head_age, relation="head")], parents
        his = Lineage(random.choice(culture.men), family, random.choice(culture.families))
        wife_age = max(19.0, head_age + random.uniform(-8, 3))
        return [
            self._person(culture, man, MAN, his, age=head_age, relation="head"),
            self._person(culture, woman, WOMAN, hers, age=wife_age, relation="spouse"),
        ], parents

    def _children(self, culture: Culture, parents: _Parents, oldest: float) -> list[Person]:
        if oldest <= 0:
            return []
        ages = sorted((self._random.uniform(0, min(oldest, 19)) for _ in range(self._random.choice(_CHILDREN))))
        return [self._child(culture, parents, age) for age in reversed(ages)]

    def _child(self, culture: Culture, parents: _Parents, age: float) -> Person:
        is_girl = self._random.random() < 0.5
        given = self._random.choice(culture.women if is_girl else culture.men)
        sex, relation = (WOMAN, "daughter") if is_girl else (MAN, "son")
        return self._person(culture, given, sex, parents.lineage, age=age, relation=relation)

    def _mother_of_head(self, culture: Culture, family: str, head_age: float) -> Person:
        lineage = Lineage(self._random.choice(culture.men), family, self._random.choice(culture.families))
        age = min(head_age + self._random.uniform(18, 30), 97)
        return self._person(culture, self._random.choice(culture.women), WOMAN, lineage, age=age, relation="mother")

    def _person(
        self, culture: Culture, given: str, sex: str, lineage: Lineage, *, age: float, relation: str
    ) -> Person:
        name = culture.full_name(given, sex, lineage)
        born = self._unused_birthday(name, self._today - age * _YEAR)
        is_adult = age >= ADULT
        return Person(
            name=name,
            sex=sex,
            born=born,
            relation=relation,
            occupation=self._occupation(age),
            phone=self._phone(culture) if is_adult and relation in ("head", "spouse") else "",
            national_id=self._national_id() if is_adult else "",
        )

    def _unused_birthday(self, name: str, around: date) -> date:
        born = around
        while (_plain(name), born) in self._known:
            born -= timedelta(days=1)
        self._known.add((_plain(name), born))
        return born

    def _occupation(self, age: float) -> str:
        if age < 6:
            return "at home"
        return "pupil" if age < ADULT else self._random.choice(_WORK)

    def _phone(self, culture: Culture) -> str:
        number = f"{self._random.randrange(10, 99)}{next(self._numbers):07}"
        return f"{culture.dialling_code} {number[:3]} {number[3:6]} {number[6:]}"

    def _national_id(self) -> str:
        return f"{self._random.choice('ABCDEFGH')}{self._random.randrange(100, 999)}-{next(self._numbers):06}"

    def _age(self, person: Person) -> float:
        return (self._today - person.born) / _YEAR


def everybody(households: Sequence[Household]) -> list[Person]:
    """Everybody in these households and in those inside of them."""
    found: list[Person] = []
    for household in households:
        found += household.people
        if household.inner:
            found += everybody([household.inner])
    return found


def _plain(name: str) -> str:
    """The name without case and accents: two that look alike must not share a birthday by chance."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
