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
        asks_passed_ns: the age at which something was last taken to be missed; 0 before the first time.
    """

    config: IcpConfig
    elapsed_ns: int = 0
    mark_ns: int = 0
    asks_passed_ns: int = 0

    def restart(self) -> None:
        """A round begins."""
        self.elapsed_ns = self.mark_ns = self.asks_passed_ns = 0

    def stop(self) -> None:
        """The timer does not run any more; the age stays what it was."""
        self.mark_ns = 0

    def run_out(self) -> None:
        """The timer has run out."""
        self.elapsed_ns, self.mark_ns = self.mark_ns, 0

    def is_time_to_ask(self) -> bool:
        """Has the round lasted so long that something must have been missed? True once at each such age.

        The ages double, until they are as far apart as `timeout_max_ns` says: where a round stands still for good, all
        would else ask all others for ever.
        """
        if self.elapsed_ns < self._ask_ns:
            return False
        self.asks_passed_ns = self._ask_ns
        return True

    @property
    def _ask_ns(self) -> int:
        passed, config = self.asks_passed_ns, self.config
        return passed + min(max(passed, config.timeout_ns), config.timeout_max_ns)

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
        self.mark_ns = min([self._ask_ns, *(mark for mark in by_rank if now < mark <= last_ns)])
        return self.mark_ns - now
