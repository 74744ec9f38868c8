"""Planted secrets, and every disguise in which one could turn up."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

_SHORTEST = 12
"""A shorter text turns up by chance."""


@dataclass
class Planted:
    """The secrets by what they are. `known` holds the disguises of each."""

    known: "dict[str, Disguises]" = field(default_factory=dict)

    def make(self, what: str, form: str = "{}") -> str:
        """A new secret, random but good enough for every rule of passwords. `form` says what it reads like."""
        return self.plant(what, form.format(f"Pl4nted-{secrets.token_hex(8)}"))

    def make_number(self, what: str) -> int:
        """A new secret that is a number."""
        return int(self.plant(what, str(10**14 + secrets.randbelow(10**14))))

    def plant(self, what: str, text: str) -> str:
        """Makes a secret known that somebody else made."""
        assert len(text) >= _SHORTEST, what
        number = sum(1 for each in self.known if each.split(" #")[0] == what)
        self.known[f"{what} #{number}" if number else what] = disguises(text)
        return text

    def found_in(self, text: bytes | str) -> list[str]:
        """Which of the secrets the text holds, in whatever disguise."""
        raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        folded = raw.lower()
        return [what for what, forms in self.known.items() if forms.are_in(raw, folded)]


@dataclass(frozen=True)
class Disguises:
    """What a secret can look like. `folded` are forms in which capitals do not matter."""

    exact: frozenset[bytes]
    folded: frozenset[bytes]

    def are_in(self, raw: bytes, folded: bytes) -> bool:
        """Whether any of them is there; `folded` is the same in small letters."""
        return any(form in raw for form in self.exact) or any(form in folded for form in self.folded)


def disguises(text: str) -> Disguises:
    """The text as it is, backwards, quoted for JSON and for addresses, in hex, and in base64 inside anything else."""
    raw = text.encode()
    quoted = {json.dumps(text)[1:-1], quote(text, safe=""), quote(text), quote_plus(text)}
    coded = {form for offset in range(3) for form in _base64_inside(raw, offset)}
    exact = frozenset({raw, raw[::-1], *(form.encode() for form in quoted), *coded})
    return Disguises(exact, frozenset({raw.lower(), raw.hex().encode()}))


def _base64_inside(raw: bytes, offset: int) -> tuple[bytes, bytes]:
    """What is always there of the text when it stands in something longer that is encoded, so far in."""
    encoded = base64.b64encode(b"\0" * offset + raw)
    bits_before, bits = 8 * offset, 8 * (offset + len(raw))
    certain = encoded[-(-bits_before // 6) : bits // 6]
    return certain, certain.translate(bytes.maketrans(b"+/", b"-_"))
