"""Phones that are out already: what they push is read, and what they pull is put, so that they end at the log's state.

A translation beside the log: neither log nor fold knows of it. How such a phone behaves, and why events as they were
pushed would leave it short, is told in docs/adr.
"""
