"""The rules a password must keep, wherever one is set."""

import re
from collections.abc import Sequence
from threading import Lock
from typing import Final

from zxcvbn import zxcvbn

MINIMUM_CHARACTERS: Final = 8
MAXIMUM_CHARACTERS: Final = 1024
"""More than anybody types; it keeps the work that a single password makes small."""

LEAST_GUESSES: Final = 5e7
"""How many guesses a password has to stand. Eight characters at random are taken for twice as many; passwords that are
known from breaches, single words with a digit, dates and patterns of the keyboard for far fewer."""

_JUDGED_CHARACTERS: Final = 64
"""The estimate takes time that grows with the length faster than the length; what stands at the beginning is enough."""

# The estimate keeps the words about the person in a table of its module.
_judging = Lock()


def password_problems(password: str, *, about: Sequence[str] = ()) -> list[str]:
    """Every rule that `password` breaks, as phrases that complete "The password …"; empty when it is acceptable.

    `about` are the e-mail address and names of whose it is to be: it must not be made of them. The phrases never
    contain the password. "Special" is anything visible that is neither a letter nor a digit. Takes some hundredths of
    a second of the processor, so it has no place in the event loop of a server.
    """
    checks = (
        (len(password) >= MINIMUM_CHARACTERS, f"must have at least {MINIMUM_CHARACTERS} characters"),
        (len(password) <= MAXIMUM_CHARACTERS, f"must have at most {MAXIMUM_CHARACTERS} characters"),
        (any(c.isupper() for c in password), "must contain an upper-case letter"),
        (any(c.islower() for c in password), "must contain a lower-case letter"),
        (any(c.isdigit() for c in password), "must contain a digit"),
        (any(_is_special(c) for c in password), "must contain a special character"),
        ("\0" not in password, "must not contain the NUL character"),
    )
    problems = [problem for kept, problem in checks if not kept]
    return problems or _guessable(password, about)


def _guessable(password: str, about: Sequence[str]) -> list[str]:
    if _guesses(password, ()) < LEAST_GUESSES:
        return ["must not be one that is tried early on: it is a common one, or made of a word, a date or a pattern"]
    words = _words_of(about)
    if _is_made_of(password, words) or _guesses(password, words) < LEAST_GUESSES:
        return ["must not be made of the e-mail address or a name"]
    return []


def _is_made_of(password: str, words: Sequence[str]) -> bool:
    """Whether too little is left of the password without the words."""
    rest = password.lower()
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word.lower(), "")
    return len(rest) < min(len(password), MINIMUM_CHARACTERS)


def _guesses(password: str, words: Sequence[str]) -> float:
    with _judging:
        return float(zxcvbn(password[:_JUDGED_CHARACTERS], user_inputs=list(words))["guesses"])


def _words_of(about: Sequence[str]) -> list[str]:
    """The texts and the words in them, such as the name in an e-mail address."""
    words = [word for text in about for word in (text, text.partition("@")[0], *re.split(r"[\W\d_]+", text))]
    return [word for word in dict.fromkeys(words) if len(word) > 2]


def _is_special(character: str) -> bool:
    return character.isprintable() and not character.isalnum() and not character.isspace()
