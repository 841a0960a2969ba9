"""No honest replica says two things in one ballot: two quorums could then be for different values."""

from __future__ import annotations

from collections.abc import Iterable

from lastbit.checking.violations import Violations
from lastbit.protocols.votes import Vote


class DoubleVotes:
    """Takes note of those who contradict themselves.

    Args:
        honest: whose contradictions count.
        violations: takes down what is found.
    """

    def __init__(self, honest: Iterable[int], violations: Violations) -> None:
        self._bound = set(honest)
        self._violations = violations

    def contradicted(self, replica: int, vote: Vote) -> None:
        """A replica voted for another value in a ballot in which it had voted before."""
        if replica not in self._bound:
            return
        kind, view = vote.ballot
        where = f"in ballot {kind!r}" + (f" of view {view:,}" if view else "")
        self._violations.add("double-vote", vote.height, (replica,), f"replica {replica} voted for two values {where}")

    def forgot(self, replica: int) -> None:
        """A replica lost its memory: it cannot know what it has said, and counts as faulty from then on."""
        self._bound.discard(replica)
