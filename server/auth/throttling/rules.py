"""How long somebody has to wait who has tried so and so often."""

import math
from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Rule:
    """How the wait grows with what was tried, and how what was tried is forgotten. All times are in seconds.

    Every attempt raises the level by 1, up to `most`, and every `forgets` seconds lower it by 1, bit by bit. While the
    level, as the last attempt left it and rounded up, is below `free`, nobody waits; at `free` the next attempt has to
    be `first` seconds after the last one, and with each step above it twice as much, but never more than `longest`.
    """

    free: int
    first: float
    longest: float
    forgets: float

    @property
    def most(self) -> int:
        """The level from which on the wait grows no more: nothing above it needs to be remembered."""
        return self.free + max(0, math.ceil(math.log2(self.longest / self.first)))

    def wait(self, level: float) -> float:
        """How many seconds have to pass since the attempt that left this level."""
        steps = math.ceil(level) - self.free
        return 0.0 if steps < 0 else float(min(self.longest, self.first * 2**steps))

    def level_after(self, level: float, seconds: float) -> float:
        """What is left of a level after so many seconds in which nothing was tried."""
        return max(0.0, level - max(0.0, seconds) / self.forgets)


ACCOUNT: Final = Rule(free=5, first=2, longest=15 * MINUTE, forgets=30 * MINUTE)
"""Guesses at one account. Five mistakes are human; after some ten more it is one in 15 minutes, about a hundred a day:
nothing against passwords of at least 50 million guesses, and a short wait for an owner who comes from a new place.
Also the rule of a known place, so that nobody can tell one from the other by counting."""

ADDRESS: Final = Rule(free=50, first=1, longest=5 * MINUTE, forgets=MINUTE)
"""Guesses from one network, at whatever accounts. Behind one address can be a whole office on its first morning."""

HOUSE: Final = Rule(free=300, first=0.5, longest=MINUTE, forgets=10)
"""Attempts at accounts from where these signed in before, all of one network together: an office, a town behind one
address. Many at once are no wonder; trying one password at all of its accounts after the other becomes six a minute."""

OVERALL: Final = Rule(free=1000, first=0.125, longest=2, forgets=1)
"""Guesses from everywhere: a thousand at once, then about one a second. So many people do not mistype at a time, but
thousands of hired addresses can; and it bounds how many rows a flood of invented accounts can leave behind."""

CODE: Final = Rule(free=5, first=30, longest=HOUR, forgets=6 * HOUR)
"""Wrong codes after the right password. Three of a million codes are good at a time: at 24 tries a day somebody who
knows the password needs decades for an even chance."""

RESET: Final = Rule(free=3, first=MINUTE, longest=15 * MINUTE, forgets=30 * MINUTE)
"""Mails to one account that somebody asked for. The longest wait is half the life of a token: however much a stranger
asks, the owner has a good one in her mailbox."""

RESET_ADDRESS: Final = Rule(free=20, first=5, longest=15 * MINUTE, forgets=3 * MINUTE)
"""Mails that one network asks for."""

RESET_OVERALL: Final = Rule(free=300, first=0.5, longest=10, forgets=5)
"""Mails that strangers ask for in all: a mail server that sends more is soon taken for one that sends spam."""

TOKEN_ADDRESS: Final = Rule(free=30, first=1, longest=5 * MINUTE, forgets=MINUTE)
"""Tokens that do not hold, from one network. They cannot be guessed; this bounds the work that trying makes."""

INVITER: Final = Rule(free=200, first=MINUTE, longest=10 * MINUTE, forgets=MINUTE)
"""Invitations that one organization sends: a whole staff at once, but no mailing to strangers without end."""

INVITED: Final = Rule(free=3, first=10 * MINUTE, longest=24 * HOUR, forgets=24 * HOUR)
"""Invitations of one organization to one address."""
