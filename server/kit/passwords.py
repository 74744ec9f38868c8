"""The rules a password must keep, wherever one is set."""

MINIMUM_CHARACTERS = 8
MAXIMUM_BYTES = 72
"""bcrypt reads no further: what stands after 72 bytes would protect nothing."""


def password_problems(password: str) -> list[str]:
    """Every rule that `password` breaks, as phrases that complete "The password …"; empty when it is acceptable.

    The phrases never contain the password. "Special" is anything visible that is neither a letter nor a digit.
    """
    checks = (
        (len(password) >= MINIMUM_CHARACTERS, f"must have at least {MINIMUM_CHARACTERS} characters"),
        (_utf8_length(password) <= MAXIMUM_BYTES, f"must have at most {MAXIMUM_BYTES} bytes in UTF-8"),
        (any(c.isupper() for c in password), "must contain an upper-case letter"),
        (any(c.islower() for c in password), "must contain a lower-case letter"),
        (any(c.isdigit() for c in password), "must contain a digit"),
        (any(_is_special(c) for c in password), "must contain a special character"),
        ("\0" not in password, "must not contain the NUL character"),
    )
    return [problem for kept, problem in checks if not kept]


def _is_special(character: str) -> bool:
    return character.isprintable() and not character.isalnum() and not character.isspace()


def _utf8_length(text: str) -> int:
    # A lone surrogate has no UTF-8 form; counting it as three bytes keeps the answer a number, never an exception.
    return len(text.encode("utf-8", "surrogatepass"))
