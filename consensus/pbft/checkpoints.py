"""Checkpoint votes: when a quorum stands at one height with one state (C&L 4.3)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from consensus.ballot import Ballot
from consensus.pbft.messages import Checkpoint, StableCheckpoint
from consensus.quorum import QuorumSystem

State = TypeVar("State", bound=Hashable)


@dataclass(slots=True)
class CheckpointLog(Generic[State]):
    """Counts the checkpoint votes above the last stable checkpoint.

    Attributes:
        own: this replica's own votes, told again with each view change for those who missed them.
    """

    quorum: QuorumSystem
    own: dict[int, Checkpoint[State]] = field(default_factory=dict)
    _ballots: dict[int, Ballot[State]] = field(default_factory=dict)
    _ahead: dict[int, Checkpoint[State]] = field(default_factory=dict)  # beyond the watermarks: one of each sender

    def add(self, vote: Checkpoint[State]) -> StableCheckpoint[State] | None:
        """Count a vote between the watermarks.

        Returns:
            The checkpoint, when this vote made it stable, or when this replica gets to one that is stable already.
        """
        ballot = self._ballots.setdefault(vote.height, Ballot(self.quorum))
        is_news = ballot.certified is None or vote.height in self.own
        if ballot.add(vote.sender, vote.state) and ballot.certified is not None and is_news:
            return StableCheckpoint(vote.height, ballot.certified, ballot.voters(ballot.certified))
        return None

    def add_ahead(self, vote: Checkpoint[State]) -> tuple[int, ...]:
        """Note a vote beyond the watermarks; those who are ahead, once one of them is surely honest."""
        self._ahead[vote.sender] = vote
        if not self.quorum.has_honest(self._ahead):
            return ()
        ahead = tuple(sorted(self._ahead))
        self._ahead.clear()
        return ahead

    def forget(self, height: int) -> None:
        """Drop all up to a height: a stable checkpoint stands for it."""
        self._ballots = {at: ballot for at, ballot in self._ballots.items() if at > height}
        self.own = {at: vote for at, vote in self.own.items() if at > height}
