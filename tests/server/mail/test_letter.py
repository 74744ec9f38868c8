from email import message_from_bytes
from email.policy import SMTP, default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.mail import Letter, Undeliverable
from server.mail.letter import address_of, message_of, one_line

SENDER = "Croft <croft@ministry.test>"
HEADERS = {"from", "to", "subject", "date", "message-id", "auto-submitted"}
HEADERS |= {"content-type", "content-transfer-encoding", "mime-version"}


def letter(to: str = "amina@north.test", subject: str = "A subject", text: str = "Some text\n") -> Letter:
    return Letter("test", to, subject, text)


def test_message_is_plain_text_to_one_person() -> None:
    message = message_of(letter(text="Grüße\nund mehr\n"), SENDER)
    assert message["To"] == "amina@north.test"
    assert message["From"] == SENDER
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Grüße\nund mehr\n"
    assert {name.lower() for name in message} == HEADERS


def test_text_of_a_letter_does_not_show_when_it_is_printed() -> None:
    assert "token-in-here" not in repr(letter(text="token-in-here"))


@pytest.mark.parametrize(
    "to",
    [
        "a@b.test\r\nBcc: c@d.test",
        "a@b.test\nX: y",
        "a@b.test,c@d.test",
        "x,y@evil.test",
        "a@b.test;c@d.test",
        "Amina <a@b.test>",
        "group: a@b.test;",
        "a@b.test>",
        "(comment)@b.test",
        "a..b@c.test",
        "ünal@c.test",
        "@c.test",
        "a@",
        "a",
        "",
        "a@" + "x" * 70 + ".test",
        "a@b.test\0",
    ],
)
def test_what_is_not_one_address_gets_no_letter(to: str) -> None:
    with pytest.raises(Undeliverable):
        message_of(letter(to=to), SENDER)


def test_domain_in_other_letters_is_written_in_ascii() -> None:
    assert address_of("amina@düne.test") == "amina@xn--dne-hoa.test"


@pytest.mark.parametrize("subject", ["One\r\nBcc: c@d.test", "One\nTwo", "One\rTwo"])
def test_subject_with_a_line_end_is_refused(subject: str) -> None:
    with pytest.raises(Undeliverable):
        message_of(letter(subject=subject), SENDER)


@given(to=st.text(st.characters(), max_size=40), subject=st.text(st.characters(), max_size=40), text=st.text())
def test_nothing_in_a_letter_adds_a_header_or_a_recipient(to: str, subject: str, text: str) -> None:
    try:
        message = message_of(letter(to, subject, text), SENDER)
    except (Undeliverable, UnicodeEncodeError):
        return
    arrived = message_from_bytes(message.as_bytes(policy=SMTP), policy=default)
    assert {name.lower() for name in arrived} <= HEADERS
    assert len(arrived["To"].addresses) == 1


@given(st.text(st.characters()))
def test_name_in_a_letter_is_one_line(name: str) -> None:
    shown = one_line(name)
    assert len(shown) <= 100
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_name_in_a_letter_cannot_pretend_to_be_another_paragraph() -> None:
    assert one_line("North\r\n\r\nClick https://evil.test") == "North Click https://evil.test"
