"""Stalls: more than `stall_after` of simulated time without a new height.

The watch has no timer of its own in the world: it says when it wants to look next, and the run's loop moves the
clock there. So watching sends nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lastbit.attempts import Verdict
from lastbit.causes import Cause


@dataclass(frozen=True, slots=True)
class StallSeen:
    """One stall.

    Attributes:
        height: the height that did not come.
        from_ns: since when nothing came.
        until_ns: when it came after all; None while the stall lasts.
        cause: why, as judged when it was noticed, or at the end where it is permanent.
        verdict: on the last attempt at the height; None where no honest replica executed.
    """

    height: int
    from_ns: int
    until_ns: int | None
    cause: Cause
    verdict: Verdict | None


class StallWatch:
    """Notices when the chain stands still.

    Args:
        stall_after_ns: standing still for so long is a stall.
        give_up_after_ns: standing still for so long ends the run.
        diagnose: describes the stall that is there now, given since when.
    """

    def __init__(self, stall_after_ns: int, give_up_after_ns: int, diagnose: Callable[[int], StallSeen]) -> None:
        self.stalls: list[StallSeen] = []
        self._stall_after_ns = stall_after_ns
        self._give_up_after_ns = give_up_after_ns
        self._diagnose = diagnose
        self._progress_ns = 0

    @property
    def is_open(self) -> bool:
        """Is the chain standing still now?"""
        return bool(self.stalls) and self.stalls[-1].until_ns is None

    @property
    def progressed_ns(self) -> int:
        """When the chain last moved."""
        return self._progress_ns

    @property
    def look_at_ns(self) -> int:
        """When `look` is to be called next, unless there is progress before."""
        return self._progress_ns + (self._give_up_after_ns if self.is_open else self._stall_after_ns)

    def progress(self, now_ns: int) -> None:
        """A new height came."""
        if self.is_open:
            self.stalls[-1] = replace(self.stalls[-1], until_ns=now_ns)
        self._progress_ns = now_ns

    def look(self, now_ns: int) -> bool:
        """Note a stall that has become one; True once it has lasted so long that the run is to end."""
        if now_ns < self.look_at_ns:
            return False
        if self.is_open:
            return True
        self.stalls.append(self._diagnose(self._progress_ns))
        return self._give_up_after_ns <= self._stall_after_ns

    def end(self) -> None:
        """The run is over: a stall that still lasts is described as it stands now."""
        if self.is_open:
            self.stalls[-1] = self._diagnose(self._progress_ns)
