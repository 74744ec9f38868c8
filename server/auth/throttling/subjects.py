"""What is counted: an account, a network, everything together; each has a bucket of its own for each thing tried."""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from server.auth.throttling import rules
from server.auth.throttling.rules import Rule

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where attempts are counted, and by which rule. The key says nothing about whom it is for."""

    key: bytes
    rule: Rule

    @classmethod
    def of(cls, rule: Rule, kind: str, *subject: str) -> "Bucket":
        """The bucket of a subject, such as an e-mail address, for one kind of attempt."""
        text = "\0".join((kind, *subject))
        return cls(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES], rule)


def network_of(address: str) -> str:
    """An address of version 6 without what its holder chooses himself, the second half; any other as it is."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return f"{IPv6Address(int(known) >> 64 << 64)}/64"
    return str(known)


def of_login(email: str, network: str, *, is_known_place: bool) -> tuple[Bucket, ...]:
    """Where a password for an account is counted. `email` is as typed, whether or not there is such an account.

    A place from which the account has signed in has a bucket of its own, and so has everybody at home there together:
    strangers elsewhere, however many, do not keep the owner out.
    """
    return _of("login", email, network, is_known_place, (rules.ACCOUNT, rules.ADDRESS, rules.OVERALL))


def of_reset(email: str, network: str, *, is_known_place: bool) -> tuple[Bucket, ...]:
    """Where it is counted that somebody wants a mail with which to set a new password."""
    return _of("reset", email, network, is_known_place, (rules.RESET, rules.RESET_ADDRESS, rules.RESET_OVERALL))


def of_code(user_id: int, network: str, *, is_known_place: bool) -> tuple[Bucket, ...]:
    """Where the second factor of an account is counted: it takes the right password to get here."""
    place = (network,) if is_known_place else ()
    return (Bucket.of(rules.CODE, "code", str(user_id), *place),)


def of_email_change(user_id: int) -> tuple[Bucket, ...]:
    """Where it is counted that an account wants mails to another address."""
    return (Bucket.of(rules.RESET, "email change", str(user_id)),)


def of_token(kind: str, address: str) -> tuple[Bucket, ...]:
    """Where tokens that do not hold are counted: those of mails, of refreshing and the like."""
    return (Bucket.of(rules.TOKEN_ADDRESS, f"token {kind}", network_of(address)),)


def of_invitation(tenant_id: int, email: str) -> tuple[Bucket, ...]:
    """Where the invitations of an organization are counted."""
    return (
        Bucket.of(rules.INVITER, "inviter", str(tenant_id)),
        Bucket.of(rules.INVITED, "invited", str(tenant_id), _folded(email)),
    )


def _of(
    kind: str, email: str, network: str, is_known_place: bool, account_address_overall: tuple[Rule, Rule, Rule]
) -> tuple[Bucket, ...]:
    account, address, overall = account_address_overall
    if is_known_place:
        return (
            Bucket.of(account, f"{kind} place", _folded(email), network),
            Bucket.of(rules.HOUSE, f"{kind} house", network),
        )
    return (
        Bucket.of(account, f"{kind} account", _folded(email)),
        Bucket.of(address, f"{kind} address", network),
        Bucket.of(overall, f"{kind} overall"),
    )


def _folded(email: str) -> str:
    """One character after the other, as the database compares addresses.

    Of a whole text, a dotted capital I would become two characters and a last sigma another one than elsewhere, so that
    every spelling of one account would be counted by itself.
    """
    return "".join(character.lower()[0] for character in email.strip())
