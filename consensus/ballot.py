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
        [True, True, False]
        >>> ballot.certified, ballot.is_open
        (None, True)
        >>> _ = ballot.add(2, "c")
        >>> ballot.is_open  # one of four is missing, and nobody has two
        False
    """

    __slots__ = ("_heaviest", "_missing", "certified", "equivocators", "quorum", "votes", "weight")

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.votes: dict[int, Value] = {}
        self.weight: dict[Value, int] = {}
        self.equivocators: set[int] = set()
        self.certified: Value | None = None
        self._heaviest = 0
        self._missing = quorum.total

    def add(self, replica: int, value: Value) -> bool:
        """Count a vote. False if this replica has voted before; voting for another value then marks it."""
        votes = self.votes
        if replica in votes:
            if votes[replica] != value:
                self.equivocators.add(replica)
            return False
        votes[replica] = value
        weight = self.quorum.weights[replica]
        self._missing -= weight
        behind = self.weight.get(value, 0) + weight
        self.weight[value] = behind
        if behind > self._heaviest:
            self._heaviest = behind
        if behind >= self.quorum.threshold and self.certified is None:
            self.certified = value
        return True

    @property
    def is_open(self) -> bool:
        """Can some value still reach a quorum, if all that have not voted yet vote for it?"""
        return self._heaviest + self._missing >= self.quorum.threshold

    def voters(self, value: Value) -> tuple[int, ...]:
        """Who voted for a value, by id."""
        return tuple(sorted(replica for replica, vote in self.votes.items() if vote == value))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ballot):
            return NotImplemented
        return (self.quorum, self.votes, self.equivocators) == (other.quorum, other.votes, other.equivocators)

    __hash__ = None  # type: ignore[assignment]  # a ballot changes; it is compared, never a key
