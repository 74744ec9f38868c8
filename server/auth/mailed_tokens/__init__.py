"""Tokens that are mailed to the owner of an account: whoever brings one back reads that mailbox."""

from server.auth.mailed_tokens.tokens import LINK_NOT_VALID, MailedToken, Purpose, digest_of_token, issue, make_token

__all__ = ["LINK_NOT_VALID", "MailedToken", "Purpose", "digest_of_token", "issue", "make_token"]
