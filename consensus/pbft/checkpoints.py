"""Checkpoint votes: when a quorum stands at one height with one state (C&L 4.3)."""

from __future__ import annotations

from consensus.ballot import Ballot
from consensus.pbft.messages import Checkpoint, StableCheckpoint
from consensus.quorum import QuorumSystem


class CheckpointLog:
    """Counts the checkpoint votes above the last stable checkpoint.

    Attributes:
        own: this replica's own votes, told again with each view change for those who missed them.
    """

    __slots__ = ("_ahead", "_ballots", "_quorum", "own")

    def __init__(self, quorum: QuorumSystem) -> None:
        self.own: dict[int, Checkpoint] = {}
        self._quorum = quorum
        self._ballots: dict[int, Ballot[bytes]] = {}
        self._ahead: dict[int, Checkpoint] = {}  # beyond the watermarks: the latest of each sender, to stay bounded

    def add(self, vote: Checkpoint) -> StableCheckpoint | None:
        """Count a vote between the watermarks; the checkpoint, when this vote made it stable."""
        ballot = self._ballots.setdefault(vote.height, Ballot(self._quorum))
        if ballot.certified is None and ballot.add(vote.sender, vote.state) and ballot.certified is not None:
            return StableCheckpoint(vote.height, ballot.certified, ballot.voters(ballot.certified))
        return None

    def add_ahead(self, vote: Checkpoint) -> tuple[int, ...]:
        """Note a vote beyond the watermarks; those who are ahead, once one of them is surely honest."""
        self._ahead[vote.sender] = vote
        if not self._quorum.has_honest(self._ahead):
            return ()
        ahead = tuple(sorted(self._ahead))
        self._ahead.clear()
        return ahead

    def forget(self, height: int) -> None:
        """Drop all up to a height: a stable checkpoint stands for it."""
        self._ballots = {at: ballot for at, ballot in self._ballots.items() if at > height}
        self.own = {at: vote for at, vote in self.own.items() if at > height}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CheckpointLog):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a log changes; it is compared, never a key
