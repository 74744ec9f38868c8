"""Values of a form in the one form in which two of them are compared.

Every function answers an empty text for a value that says nothing, and gives its own result back unchanged.
"""

import re
import unicodedata
from datetime import date
from typing import Any, Final

_PHONE_DIGITS: Final = 9
_LEAST_PHONE_DIGITS: Final = 7
_LEAST_ID_LETTERS: Final = 4
_LONGEST: Final = 1000

_YEAR_FIRST = re.compile(r"(\d{4})[-/. ]?(\d{2})[-/. ]?(\d{2})(?:[T ].*)?", re.DOTALL)
_YEAR_LAST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})(?:[T ].*)?", re.DOTALL)


def plain_text(value: Any) -> str:
    """Letters and digits without case, accents and punctuation, words parted by one space."""
    text = _text(value)
    if text.isascii():
        return " ".join(text.translate(_PLAIN_ASCII).split())
    # Folding case can bring forth what decomposes again, hence twice.
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKD", text)
    return " ".join("".join(map(_plain_letter, text)).split())


def plain_name(value: Any) -> str:
    """A name's words in alphabetical order: which of them is the family's name is written either way."""
    return " ".join(sorted(plain_text(value).split(" ")))


def plain_id(value: Any) -> str:
    """The letters and digits of a number on a document. What is too short or has no digit is a word like "none"."""
    text = plain_text(value).replace(" ", "")
    digits = {letter for letter in text if letter.isdigit()}
    return text if len(text) >= _LEAST_ID_LETTERS and digits and len(set(text)) > 1 else ""


def plain_phone(value: Any) -> str:
    """The last nine digits: the same with and without the country's prefix."""
    digits = "".join(letter for letter in plain_text(value) if "0" <= letter <= "9")[-_PHONE_DIGITS:]
    return digits if len(digits) >= _LEAST_PHONE_DIGITS and len(set(digits)) > 1 else ""


def plain_date(value: Any) -> str:
    """A date as `1990-03-17`, whatever time of the day stands behind it; what is none, as plain text.

    Of `03/04/1990` the day is taken to stand first, unless that cannot be.
    """
    text = _text(value)
    if not text.isascii():
        text = "".join(_digit(letter) or letter for letter in text)
    return _date_in(text.strip()) or _date_in(plain_text(text)) or plain_text(text)


def _date_in(text: str) -> str:
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day = map(int, found.groups())
    elif found := _YEAR_LAST.fullmatch(text):
        day, month, year = map(int, found.groups())
        if month > 12:
            day, month = month, day
    else:
        return ""
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    # 12 and 12.0 are one number, in JSON as elsewhere.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _digit(letter: str) -> str:
    """The digit as 0 to 9 in whatever script it is written; empty for what is no digit."""
    value = unicodedata.decimal(letter, None)
    return "" if value is None else str(value)


def _plain_letter(letter: str) -> str:
    # Marks that only modify a letter have a combining class; vowel signs of other scripts have none and are kept.
    if unicodedata.combining(letter):
        return ""
    kind = unicodedata.category(letter)
    if kind == "Nd":
        return _digit(letter)
    if kind in ("Pd", "Pc") or letter.isspace():
        return " "
    return letter if kind[0] in "LNM" else ""


_PLAIN_ASCII: Final = {code: _plain_letter(chr(code).lower()) for code in range(128)}
