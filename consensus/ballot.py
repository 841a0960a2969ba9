"""The ballot: the votes for one height and round, and which value has how much weight."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from consensus.quorum import QuorumSystem

Value = TypeVar("Value", bound=Hashable)


class Ballot(Generic[Value]):
    """Counts the weight behind each value; a replica votes once, and its first vote counts.

    Example:
        >>> ballot = Ballot(QuorumSystem.equal(4))
        >>> [ballot.add(0, "a"), ballot.add(1, "b"), ballot.add(0, "b")]
        [False, True, False]
        >>> ballot.certified, ballot.is_open
        (None, True)
        >>> _ = ballot.add(2, "c")
        >>> ballot.is_open  # one of four is missing, and nobody has two
        False
    """

    __slots__ = ("_threshold", "_weights", "certified", "is_split", "quorum", "votes", "weight")

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.votes: dict[int, Value] = {}
        self.weight: dict[Value, int] = {}
        self.certified: Value | None = None
        self.is_split = False  # are there votes for several values?
        self._weights = quorum.weights
        self._threshold = quorum.threshold

    def join(self, replica: int, value: Value) -> bool:
        """Count a vote from which nothing follows: its replica's first, for the one value that all vote for, which has
        too few yet, or a quorum already.

        Returns:
            Whether it is such a one. Any other is left to `add`.
        """
        votes, weight = self.votes, self.weight
        if self.is_split or replica in votes:
            return False
        behind = weight.get(value)
        if behind is None:
            if weight:
                return False
            behind = 0
        behind += self._weights[replica]
        if behind >= self._threshold and self.certified is None:
            return False
        votes[replica] = value
        weight[value] = behind
        return True

    def add(self, replica: int, value: Value) -> bool:
        """Count a vote, unless this replica has voted before: its first vote stands.

        Returns:
            Whether the vote tells anything: its value has a quorum, or votes are split. Most votes join those before
            them and are too few yet.
        """
        votes = self.votes
        if replica in votes:
            return False
        votes[replica] = value
        weight = self.weight
        behind = weight.get(value)
        if behind is None:
            behind = 0
            self.is_split = bool(weight)
        behind += self._weights[replica]
        weight[value] = behind
        if behind < self._threshold:
            return self.is_split
        if self.certified is None:
            self.certified = value
        return True

    @property
    def is_open(self) -> bool:
        """Can some value still reach a quorum, if all that have not voted yet vote for it?"""
        if not self.is_split:
            return True  # all that voted agree, and all together are a quorum
        missing = self.quorum.total - sum(self.weight.values())
        return max(self.weight.values()) + missing >= self._threshold

    def voters(self, value: Value) -> tuple[int, ...]:
        """Who voted for a value, by id."""
        if not self.is_split and value in self.weight:
            return tuple(sorted(self.votes))
        return tuple(sorted(replica for replica, vote in self.votes.items() if vote == value))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ballot):
            return NotImplemented
        return (self.quorum, self.votes) == (other.quorum, other.votes)

    __hash__ = None  # type: ignore[assignment]  # a ballot changes; it is compared, never a key
