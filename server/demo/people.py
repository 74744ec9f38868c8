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
_CHILDREN = (0, 1, 2, 2, 3, 3, 4, 5, 6, 7)
_LAST_CHILD = 46


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
        return self._household(culture, village, head_age=age, inner_age=self._random.uniform(20, age - 28))

    def _household(
        self,
        culture: Culture,
        village: str,
        *,
        head_age: float,
        lineage: Lineage | None = None,
        inner_age: float | None = None,
    ) -> Household:
        """`lineage` is the head's; `inner_age` the age of the child that heads an inner household."""
        random = self._random
        couple, childrens = self._couple(culture, head_age, lineage or self._lineage(culture))
        youngest = min(self._age(person) for person in couple.values())
        people = [*couple.values(), *self._children(culture, childrens, parents_age=youngest, given=set(couple))]
        if inner_age is None and lineage is None and random.random() < 0.2:
            people.append(self._mother(culture, head_age))
        inner = self._household(culture, village, head_age=inner_age, lineage=childrens) if inner_age else None
        return Household(
            name=culture.household.format(head=people[0].name, family=childrens.family),
            culture=culture,
            village=village,
            roof=random.choice(_ROOFS),
            water=random.choice(_WATER),
            people=tuple(people),
            inner=inner,
        )

    def _couple(self, culture: Culture, head_age: float, lineage: Lineage) -> tuple[dict[str, Person], Lineage]:
        """The head and mostly a spouse by their given names, and the lineage of their children.

        One head in five is a woman alone.
        """
        random = self._random
        man = random.choice([name for name in culture.men if name != lineage.father])
        woman = random.choice(culture.women)
        if random.random() < 0.2:
            head = self._person(culture, woman, WOMAN, lineage, age=head_age, relation="head")
            return {woman: head}, Lineage(man, lineage.family, lineage.mothers_family)
        maiden = self._lineage(culture)
        hers = Lineage(maiden.father, lineage.family, maiden.family) if culture.wife_takes_family else maiden
        wife_age = max(19.0, head_age + random.uniform(-8, 3))
        return {
            man: self._person(culture, man, MAN, lineage, age=head_age, relation="head"),
            woman: self._person(culture, woman, WOMAN, hers, age=wife_age, relation="spouse"),
        }, Lineage(man, lineage.family, maiden.family)

    def _lineage(self, culture: Culture) -> Lineage:
        family, mothers_family = self._random.choice(culture.families), self._random.choice(culture.families)
        return Lineage(self._random.choice(culture.men), family, mothers_family)

    def _children(self, culture: Culture, lineage: Lineage, parents_age: float, given: set[str]) -> list[Person]:
        """The eldest first, a year or more apart, each with a name of its own; `given` are the parents'."""
        random = self._random
        names = {sex: [name for name in of if name not in given] for sex, of in _given_names(culture).items()}
        children: list[Person] = []
        age = min(parents_age - ADULT, 19) * random.uniform(0.4, 1)
        for _ in range(random.choice(_CHILDREN)):
            if age <= 0 or parents_age - age > _LAST_CHILD:
                break
            sex = random.choice((WOMAN, MAN))
            name = names[sex].pop(random.randrange(len(names[sex])))
            relation = "daughter" if sex == WOMAN else "son"
            children.append(self._person(culture, name, sex, lineage, age=age, relation=relation))
            age -= random.uniform(1.2, 3.6)
        return children

    def _mother(self, culture: Culture, head_age: float) -> Person:
        given, age = self._random.choice(culture.women), head_age + self._random.uniform(18, 30)
        return self._person(culture, given, WOMAN, self._lineage(culture), age=age, relation="mother")

    def _person(self, culture: Culture, given: str, sex: str, lineage: Lineage, *, age: float, relation: str) -> Person:
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
        number = f"9{self._unique_number():08}"
        return f"{culture.dialling_code} {number[:3]} {number[3:6]} {number[6:]}"

    def _national_id(self) -> str:
        return f"{self._random.choice('ABCDEFGH')}{self._random.randrange(100, 999)}-{self._unique_number():08}"

    def _unique_number(self) -> int:
        """Eight digits, each number once: the factor has no divisor in common with the modulus."""
        return next(self._numbers) * 61_803_399 % 100_000_000

    def _age(self, person: Person) -> float:
        return (self._today - person.born) / _YEAR


def _given_names(culture: Culture) -> dict[str, tuple[str, ...]]:
    return {WOMAN: culture.women, MAN: culture.men}


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
