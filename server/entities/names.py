"""Names cut into pieces, by which an index finds those that hold a given part."""

from typing import Final

NAME_PART: Final = 3
"""How many letters a part has to have for the index to find it in any name."""

_LONGEST_NAME: Final = 1000
# From here on stand the scripts that write whole words in one or two letters: Chinese, Japanese, Korean.
_SHORT_WORDS_FROM: Final = "\u2e80"


def name_parts(name: str) -> list[str]:
    """Every run of three letters of a name in lower case, each once, in no order.

    Of letters that can be words by themselves also the shorter runs. A name holds all the parts of each part of it.
    """
    name = name.lower()[:_LONGEST_NAME]
    parts = _runs(name, NAME_PART)
    if not name.isascii() and max(name) >= _SHORT_WORDS_FROM:
        for length in range(1, NAME_PART):
            parts |= {run for run in _runs(name, length) if _is_wordlike(run)}
    return list(parts)


def _runs(name: str, length: int) -> set[str]:
    return {name[at : at + length] for at in range(len(name) - length + 1)}


def _is_wordlike(run: str) -> bool:
    return all(letter >= _SHORT_WORDS_FROM for letter in run)
