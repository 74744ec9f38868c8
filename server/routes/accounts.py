"""Accounts as operators administer them, and what everybody does with his own."""

from functools import partial
from typing import Any

from server.auth import api as auth
from server.auth.app_passwords import api as app_passwords
from server.auth.app_passwords.model import AppPasswordAnswer, AppPasswordMade, NewAppPassword
from server.auth.model import Credentials, LoginAnswer, Message
from server.auth.second_factor import api as second_factor
from server.auth.second_factor.model import (
    Beginning,
    FirstCode,
    Proving,
    RecoveryCodes,
    SecondFactorBegun,
    SecondFactorState,
)
from server.http.route import Handler, Route
from server.roles.permissions import Permission
from server.routes.parts import Parts
from server.users import api as users
from server.users.account import api as own_account
from server.users.account.model import (
    EmailChange,
    EmailConfirmation,
    PasswordChange,
    ResetConfirmation,
    ResetRequest,
)
from server.users.model import (
    NewUser,
    UserAnswer,
    UserChange,
    UserCreated,
    UsersQuery,
)
from server.users.second_factors import delete_second_factor


def account_routes(parts: Parts) -> list[Route]:
    """Every route of accounts."""
    return [*_users(parts), *_own_account(parts), *_factors(parts)]


def _users(parts: Parts) -> list[Route]:
    database, cost = parts.database, parts.bcrypt_cost
    return [
        Route(
            "POST",
            "/api/users/login",
            partial(auth.login, checking=parts.checking, sessions=parts.sessions),
            Permission.PUBLIC,
            "Sign in",
            "accounts",
            scope="none",
            tenant="none",
            body=Credentials,
            answers={200: LoginAnswer},
            problems=(401, 429),
        ),
        Route(
            "POST",
            "/api/users/logout",
            auth.logout,
            Permission.SIGNED_IN,
            "Sign out: end this session",
            "accounts",
            scope="shared",
            tenant="none",
            answers={200: Message},
        ),
        Route(
            "GET",
            "/api/users/check-token",
            auth.check_token,
            Permission.SIGNED_IN,
            "Whether the token holds",
            "accounts",
            scope="none",
            tenant="none",
            write=False,
            answers={200: Message},
        ),
        Route(
            "GET",
            "/api/users/me",
            users.show_me,
            Permission.SIGNED_IN,
            "The caller's own account",
            "accounts",
            scope="shared",
            tenant="none",
            write=False,
            answers={200: UserAnswer},
        ),
        Route(
            "GET",
            "/api/users",
            users.list_users,
            Permission.USERS_MANAGE,
            "List accounts",
            "accounts",
            scope="shared",
            tenant="none",
            write=False,
            query=UsersQuery,
            answers={200: list[UserAnswer]},
        ),
        Route(
            "POST",
            "/api/users",
            partial(users.create_user, database=database, bcrypt_cost=cost),
            Permission.USERS_MANAGE,
            "Create an account",
            "accounts",
            scope="none",
            tenant="none",
            body=NewUser,
            answers={201: UserCreated},
            problems=(409, 429),
        ),
        Route(
            "PUT",
            "/api/users/{user}",
            partial(users.update_user, database=database, bcrypt_cost=cost),
            Permission.USERS_MANAGE,
            "Change an account, by its id or e-mail address",
            "accounts",
            scope="none",
            tenant="none",
            body=UserChange,
            answers={200: Message},
            problems=(404, 409, 429),
        ),
        Route(
            "DELETE",
            "/api/users/{user}",
            users.delete_user,
            Permission.USERS_MANAGE,
            "Delete an account, by its id or e-mail address",
            "accounts",
            scope="shared",
            tenant="none",
            answers={200: Message},
            problems=(404, 409),
        ),
    ]


def _own_account(parts: Parts) -> list[Route]:
    """Its password and e-mail address. Tokens of mails speak for themselves: who has one need not be signed in."""
    given: dict[str, Any] = {"checking": parts.checking, "mailing": parts.mailing}

    def line(path: str, handler: Handler, permission: Permission, summary: str, **more: Any) -> Route:
        return Route("POST", path, handler, permission, summary, "own account", scope="none", tenant="none", **more)

    return [
        line(
            "/api/v2/account/password",
            partial(own_account.change_password, **given),
            Permission.OWN_ACCOUNT,
            "Change one's own password, which ends one's other sessions",
            body=PasswordChange,
            answers={200: Message},
            problems=(429,),
        ),
        line(
            "/api/v2/account/email",
            partial(own_account.request_email_change, **given),
            Permission.OWN_ACCOUNT,
            "Ask for another e-mail address: a mail is sent there",
            body=EmailChange,
            answers={202: Message},
            problems=(429,),
        ),
        line(
            "/api/v2/auth/password-reset",
            partial(own_account.request_reset, **given),
            Permission.PUBLIC,
            "Ask for a mail with which to set a new password",
            body=ResetRequest,
            answers={202: Message},
            problems=(429,),
        ),
        line(
            "/api/v2/auth/password-reset/confirm",
            partial(own_account.confirm_reset, **given),
            Permission.PUBLIC,
            "Set a new password with the token of a mail",
            body=ResetConfirmation,
            answers={200: Message},
            problems=(400, 429),
        ),
        line(
            "/api/v2/auth/email/confirm",
            partial(own_account.confirm_email_change, **given),
            Permission.PUBLIC,
            "Confirm a new e-mail address with the token of a mail",
            body=EmailConfirmation,
            answers={200: Message},
            problems=(400, 409, 429),
        ),
    ]


def _factors(parts: Parts) -> list[Route]:
    """What everybody has for himself besides his password, and what operators do when it is lost."""

    def own(method: str, path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route(
            method,
            f"/api/v2/account/{path}",
            handler,
            Permission.OWN_ACCOUNT,
            summary,
            "own account",
            tenant="none",
            **{"scope": "none", **more},
        )

    checking = parts.checking
    return [
        own(
            "GET",
            "second-factor",
            partial(second_factor.show_state, keyring=parts.keyring),
            "Whether one has a second factor",
            scope="shared",
            write=False,
            answers={200: SecondFactorState},
        ),
        own(
            "POST",
            "second-factor",
            partial(second_factor.begin, checking=checking),
            "Begin to set up a second factor",
            body=Beginning,
            answers={200: SecondFactorBegun},
            problems=(409, 429),
        ),
        own(
            "POST",
            "second-factor/confirm",
            partial(second_factor.confirm, checking=checking),
            "Show the first code; from then on one is asked for at each login",
            body=FirstCode,
            answers={200: RecoveryCodes},
            problems=(409, 429, 503),
        ),
        own(
            "DELETE",
            "second-factor",
            partial(second_factor.remove, checking=checking),
            "Remove one's second factor",
            body=Proving,
            answers={200: Message},
            problems=(404, 429, 503),
        ),
        own(
            "POST",
            "second-factor/recovery-codes",
            partial(second_factor.renew_recovery_codes, checking=checking),
            "Make new recovery codes in place of the old ones",
            body=Proving,
            answers={200: RecoveryCodes},
            problems=(404, 429, 503),
        ),
        own(
            "GET",
            "app-passwords",
            app_passwords.list_app_passwords,
            "One's own app passwords",
            scope="shared",
            write=False,
            answers={200: list[AppPasswordAnswer]},
        ),
        own(
            "POST",
            "app-passwords",
            app_passwords.make,
            "Make an app password, which opens sessions that can only sync",
            scope="shared",
            body=NewAppPassword,
            answers={201: AppPasswordMade},
            problems=(409,),
        ),
        own(
            "DELETE",
            "app-passwords/{number}",
            app_passwords.revoke,
            "Revoke an app password, which ends its sessions",
            scope="shared",
            answers={200: Message},
            problems=(404,),
        ),
        Route(
            "DELETE",
            "/api/users/{user}/second-factor",
            delete_second_factor,
            Permission.USERS_MANAGE,
            "Remove the second factor of an account, by its id or e-mail address",
            "accounts",
            scope="shared",
            tenant="none",
            answers={200: Message},
            problems=(404, 409),
        ),
    ]
