"""The run: a server in a process of its own that tells everything in its log, and people who use all that it has."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import orjson
from aiosmtpd.smtp import AuthResult
from pyotp import TOTP

from server.db.embedded import EmbeddedPostgres
from server.kit.clock import iso_ms, utc_now
from server.starting import Addresses
from tests.conftest import upload_of
from tests.croft_process import croft_process, environment, settings_of
from tests.journeys.secrets.planted import Planted
from tests.journeys.secrets.watching import Watcher, found_in_rows
from tests.mailbox import Mailbox, running_mailbox
from tests.oidc_issuer import CLIENT_SECRET, LOOPBACK, SmallIssuer, provider_config, running_issuer

OPERATOR = "operator@croft.test"
LIVE = "/api/v2/sync/live"
COMMAND_SECONDS = 60


@dataclass
class Run:
    """What there is to search: answers, lines of logs and commands, rows, the database's own log."""

    planted: Planted
    watcher: Watcher
    lines: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    database_log: bytes = b""

    @property
    def succeeded(self) -> set[str]:
        """Method and path of everything that was answered with success."""
        places = (seen.place.rsplit(" ", 1) for seen in self.watcher.seen)
        return {place for place, status in places if status < "400"}


async def running(cluster: EmbeddedPostgres, addresses: Addresses, home: Path) -> Run:
    """Goes through everything once, and ends."""
    planted = Planted()
    run = Run(planted, Watcher(planted))
    planted.plant("the client's secret", CLIENT_SECRET)
    database_log_before = cluster.log_file.stat().st_size
    try:
        async with AsyncExitStack() as stack:
            mail_password = planted.make("the password of the mail server")
            mailbox = await stack.enter_async_context(running_mailbox(**_authenticating(mail_password)))
            issuer = await stack.enter_async_context(running_issuer())
            issuer._numbers = iter(lambda: planted.make("a code of the provider"), None)
            settings = _settings(planted, addresses, mailbox, mail_password)
            url = await stack.enter_async_context(_serving(run, home, settings))
            await _Story(run, url, settings, home, mailbox, issuer).tell()
    except Exception as error:
        error.add_note("".join(run.lines[-20:]))
        raise
    finally:
        await run.watcher.aclose()
    run.rows = await found_in_rows(cluster.superuser_dsn(_name_of(addresses)), planted)
    run.database_log = cluster.log_file.read_bytes()[database_log_before:]
    return run


def _name_of(addresses: Addresses) -> str:
    return urlsplit(addresses.direct).path.removeprefix("/")


def _authenticating(password: str) -> dict[str, Any]:
    def check(server: object, session: object, envelope: object, mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=given.password == password.encode())

    return {"authenticator": check, "auth_require_tls": False}


def _settings(planted: Planted, addresses: Addresses, mailbox: Mailbox, mail_password: str) -> dict[str, str]:
    password = planted.make("the password of the database")
    address = addresses.direct.replace("croft@", f"croft:{quote(password)}@", 1)
    assert password in address
    return settings_of(
        {
            "POSTGRES": address,
            "ADMIN_EMAIL": OPERATOR,
            "ADMIN_PASSWORD": planted.make("the first password of the operator", "{}!"),
            "JWT_SECRET": planted.make("JWT_SECRET", "{}-and-some-more-of-it"),
            "JWT_OTHER_SECRETS": planted.make("JWT_OTHER_SECRETS", "{}-and-some-more-of-it"),
            "ENCRYPTION_KEY": planted.make("ENCRYPTION_KEY", "{}-and-some-more-of-it"),
            "ENCRYPTION_OTHER_KEYS": planted.make("ENCRYPTION_OTHER_KEYS", "{}-and-some-more-of-it"),
            "METRICS_TOKEN": planted.make("METRICS_TOKEN"),
            "SMTP_URL": f"smtp://croft:{quote(mail_password)}@127.0.0.1:{mailbox.port}",
            "MAIL_FROM": "Croft <croft@ministry.test>",
            "PUBLIC_BASE_URL": "https://croft.ministry.test",
            "OUTBOUND_PRIVATE_NETWORKS": LOOPBACK,
            "LOG_LEVEL": "debug",
        }
    )


@asynccontextmanager
async def _serving(run: Run, home: Path, settings: dict[str, str]) -> AsyncIterator[str]:
    starting = croft_process("--migrate", cwd=home, **settings)
    process = await asyncio.to_thread(starting.__enter__)
    try:
        yield process.url
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)
        run.lines += [*process.out, *process.err]


class _Story:
    def __init__(
        self, run: Run, url: str, settings: dict[str, str], home: Path, mailbox: Mailbox, issuer: SmallIssuer
    ) -> None:
        self.run = run
        self.planted = run.planted
        self.url = url
        self.settings = settings
        self.home = home
        self.mailbox = mailbox
        self.issuer = issuer
        self.passwords = {OPERATOR: settings["ADMIN_PASSWORD"]}

    async def tell(self) -> None:
        """Everything that people do, and much that they should not."""
        self.nobody = self.client()
        self.operator = await self.sign_in(OPERATOR)
        await self.stored_before_with_another_key()
        await self.configs()
        await self.bad_configs()
        await self.accounts()
        await self.wrong_passwords()
        await self.sessions()
        await self.mails()
        await self.second_factor()
        await self.app_passwords_and_keys()
        await self.browser()
        await self.providers()
        await self.field_work()
        await self.reading_everything()
        await self.changing_keys()
        await self.knocking_everywhere()

    # How things are done

    def client(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.run.watcher.client(self.url, **headers)

    async def sign_in(self, email: str, **more: Any) -> httpx.AsyncClient:
        body = {"email": email, "password": self.passwords[email], "deviceName": "phone", **more}
        answer = await self.nobody_else().post("/api/v2/auth/login", json=body)
        return self.client(self.take_tokens(answer)["accessToken"])

    def nobody_else(self) -> httpx.AsyncClient:
        return self.client()

    def take_tokens(self, answer: httpx.Response) -> dict[str, str]:
        assert answer.status_code == 200, answer.text
        body: dict[str, str] = answer.json()
        self.run.watcher.take(answer, "an access token", body["accessToken"])
        self.run.watcher.take(answer, "a refresh token", body["refreshToken"])
        return body

    async def account(self, name: str, role: str = "admin", **more: Any) -> str:
        email = f"{name}@north.test"
        self.passwords[email] = self.planted.make(f"the password of {name}", "{}!")
        body = {"email": email, "password": self.passwords[email], "role": "USER", **more}
        body.setdefault("memberships", [{"configId": "north", "role": role}])
        assert (await self.operator.post("/api/users", json=body)).status_code == 201
        return email

    async def command(self, *words: str, typed: str = "", **settings: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server",
            *words,
            cwd=self.home,
            env=environment(**(self.settings | settings)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(COMMAND_SECONDS):
            out, _ = await process.communicate(typed.encode())
        self.run.lines += out.decode().splitlines()
        return out.decode()

    # Configs

    def config(self, config_id: str, **more: Any) -> dict[str, Any]:
        forms = [{"name": "household", "title": "Household"}, {"name": "person", "dependsOn": "household"}]
        return {"id": config_id, "name": config_id, "entityForms": forms, **more}

    def external_sync(self) -> dict[str, Any]:
        make = self.planted.make
        basic = f"Basic {secrets.token_hex(2)}"
        return {
            "type": "openspp",
            "url": "https://registry.example.org",
            "username": "croft",
            "password": make("externalSync.password"),
            "credentials": {"username": make("credentials.username"), "password": make("credentials.password")},
            "headers": {"Authorization": make("a header", "Bearer {}"), "X-Auth-Key": make("a header of their own")},
            "targets": [{"key": make("a key in a list"), "type": "openfn"}, {"name": make("a name", "Bearer {}")}],
            "extraFields": [
                {"name": "apiKey", "value": make("an extra field")},
                {"name": "pin", "value": self.planted.make_number("a number")},
                {"name": "project", "value": basic},
            ],
        }

    def auth_configs(self) -> list[dict[str, Any]]:
        make = self.planted.make
        return [
            provider_config(self.issuer, "oidc", clientSecret=CLIENT_SECRET, emailClaim="email"),
            {
                "type": "auth0",
                "fields": {
                    "domain": "north.auth.example",
                    "client_id": "croft",
                    "client_secret": make("a secret with an underscore"),
                    "management": {"apiToken": make("a token below")},
                },
            },
        ]

    async def upload(self, config: dict[str, Any], method: str = "POST", by: httpx.AsyncClient | None = None) -> int:
        path = "/api/apps" if method == "POST" else f"/api/apps/{config['id']}"
        answer = await (by or self.operator).request(method, path, files={"config": upload_of(config)})
        return answer.status_code

    async def stored_before_with_another_key(self) -> None:
        config = self.config("before", externalSync=self.external_sync())
        (self.home / "before.json").write_bytes(orjson.dumps(config))
        other = {"ENCRYPTION_KEY": self.settings["ENCRYPTION_OTHER_KEYS"], "ENCRYPTION_OTHER_KEYS": ""}
        assert "created" in await self.command("tenants", "apply", "before.json", **other)

    async def configs(self) -> None:
        config = self.config("north", externalSync=self.external_sync(), authConfigs=self.auth_configs())
        config["integrations"] = [{"webhookToken": self.planted.make("a token in a section of nobody's")}]
        assert await self.upload(config) == 200
        masked = (await self.operator.get("/api/apps/north")).json()
        assert await self.upload(masked, "PUT") == 200
        assert await self.upload({"id": "north", "externalSync": self.external_sync()}, "PUT") == 200
        for path in ("/api/apps", "/api/apps/north/versions", f"/artifacts/{masked['artifactId']}.json"):
            assert (await self.operator.get(path)).status_code == 200
        assert (await self.operator.get(f"/artifacts/{masked['artifactId']}.png")).status_code == 200
        assert (await self.operator.post("/api/apps/north/rollback", json={"number": 2})).status_code == 200
        assert await self.upload({"id": "north", "authConfigs": config["authConfigs"]}, "PUT") == 200
        number = (await self.operator.get("/api/tenants/before")).json()["tenantId"]
        assert (await self.operator.delete("/api/tenants/before")).status_code == 200
        restored = await self.operator.post(f"/api/tenants/{number}/restore", json={"newId": "south"})
        assert restored.status_code == 200, restored.text
        for act in ("suspend", "resume"):
            assert (await self.operator.post(f"/api/tenants/south/{act}")).status_code == 200

    async def bad_configs(self) -> None:
        make = self.planted.make
        moved = (await self.operator.get("/api/apps/north")).json()
        moved["externalSync"]["url"] = "https://elsewhere.example.org"
        assert await self.upload(moved) == 422
        in_address = {"url": make("a password in an address", "https://croft:{}@registry.example.org")}
        assert await self.upload(self.config("bad", externalSync=in_address)) == 422
        assert await self.upload(self.config("bad", description=make("a token for all", "Bearer {}"))) == 422
        form = {"components": [{"key": "apiKey", "type": "textfield", "defaultValue": make("a secret in a form")}]}
        assert await self.upload(self.config("bad", entityForms=[{"name": "x", "formio": form}])) == 422
        wrong_type = self.config("bad", authConfigs=[{"type": make("no type at all"), "fields": make("no fields")}])
        assert await self.upload(wrong_type) == 422
        assert await self.upload(self.config("bad", externalSync=make("no section"))) == 422
        cut_off = orjson.dumps(self.config("bad", externalSync={"password": make("cut off")}))[:-5]
        headers = {"Content-Type": "application/json"}
        for content in (cut_off, b'{"password": "' + make("control").encode() + b'\x01"}'):
            assert (await self.operator.post("/api/apps", content=content, headers=headers)).status_code == 400

    # Accounts

    async def accounts(self) -> None:
        amina, badr = await self.account("amina"), await self.account("badr", "collector")
        again = {"email": amina, "password": self.planted.make("a second account's", "{}!"), "role": "USER"}
        assert (await self.operator.post("/api/users", json=again)).status_code == 409
        weak = {"email": "weak@north.test", "password": self.planted.make("weak").lower(), "role": "USER"}
        assert (await self.operator.post("/api/users", json=weak)).status_code in (400, 422)
        wrong = {"email": ["x"], "password": {"deep": self.planted.make("no text")}, "role": "USER"}
        assert (await self.operator.post("/api/users", json=wrong)).status_code == 422
        self.passwords[badr] = self.planted.make("a password that an operator set", "{}!")
        changed = await self.operator.put(f"/api/users/{badr}", json={"password": self.passwords[badr]})
        assert changed.status_code == 200, changed.text
        self.passwords[badr] = self.planted.make("a password set by command", "{}!")
        assert "badr" in await self.command("users", "set-password", badr, "--stdin", typed=self.passwords[badr])
        caller = await self.sign_in(amina)
        new = self.planted.make("a password that she changed", "{}!")
        body = {"currentPassword": self.passwords[amina], "newPassword": new}
        assert (await caller.post("/api/v2/account/password", json=body)).status_code == 200
        self.passwords[amina] = new

    async def wrong_passwords(self) -> None:
        for path in ("/api/users/login", "/api/v2/auth/login", "/api/v2/auth/browser"):
            for email in ("amina@north.test", "nobody@north.test"):
                wrong = {"email": email, "password": self.planted.make("a password that is wrong")}
                assert (await self.nobody.post(path, json=wrong)).status_code in (401, 429)
            mistyped = {"email": self.planted.make("typed into the wrong field"), "password": ""}
            assert (await self.nobody.post(path, json=mistyped)).status_code in (400, 401, 422, 429)
            content = b'{"email": "a", "password": "' + self.planted.make("a body cut off").encode()
            answer = await self.nobody.post(path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 429)
        for scheme in ("Bearer", "Basic", "keycloak", "Unknown", ""):
            token = f"{scheme} {self.planted.make('a token that is none')}".strip()
            answer = await self.client(Authorization=token).get("/api/users/me")
            assert answer.status_code == 401, answer.text
        in_the_wrong_place = {"access_token": self.planted.make("a token in the query")}
        assert (await self.nobody.get("/api/users/me", params=in_the_wrong_place)).status_code == 401

    async def sessions(self) -> None:
        login = {"email": "badr@north.test", "password": self.passwords["badr@north.test"]}
        old = await self.nobody.post("/api/users/login", json=login)
        token = self.run.watcher.take(old, "an old client's token", old.json()["token"])
        assert (await self.client(token).get("/api/users/check-token")).status_code == 200
        opened = self.take_tokens(await self.nobody.post("/api/v2/auth/login", json=login))
        renewal = {"refreshToken": opened["refreshToken"]}
        first = self.take_tokens(await self.nobody.post("/api/v2/auth/refresh", json=renewal))
        second = self.take_tokens(
            await self.nobody.post("/api/v2/auth/refresh", json={"refreshToken": first["refreshToken"]})
        )
        assert (await self.nobody.post("/api/v2/auth/refresh", json=renewal)).status_code == 401
        for refused in (second["refreshToken"], self.planted.make("a refresh token that is none")):
            answer = await self.nobody.post("/api/v2/auth/refresh", json={"refreshToken": refused})
            assert answer.status_code == 401
        amina = await self.sign_in("amina@north.test")
        [*_, last] = (await amina.get("/api/v2/auth/sessions")).json()
        assert (await amina.get("/api/members/badr@north.test/sessions", params={"configId": "north"})).is_success
        assert (await amina.delete(f"/api/v2/auth/sessions/{last['id']}")).status_code in (200, 401)
        assert (await self.client(token).post("/api/users/logout")).status_code == 200
        assert (await self.operator.get("/api/users/badr@north.test/sessions")).status_code == 200

    async def mails(self) -> None:
        amina, here = "amina@north.test", {"configId": "north"}
        self.mailbox.answers.append("550 no such box")
        assert (await self.nobody.post("/api/v2/auth/password-reset", json={"email": amina})).is_success
        assert (await self.nobody.post("/api/v2/auth/password-reset", json={"email": amina})).is_success
        token = await self.mailed_token("a reset's token", amina)
        self.passwords[amina] = self.planted.make("a password after a reset", "{}!")
        body = {"token": token, "newPassword": self.passwords[amina]}
        assert (await self.nobody.post("/api/v2/auth/password-reset/confirm", json=body)).is_success
        assert (await self.nobody.post("/api/v2/auth/password-reset/confirm", json=body)).is_client_error
        caller = await self.sign_in(amina)
        new = "chidi@north.test"
        invited = await caller.post("/api/members/invitations", json={"email": new, "role": "collector"}, params=here)
        assert invited.status_code in (200, 201), invited.text
        assert (await caller.get("/api/members/invitations", params=here)).status_code == 200
        invitation = await self.mailed_token("an invitation's token", new)
        self.passwords[new] = self.planted.make("the password of who was invited", "{}!")
        accepted = {"token": invitation, "password": self.passwords[new]}
        assert (await self.nobody.post("/api/v2/auth/invitations/accept", json=accepted)).is_success
        assert (await self.nobody.post("/api/v2/auth/invitations/accept", json=accepted)).is_client_error
        chidi = await self.sign_in(new)
        change = {"newEmail": "chidi2@north.test", "password": self.passwords[new]}
        assert (await chidi.post("/api/v2/account/email", json=change)).is_success
        confirmed = {"token": await self.mailed_token("a token for an address", "chidi2@north.test")}
        assert (await self.nobody.post("/api/v2/auth/email/confirm", json=confirmed)).is_success

    async def mailed_token(self, what: str, to: str) -> str:
        """The token of the oldest mail to the address that has one."""
        while "#token=" not in (mail := await self.mailbox.take(to)).text:
            pass
        return self.planted.plant(what, mail.token)

    async def second_factor(self) -> None:
        email, path = await self.account("dalia"), "/api/v2/account/second-factor"
        caller, take = await self.sign_in(email), self.run.watcher.take
        begun = await caller.post(path, json={"password": self.passwords[email]})
        seed = take(begun, "a seed", begun.json()["seed"])
        wrong = {"code": self.planted.make("a code that is none")}
        assert (await caller.post(f"{path}/confirm", json=wrong)).is_client_error
        confirmed = await caller.post(f"{path}/confirm", json={"code": TOTP(seed).at(datetime.now(UTC))})
        codes = [take(confirmed, "a recovery code", each) for each in confirmed.json()["recoveryCodes"]]
        assert (await caller.get(path)).json()["state"] == "on"
        login = {"email": email, "password": self.passwords[email]}
        for code in (None, self.planted.make("a code of nobody's")):
            answer = await self.nobody.post("/api/v2/auth/login", json={**login, "code": code})
            assert answer.status_code in (401, 429), answer.text
        signed_in = await self.nobody.post("/api/v2/auth/login", json={**login, "code": codes[0]})
        caller = self.client(self.take_tokens(signed_in)["accessToken"])
        renewed = await caller.post(f"{path}/recovery-codes", json={"password": login["password"], "code": codes[1]})
        for each in renewed.json()["recoveryCodes"]:
            take(renewed, "a new recovery code", each)
        assert (await self.operator.delete(f"/api/users/{email}/second-factor")).is_success

    async def app_passwords_and_keys(self) -> None:
        here, take = {"configId": "north"}, self.run.watcher.take
        amina = await self.sign_in("amina@north.test")
        made = await amina.post("/api/v2/account/app-passwords", json={"name": "phone"})
        word = take(made, "an app password", next(v for k, v in made.json().items() if "assword" in k))
        assert (await amina.get("/api/v2/account/app-passwords")).status_code == 200
        answer = await self.nobody.post("/api/users/login", json={"email": "amina@north.test", "password": word})
        assert answer.status_code == 200, answer.text
        take(answer, "a token for an app password", answer.json()["token"])
        account = {"name": "Payroll", "role": "collector"}
        number = (await amina.post("/api/service-accounts", json=account, params=here)).json()["id"]
        body = {"name": "Key", "scopes": ["entities.read"]}
        keys = f"/api/service-accounts/{number}/keys"
        made = await amina.post(keys, json=body, params=here)
        key = take(made, "an API key", made.json()["key"])
        program = self.client(key)
        assert (await program.get("/api/entities", params=here)).status_code == 200
        assert (await program.post("/api/sync/push", json={"events": []}, params=here)).status_code == 403
        assert (await amina.get(keys, params=here)).status_code == 200
        assert (await amina.delete(f"{keys}/{made.json()['id']}", params=here)).is_success
        assert (await program.get("/api/entities", params=here)).status_code == 401

    async def browser(self) -> None:
        login = {"email": "amina@north.test", "password": self.passwords["amina@north.test"]}
        answer = await self.nobody_else().post("/api/v2/auth/browser", json=login)
        assert answer.status_code == 200, answer.text
        cookies = self.take_cookies(answer)
        csrf = self.run.watcher.take(answer, "a CSRF token", answer.json()["csrfToken"])
        page = self.client(Cookie=cookies)
        assert (await page.get("/api/users/me")).status_code == 200
        forged = await page.post(
            "/api/users/logout", headers={"X-CSRF-Token": self.planted.make("a forged CSRF token")}
        )
        assert forged.is_client_error
        assert (await page.delete("/api/v2/auth/browser", headers={"X-CSRF-Token": csrf})).status_code == 200

    def take_cookies(self, answer: httpx.Response) -> str:
        pairs = [line.partition(";")[0].partition("=") for line in answer.headers.get_list("set-cookie")]
        for name, _, value in pairs:
            if len(value) > 20 and "csrf" not in name.lower():
                self.run.watcher.take(answer, "a cookie", value)
        return "; ".join(f"{name}={value}" for name, _, value in pairs if value)

    async def providers(self) -> None:
        here = {"configId": "north"}
        self.issuer.person = {"sub": "amina", "email": "amina@north.test", "email_verified": True}
        signed = self.planted.plant("a provider's token", self.issuer.token())
        assert (await self.client(signed).get("/api/entities", params=here)).status_code == 200
        opaque = self.planted.make("an opaque token")
        self.issuer.says[opaque] = {
            "iss": self.issuer.issuer,
            "aud": "croft-phones",
            "exp": 2**32,
            **self.issuer.person,
        }
        headers = {"Authorization": f"oidc {opaque}"}
        assert (await self.nobody.get("/api/entities", params=here, headers=headers)).status_code in (200, 401)
        for wrong in (self.issuer.token(aud="somebody else"), self.issuer.token(exp=1)):
            self.planted.plant("a wrong token of the provider", wrong)
            assert (await self.client(wrong).get("/api/entities", params=here)).status_code == 401
        await self.browser_at_the_provider()
        await self.issuer.stop()
        unknown = {"Authorization": f"oidc {self.planted.make('a token in an outage')}"}
        assert (await self.nobody.get("/api/entities", params=here, headers=unknown)).status_code in (401, 503)
        await self.issuer.start()

    async def browser_at_the_provider(self) -> None:
        started = await self.nobody_else().get("/api/v2/auth/north/oidc/start")
        assert started.status_code == 302, started.text
        cookies = self.take_cookies(started)
        async with httpx.AsyncClient() as visitor:
            back = urlsplit((await visitor.get(started.headers["location"])).headers["location"])
        page = self.client(Cookie=cookies)
        forged = f"code={self.planted.make('a code of nobody')}&state={self.planted.make('a state of nobody')}"
        assert (await page.get(f"{back.path}?{forged}")).is_client_error
        returned = await page.get(f"{back.path}?{back.query}")
        assert returned.status_code in (302, 400, 403), returned.text
        if returned.status_code == 302:
            self.take_cookies(returned)

    # Everything else

    async def field_work(self) -> None:
        here, badr = {"configId": "north"}, await self.sign_in("badr@north.test")
        event = {
            "guid": "9f3c5c62-52b8-4f6a-a4d3-2d9f0bb1f001",
            "entityGuid": "9f3c5c62-52b8-4f6a-a4d3-2d9f0bb1f002",
            "type": "create-group",
            "data": {"name": "Okonkwo"},
            "timestamp": iso_ms(utc_now()),
            "userId": "badr",
            "syncLevel": 0,
        }
        for path in ("/api/sync/push", "/api/v2/sync/push"):
            body, device = {"events": [event], "configId": "north"}, {"X-Device-Id": "badrs-phone"}
            answer = await badr.post(path, json=body, params=here, headers=device)
            assert answer.status_code == 200, answer.text
        nonsense = {"events": [{"guid": "no guid", "type": 7}], "configId": "north"}
        for path in ("/api/sync/push", "/api/v2/sync/push", "/api/sync/push/audit-logs", "/api/sync/external"):
            await badr.post(path, json={"password": self.planted.make("in a push"), **nonsense}, params=here)

    async def reading_everything(self) -> None:
        amina, here = await self.sign_in("amina@north.test"), {"configId": "north"}
        metrics = self.client(self.settings["METRICS_TOKEN"])
        assert (await metrics.get("/metrics")).status_code == 200
        self.described: dict[str, Any] = (await self.nobody.get("/openapi.json")).json()
        for method, path in self.routes():
            if method == "GET" and "{" not in path:
                for caller in (amina, self.operator, self.nobody):
                    await caller.get(path, params=here)
        for name in ("security", "break-glass"):
            await self.operator.get(f"/api/tenants/north/{name}")

    async def changing_keys(self) -> None:
        assert "Encrypted" in await self.command("secrets", "rotate")
        assert "still needed" not in await self.command("secrets", "status")
        await self.command("tenants", "show", "north")
        await self.command("serve", SMTP_URL=self.planted.make("a bad address", "smtp//croft:{}@x"))

    async def knocking_everywhere(self) -> None:
        """Whatever routes there are, each is given secrets where they do not belong."""
        make = self.planted.make
        body = {each: make(f"{each} to knock with", "{}!") for each in ("password", "token", "secret", "email")}
        query = {"configId": "north", "token": make("a query to knock with")}
        stranger = self.client(make("a token to knock with"))
        operator = await self.sign_in(OPERATOR)
        for method, path in self.routes():
            content = body if method in ("POST", "PUT", "PATCH", "DELETE") else None
            address = "".join("nowhere" if part.startswith("{") else part for part in _parts(path))
            for caller in (stranger, operator):
                answer = await caller.request(method, address, params=query, json=content)
            if answer.status_code == 401 or "sessions" in path:
                operator = await self.sign_in(OPERATOR)

    def routes(self) -> list[tuple[str, str]]:
        """Method and path of every route but the one whose answer does not end."""
        described = self.described["paths"].items()
        return [(method.upper(), path) for path, methods in described for method in methods if path != LIVE]


def _parts(path: str) -> list[str]:
    """A path in pieces, its parameters by themselves: `/api/`, `{id}`, `/x`."""
    pieces = path.replace("}", "}\0").replace("{", "\0{").split("\0")
    return [piece for piece in pieces if piece]
