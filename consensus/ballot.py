"""The ballot: the votes for one height and round, and which value has how much weight."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from consensus.quorum import QuorumSystem

Value = TypeVar("Value", bound=Hashable)

_NO_VALUE = object()


class Ballot(Generic[Value]):
    """Counts the weight behind each value; a replica votes once, and its first vote counts.

    Attributes:
        votes: what each replica voted for.
        heard: the weight of all who voted.
        certified: the value that a quorum voted for.
        is_split: are there votes for several values?

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

    __slots__ = ("_behind", "_complete_at", "_first", "_weights", "certified", "heard", "is_split", "quorum", "votes")

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.votes: dict[int, Value] = {}
        self.heard = 0
        self.certified: Value | None = None
        self.is_split = False
        self._weights = quorum.weights
        self._first: object = _NO_VALUE  # what all vote for
        self._complete_at = quorum.threshold
        self._behind: dict[Value, int]  # is there where votes are split; else all stand behind the first value

    def join(self, replica: int, value: Value) -> bool | None:
        """Count a vote that joins those before it: its replica's first, for the one value that all vote for.

        Returns:
            Whether a quorum is complete with it; None where it is no such vote, and is left to `add`.
        """
        votes = self.votes
        if replica in votes or (value != self._first and votes):
            return None
        votes[replica] = self._first = value
        self.heard = heard = self.heard + self._weights[replica]
        if heard < self._complete_at:
            return False
        self.certified, self._complete_at = value, sys.maxsize
        return True

    def add(self, replica: int, value: Value) -> bool:
        """Count a vote, unless this replica has voted before: its first vote stands.

        Returns:
            Whether the vote tells anything: its value has a quorum, or votes are split. Most votes join those before
            them and are too few yet.
        """
        is_complete = self.join(replica, value)
        if is_complete is not None:
            return is_complete or self.certified is not None
        if replica in self.votes:
            return False
        if not self.is_split:
            self._behind = dict(self.weight)
            self.is_split, self._first = True, _NO_VALUE
        weight = self._weights[replica]
        self.votes[replica] = value
        self.heard += weight
        behind = self._behind[value] = self._behind.get(value, 0) + weight
        if behind >= self.quorum.threshold and self.certified is None:
            self.certified = value
        return True

    @property
    def weight(self) -> Mapping[Value, int]:
        """The weight behind each value that has votes."""
        if self.is_split:
            return self._behind
        return dict.fromkeys(self.votes.values(), self.heard)

    @property
    def is_open(self) -> bool:
        """Can some value still reach a quorum, if all that have not voted yet vote for it?"""
        if not self.is_split:
            return True  # all that voted agree, and all together are a quorum
        missing = self.quorum.total - self.heard
        return max(self._behind.values()) + missing >= self.quorum.threshold

    def voters(self, value: Value) -> tuple[int, ...]:
        """Who voted for a value, by id."""
        if self.votes and not self.is_split:
            return tuple(sorted(self.votes)) if value == self._first else ()
        return self._voters_among_others(value)

    def _voters_among_others(self, value: Value) -> tuple[int, ...]:
        return tuple(sorted(replica for replica, vote in self.votes.items() if vote == value))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ballot):
            return NotImplemented
        return (self.quorum, self.votes) == (other.quorum, other.votes)

    __hash__ = None  # type: ignore[assignment]  # a ballot changes; it is compared, never a key
