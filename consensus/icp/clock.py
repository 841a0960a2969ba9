"""How old a round is, as far as a state machine can tell: it is told when its timer has run out, and nothing else.

The timer runs to the next mark: the next moment of the round at which anything may fall due. It is not moved until
then, since what has passed of it would be unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consensus.icp.config import IcpConfig


@dataclass(slots=True)
class RoundClock:
    """The age of the current round.

    Attributes:
        elapsed_ns: the last mark that has passed; 0 is the beginning.
        mark_ns: the mark that the timer runs to; 0 where it does not run.
    """

    config: IcpConfig
    elapsed_ns: int = 0
    mark_ns: int = 0

    def restart(self) -> None:
        """A round begins."""
        self.elapsed_ns = self.mark_ns = 0

    def stop(self) -> None:
        """The timer does not run any more; the age stays what it was."""
        self.mark_ns = 0

    def run_out(self) -> None:
        """The timer has run out."""
        self.elapsed_ns, self.mark_ns = self.mark_ns, 0

    @property
    def is_time_to_ask(self) -> bool:
        """Has the round lasted so long that something must have been missed?"""
        return self.elapsed_ns % self.config.timeout_ns == 0

    def run_to_next(self, *, last_ns: int, due_ns: Iterable[int]) -> int:
        """Let the timer run to the next mark.

        Args:
            last_ns: after so long nothing falls due by rank any more.
            due_ns: moments that are no multiples of a unit, nor that and epsilon more.

        Returns:
            How long that is.
        """
        now, config = self.elapsed_ns, self.config
        unit, epsilon = config.unit_ns, config.epsilon_ns
        by_rank = ((now // unit + 1) * unit, (max(now - epsilon, -1) // unit + 1) * unit + epsilon, *due_ns)
        to_ask = (now // config.timeout_ns + 1) * config.timeout_ns
        self.mark_ns = min([to_ask, *(mark for mark in by_rank if now < mark <= last_ns)])
        return self.mark_ns - now
