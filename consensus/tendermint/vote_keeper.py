"""The vote keeper: weighted votes of one height, by round and type, and what they amount to.

A validator votes once in a round and type. A second vote for something else is not counted, but kept: the two together
are evidence of equivocation.
"""

from __future__ import annotations

from enum import Enum

import msgspec
from msgspec.structs import replace

from consensus.ballot import Ballot
from consensus.quorum import QuorumSystem
from consensus.tendermint.messages import Precommit, Prevote, Vote
from consensus.tendermint.round_state import ValueId

RECEIVED_MAX = 8
"""How many different votes of one validator in one round and type are kept: more add nothing to the evidence."""

EVIDENCE_MAX = 256
"""How much evidence is kept of one height."""


class Tally(Enum):
    """What votes can amount to."""

    POLKA_ANY = "polka any"
    POLKA_NIL = "polka nil"
    POLKA_VALUE = "polka value"
    PRECOMMIT_ANY = "precommit any"
    PRECOMMIT_VALUE = "precommit value"
    SKIP = "skip"


_FOR_VALUE: dict[type, Tally] = {Prevote: Tally.POLKA_VALUE, Precommit: Tally.PRECOMMIT_VALUE}
_FOR_NIL: dict[type, Tally] = {Prevote: Tally.POLKA_NIL, Precommit: Tally.PRECOMMIT_ANY}
_FOR_ANY: dict[type, Tally] = {Prevote: Tally.POLKA_ANY, Precommit: Tally.PRECOMMIT_ANY}


class Threshold(msgspec.Struct, frozen=True, gc=False):
    """What votes of a round amount to; the value only where they are for one."""

    tally: Tally
    round: int
    value: ValueId | None = None


def two_thirds(weights: tuple[int, ...]) -> QuorumSystem:
    """The quorum system of Tendermint: more than two thirds of the weight decide.

    Example:
        >>> two_thirds((1,) * 6).threshold  # QuorumSystem.equal(6) needs 4 only: the smallest that is safe
        5
    """
    return QuorumSystem(weights, threshold=2 * sum(weights) // 3 + 1)


class RoundVotes(msgspec.Struct):
    """The votes of one round.

    Attributes:
        prevotes, precommits: the votes that count: of each validator the first.
        contradicting: those that came after it and are for something else.
        emitted: what was told of this round already.
    """

    prevotes: Ballot[ValueId | None]
    precommits: Ballot[ValueId | None]
    contradicting: tuple[Vote, ...] = ()
    emitted: tuple[Threshold, ...] = ()

    def ballot_of(self, vote: Vote) -> Ballot[ValueId | None]:
        """Where a vote is counted."""
        return self.prevotes if vote.__class__ is Prevote else self.precommits

    @property
    def voters(self) -> frozenset[int]:
        """Who voted at all."""
        return frozenset(self.prevotes.votes) | frozenset(self.precommits.votes)


class VoteKeeper:
    """Counts the votes of one height.

    A vote that joins those before it may be given to the ballot of its round at once, as most are: nothing else follows
    from it than whether two thirds are complete, which the ballot tells, and the keeper is then to be told.

    Attributes:
        rounds: the votes by round, in the order in which the rounds were first heard of.
        evidence: votes of one validator that contradict each other.
        has_commit: did two thirds precommit one value in some round?

    Example:
        >>> keeper = VoteKeeper(two_thirds((1, 1, 1, 1)))
        >>> votes = [Prevote(validator, height=1, round=0, value=b"a") for validator in range(3)]
        >>> [keeper.add(vote, current_round=0) for vote in votes][-1]
        Threshold(tally=<Tally.POLKA_VALUE: 'polka value'>, round=0, value=b'a')
    """

    __slots__ = ("evidence", "has_commit", "quorum", "rounds")

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.rounds: dict[int, RoundVotes] = {}
        self.evidence: list[tuple[Vote, ...]] = []
        self.has_commit = False

    def votes_of(self, round_: int) -> RoundVotes:
        """The votes of a round, of which there may be none yet."""
        votes = self.rounds.get(round_)
        if votes is None:
            votes = self.rounds[round_] = RoundVotes(Ballot(self.quorum), Ballot(self.quorum))
        return votes

    def count(self, vote: Vote) -> bool:
        """Count a vote, or keep it if its validator has voted before.

        Returns:
            Whether it may tell anything; most votes join those before them, and are too few yet.
        """
        votes = self.rounds.get(vote.round) or self.votes_of(vote.round)
        is_prevote = vote.__class__ is Prevote
        ballot, sender = votes.prevotes if is_prevote else votes.precommits, vote.sender
        if sender in ballot.votes:
            self._keep(vote, votes, ballot.votes[sender])
            return True
        tells = ballot.add(sender, vote.value)
        if tells and ballot.certified is not None:
            self.complete(vote)
        return tells

    def complete(self, vote: Vote) -> None:
        """With this vote two thirds are complete."""
        if vote.__class__ is Precommit and vote.value is not None:
            self.has_commit = True

    def add(self, vote: Vote, current_round: int) -> Threshold | None:
        """Count a vote.

        Returns:
            What the votes of its round amount to with it, unless that was told before. A skip is told each time.
        """
        if not self.count(vote) and vote.round <= current_round:
            return None
        votes = self.rounds[vote.round]
        return self._tell(vote, votes, votes.ballot_of(vote), current_round)

    def _keep(self, vote: Vote, votes: RoundVotes, first: ValueId | None) -> None:
        """Keep a validator's further vote, if it is for something else than those before it."""
        if vote.value == first:
            return
        others = [each for each in votes.contradicting if (each.sender, each.kind) == (vote.sender, vote.kind)]
        if vote in others or len(others) >= RECEIVED_MAX - 1:
            return
        votes.contradicting += (vote,)
        if len(self.evidence) < EVIDENCE_MAX:
            self.evidence.append((replace(vote, value=first), *others, vote))

    def _tell(
        self, vote: Vote, votes: RoundVotes, ballot: Ballot[ValueId | None], current_round: int
    ) -> Threshold | None:
        if vote.round > current_round and 3 * self.quorum.weight_of(votes.voters) > self.quorum.total:
            skip = Threshold(Tally.SKIP, vote.round)
            if skip not in votes.emitted:
                votes.emitted += (skip,)
            return skip
        reached = self._reached(vote, ballot)
        if reached is None or reached in votes.emitted:
            return None
        votes.emitted += (reached,)
        return reached

    def _reached(self, vote: Vote, ballot: Ballot[ValueId | None]) -> Threshold | None:
        """The threshold of the vote's own value first, then that of any value."""
        value, weight, threshold = vote.value, ballot.weight, self.quorum.threshold
        if weight.get(value, 0) >= threshold:
            return Threshold((_FOR_NIL if value is None else _FOR_VALUE)[vote.__class__], vote.round, value)
        if sum(weight.values()) >= threshold:
            return Threshold(_FOR_ANY[vote.__class__], vote.round)
        return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VoteKeeper):
            return NotImplemented
        return (self.quorum, self.rounds, self.evidence) == (other.quorum, other.rounds, other.evidence)

    __hash__ = None  # type: ignore[assignment]  # a keeper changes; it is compared, never a key
