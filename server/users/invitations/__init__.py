"""Invitations: an organization asks somebody by mail to become a member, whether or not he has an account."""
