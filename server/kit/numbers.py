"""Numbers as callers write them into addresses."""


def whole_number(text: str, most: int) -> int | None:
    """The number that the text is, written with the digits 0 to 9 alone and no more of them than `most` has."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return int(text) if is_number else None
