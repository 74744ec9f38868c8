"""Proving that the log is what was taken: nothing in it altered, taken out, moved or put in since."""
