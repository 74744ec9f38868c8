"""Getting into an account, keeping its owner out of it, or finding out who has one."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from statistics import median
from time import perf_counter
from typing import Any

import bcrypt
import httpx
import pytest
import pytest_asyncio

from server.auth import passwords
from server.auth.throttling import rules
from server.db.embedded import EmbeddedPostgres
from server.logs import JsonFormatter
from tests.conftest import PASSWORD, Croft, new_database, start_croft
from tests.mailbox import MailingCroft, mailing, rows_of

__all__ = ["mailing"]

WRONG, NEW = "Wrong-Horse-7", "Another-Horse-8"
LOGIN, RESET, CONFIRM = "/api/users/login", "/api/v2/auth/password-reset", "/api/v2/auth/password-reset/confirm"

_numbers = count(1)
_addresses = (f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}" for number in count(1))


def stranger(croft: Croft, address: str | None = None) -> httpx.AsyncClient:
    """A client at an address where nobody was before."""
    client = croft.client()
    client.headers["X-Forwarded-For"] = address or next(_addresses)
    return client


async def account(croft: Croft, email: str | None = None) -> tuple[int, str]:
    email = email or f"victim{next(_numbers)}@north.test"
    answer = await croft.operator.post("/api/users", json={"email": email, "password": PASSWORD, "role": "USER"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], email


async def guess(client: httpx.AsyncClient, email: str, password: str = WRONG) -> int:
    return (await client.post(LOGIN, json={"email": email, "password": password})).status_code


async def reset_token(mailing: MailingCroft, email: str) -> str:
    answer = await stranger(mailing.croft).post(RESET, json={"email": email})
    assert answer.status_code == 202, answer.text
    return (await mailing.mailbox.take(email)).token


async def reset(croft: Croft, token: str, new: str = NEW) -> int:
    return (await stranger(croft).post(CONFIRM, json={"token": token, "newPassword": new})).status_code


# Guessing


async def test_guessing_a_password_from_one_address(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    guesser = stranger(mailing.croft)
    answers = [await guess(guesser, email) for _ in range(8)]
    assert answers == [401] * 5 + [429] * 3
    assert await guess(guesser, email, PASSWORD) == 429


async def test_guessing_a_password_from_many_addresses(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    answers = [await guess(stranger(mailing.croft), email) for _ in range(30)]
    assert answers.count(401) <= rules.ACCOUNT.free + 1


async def test_guessing_one_password_at_many_accounts_from_one_address(mailing: MailingCroft) -> None:
    guesser = stranger(mailing.croft)
    answers = [await guess(guesser, f"somebody{number}@north.test") for number in range(60)]
    assert answers.count(401) <= rules.ADDRESS.free + 3


async def test_guessing_from_all_the_addresses_of_one_network_of_version_six(mailing: MailingCroft) -> None:
    answers = [
        await guess(stranger(mailing.croft, f"2001:db8:5:5::{number:x}"), f"anybody{number}@north.test")
        for number in range(60)
    ]
    assert answers.count(401) <= rules.ADDRESS.free + 3


async def test_sending_a_hundred_guesses_at_once(mailing: MailingCroft) -> None:
    """None of them has failed yet when the next one is looked at."""
    _, email = await account(mailing.croft)
    answers = await asyncio.gather(*(guess(stranger(mailing.croft), email) for _ in range(100)))
    assert answers.count(401) <= rules.ACCOUNT.free
    assert set(answers) <= {401, 429}


async def test_writing_the_same_address_in_other_ways(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    ways = cycle([email.upper(), email.title(), f" {email}", f"{email}\t"])
    answers = [await guess(stranger(mailing.croft), next(ways)) for _ in range(20)]
    assert answers.count(401) <= rules.ACCOUNT.free + 1


async def test_writing_the_same_address_with_capitals_of_other_alphabets(mailing: MailingCroft) -> None:
    """The database finds the account by each of these, for which Python knows other small letters."""
    _, email = await account(mailing.croft, "timin.aris\u03c3@\u03c3igma.test")
    spellings = [email.replace("i", "\u0130", number) for number in range(5)]
    spellings += [each.replace("\u03c3", "\u03a3") for each in spellings]
    answers = [await guess(stranger(mailing.croft), each) for each in spellings for _ in range(2)]
    assert answers.count(401) <= rules.ACCOUNT.free + 1
    places = {await guess(stranger(mailing.croft), each, PASSWORD) for each in spellings}
    assert places == {429}, "each of them means the account"


async def test_signing_in_to_an_account_of_ones_own_between_guesses(mailing: MailingCroft) -> None:
    """A success must not have the guesses of its address forgotten."""
    _, own = await account(mailing.croft)
    guesser = stranger(mailing.croft)
    answers = []
    for number in range(60):
        answers.append(await guess(guesser, f"someone{number}@north.test"))
        await guess(guesser, own, PASSWORD)
    assert answers.count(401) <= rules.ADDRESS.free + 3


async def test_claiming_to_come_from_elsewhere_without_a_trusted_proxy(cluster: EmbeddedPostgres) -> None:
    async with start_croft(await new_database(cluster), trusted_proxies=()) as croft:
        answers = [await guess(stranger(croft), f"whoever{number}@north.test") for number in range(65)]
    assert answers.count(401) < 60


# Keeping the owner out


async def test_keeping_the_owner_out_by_guessing(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    owner = stranger(mailing.croft)
    assert await guess(owner, email, PASSWORD) == 200
    for _ in range(40):
        await guess(stranger(mailing.croft), email)
    assert await guess(stranger(mailing.croft), email) == 429
    assert await guess(owner, email, PASSWORD) == 200


async def test_keeping_the_owner_from_a_new_password_by_asking_for_many(mailing: MailingCroft) -> None:
    """However often a stranger asks, the newest mail in the owner's mailbox is good."""
    _, email = await account(mailing.croft)
    answers = [await stranger(mailing.croft).post(RESET, json={"email": email}) for _ in range(10)]
    assert answers[-1].status_code == 429
    tokens = [(await mailing.mailbox.take(email)).token for answer in answers if answer.status_code == 202]
    assert [await reset(mailing.croft, token) for token in reversed(tokens)] == [200] + [400] * (len(tokens) - 1)


async def test_keeping_the_owner_from_asking_for_a_new_password_where_she_signed_in(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    owner = stranger(mailing.croft)
    await guess(owner, email, PASSWORD)
    for _ in range(6):
        await stranger(mailing.croft).post(RESET, json={"email": email})
    assert (await owner.post(RESET, json={"email": email})).status_code == 202


# Links of mails


async def test_using_a_reset_link_twice(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    token = await reset_token(mailing, email)
    assert [await reset(mailing.croft, token), await reset(mailing.croft, token, "Yet-Another-9")] == [200, 400]
    assert await guess(stranger(mailing.croft), email, "Yet-Another-9") == 401


async def test_using_a_reset_link_many_times_at_once(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    token = await reset_token(mailing, email)
    answers = await asyncio.gather(*(reset(mailing.croft, token, f"Goats-Sold-{n}7") for n in range(6)))
    assert sorted(answers) == [200] + [400] * 5
    good = answers.index(200)
    assert await guess(stranger(mailing.croft), email, f"Goats-Sold-{good}7") == 200


async def test_using_the_older_of_two_reset_links(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    older, newer = await reset_token(mailing, email), await reset_token(mailing, email)
    assert [await reset(mailing.croft, older), await reset(mailing.croft, newer)] == [400, 200]


async def test_using_a_reset_link_of_ones_own_on_another_account(mailing: MailingCroft) -> None:
    """A token says whose it is; nothing else that is sent with it does."""
    (victim, email), (_, own) = await account(mailing.croft), await account(mailing.croft)
    token = await reset_token(mailing, own)
    body = {"token": token, "newPassword": NEW, "email": email, "userId": victim, "user_id": victim}
    assert (await stranger(mailing.croft).post(CONFIRM, json=body)).status_code == 200
    assert await guess(stranger(mailing.croft), email, NEW) == 401
    assert await guess(stranger(mailing.croft), email, PASSWORD) == 200
    assert await guess(stranger(mailing.croft), own, NEW) == 200


async def test_using_the_link_of_one_purpose_for_another(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    token = await reset_token(mailing, email)
    for path in ("/api/v2/auth/email/confirm", "/api/v2/auth/invitations/accept"):
        answer = await stranger(mailing.croft).post(path, json={"token": token, "password": PASSWORD})
        assert (answer.status_code, answer.json()["code"]) == (400, "auth.link-not-valid")
    owner = stranger(mailing.croft)
    signed_in = await owner.post(LOGIN, json={"email": email, "password": PASSWORD})
    owner.headers["Authorization"] = f"Bearer {signed_in.json()['token']}"
    new = f"elsewhere{next(_numbers)}@south.test"
    await owner.post("/api/v2/account/email", json={"newEmail": new, "password": PASSWORD})
    assert await reset(mailing.croft, (await mailing.mailbox.take(new)).token) == 400


@pytest.mark.parametrize("token", ["", "x", "../../", "' OR 1=1 --", "A" * 43, "\u0000", "🐐" * 50])
async def test_making_a_reset_link_up(mailing: MailingCroft, token: str) -> None:
    assert await reset(mailing.croft, token) == 400


async def test_trying_many_reset_links(mailing: MailingCroft) -> None:
    guesser = stranger(mailing.croft)
    body = {"token": "A" * 43, "newPassword": NEW}
    answers = [(await guesser.post(CONFIRM, json=body)).status_code for _ in range(40)]
    assert answers.count(400) <= rules.TOKEN_ADDRESS.free + 3


# Finding out who has an account


def said(answer: httpx.Response) -> tuple[int, Any, set[str]]:
    return answer.status_code, answer.json(), set(answer.headers)


async def test_asking_login_and_reset_who_has_an_account(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    nobody = f"nobody{next(_numbers)}@north.test"
    for path, body in {LOGIN: {"password": WRONG}, "/api/v2/auth/login": {"password": WRONG}, RESET: {}}.items():
        for _ in range(rules.ACCOUNT.free + 2):
            known = await stranger(mailing.croft).post(path, json={"email": email, **body})
            unknown = await stranger(mailing.croft).post(path, json={"email": nobody, **body})
            assert said(known) == said(unknown)
    assert not [mail for mail in mailing.mailbox.received if nobody in mail.recipients]


async def test_asking_invitations_who_has_an_account(mailing: MailingCroft) -> None:
    tenant = await mailing.croft.tenant()
    admin = await tenant.caller("admin")
    _, email = await account(mailing.croft)
    nobody = f"nobody{next(_numbers)}@north.test"
    told, texts = [], []
    for invited in (email, nobody):
        answer = await admin.post(
            "/api/members/invitations", params={"configId": tenant.config_id}, json={"email": invited, "role": "viewer"}
        )
        told.append((answer.status_code, set(answer.json())))
        mail = await mailing.mailbox.take(invited)
        texts.append(mail.text.replace(mail.token, ""))
    assert told[0] == told[1]
    assert texts[0] == texts[1]


async def test_asking_a_change_of_address_who_has_an_account(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    _, own = await account(mailing.croft)
    asker = await mailing.croft.signed_in(own)
    nobody = f"nobody{next(_numbers)}@north.test"
    answers = []
    for wanted in (email, nobody):
        body = {"newEmail": wanted, "password": PASSWORD}
        answers.append(said(await asker.post("/api/v2/account/email", json=body)))
    assert answers[0] == answers[1]
    to_the_owner = await mailing.mailbox.take(email)
    assert "#token" not in to_the_owner.text
    assert "belongs to an account already" in to_the_owner.text


COST = 8


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow_croft(cluster: EmbeddedPostgres) -> AsyncIterator[Croft]:
    """A server whose hashes take some 20 ms, so that they stand out from the rest of a request."""
    async with start_croft(await new_database(cluster), bcrypt_cost=COST) as server:
        yield server


Kinds = dict[str, Callable[[], str]]


async def seconds_of(croft: Croft, path: str, body: dict[str, str], kinds: Kinds, rounds: int) -> dict[str, float]:
    """The median time of an answer for each kind of e-mail address, measured by turns."""
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    client = stranger(croft)
    await client.post(path, json={"email": "first@north.test", **body})  # opens the connection
    for _ in range(rounds):
        for kind, make in kinds.items():
            email, headers = make(), {"X-Forwarded-For": next(_addresses)}
            began = perf_counter()
            answer = await client.post(path, json={"email": email, **body}, headers=headers)
            taken[kind].append(perf_counter() - began)
            assert answer.status_code in (202, 401), answer.text
    return {kind: median(times) for kind, times in taken.items()}


async def accounts_of_all_kinds(croft: Croft, each: int) -> Kinds:
    """Addresses of accounts, of some with a cheap hash of another server, of some without a password, and of nobody."""
    ordinary = [(await account(croft))[1] for _ in range(each)]
    cheap, without = ([f"{kind}{next(_numbers)}@north.test" for _ in range(each)] for kind in ("cheap", "without"))
    sql = "INSERT INTO croft.users (email, password_hash, role) SELECT unnest($1::text[]), $2, 'USER'"
    await rows_of(croft, sql, cheap, bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode())
    await rows_of(croft, sql, without, "")
    made = {"ordinary": ordinary, "cheap": cheap, "without": without}
    turns: Kinds = {kind: cycle(emails).__next__ for kind, emails in made.items()}
    return {"nobody": lambda: f"nobody{next(_numbers)}@north.test", **turns}


def spread(seconds: dict[str, float]) -> float:
    return max(seconds.values()) / min(seconds.values())


async def test_measuring_at_login_who_has_an_account(slow_croft: Croft) -> None:
    kinds = await accounts_of_all_kinds(slow_croft, 5)
    assert spread(await seconds_of(slow_croft, LOGIN, {"password": WRONG}, kinds, 20)) < 1.6


async def test_measuring_would_tell_if_nothing_was_checked_for_nobody(
    slow_croft: Croft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the measure above is fine enough to see what it is to see."""
    monkeypatch.setattr(passwords, "_spend", lambda spent, cost: None)
    kinds = await accounts_of_all_kinds(slow_croft, 5)
    seconds = await seconds_of(slow_croft, LOGIN, {"password": WRONG}, kinds, 10)
    assert seconds["ordinary"] / seconds["nobody"] > 1.6
    assert seconds["ordinary"] / seconds["cheap"] > 1.6


async def test_measuring_at_reset_who_has_an_account(slow_croft: Croft) -> None:
    kinds = await accounts_of_all_kinds(slow_croft, 10)
    assert spread(await seconds_of(slow_croft, RESET, {}, kinds, 25)) < 1.6


# Getting something into logs and mails


@contextmanager
def written_log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


INJECTED = '"}\n{"at":"2026-01-01T00:00:00.000Z","level":"info","message":"login of root"}\u2028\u001b[2J'


async def test_writing_lines_into_the_log_by_the_email_address(mailing: MailingCroft) -> None:
    with written_log() as log:
        for path in (LOGIN, "/api/v2/auth/login", RESET):
            body = {"email": f"root{INJECTED}@north.test", "password": PASSWORD}
            assert (await stranger(mailing.croft).post(path, json=body)).status_code in (202, 401)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(lines) >= 3
    assert not [line for line in lines if "login of root" in str(line)]


async def test_reading_passwords_and_tokens_in_the_log(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    with written_log() as log:
        await guess(stranger(mailing.croft), email, "Never-Logged-1")
        token = await reset_token(mailing, email)
        await reset(mailing.croft, token, "Never-Logged-2")
    written = log.getvalue()
    assert token not in written
    assert "Never-Logged" not in written


@pytest.mark.parametrize(
    "email", ["victim@north.test\r\nBcc: thief@evil.test", "victim@north.test, thief@evil.test", "a,thief@evil.test"]
)
async def test_getting_a_mail_of_somebody_else_by_a_made_up_address(mailing: MailingCroft, email: str) -> None:
    """Even if an account had such an address, by a hole elsewhere, nothing would be sent anywhere."""
    sql = "INSERT INTO croft.users (email, password_hash, role) VALUES ($1, $2, 'USER') ON CONFLICT DO NOTHING"
    await rows_of(mailing.croft, sql, email, bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode())
    before = mailing.mailbox.tried
    assert (await stranger(mailing.croft).post(RESET, json={"email": email})).status_code == 202
    _, honest = await account(mailing.croft)
    await reset_token(mailing, honest)
    assert mailing.mailbox.tried == before + 1
    await rows_of(mailing.croft, "DELETE FROM croft.users WHERE email = $1", email)


# Keeping the server busy


async def test_sending_the_longest_password_and_address(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    for body in ({"email": email, "password": "x" * 60_000}, {"email": "x" * 60_000, "password": PASSWORD}):
        answer = await stranger(mailing.croft).post(LOGIN, json=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.wrong-credentials")


async def test_setting_a_password_that_is_slow_to_judge(mailing: MailingCroft) -> None:
    _, email = await account(mailing.croft)
    token = await reset_token(mailing, email)
    client = stranger(mailing.croft)
    body = {"token": token, "newPassword": ("4@8({[</>69&#!1Aa" * 4000)[:60_000]}
    slow = asyncio.ensure_future(client.post(CONFIRM, json=body))
    began = perf_counter()
    assert (await stranger(mailing.croft).get("/health")).status_code == 200
    assert perf_counter() - began < 2
    assert (await slow).json()["code"] == "users.weak-password"
