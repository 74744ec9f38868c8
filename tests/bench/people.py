"""People as phones register them: no two alike, so that none is taken for another's duplicate."""

from datetime import date, timedelta
from itertools import product
from random import Random
from typing import Any, Final
from uuid import UUID

Event = dict[str, Any]

# fmt: off
_GIVEN: Final = (
    "Amina", "Noy", "Rosa", "Zainab", "Tigist", "Oksana", "Chanthavy", "Adaeze", "Blessing", "Fatoumata", "Guadalupe",
    "Hodan", "Ifeoma", "Jelena", "Khadija", "Leila", "Makena", "Nguyệt", "Olena", "Parisa", "Rahel", "Samira",
    "Thandiwe", "Uchenna", "Violeta", "Wanjiru", "Ximena", "Yeshi", "Zodwa", "Élise",
)
_FAMILY: Final = (
    "Diallo", "Phommachanh", "Quispe", "Haddad", "Bekele", "Shevchenko", "Okafor", "Hernández", "Rahman", "Santos",
    "Abdullahi", "Bondarenko", "Chaudhry", "Dlamini", "Estrada", "Farah", "Getachew", "Huamán", "Ibrahim",
    "Jovanović", "Keita", "Lozano", "Mwangi", "Nguyễn", "Ochieng", "Petrenko",
)
_SECOND: Final = (
    "Traoré", "Sisouphanh", "Mamani", "Khoury", "Tesfaye", "Kovalenko", "Nwosu", "Gutiérrez", "Hossain", "Oliveira",
    "Yusuf", "Tkachenko", "Siddiqui", "Nkosi", "Vargas", "Warsame", "Alemu", "Condori", "Bello", "Petrović",
    "Coulibaly", "Zapata", "Kamau", "Trần", "Otieno", "Melnyk",
)
# fmt: on
_VILLAGES: Final = ("Ban Na", "Kibera", "San Juan", "Al Mafraq", "Adi Keyh", "Zolochiv", "Gwagwalada", "Cox's Bazar")
_DAYS: Final = 25_550

NAMES: Final = [" ".join(parts) for parts in product(_GIVEN, _FAMILY, _SECOND)]
"""Every name there is, in an order that does not sort them."""

Random(1).shuffle(NAMES)

FORM: Final = "individual"

MARKER: Final = '"householdSize"'
"""What every person's fields hold once, and nothing else does: people in an answer are counted by it."""

FIRST_NEW: Final = 2_000_000
"""From here on are numbers of people that nobody has pushed: those below are what tables are filled with."""


def person(number: int) -> dict[str, Any]:
    """The fields of the person with this number, 0 to 99,999,999. No other has her name and birthday, or her phone."""
    round_, place = divmod(number, len(NAMES))
    born = date(1940, 1, 1) + timedelta(days=(round_ * 7_919 + place * 31) % _DAYS)
    return {
        "entityName": FORM,
        "name": NAMES[place],
        "dateOfBirth": born.isoformat(),
        "gender": "female" if number % 2 else "male",
        "village": _VILLAGES[number % 8],
        "phone": f"+2547{number * 7_654_321 % 100_000_000:08}",
        "householdSize": number % 9 + 1,
    }


def registered(number: int, random: Random) -> Event:
    """The event by which a phone registers that person."""
    second = number // 10 % 86_400
    return {
        "guid": str(UUID(int=random.getrandbits(128), version=4)),
        "entityGuid": str(UUID(int=random.getrandbits(128), version=4)),
        "type": "create-individual",
        "data": person(number),
        "timestamp": f"2026-01-31T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{number % 10}00Z",
        "userId": "7",
    }
