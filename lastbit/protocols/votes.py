"""Votes as those who watch a run see them, whatever the protocol: what was said, in which ballot, by whom.

Votes are seen where they are sent, once for each message: so before anybody counts them. Whatever a replica counts of
its own it has sent by then, too, since it asks for that first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from consensus.protocol import Adopt, Certify, Decide, Message

BallotName: TypeAlias = tuple[str, int]
"""What is voted on once at a height: a kind of vote, and its view, round or rank; 0 where it has none."""

Votes: TypeAlias = Mapping[Any, Collection[int]]
"""For each value of a ballot, which its protocol may look into, who voted for it."""


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


class VotesSeen:
    """All votes of the heights that may still be asked for.

    Attributes:
        forgotten: the height up to which nothing is known any more.

    Example:
        >>> seen = VotesSeen()
        >>> [seen.add(replica, Vote(1, ("commit", 0), value)) for replica, value in ((0, "a"), (1, "b"), (1, "a"))]
        [False, False, True]
        >>> sorted(seen.voters(1, ("commit", 0), "a"))
        [0, 1]
    """

    def __init__(self) -> None:
        self.forgotten = 0
        self._heights: dict[int, dict[BallotName, dict[Any, set[int]]]] = {}
        self._meanings: dict[int, dict[Any, Any]] = {}

    def add(self, replica: int, vote: Vote) -> bool:
        """Note a vote; has its sender said something else in this ballot before?"""
        height = vote.height
        if height <= self.forgotten:
            return False
        ballots = self._heights.get(height)
        if ballots is None:
            ballots = self._heights[height] = {}
        if vote.meaning is not None:
            self._meanings.setdefault(height, {})[vote.value] = vote.meaning
        values = ballots.get(vote.ballot)
        if values is None:
            ballots[vote.ballot] = {vote.value: {replica}}
            return False
        who = values.get(vote.value)
        if who is None:
            who = values[vote.value] = set()
        elif replica in who:
            return False  # said again
        who.add(replica)
        return len(values) > 1 and any(replica in others for others in values.values() if others is not who)

    def ballot(self, height: int, name: BallotName) -> Votes:
        """The votes of one ballot."""
        return self._heights.get(height, {}).get(name, {})

    def voters(self, height: int, name: BallotName, value: Any) -> Collection[int]:
        """Who voted for a value."""
        return self.ballot(height, name).get(value, ())

    def ballots(self, height: int, kind: str) -> Iterator[Votes]:
        """The ballots of one kind, whatever their view."""
        return (votes for (each, _), votes in self._heights.get(height, {}).items() if each == kind)

    def heights_from(self, height: int) -> Iterator[int]:
        """A height, and those above it at which anything was voted on, in order."""
        yield height
        yield from sorted(each for each in self._heights if each > height)

    def meaning(self, height: int, value: Any) -> Any:
        """What a value stands for; None where nobody has said so."""
        return self._meanings.get(height, {}).get(value)

    def has_spoken(self, replica: int, height: int) -> bool:
        """Has a replica voted on anything at a height?"""
        ballots = self._heights.get(height, {}).values()
        return any(replica in who for votes in ballots for who in votes.values())

    def forget(self, height: int) -> None:
        """Nobody asks for this height or those before it any more."""
        while self.forgotten < height:
            self.forgotten += 1
            self._heights.pop(self.forgotten, None)
            self._meanings.pop(self.forgotten, None)


VotesOf: TypeAlias = dict[type, Callable[[Any], tuple[Vote, ...]]]
"""By kind of message, what its sender votes for with it. Other messages hold no votes."""


def own_votes(message: Any, messages: Iterable[Message], votes: VotesOf) -> tuple[Vote, ...]:
    """What the sender of a message that carries others says in those of its own: it tells them again to one who lacks
    them."""
    own = (each for each in messages if each.sender == message.sender)
    return tuple(vote for each in own if each.__class__ in votes for vote in votes[each.__class__](each))


class VoteRules(NamedTuple):
    """What the messages of a protocol mean as votes, and what follows from votes.

    A certificate names its voters, and counts only if they all stand in one of the groups that are given here: those
    who voted for one value that bears out what the certificate is for.

    Attributes:
        votes: what each message says.
        decision: the groups whose votes decide.
        output: the groups whose votes certify an output.
        state: the groups whose votes vouch for a state that is taken over.
    """

    votes: VotesOf
    decision: Callable[[VotesSeen, Decide], Iterable[Collection[int]]]
    output: Callable[[VotesSeen, Certify], Iterable[Collection[int]]]
    state: Callable[[VotesSeen, Adopt], Iterable[Collection[int]]]


def nobody(seen: VotesSeen, effect: Certify | Adopt) -> Iterable[Collection[int]]:  # noqa: ARG001
    """Of what a protocol never does."""
    return ()
