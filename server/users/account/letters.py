"""What the owner of an account is told by mail."""

from server.mail import Letter
from server.users.mailing import Links


def reset_letter(email: str, token: str, links: Links) -> Letter:
    """How to set another password."""
    text = f"""\
Somebody, you most likely, wants to set a new password for the account with this e-mail address.

{links.how_to("set it within 30 minutes", "/account/reset", token)}

If it was not you, do nothing: your password stays as it is.
"""
    return Letter("password-reset", email, "Set a new password", text)


def no_password_letter(email: str) -> Letter:
    """For an account that has no password to be reset."""
    text = """\
Somebody, you most likely, wants to set a new password for the account with this e-mail address.

This account has no password: it is signed in by way of your organization. Ask its administrators for help.
"""
    return Letter("password-reset", email, "Your account has no password", text)


def password_changed_letter(email: str) -> Letter:
    """That somebody has done it."""
    text = """\
The password of your account was changed, and other devices that were signed in have been signed out.

If it was not you, set a new password at once and tell your administrators.
"""
    return Letter("password-changed", email, "Your password was changed", text)


def confirm_email_letter(email: str, token: str, links: Links) -> Letter:
    """To the new address: how to say that mail arrives there."""
    text = f"""\
Somebody, you most likely, wants to use this e-mail address for an account.

{links.how_to("confirm it within 24 hours", "/account/email", token)}

If it was not you, do nothing.
"""
    return Letter("email-change", email, "Confirm your e-mail address", text)


def email_taken_letter(email: str) -> Letter:
    """To the new address, where another account has it: nobody but its owner learns of that."""
    text = """\
Somebody, perhaps you, wants to use this e-mail address for another account. It belongs to an account already, so
nothing was changed.

If you want to use that account, sign in with this address; a forgotten password can be set anew.
"""
    return Letter("email-change", email, "This e-mail address is in use", text)


def email_about_to_change_letter(email: str) -> Letter:
    """To the old address."""
    text = """\
Somebody who knows your password wants to use another e-mail address for your account. It changes as soon as a mail to
that address is answered.

If it was not you, change your password at once: then nothing else will change.
"""
    return Letter("email-change", email, "Your e-mail address is about to change", text)


def email_changed_letter(email: str) -> Letter:
    """To the old address, afterwards."""
    text = """\
Your account has another e-mail address from now on; this one can no longer be used to sign in.

If it was not you, tell your administrators at once.
"""
    return Letter("email-change", email, "Your e-mail address was changed", text)
