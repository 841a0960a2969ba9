"""The vote keeper: weighted votes of one height, by round and type, and what they amount to.

A validator votes once in a round and type. A second vote for something else is not counted, but kept: the two together
are evidence of equivocation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from consensus.ballot import Ballot
from consensus.quorum import QuorumSystem
from consensus.tendermint.round_state import ValueId

RECEIVED_MAX = 8
"""How many different votes of one validator in one round and type are kept: more add nothing to the evidence."""

EVIDENCE_MAX = 256
"""How much evidence is kept of one height."""


class VoteType(Enum):
    """The two rounds of votes."""

    PREVOTE = "prevote"
    PRECOMMIT = "precommit"


class Vote(NamedTuple):
    """One validator's word in one round. The value None is nil."""

    validator: int
    type: VoteType
    round: int
    value: ValueId | None


class Tally(Enum):
    """What votes can amount to."""

    POLKA_ANY = "polka any"
    POLKA_NIL = "polka nil"
    POLKA_VALUE = "polka value"
    PRECOMMIT_ANY = "precommit any"
    PRECOMMIT_VALUE = "precommit value"
    SKIP = "skip"


class Threshold(NamedTuple):
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


@dataclass(slots=True)
class RoundVotes:
    """The votes of one round.

    Attributes:
        ballots: the votes that count, by type.
        received: all votes of each type, equivocations among them, as they came.
        emitted: what was told of this round already.
    """

    ballots: dict[VoteType, Ballot[ValueId | None]]
    received: dict[VoteType, list[Vote]]
    emitted: list[Threshold] = field(default_factory=list)

    @classmethod
    def empty(cls, quorum: QuorumSystem) -> RoundVotes:
        return cls({kind: Ballot(quorum) for kind in VoteType}, {kind: [] for kind in VoteType})

    @property
    def voters(self) -> frozenset[int]:
        """Who voted at all."""
        return frozenset().union(*(ballot.votes for ballot in self.ballots.values()))


class VoteKeeper:
    """Counts the votes of one height.

    Example:
        >>> keeper = VoteKeeper(two_thirds((1, 1, 1, 1)))
        >>> votes = [Vote(validator, VoteType.PREVOTE, 0, b"a") for validator in range(3)]
        >>> [keeper.add(vote, current_round=0) for vote in votes][-1]
        Threshold(tally=<Tally.POLKA_VALUE: 'polka value'>, round=0, value=b'a')
    """

    __slots__ = ("evidence", "quorum", "rounds")

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.rounds: dict[int, RoundVotes] = {}
        self.evidence: list[tuple[Vote, ...]] = []

    def add(self, vote: Vote, current_round: int) -> Threshold | None:
        """Count a vote.

        Returns:
            What the votes of its round amount to with it, unless that was told before. A skip is told each time.
        """
        votes = self.rounds.get(vote.round)
        if votes is None:
            votes = self.rounds[vote.round] = RoundVotes.empty(self.quorum)
        self._keep(vote, votes)
        votes.ballots[vote.type].add(vote.validator, vote.value)
        reached = self._reached(vote, votes, current_round)
        if reached is None or (reached in votes.emitted and reached.tally is not Tally.SKIP):
            return None
        if reached not in votes.emitted:
            votes.emitted.append(reached)
        return reached

    def _keep(self, vote: Vote, votes: RoundVotes) -> None:
        received = votes.received[vote.type]
        if vote.validator not in votes.ballots[vote.type].votes:
            received.append(vote)
            return
        own = [each for each in received if each.validator == vote.validator]
        if vote in own or len(own) >= RECEIVED_MAX:
            return
        received.append(vote)
        if len(self.evidence) < EVIDENCE_MAX:
            self.evidence.append((*own, vote))

    def _reached(self, vote: Vote, votes: RoundVotes, current_round: int) -> Threshold | None:
        """The threshold of a later round first, then that of the vote's own value, then that of any value."""
        if vote.round > current_round and self._is_over_a_third(votes):
            return Threshold(Tally.SKIP, vote.round)
        is_prevote = vote.type is VoteType.PREVOTE
        if self.has(vote.type, vote.round, vote.value):
            if vote.value is not None:
                return Threshold(Tally.POLKA_VALUE if is_prevote else Tally.PRECOMMIT_VALUE, vote.round, vote.value)
            return Threshold(Tally.POLKA_NIL if is_prevote else Tally.PRECOMMIT_ANY, vote.round)
        if self.has_any(vote.type, vote.round):
            return Threshold(Tally.POLKA_ANY if is_prevote else Tally.PRECOMMIT_ANY, vote.round)
        return None

    def _is_over_a_third(self, votes: RoundVotes) -> bool:
        return 3 * self.quorum.weight_of(votes.voters) > self.quorum.total

    def has(self, kind: VoteType, round_: int, value: ValueId | None) -> bool:
        """Do two thirds stand behind this value (None: nil) in a round?"""
        votes = self.rounds.get(round_)
        return votes is not None and votes.ballots[kind].weight.get(value, 0) >= self.quorum.threshold

    def has_any(self, kind: VoteType, round_: int) -> bool:
        """Did two thirds vote in a round, whatever for?"""
        votes = self.rounds.get(round_)
        return votes is not None and sum(votes.ballots[kind].weight.values()) >= self.quorum.threshold

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VoteKeeper):
            return NotImplemented
        return (self.quorum, self.rounds, self.evidence) == (other.quorum, other.rounds, other.evidence)

    __hash__ = None  # type: ignore[assignment]  # a keeper changes; it is compared, never a key
