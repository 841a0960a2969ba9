"""What one validator remembers of one height, and what the rules of the paper ask for and say.

After Buchman, Kwon and Milosevic, "The latest gossip on BFT consensus" (arXiv:1807.04938), Algorithm 1; line numbers
are those of that algorithm. All of it is frozen: the rules make a new state from an old one.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

NO_ROUND = -1
"""Before the first round; also the round of a lock that is not there."""

ValueId: TypeAlias = bytes
"""What votes name: the digest of a proposed value. None in the place of one is nil."""


Step: TypeAlias = Literal["none", "unstarted", "propose", "prevote", "precommit", "commit"]
"""Where in a round a validator stands. `unstarted`: a round is left, and the next one has not begun."""

Timeout: TypeAlias = Literal["propose", "prevote", "precommit"]
"""The timeouts of a round, by the step that they end."""


class RoundState(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """The variables of Algorithm 1, lines 1 to 9.

    Attributes:
        height: which height this is about.
        round: the round begun last; -1 before the first.
        step: where in it.
        locked_value, locked_round: what this validator precommitted last; it prevotes nothing else without a later
            polka.
        valid_value, valid_round: the last value known to have a polka; what it proposes when its turn comes.

    Example:
        >>> RoundState(height=1).step
        'none'
    """

    height: int
    round: int = NO_ROUND
    step: Step = "none"
    locked_value: ValueId | None = None
    locked_round: int = NO_ROUND
    valid_value: ValueId | None = None
    valid_round: int = NO_ROUND


# --- what a rule says ---------------------------------------------------------------------------------------------


class Propose(msgspec.Struct, frozen=True, gc=False):
    """Broadcast a proposal. `valid_round` is where the value had its polka, or -1 for a value of one's own."""

    round: int
    value: ValueId
    valid_round: int


class GetValue(msgspec.Struct, frozen=True, gc=False):
    """Ask for a value to propose, and schedule the timeout of the propose step: asking takes time."""

    round: int


class CastPrevote(msgspec.Struct, frozen=True, gc=False):
    """Broadcast a prevote; None is nil."""

    round: int
    value: ValueId | None


class CastPrecommit(msgspec.Struct, frozen=True, gc=False):
    """Broadcast a precommit; None is nil."""

    round: int
    value: ValueId | None


class DecideValue(msgspec.Struct, frozen=True, gc=False):
    """The value is decided, by the precommits of this round."""

    round: int
    value: ValueId


class Schedule(msgspec.Struct, frozen=True, gc=False):
    """Start a timeout of a round."""

    timeout: Timeout
    round: int


class SkipTo(msgspec.Struct, frozen=True, gc=False):
    """Leave this round; the next to begin is this one."""

    round: int


class Refused(msgspec.Struct, frozen=True, gc=False):
    """This input is not allowed in this state: the state stays, nothing is sent."""

    why: str


Output: TypeAlias = Propose | GetValue | CastPrevote | CastPrecommit | DecideValue | Schedule | SkipTo | Refused
