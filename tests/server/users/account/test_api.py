"""Another password, with the old one or by mail, and another e-mail address, over HTTP and with a mail server."""

import asyncio
from datetime import timedelta
from itertools import count

import httpx
import pytest

from server.auth.app_passwords.making import make_app_password
from tests.conftest import PASSWORD, Croft
from tests.mailbox import BASE_URL, MailingCroft, mailing, rows_of

__all__ = ["mailing"]

NEW = "Another-Horse-8"
RESET, CONFIRM = "/api/v2/auth/password-reset", "/api/v2/auth/password-reset/confirm"

_numbers = count(1)


class Person:
    """Somebody with an account, at an address of her own."""

    def __init__(self, mailing: MailingCroft, user_id: int, email: str) -> None:
        self.croft, self.mailbox, self.id, self.email = mailing.croft, mailing.mailbox, user_id, email
        self.client = mailing.croft.client()
        self.client.headers["X-Forwarded-For"] = f"192.0.2.{user_id % 250 + 1}"

    async def sign_in(self, password: str = PASSWORD, **more: str) -> int:
        answer = await self.client.post("/api/users/login", json={"email": self.email, "password": password, **more})
        if answer.is_success:
            self.client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return answer.status_code

    async def is_signed_in(self) -> bool:
        return (await self.client.get("/api/users/me")).status_code == 200

    async def change_password(self, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
        return await self.client.post("/api/v2/account/password", json={"currentPassword": current, "newPassword": new})

    async def ask_for_reset(self) -> str:
        """The token that is mailed."""
        answer = await self.client.post(RESET, json={"email": self.email})
        assert answer.status_code == 202, answer.text
        return (await self.mailbox.take(self.email)).token

    async def reset(self, token: str, new: str = NEW) -> httpx.Response:
        return await self.client.post(CONFIRM, json={"token": token, "newPassword": new})

    async def ask_for_email(self, new: str, password: str = PASSWORD) -> httpx.Response:
        return await self.client.post("/api/v2/account/email", json={"newEmail": new, "password": password})

    async def confirm_email(self, token: str) -> httpx.Response:
        return await self.client.post("/api/v2/auth/email/confirm", json={"token": token})

    async def acts(self) -> list[str]:
        rows = await rows_of(
            self.croft, "SELECT action FROM croft.audit WHERE subject = $1 ORDER BY id", f"user:{self.id}"
        )
        return [row["action"] for row in rows]


async def person(mailing: MailingCroft, email: str | None = None) -> Person:
    email = email or f"person{next(_numbers)}@north.test"
    answer = await mailing.croft.operator.post(
        "/api/users", json={"email": email, "password": PASSWORD, "role": "USER"}
    )
    assert answer.status_code == 201, answer.text
    someone = Person(mailing, answer.json()["id"], email)
    assert await someone.sign_in() == 200
    return someone


async def another_session(of: Person) -> Person:
    other = Person(MailingCroft(of.croft, of.mailbox), of.id, of.email)
    assert await other.sign_in() == 200
    return other


# Changing it


async def test_changed_password_signs_in_and_the_old_one_does_not(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    assert (await ann.change_password()).status_code == 200
    assert await ann.sign_in(PASSWORD) == 401
    assert await ann.sign_in(NEW) == 200
    assert "password.changed" in await ann.acts()


async def test_change_ends_the_other_sessions_and_keeps_this_one(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    other = await another_session(ann)
    await ann.change_password()
    assert await ann.is_signed_in()
    assert not await other.is_signed_in()


async def test_change_keeps_the_phones_that_have_an_app_password(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    phone = Person(mailing, ann.id, ann.email)
    app_password, digest = make_app_password()
    await rows_of(
        mailing.croft, "INSERT INTO croft.app_passwords (user_id, name, digest) VALUES ($1, 'p', $2)", ann.id, digest
    )
    assert await phone.sign_in(app_password) == 200
    await ann.change_password()
    assert await phone.is_signed_in()
    assert await phone.sign_in(app_password) == 200


async def test_change_is_told_to_the_owner_without_the_password(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    await ann.change_password()
    told = await mailing.mailbox.take(ann.email)
    assert "was changed" in told.subject
    assert NEW not in told.text


@pytest.mark.parametrize(
    ("current", "new", "status", "code"),
    [
        ("wrong", NEW, 403, "auth.wrong-password"),
        (PASSWORD, "short", 422, "users.weak-password"),
        (PASSWORD, "Password1!", 422, "users.weak-password"),
        (PASSWORD, PASSWORD, 422, "users.weak-password"),
    ],
)
async def test_change_that_is_refused_changes_nothing(
    mailing: MailingCroft, current: str, new: str, status: int, code: str
) -> None:
    ann = await person(mailing)
    other = await another_session(ann)
    answer = await ann.change_password(current, new)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 422:
        assert answer.json()["errors"][0]["path"] == "newPassword"
    assert await other.is_signed_in()
    assert await ann.sign_in() == 200


async def test_new_password_may_not_be_made_of_the_address(mailing: MailingCroft) -> None:
    ann = await person(mailing, f"wanjiru.amina{next(_numbers)}@north.test")
    answer = await ann.change_password(new="Wanjiru.Amina-26")
    assert answer.status_code == 422
    assert "e-mail address" in answer.json()["detail"]


async def test_session_of_an_app_password_cannot_change_the_password(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    app_password, digest = make_app_password()
    await rows_of(
        mailing.croft, "INSERT INTO croft.app_passwords (user_id, name, digest) VALUES ($1, 'p', $2)", ann.id, digest
    )
    await ann.sign_in(app_password)
    for answer in (await ann.change_password(app_password), await ann.ask_for_email("x@y.test", app_password)):
        assert (answer.status_code, answer.json()["code"]) == (403, "access.own-login-needed")


async def test_of_two_changes_at_once_one_holds(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    answers = await asyncio.gather(ann.change_password(new="Ninety-Goats-1"), ann.change_password(new="Ninety-Goats-2"))
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    good = 1 if answers[0].is_success else 2
    assert await ann.sign_in(f"Ninety-Goats-{good}") == 200


# By mail


async def test_forgotten_password_is_set_by_mail(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    token = await ann.ask_for_reset()
    assert (await ann.reset(token)).status_code == 200
    assert await ann.sign_in(PASSWORD) == 401
    assert await ann.sign_in(NEW) == 200
    assert "password.reset" in await ann.acts()
    assert "was changed" in (await mailing.mailbox.take(ann.email)).subject


async def test_link_leads_to_the_public_address_and_keeps_the_token_behind_the_fragment(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    await ann.client.post(RESET, json={"email": ann.email.upper()}, headers={"Host": "evil.test"})
    mail = await mailing.mailbox.take(ann.email)
    assert f"{BASE_URL}/account/reset#token={mail.token}" in mail.text
    assert "evil.test" not in mail.message.as_string()


async def test_only_a_digest_of_the_token_is_stored(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    token = await ann.ask_for_reset()
    [row] = await rows_of(mailing.croft, "SELECT * FROM croft.mailed_tokens WHERE user_id = $1", ann.id)
    assert token not in str(dict(row))
    assert len(row["digest"]) == 32


async def test_reset_ends_everything_that_opened_the_account(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    app_password, digest = make_app_password()
    await rows_of(
        mailing.croft, "INSERT INTO croft.app_passwords (user_id, name, digest) VALUES ($1, 'p', $2)", ann.id, digest
    )
    phone = Person(mailing, ann.id, ann.email)
    await phone.sign_in(app_password)
    await ann.ask_for_email(f"thief{next(_numbers)}@south.test")
    await ann.reset(await self_token(ann))
    assert not await ann.is_signed_in()
    assert not await phone.is_signed_in()
    assert await phone.sign_in(app_password) == 401
    assert await rows_of(mailing.croft, "SELECT FROM croft.mailed_tokens WHERE user_id = $1", ann.id) == []


async def self_token(someone: Person) -> str:
    """The token of a reset, past whatever else was mailed meanwhile."""
    await someone.client.post(RESET, json={"email": someone.email})
    while True:
        mail = await someone.mailbox.take(someone.email)
        if mail.subject == "Set a new password":
            return mail.token


async def test_weak_password_does_not_use_the_token_up(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    token = await ann.ask_for_reset()
    weak = await ann.reset(token, "Password1!")
    assert (weak.status_code, weak.json()["errors"][0]["path"]) == (422, "newPassword")
    assert (await ann.reset(token)).status_code == 200


async def test_reset_makes_the_place_a_known_one(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    away = "203.0.113.77"
    token = await ann.ask_for_reset()
    await ann.client.post(CONFIRM, json={"token": token, "newPassword": NEW}, headers={"X-Forwarded-For": away})
    places = await rows_of(mailing.croft, "SELECT network FROM croft.known_places WHERE user_id = $1", ann.id)
    assert away in {row["network"] for row in places}


async def test_account_of_an_identity_provider_is_told_that_it_has_no_password(mailing: MailingCroft) -> None:
    email = f"outside{next(_numbers)}@north.test"
    sql = "INSERT INTO croft.users (email, password_hash, role) VALUES ($1, '', 'USER')"
    await rows_of(mailing.croft, sql, email)
    assert (await mailing.croft.client().post(RESET, json={"email": email})).status_code == 202
    mail = await mailing.mailbox.take(email)
    assert "no password" in mail.text
    assert "#token" not in mail.text


async def age_token(croft: Croft, user_id: int, by: timedelta) -> None:
    await rows_of(
        croft, "UPDATE croft.mailed_tokens SET expires_at = expires_at - $2::interval WHERE user_id = $1", user_id, by
    )


@pytest.mark.parametrize(("minutes", "status"), [(29, 200), (31, 400)])
async def test_token_lives_for_half_an_hour(mailing: MailingCroft, minutes: int, status: int) -> None:
    ann = await person(mailing)
    token = await ann.ask_for_reset()
    await age_token(mailing.croft, ann.id, timedelta(minutes=minutes))
    assert (await ann.reset(token)).status_code == status


async def test_password_that_an_operator_sets_ends_what_was_mailed(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    token = await ann.ask_for_reset()
    await mailing.croft.operator.put(f"/api/users/{ann.id}", json={"password": NEW})
    assert (await ann.reset(token, "Yet-Another-9")).json()["code"] == "auth.link-not-valid"


async def test_reset_can_be_asked_for_a_few_times_and_then_has_to_wait(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    answers = [await ann.client.post(RESET, json={"email": ann.email}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].json()["code"] == "auth.too-many-attempts"


# Another address


async def test_address_changes_once_a_mail_to_the_new_one_is_answered(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    new = f"new{next(_numbers)}@south.test"
    assert (await ann.ask_for_email(new)).status_code == 202
    assert "about to change" in (await mailing.mailbox.take(ann.email)).subject
    token = (await mailing.mailbox.take(new)).token
    assert await ann.sign_in() == 200
    assert (await ann.confirm_email(token)).status_code == 200
    assert "was changed" in (await mailing.mailbox.take(ann.email)).subject
    assert await ann.sign_in() == 401
    ann.email = new
    assert await ann.sign_in() == 200
    assert {"email-change.requested", "email.changed"} <= set(await ann.acts())


async def test_address_is_confirmed_once(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    new = f"once{next(_numbers)}@south.test"
    await ann.ask_for_email(new)
    token = (await mailing.mailbox.take(new)).token
    assert [(await ann.confirm_email(token)).status_code for _ in range(2)] == [200, 400]


async def test_wrong_password_asks_for_no_other_address(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    answer = await ann.ask_for_email("thief@south.test", "wrong")
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.wrong-password")
    assert await rows_of(mailing.croft, "SELECT FROM croft.mailed_tokens WHERE user_id = $1", ann.id) == []


async def test_change_of_the_password_ends_a_change_of_address_that_waits(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    thief = f"thief{next(_numbers)}@south.test"
    await ann.ask_for_email(thief)
    token = (await mailing.mailbox.take(thief)).token
    await ann.change_password()
    assert (await ann.confirm_email(token)).json()["code"] == "auth.link-not-valid"


async def test_reset_that_was_mailed_to_the_old_address_ends_with_it(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    reset = await ann.ask_for_reset()
    new = f"moved{next(_numbers)}@south.test"
    await ann.ask_for_email(new)
    await ann.confirm_email((await mailing.mailbox.take(new)).token)
    assert (await ann.reset(reset)).json()["code"] == "auth.link-not-valid"


async def test_address_that_another_account_took_meanwhile_is_refused(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    new = f"wanted{next(_numbers)}@south.test"
    await ann.ask_for_email(new)
    token = (await mailing.mailbox.take(new)).token
    await person(mailing, new)
    answer = await ann.confirm_email(token)
    assert (answer.status_code, answer.json()["code"]) == (409, "users.email-taken")


async def test_address_can_be_written_in_another_case(mailing: MailingCroft) -> None:
    ann = await person(mailing)
    await ann.ask_for_email(ann.email.title())
    assert (await ann.confirm_email((await mailing.mailbox.take(ann.email.title())).token)).status_code == 200


@pytest.mark.parametrize("email", ["no address", "a@b.test\r\nBcc: c@d.test", "a@b.test, c@d.test"])
async def test_what_is_no_address_is_refused_at_once(mailing: MailingCroft, email: str) -> None:
    ann = await person(mailing)
    assert (await ann.ask_for_email(email)).status_code == 422
