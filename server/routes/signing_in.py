"""Signing in, by whatever shows who somebody is, and the sessions that this opens."""

from functools import partial
from typing import Any

from server.auth import browser
from server.auth.browser import BrowserAnswer
from server.auth.model import Message
from server.auth.sessions import api as own_sessions
from server.auth.sessions.model import Ended, Renewal, SessionAnswer, SignedIn, SignIn, WhichSessions
from server.auth.sessions.refreshing import Refreshing
from server.http.route import Handler, Route
from server.oidc import api as oidc
from server.oidc.login import CALLBACK_PATH, BrowserLogin
from server.oidc.model import CallbackQuery, ProvidersQuery, PublicProviders, StartQuery
from server.roles.permissions import Permission
from server.routes.parts import Parts
from server.users import sessions as users_sessions


def sign_in_routes(parts: Parts) -> list[Route]:
    """Every route of signing in and of sessions."""
    return [*_sessions(parts), *_browser_sessions(parts), *_providers(parts)]


def _sessions(parts: Parts) -> list[Route]:
    sessions = parts.sessions
    return [
        Route(
            "POST",
            "/api/v2/auth/login",
            partial(own_sessions.login, checking=parts.checking, sessions=sessions),
            Permission.PUBLIC,
            "Sign in, with a refresh token to stay so",
            "sessions",
            scope="none",
            tenant="none",
            body=SignIn,
            answers={200: SignedIn},
            problems=(401, 429),
        ),
        Route(
            "POST",
            "/api/v2/auth/refresh",
            partial(own_sessions.refresh, refreshing=Refreshing(parts.database, sessions)),
            Permission.PUBLIC,
            "Exchange a refresh token for the next tokens",
            "sessions",
            scope="none",
            tenant="none",
            body=Renewal,
            answers={200: SignedIn},
            problems=(401,),
        ),
        *_own_sessions(),
        *_sessions_of_others(),
    ]


def _own_sessions() -> list[Route]:
    def line(method: str, path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route(
            method, path, handler, Permission.OWN_ACCOUNT, summary, "sessions", scope="shared", tenant="none", **more
        )

    all_own, ended = "/api/v2/auth/sessions", {200: Ended}
    return [
        line(
            "GET",
            all_own,
            own_sessions.list_own,
            "The caller's own sessions and devices",
            write=False,
            answers={200: list[SessionAnswer]},
        ),
        line(
            "DELETE",
            all_own,
            own_sessions.end_all_own,
            "Sign out everywhere, or everywhere else",
            query=WhichSessions,
            answers=ended,
        ),
        line(
            "DELETE",
            f"{all_own}/{{id}}",
            own_sessions.end_own,
            "End one of the caller's own sessions",
            answers=ended,
            problems=(404,),
        ),
    ]


def _browser_sessions(parts: Parts) -> list[Route]:
    return [
        Route(
            "POST",
            "/api/v2/auth/browser",
            partial(browser.login, checking=parts.checking, sessions=parts.sessions),
            Permission.PUBLIC,
            "Sign in with a browser: the session's cookies",
            "signing in",
            scope="none",
            tenant="none",
            body=SignIn,
            answers={200: BrowserAnswer},
            problems=(401, 403, 429),
        ),
        Route(
            "DELETE",
            "/api/v2/auth/browser",
            browser.logout,
            Permission.SIGNED_IN,
            "Sign out: end this session and take its cookies back",
            "signing in",
            scope="shared",
            tenant="none",
            answers={200: Message},
        ),
    ]


def _providers(parts: Parts) -> list[Route]:
    login = BrowserLogin(parts.database, parts.providers, parts.sessions, parts.keyring)

    def line(path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route(
            "GET", path, handler, Permission.PUBLIC, summary, "signing in", scope="none", tenant="none", **more
        )

    return [
        line(
            "/api/v2/auth/providers",
            partial(oidc.list_providers, login=login),
            "The sign-in services of an organization",
            write=False,
            query=ProvidersQuery,
            answers={200: PublicProviders},
        ),
        line(
            CALLBACK_PATH,
            partial(oidc.finish_login, login=login),
            "Where a sign-in service sends a browser back to",
            query=CallbackQuery,
            answers={302: None},
            problems=(400, 403, 503),
        ),
        line(
            "/api/v2/auth/{configId}/{type}/start",
            partial(oidc.start_login, login=login),
            "Send a browser to a sign-in service",
            query=StartQuery,
            answers={302: None},
            problems=(404, 421, 503),
        ),
    ]


def _sessions_of_others() -> list[Route]:
    def line(method: str, path: str, handler: Handler, summary: str, answer: Any = Ended, **more: Any) -> Route:
        is_member = path.startswith("/api/members/")
        return Route(
            method,
            path,
            handler,
            Permission.MEMBERS_MANAGE if is_member else Permission.USERS_MANAGE,
            summary,
            "sessions",
            scope="shared",
            tenant="required" if is_member else "none",
            answers={200: answer},
            problems=(404,),
            **more,
        )

    account, member = "/api/users/{user}/sessions", "/api/members/{user}/sessions"
    shown = list[SessionAnswer]
    return [
        line("GET", account, users_sessions.list_sessions, "The sessions of an account", shown, write=False),
        line("DELETE", account, users_sessions.end_sessions, "End all sessions of an account"),
        line("DELETE", f"{account}/{{id}}", users_sessions.end_session, "End one session of an account"),
        line("GET", member, users_sessions.list_sessions_of_member, "The sessions of a member", shown, write=False),
        line("DELETE", member, users_sessions.end_sessions_of_member, "End all sessions of a member"),
        line("DELETE", f"{member}/{{id}}", users_sessions.end_session_of_member, "End one session of a member"),
    ]
