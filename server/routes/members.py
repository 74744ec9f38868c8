"""Who may do what in an organization: members, invitations, roles, service accounts, the guard."""

from functools import partial
from typing import Any

from server.auth.model import Message
from server.auth.service_accounts import api as service_accounts
from server.auth.service_accounts.model import (
    ApiKeyList,
    ApiKeyMade,
    KeysQuery,
    NewApiKey,
    NewServiceAccount,
    ServiceAccountAnswer,
    ServiceAccountChange,
    ServiceAccountList,
    ServiceAccountsQuery,
)
from server.http.route import Handler, Route
from server.roles import api as roles
from server.roles.model import NewRole, PermissionAnswer, RoleAnswer, RoleChange
from server.roles.permissions import Permission
from server.routes.parts import Parts
from server.tenants.guarding import api as guarding
from server.tenants.guarding.model import GrantAnswer, NewGrant, Security, SecurityChange
from server.users import members
from server.users.invitations import api as invitations
from server.users.invitations.model import Acceptance, InvitationAnswer, NewInvitation, OwnAcceptance
from server.users.model import (
    MemberAnswer,
    MemberList,
    MembersQuery,
    RoleOfMember,
)


def member_routes(parts: Parts) -> list[Route]:
    """Every route of members and of what they may do."""
    return [*_invitations(parts), *_service_accounts(), *_roles(), *_members(), *_guarding()]


def _invitations(parts: Parts) -> list[Route]:
    checking = parts.checking
    return [
        Route(
            "POST",
            "/api/members/invitations",
            partial(invitations.invite, checking=checking, mailing=parts.mailing),
            Permission.MEMBERS_MANAGE,
            "Invite somebody by mail to become a member",
            "members",
            scope="none",
            body=NewInvitation,
            answers={201: InvitationAnswer},
            problems=(409, 429),
        ),
        Route(
            "GET",
            "/api/members/invitations",
            invitations.list_invitations,
            Permission.MEMBERS_MANAGE,
            "List the invitations that were not accepted so far",
            "members",
            scope="shared",
            write=False,
            answers={200: list[InvitationAnswer]},
        ),
        Route(
            "DELETE",
            "/api/members/invitations/{invitation}",
            invitations.withdraw,
            Permission.MEMBERS_MANAGE,
            "Take an invitation back",
            "members",
            scope="shared",
            answers={204: None},
            problems=(404,),
        ),
        Route(
            "POST",
            "/api/v2/auth/invitations/accept",
            partial(invitations.accept, checking=checking),
            Permission.PUBLIC,
            "Accept an invitation with a new account, or with the password of the one that there is",
            "own account",
            scope="none",
            tenant="none",
            body=Acceptance,
            answers={200: Message},
            problems=(400, 401, 429),
        ),
        Route(
            "POST",
            "/api/v2/account/invitations/accept",
            partial(invitations.accept_signed_in, checking=checking),
            Permission.OWN_ACCOUNT,
            "Accept an invitation, signed in",
            "own account",
            scope="none",
            tenant="none",
            body=OwnAcceptance,
            answers={200: Message},
            problems=(400, 429),
        ),
    ]


def _roles() -> list[Route]:
    def line(method: str, path: str, handler: Handler, permission: Permission, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, permission, summary, "roles", scope="shared", **more)

    manage, one = Permission.ROLES_MANAGE, "/api/roles/{name}"
    return [
        line(
            "GET",
            "/api/permissions",
            roles.list_permissions,
            manage,
            "Every permission that a role can hold",
            write=False,
            answers={200: list[PermissionAnswer]},
        ),
        line(
            "GET",
            "/api/roles",
            roles.list_roles,
            Permission.MEMBERS_READ,
            "The built-in roles and those of the tenant's own",
            write=False,
            answers={200: list[RoleAnswer]},
        ),
        line(
            "POST",
            "/api/roles",
            roles.create_role,
            manage,
            "Make a role",
            body=NewRole,
            answers={201: RoleAnswer},
            problems=(409,),
        ),
        line(
            "PUT",
            one,
            roles.change_role,
            manage,
            "Change a role of the tenant's own, for all who have it",
            body=RoleChange,
            answers={200: RoleAnswer},
            problems=(404, 409),
        ),
        line(
            "DELETE",
            one,
            roles.delete_role,
            manage,
            "Remove a role that nobody has",
            answers={204: None},
            problems=(404, 409),
        ),
    ]


def _members() -> list[Route]:
    def line(method: str, path: str, handler: Handler, permission: Permission, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, permission, summary, "members", scope="shared", **more)

    one = "/api/members/{user}"
    return [
        line(
            "GET",
            "/api/members",
            members.list_members,
            Permission.MEMBERS_READ,
            "List the members of the tenant",
            write=False,
            query=MembersQuery,
            answers={200: MemberList},
        ),
        line(
            "PUT",
            one,
            members.change_member,
            Permission.MEMBERS_MANAGE,
            "Give a member, named by id or e-mail address, another role",
            body=RoleOfMember,
            answers={200: MemberAnswer},
            problems=(404, 409),
        ),
        line(
            "DELETE",
            one,
            members.remove_member,
            Permission.MEMBERS_MANAGE,
            "End a membership, by the member's id or e-mail address",
            answers={204: None},
            problems=(404, 409),
        ),
    ]


def _service_accounts() -> list[Route]:
    def line(method: str, path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route(
            method,
            f"/api/service-accounts{path}",
            handler,
            Permission.SERVICE_ACCOUNTS_MANAGE,
            summary,
            "service accounts",
            scope="shared",
            write=method != "GET",
            **more,
        )

    return [
        line(
            "GET",
            "",
            service_accounts.list_service_accounts,
            "List service accounts",
            query=ServiceAccountsQuery,
            answers={200: ServiceAccountList},
        ),
        line(
            "POST",
            "",
            service_accounts.create_service_account,
            "Create a service account",
            body=NewServiceAccount,
            answers={201: ServiceAccountAnswer},
            problems=(409,),
        ),
        line(
            "GET",
            "/{account}",
            service_accounts.show_service_account,
            "One service account",
            answers={200: ServiceAccountAnswer},
            problems=(404,),
        ),
        line(
            "PUT",
            "/{account}",
            service_accounts.change_service_account,
            "Change a service account",
            body=ServiceAccountChange,
            answers={200: ServiceAccountAnswer},
            problems=(404, 409),
        ),
        line(
            "DELETE",
            "/{account}",
            service_accounts.delete_service_account,
            "Delete a service account, which ends its keys",
            answers={200: Message},
            problems=(404,),
        ),
        line(
            "GET",
            "/{account}/keys",
            service_accounts.list_keys,
            "List a service account's keys",
            query=KeysQuery,
            answers={200: ApiKeyList},
            problems=(404,),
        ),
        line(
            "POST",
            "/{account}/keys",
            service_accounts.create_key,
            "Make a key, which is shown once",
            body=NewApiKey,
            answers={201: ApiKeyMade},
            problems=(404, 409),
        ),
        line(
            "DELETE",
            "/{account}/keys/{key}",
            service_accounts.revoke_key,
            "Revoke a key",
            answers={200: Message},
            problems=(404,),
        ),
    ]


def _guarding() -> list[Route]:
    def line(method: str, path: str, handler: Handler, permission: Permission, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, permission, summary, "security", scope="shared", **more)

    security, of_tenant, here = "/api/tenants/{id}/security", "/api/tenants/{id}/break-glass", "/api/break-glass"
    return [
        line(
            "GET",
            security,
            guarding.show_security,
            Permission.SECURITY_MANAGE,
            "What the tenant asks for: offline period, second factor, guarding",
            tenant_in_path="id",
            write=False,
            answers={200: Security},
        ),
        line(
            "PUT",
            security,
            guarding.put_security,
            Permission.SECURITY_MANAGE,
            "Change what the tenant asks for",
            tenant_in_path="id",
            body=SecurityChange,
            answers={200: Security},
            problems=(409,),
        ),
        line(
            "POST",
            of_tenant,
            guarding.break_glass,
            Permission.TENANTS_MANAGE,
            "Let the caller, an operator, see the data of a guarded tenant for a while",
            tenant="none",
            body=NewGrant,
            answers={201: GrantAnswer},
            problems=(409,),
        ),
        line(
            "GET",
            of_tenant,
            guarding.list_grants_of_tenant,
            Permission.TENANTS_MANAGE,
            "The latest grants for a tenant, for operators",
            tenant="none",
            write=False,
            answers={200: list[GrantAnswer]},
        ),
        line(
            "DELETE",
            f"{of_tenant}/{{grant}}",
            guarding.end_grant_of_tenant,
            Permission.TENANTS_MANAGE,
            "End a grant for a tenant before its time",
            tenant="none",
            answers={204: None},
        ),
        line(
            "GET",
            here,
            guarding.list_grants,
            Permission.AUDIT_READ,
            "The latest grants by which operators see the tenant's data",
            write=False,
            answers={200: list[GrantAnswer]},
        ),
        line(
            "DELETE",
            f"{here}/{{grant}}",
            guarding.end_grant_here,
            Permission.SECURITY_MANAGE,
            "End a grant by which an operator sees the tenant's data",
            answers={204: None},
        ),
    ]
