"""Inviting people by mail, and what the invited do with it, over HTTP and with a mail server."""

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from tests.conftest import PASSWORD, TenantHandle
from tests.mailbox import BASE_URL, MailingCroft, mailing, rows_of

__all__ = ["mailing"]

INVITATIONS, ACCEPT = "/api/members/invitations", "/api/v2/auth/invitations/accept"
ACCEPT_SIGNED_IN = "/api/v2/account/invitations/accept"
OTHER = "Another-Horse-8"

_numbers = count(1)


def new_address() -> str:
    return f"invited{next(_numbers)}@south.test"


class Organization:
    """A tenant with an administrator of its own."""

    def __init__(self, mailing: MailingCroft, tenant: TenantHandle, admin: httpx.AsyncClient, email: str) -> None:
        self.mailing, self.tenant, self.admin, self.admin_email = mailing, tenant, admin, email

    @property
    def name(self) -> dict[str, str]:
        return {"configId": self.tenant.config_id}

    async def invite(self, email: str, role: str = "collector", by: httpx.AsyncClient | None = None) -> httpx.Response:
        body = {"email": email, "role": role}
        sender = self.admin if by is None else by
        return await sender.post(INVITATIONS, params=self.name, json=body)

    async def invited(self, email: str, role: str = "collector") -> str:
        """The token that is mailed."""
        answer = await self.invite(email, role)
        assert answer.status_code == 201, answer.text
        return (await self.mailing.mailbox.take(email)).token

    async def waiting(self) -> list[dict[str, Any]]:
        answer = await self.admin.get(INVITATIONS, params=self.name)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    async def accept(self, token: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        return await self.mailing.croft.client().post(ACCEPT, json={"token": token, "password": password, **more})

    async def roles(self, email: str) -> list[str]:
        sql = """
        SELECT m.role FROM croft.memberships m JOIN croft.users u ON u.id = m.user_id
        JOIN croft.tenants t ON t.id = m.tenant_id WHERE lower(u.email) = lower($1) AND t.config_id = $2
        """
        return [row["role"] for row in await rows_of(self.mailing.croft, sql, email, self.tenant.config_id)]

    async def acts(self) -> list[str]:
        rows = await rows_of(
            self.mailing.croft, "SELECT action FROM croft.audit WHERE action LIKE 'invitation.%' ORDER BY id"
        )
        return [row["action"] for row in rows]


async def organization(mailing: MailingCroft, **config: Any) -> Organization:
    tenant = await mailing.croft.tenant(config)
    email = await tenant.account("admin")
    return Organization(mailing, tenant, await mailing.croft.signed_in(email), email)


async def account(mailing: MailingCroft, email: str) -> None:
    body = {"email": email, "password": PASSWORD, "role": "USER"}
    assert (await mailing.croft.operator.post("/api/users", json=body)).status_code == 201


async def test_somebody_without_an_account_gets_one_by_accepting(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    token = await north.invited(email, "reviewer")
    assert (await north.accept(token)).status_code == 200
    assert await north.roles(email) == ["reviewer"]
    client = await mailing.croft.signed_in(email)
    assert (await client.get("/api/conflicts", params=north.name)).status_code == 200
    assert await north.waiting() == []
    assert {"invitation.sent", "invitation.accepted"} <= set(await north.acts())


async def test_owner_of_an_account_accepts_with_its_password(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    await account(mailing, email)
    token = await north.invited(email.upper())
    wrong = await north.accept(token, OTHER)
    assert (wrong.status_code, wrong.json()["code"]) == (401, "auth.wrong-credentials")
    assert await north.roles(email) == []
    assert (await north.accept(token)).status_code == 200
    assert await north.roles(email) == ["collector"]
    await mailing.croft.signed_in(email)


async def test_owner_of_an_account_accepts_signed_in(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    await account(mailing, email)
    token = await north.invited(email)
    client = await mailing.croft.signed_in(email)
    assert (await client.post(ACCEPT_SIGNED_IN, json={"token": token})).status_code == 200
    assert await north.roles(email) == ["collector"]


async def test_invitation_is_not_for_whoever_else_is_signed_in(mailing: MailingCroft) -> None:
    north, email, other = await organization(mailing), new_address(), new_address()
    await account(mailing, other)
    token = await north.invited(email)
    client = await mailing.croft.signed_in(other)
    answer = await client.post(ACCEPT_SIGNED_IN, json={"token": token})
    assert (answer.status_code, answer.json()["code"]) == (403, "invitations.of-another")
    assert await north.roles(other) == []
    assert (await north.accept(token)).status_code == 200


async def test_mail_says_who_invites_in_one_line_and_links_to_the_public_address(mailing: MailingCroft) -> None:
    north, email = await organization(mailing, name="North\r\n\r\nGo to https://evil.test"), new_address()
    await north.invite(email)
    mail = await mailing.mailbox.take(email)
    assert "    North Go to https://evil.test" in mail.text.splitlines()
    assert f"{BASE_URL}/account/invitation#token={mail.token}" in mail.text


async def test_invitation_is_accepted_once(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    token = await north.invited(email)
    answers = await asyncio.gather(*(north.accept(token) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
    assert (await north.accept(token)).json()["code"] == "auth.link-not-valid"


async def test_new_account_needs_a_good_password_and_the_token_stays(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    token = await north.invited(email)
    assert (await north.accept(token, "Password1!")).json()["code"] == "users.weak-password"
    assert (await north.accept(token)).status_code == 200


async def test_newer_invitation_takes_the_place_of_the_older(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    first, second = await north.invited(email), await north.invited(email, "viewer")
    assert [each["role"] for each in await north.waiting()] == ["viewer"]
    assert (await north.accept(first)).status_code == 400
    assert (await north.accept(second)).status_code == 200
    assert await north.roles(email) == ["viewer"]


async def test_withdrawn_invitation_holds_no_longer(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    token = await north.invited(email)
    [waiting] = await north.waiting()
    assert (waiting["email"], waiting["role"]) == (email, "collector")
    address = f"{INVITATIONS}/{waiting['id']}"
    assert (await north.admin.delete(address, params=north.name)).status_code == 204
    assert (await north.admin.delete(address, params=north.name)).status_code == 404
    assert (await north.accept(token)).json()["code"] == "auth.link-not-valid"
    assert "invitation.withdrawn" in await north.acts()


async def test_invitation_of_another_organization_is_neither_seen_nor_withdrawn(mailing: MailingCroft) -> None:
    north, south, email = await organization(mailing), await organization(mailing), new_address()
    token = await north.invited(email)
    [waiting] = await north.waiting()
    assert await south.waiting() == []
    answer = await south.admin.delete(f"{INVITATIONS}/{waiting['id']}", params=south.name)
    assert answer.status_code == 404
    assert (await north.accept(token)).status_code == 200


@pytest.mark.parametrize(("days", "status"), [(6, 200), (8, 400)])
async def test_invitation_lives_for_seven_days(mailing: MailingCroft, days: int, status: int) -> None:
    north, email = await organization(mailing), new_address()
    token = await north.invited(email)
    sql = "UPDATE croft.invitations SET expires_at = expires_at - $2::interval WHERE email = $1"
    await rows_of(mailing.croft, sql, email, timedelta(days=days))
    assert len(await north.waiting()) == (1 if status == 200 else 0)
    assert (await north.accept(token)).status_code == status


async def test_role_that_there_is_not_cannot_be_given(mailing: MailingCroft) -> None:
    north = await organization(mailing)
    answer = await north.invite(new_address(), "king")
    assert (answer.status_code, answer.json()["code"]) == (422, "roles.cannot-be-given")
    assert await north.waiting() == []


@pytest.mark.parametrize("role", ["viewer", "collector", "reviewer"])
async def test_who_does_not_administer_members_invites_nobody(mailing: MailingCroft, role: str) -> None:
    north = await organization(mailing)
    member = await north.tenant.caller(role)
    assert (await north.invite(new_address(), by=member)).status_code == 403
    assert (await member.get(INVITATIONS, params=north.name)).status_code == 403


async def test_member_who_is_invited_again_stays_what_he_is(mailing: MailingCroft) -> None:
    north = await organization(mailing)
    token = await north.invited(north.admin_email, "viewer")
    assert (await north.accept(token)).status_code == 200
    assert await north.roles(north.admin_email) == ["admin"]


async def test_invitations_end_with_the_membership_of_who_sent_them(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    leaving = await north.tenant.account("admin")
    answer = await north.invite(email, by=await mailing.croft.signed_in(leaving))
    token = (await mailing.mailbox.take(email)).token
    assert answer.status_code == 201
    await mailing.croft.operator.put(f"/api/users/{leaving}", json={"memberships": []})
    assert await north.waiting() == []
    assert (await north.accept(token)).json()["code"] == "auth.link-not-valid"


async def test_invitation_by_somebody_who_could_not_send_it_any_more_holds_no_longer(mailing: MailingCroft) -> None:
    south = await organization(mailing)
    other = await south.tenant.account("admin")
    token = await south.invited(email := new_address(), "admin")
    answer = await (await mailing.croft.signed_in(other)).put(
        f"/api/members/{south.admin_email}", params=south.name, json={"role": "viewer"}
    )
    assert answer.status_code == 200, answer.text
    assert (await south.accept(token)).status_code == 400
    assert await south.roles(email) == []


async def test_invitation_to_a_suspended_organization_waits_until_it_is_back(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    token = await north.invited(email)
    await mailing.croft.operator.post(f"/api/tenants/{north.tenant.config_id}/suspend")
    assert (await north.accept(token)).json()["code"] == "auth.link-not-valid"
    sql = "SELECT FROM croft.users WHERE email = $1"
    assert await rows_of(mailing.croft, sql, email) == []
    await mailing.croft.operator.post(f"/api/tenants/{north.tenant.config_id}/resume")
    assert (await north.accept(token)).status_code == 200


async def test_operator_invites_nobody_to_an_organization_that_guards_its_data(mailing: MailingCroft) -> None:
    """Not even with a grant: that ends, the membership of whom he invites would not."""
    north, email = await organization(mailing), new_address()
    sql = "UPDATE croft.tenants SET guarded = true WHERE config_id = $1 RETURNING id"
    [tenant] = await rows_of(mailing.croft, sql, north.tenant.config_id)
    assert (await north.invite(email, by=mailing.croft.operator)).status_code == 403
    sql = """
    INSERT INTO croft.break_glass (tenant_id, user_id, reason, granted_at, expires_at)
    SELECT $1, id, 'a test', now(), now() + interval '1 hour' FROM croft.users WHERE role = 'ADMIN'
    """
    await rows_of(mailing.croft, sql, tenant["id"])
    assert (await north.invite(email, by=mailing.croft.operator)).json()["code"] == "access.guarded"
    assert (await north.invite(email)).status_code == 201


async def test_guard_that_goes_up_withdraws_what_operators_sent_and_leaves_the_organizations_own(
    mailing: MailingCroft,
) -> None:
    north, email, own = await organization(mailing), new_address(), new_address()
    assert (await north.invite(email, "admin", by=mailing.croft.operator)).status_code == 201
    token = (await mailing.mailbox.take(email)).token
    await north.invited(own)
    path = f"/api/tenants/{north.tenant.config_id}/security"
    assert (await north.admin.put(path, json={"guarded": True})).status_code == 200
    assert [each["email"] for each in await north.waiting()] == [own]
    assert (await north.accept(token)).status_code == 400
    assert await north.roles(email) == []


async def test_same_address_is_invited_a_few_times_and_then_has_to_wait(mailing: MailingCroft) -> None:
    north, email = await organization(mailing), new_address()
    answers = [(await north.invite(email)).status_code for _ in range(5)]
    assert answers == [201, 201, 201, 429, 429]
