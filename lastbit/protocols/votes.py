"""Votes as those who watch a run see them, whatever the protocol: what was said, in which ballot, by whom.

Votes are seen where they are sent, once for each message: so before anybody counts them. Whatever a replica counts of
its own it has sent by then, too, since it asks for that first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from consensus.protocol import Adopt, Certify, Decide, Message

BallotName: TypeAlias = tuple[str, int]
"""What is voted on once at a height: a kind of vote, and its view, round or rank; 0 where it has none."""

PROPOSAL = "proposal"
"""The ballots in which it is said what values stand for."""


class Vote(NamedTuple):
    """What a message says that an honest replica says once.

    Attributes:
        height: what is voted on.
        ballot: in which ballot of that height.
        value: what for.
        output: the output that it stands behind, where it names one.
        meaning: what the value stands for, where votes name no more than a digest of that.
    """

    height: int
    ballot: BallotName
    value: Any
    output: bytes | None = None
    meaning: Any = None


class Reading(NamedTuple):
    """How a kind of message is read.

    Attributes:
        votes: what its sender votes for with it.
        alike: messages that are equal in this say the same one thing, whoever sends them; None: read each.
    """

    votes: Callable[[Any], tuple[Vote, ...]]
    alike: Callable[[Any], Any] | None = None


Readings: TypeAlias = dict[type, Reading]
"""By kind of message, how it is read. Other messages hold no votes."""


def own_votes(message: Any, messages: Iterable[Message], readings: Readings) -> tuple[Vote, ...]:
    """What the sender of a message that carries others says in those of its own: it tells them again to one who lacks
    them."""
    own = (each for each in messages if each.sender == message.sender)
    return tuple(vote for each in own if each.__class__ in readings for vote in readings[each.__class__].votes(each))


@dataclass(slots=True, eq=False)
class Group:
    """Those who voted for one value of a ballot.

    Attributes:
        first: the vote, as it was heard first.
        voters: who.
        is_contested: there are votes for another value, too.
    """

    first: Vote
    voters: set[int]
    is_contested: bool = False


class _Kind(NamedTuple):
    votes: Callable[[Any], tuple[Vote, ...]]
    alike: Callable[[Any], Any] | None
    known: dict[Any, Group]  # by what `alike` says


class VotesSeen:
    """All votes of the heights that may still be asked for.

    Args:
        readings: how messages are read.

    Attributes:
        forgotten: the height up to which nothing is known any more.
    """

    def __init__(self, readings: Readings) -> None:
        self.forgotten = 0
        self._kinds = {kind: _Kind(reading.votes, reading.alike, {}) for kind, reading in readings.items()}
        self._heights: dict[int, dict[BallotName, dict[Any, Group]]] = {}
        self._keys: dict[int, list[tuple[dict[Any, Group], Any]]] = {}

    def hear(self, replica: int, message: Message) -> Sequence[Vote]:
        """A replica sends a message. What it hands on of others is their word, not its own.

        Returns:
            The votes in it that contradict what the replica said before in the same ballot.
        """
        kind = self._kinds.get(message.__class__)
        if kind is None or message.sender != replica:
            return ()
        votes, alike, known = kind
        if alike is None:
            return self._contradicting(replica, votes(message))
        key = alike(message)
        group = known.get(key)
        if group is not None:
            if not group.is_contested:
                group.voters.add(replica)  # most votes are like others before them
                return ()
        else:
            (vote,) = votes(message)
            group = self._group(vote)
            if group is None:
                return ()
            known[key] = group
            self._keys.setdefault(vote.height, []).append((known, key))
        return (group.first,) if self._contradicts(replica, group.first, group) else ()

    def _contradicting(self, replica: int, votes: Iterable[Vote]) -> list[Vote]:
        return [vote for vote in votes if self._contradicts(replica, vote, self._group(vote))]

    def _group(self, vote: Vote) -> Group | None:
        """Whom a vote joins; None where nobody asks for it any more."""
        if vote.height <= self.forgotten:
            return None
        values = self._heights.setdefault(vote.height, {}).setdefault(vote.ballot, {})
        group = values.get(vote.value)
        if group is None:
            group = values[vote.value] = Group(vote, set())
            if len(values) > 1:
                for each in values.values():
                    each.is_contested = True
        return group

    def _contradicts(self, replica: int, vote: Vote, group: Group | None) -> bool:
        if group is None or replica in group.voters:
            return False
        group.voters.add(replica)
        others = self._heights[vote.height][vote.ballot].values() if group.is_contested else ()
        return any(replica in other.voters for other in others if other is not group)

    def ballot(self, height: int, name: BallotName) -> dict[Any, set[int]]:
        """For each value of a ballot, who voted for it."""
        groups = self._heights.get(height, {}).get(name, {})
        return {value: group.voters for value, group in groups.items()}

    def voters(self, height: int, name: BallotName, value: Any) -> set[int]:
        """Who voted for a value."""
        return self.ballot(height, name).get(value, set())

    def ballots(self, height: int, kind: str) -> Iterator[dict[Any, set[int]]]:
        """The ballots of one kind, whatever their view."""
        return (self.ballot(height, name) for name in self._heights.get(height, {}) if name[0] == kind)

    def heights_from(self, height: int) -> Iterator[int]:
        """A height, and those above it at which anything was voted on, in order."""
        yield height
        yield from sorted(each for each in self._heights if each > height)

    def proposed(self, height: int, value: Any) -> Any:
        """What a value stands for, as those say who proposed it; None where nobody did."""
        groups = (ballot.get(value) for (kind, _), ballot in self._heights.get(height, {}).items() if kind == PROPOSAL)
        return next((group.first.meaning for group in groups if group is not None), None)

    def groups(self, height: int) -> Iterator[Group]:
        """All votes of a height."""
        return (group for ballot in self._heights.get(height, {}).values() for group in ballot.values())

    def forget(self, height: int) -> None:
        """Nobody asks for this height or those before it any more."""
        while self.forgotten < height:
            self.forgotten += 1
            self._heights.pop(self.forgotten, None)
            for known, key in self._keys.pop(self.forgotten, ()):
                del known[key]


class VoteRules(NamedTuple):
    """What the messages of a protocol mean as votes, and what follows from votes.

    A certificate names its voters, and counts only if they all stand in one of the groups that are given here: those
    who voted for one value that bears out what the certificate is for.

    Attributes:
        readings: how each message is read.
        decision: the groups whose votes decide.
        output: the groups whose votes certify an output.
        state: the groups whose votes vouch for a state that is taken over.
    """

    readings: Readings
    decision: Callable[[VotesSeen, Decide], Iterable[set[int]]]
    output: Callable[[VotesSeen, Certify], Iterable[set[int]]]
    state: Callable[[VotesSeen, Adopt], Iterable[set[int]]]


def nobody(seen: VotesSeen, effect: Certify | Adopt) -> Iterable[set[int]]:  # noqa: ARG001
    """Of what a protocol never does."""
    return ()
