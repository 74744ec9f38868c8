"""The queue of mails, with a real mail server behind it where that matters."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.kit.mail_server import MailServer, parse_smtp_url
from server.mail import Letter, Outbox, Undeliverable
from server.mail.console import ConsoleSender, NoSender
from server.mail.outbox import MOST_WAITING
from server.mail.sending import NotNow, Sender
from server.mail.smtp import SmtpSender
from tests.mailbox import Mailbox, running_mailbox

TOKEN = "a-token-that-no-log-may-hold"
SENDER = "Croft <croft@ministry.test>"


def letter(number: int = 1, to: str = "amina@north.test") -> Letter:
    return Letter("test", to, f"Letter {number}", f"Use {TOKEN}\n")


@asynccontextmanager
async def running(sender: Sender, again: Sequence[float] = (0.01, 0.01)) -> AsyncIterator[Outbox]:
    outbox = Outbox(sender, try_again_after=again)
    task = asyncio.create_task(outbox.run())
    await asyncio.sleep(0)  # else it would be cancelled before it began
    try:
        yield outbox
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def told(message: str) -> AsyncIterator[None]:
    """Waits at the end of the block until the message is in the log."""
    logger, came = logging.getLogger("croft.mail"), asyncio.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == message:
                came.set()

    listening = Listening()
    logger.addHandler(listening)
    try:
        yield
        async with asyncio.timeout(20):
            await came.wait()
    finally:
        logger.removeHandler(listening)


def sender_to(mailbox: Mailbox) -> SmtpSender:
    return SmtpSender(parse_smtp_url(mailbox.url), SENDER)


async def test_letter_arrives_by_smtp() -> None:
    async with running_mailbox() as mailbox, running(sender_to(mailbox)) as outbox:
        outbox.post(letter())
        mail = await mailbox.take("amina@north.test")
    assert mail.subject == "Letter 1"
    assert mail.text.splitlines() == [f"Use {TOKEN}"]
    assert mail.message["From"] == SENDER


async def test_letter_that_is_refused_for_a_while_is_sent_again() -> None:
    async with running_mailbox() as mailbox, running(sender_to(mailbox)) as outbox:
        mailbox.answers = ["451 later", "421 busy"]
        outbox.post(letter())
        await mailbox.take("amina@north.test")
    assert mailbox.tried == 3


async def test_letter_that_is_refused_for_good_is_not_sent_again_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_mailbox() as mailbox, running(sender_to(mailbox)) as outbox:
        mailbox.answers = [f"554 no such {TOKEN}"]
        async with told("mail refused"):
            outbox.post(letter(1, "gone@north.test"))
        outbox.post(letter(2))
        await mailbox.take("amina@north.test")
    assert mailbox.tried == 2
    assert TOKEN not in caplog.text


async def test_letter_is_given_up_after_a_few_tries_and_the_log_does_not_show_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "croft")
    async with running_mailbox() as mailbox, running(sender_to(mailbox)) as outbox:
        mailbox.answers = [f"451 {TOKEN}"] * 3
        async with told("mail given up"):
            outbox.post(letter())
    shown = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert mailbox.tried == 3
    assert TOKEN not in shown
    assert "amina" not in shown


async def test_mail_server_that_is_not_there_is_no_exception() -> None:
    async with running_mailbox() as mailbox:
        server = sender_to(mailbox)
    with pytest.raises(NotNow):
        await server.send(letter())


class Recording:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, letter: Letter) -> None:
        self.sent.append(letter.subject)


async def test_letters_that_wait_are_sent_before_the_server_stops() -> None:
    sender = Recording()
    async with running(sender) as outbox:
        outbox.post(*(letter(number) for number in range(10)))
    assert sorted(sender.sent) == sorted(f"Letter {number}" for number in range(10))


async def test_what_somebody_wants_to_write_is_written_outside_of_the_request() -> None:
    sender, asked = Recording(), asyncio.Event()

    async def write() -> list[Letter]:
        asked.set()
        return [letter(7)]

    async with running(sender) as outbox:
        outbox.write_later(write)
        assert not asked.is_set()
    assert sender.sent == ["Letter 7"]


async def test_letter_that_cannot_be_written_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    sender = Recording()

    async def fail() -> list[Letter]:
        raise RuntimeError("no database")

    async with running(sender) as outbox:
        outbox.write_later(fail)
        outbox.post(letter(8))
    assert sender.sent == ["Letter 8"]
    assert "could not be written" in caplog.text


async def test_queue_is_bounded_and_drops_what_is_too_much(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(Recording())
    outbox.post(*(letter(number) for number in range(MOST_WAITING + 1)))
    assert [record.getMessage() for record in caplog.records] == ["mail dropped: too many wait"]


async def test_console_shows_the_whole_mail_in_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "croft.mail")
    await ConsoleSender().send(letter())
    shown = [record.getMessage() for record in caplog.records]
    assert shown[0].startswith("┌")
    assert shown[-1].startswith("└")
    assert "│ To: amina@north.test" in shown
    assert f"│ Use {TOKEN}" in shown


async def test_without_a_mail_server_nothing_is_sent_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(NoSender()) as outbox, told("mail refused"):
        outbox.post(letter())
    assert TOKEN not in caplog.text
    assert "SMTP_URL is not set" in str([vars(record) for record in caplog.records])


async def test_console_refuses_what_no_mail_server_would_take() -> None:
    with pytest.raises(Undeliverable):
        await ConsoleSender().send(letter(to="a@b.test\nX: y"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.test", MailServer("mail.test", 587, tls=False, starttls=True)),
        ("smtp://mail.test:2525", MailServer("mail.test", 2525, tls=False, starttls=True)),
        ("smtps://mail.test", MailServer("mail.test", 465, tls=True, starttls=False)),
        (
            "smtp://u:p%40ss@mail.test",
            MailServer("mail.test", 587, tls=False, starttls=True, user="u", password="p@ss"),
        ),
        ("smtp://relay.test:25?tls=off", MailServer("relay.test", 25, tls=False, starttls=False)),
        ("smtp://127.0.0.1:1025", MailServer("127.0.0.1", 1025, tls=False, starttls=False)),
        ("smtp://[2001:db8::1]:25", MailServer("2001:db8::1", 25, tls=False, starttls=True)),
    ],
)
def test_address_of_a_mail_server_says_how_to_talk_to_it(url: str, expected: MailServer) -> None:
    assert parse_smtp_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "mail.test",
        "http://mail.test",
        "smtp://",
        "smtp://u:Secret-7@mail.test:port",
        "smtp://mail.test/path",
        "smtp://mail.test?tls=on",
        "smtp://u:Secret-7@relay.test?tls=off",
        "smtps://mail.test?tls=off",
        "smtp://[mail.test",
    ],
)
def test_address_of_no_mail_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address|tls=off") as refused:
        parse_smtp_url(url)
    assert "Secret-7" not in str(refused.value)


def certificate(directory: Path) -> ssl.SSLContext:
    """What a server at 127.0.0.1 shows; the same certificate, in `directory`, is who is to be trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


def starttls_sender(mailbox: Mailbox) -> SmtpSender:
    server = MailServer("localhost", mailbox.port, tls=False, starttls=True, user="croft", password="Secret-7")
    return SmtpSender(server, SENDER)


def signed_in(*_: object) -> AuthResult:
    return AuthResult(success=True)


async def test_password_goes_to_a_server_that_is_trusted_by_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with running_mailbox(tls_context=context, authenticator=signed_in, auth_required=True) as mailbox:
        await starttls_sender(mailbox).send(letter())
        assert (await mailbox.take("amina@north.test")).subject == "Letter 1"


async def test_server_that_shows_a_certificate_of_nobody_known_gets_neither_password_nor_mail(tmp_path: Path) -> None:
    given = []

    def noted(*credentials: object) -> AuthResult:
        given.append(credentials)
        return AuthResult(success=True)

    async with running_mailbox(tls_context=certificate(tmp_path), authenticator=noted) as mailbox:
        with pytest.raises(NotNow):
            await starttls_sender(mailbox).send(letter())
    assert (given, mailbox.tried) == ([], 0)


async def test_server_that_hides_starttls_gets_neither_password_nor_mail() -> None:
    async with running_mailbox(authenticator=signed_in, auth_require_tls=False) as mailbox:
        with pytest.raises(NotNow):
            await starttls_sender(mailbox).send(letter())
    assert mailbox.tried == 0
