"""The rules by which two records of one form may be the same, and the keys that records get under them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import product
from typing import Any, Final

import orjson

from server.duplicates.normal_forms import plain_date, plain_id, plain_name, plain_phone, plain_text

_GIVEN: Final = ("firstname", "givenname", "forename", "prenom", "nombre", "nombres")
_FAMILY: Final = ("lastname", "familyname", "surname", "apellido", "apellidos", "nomdefamille")
_NAMES: Final = ("name", "fullname")
_BIRTH_DATES: Final = (
    "dateofbirth",
    "dob",
    "birthdate",
    "birthday",
    "bornon",
    "fechadenacimiento",
    "fechanacimiento",
    "datedenaissance",
    "datadenascimento",
)
_IDS: Final = (
    "nationalid",
    "nationalidnumber",
    "idnumber",
    "nid",
    "idcard",
    "idcardnumber",
    "passport",
    "passportnumber",
    "passportno",
)
_PHONES: Final = ("phone", "phonenumber", "phoneno", "mobile", "mobilenumber", "mobilephone", "telephone", "msisdn")


@dataclass(frozen=True, slots=True)
class Rule:
    """Records of the form (every form where it is None) that agree in all of the fields may be the same.

    Without fields it is one of the default rules, known by its label.
    """

    label: str
    form: str | None = None
    fields: tuple[str, ...] = ()


BY_NAME_AND_BIRTH: Final = Rule("name + dateOfBirth")
BY_ID: Final = Rule("nationalId")
BY_PHONE: Final = Rule("phone")
DEFAULT_RULES: Final = (BY_NAME_AND_BIRTH, BY_ID, BY_PHONE)


@dataclass(frozen=True, slots=True)
class Key:
    """Two records that share a key match under its rule."""

    value: int
    rule: str


def rules_from(setting: str | None) -> tuple[Rule, ...]:
    """The rules that the setting `duplicates` (JSON) asks for; the default ones where it names none."""
    named = orjson.loads(setting).get("rules") if setting else None
    if named is None:
        return DEFAULT_RULES
    return tuple(Rule(" + ".join(each["fields"]), each["form"], tuple(each["fields"])) for each in named)


def keys_of(form: str, name: str, data: Mapping[str, Any], rules: Sequence[Rule]) -> set[Key]:
    """The keys of a record: one for each rule of its form under which all fields say something."""
    if not rules:
        return set()
    record = _Record(name, data)
    return {
        Key(_hash(form, rule.label, *values), rule.label)
        for rule in rules
        if rule.form in (None, form)
        for values in _values(record, rule)
        if values and all(values)
    }


class _Record:
    """The fields of a record, to be found by their name however it is spelled."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self._exact = data
        self._by_spelling = {_spelling(key): value for key, value in data.items()}
        self._by_spelling.setdefault("name", name)

    def first(self, spellings: Sequence[str], plain: Callable[[Any], str]) -> str:
        """The first of the fields that says something, in its normal form."""
        present = (self._by_spelling[key] for key in spellings if key in self._by_spelling)
        return next((text for value in present if (text := plain(value))), "")

    def field(self, key: str) -> str:
        """The field with exactly this name, in the normal form for what its name says it is."""
        value = self._exact.get(key)
        if value is None and key == "name":
            value = self._by_spelling["name"]
        return _plain_for(key)(value)

    def names(self) -> set[str]:
        """What the person may be called: the name as one, and the name in two."""
        given, family = self.first(_GIVEN, plain_name), self.first(_FAMILY, plain_name)
        in_two = plain_name(f"{given} {family}") if given and family else ""
        return {each for each in (in_two, self.first(_NAMES, plain_name)) if each}


def _values(record: _Record, rule: Rule) -> Iterator[tuple[str, ...]]:
    if rule is BY_NAME_AND_BIRTH:
        born = record.first(_BIRTH_DATES, plain_date)
        yield from product(record.names() if born else (), (born,))
    elif rule is BY_ID:
        yield (record.first(_IDS, plain_id),)
    elif rule is BY_PHONE:
        yield (record.first(_PHONES, plain_phone),)
    else:
        yield tuple(record.field(key) for key in rule.fields)


def _plain_for(key: str) -> Callable[[Any], str]:
    spelling = _spelling(key)
    if spelling in _BIRTH_DATES:
        return plain_date
    if spelling in _PHONES:
        return plain_phone
    if spelling in _IDS:
        return plain_id
    return plain_name if spelling in _NAMES else plain_text


@lru_cache(maxsize=4096)
def _spelling(key: str) -> str:
    """dateOfBirth, date_of_birth and "Date of birth" are one field."""
    return "".join(letter for letter in key.lower() if letter.isalnum())


def _hash(*parts: str) -> int:
    digest = blake2b(orjson.dumps(parts), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
