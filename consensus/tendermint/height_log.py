"""What a replica knows of the height that it votes on: proposals, votes, and what it computed itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from consensus.tendermint.messages import CommitCertificate, Precommit, Prevote, Proposal, Signed, Value
from consensus.tendermint.round_state import RoundState, ValueId
from consensus.tendermint.vote_keeper import VoteKeeper

PROPOSALS_MAX = 2
"""How many proposals of one round are kept: the second shows that its proposer equivocates."""


class HeightLog(msgspec.Struct):
    """One height.

    Attributes:
        votes: all votes of the rounds that are remembered.
        proposals: those of each round, in order of arrival; the first of a round is voted on.
        values: what proposals named, by what votes name.
        acceptable: those of them that this replica may vote for, as far as that is known before they are executed.
        outputs: for each block what this replica computed, by the round in which it did.
    """

    height: int
    votes: VoteKeeper
    proposals: dict[int, list[Proposal]] = {}  # a new one for each struct
    values: dict[ValueId, Value] = {}
    acceptable: set[ValueId] = set()
    outputs: dict[bytes, dict[int, bytes]] = {}

    def add_proposal(self, proposal: Proposal) -> bool:
        """Note a proposal; False if it is known, or one too many."""
        known = self.proposals.setdefault(proposal.round, [])
        if known and (len(known) >= PROPOSALS_MAX or proposal.value in [each.value for each in known]):
            return False
        known.append(proposal)
        self.values.setdefault(proposal.value.id, proposal.value)
        return True

    def first_proposal(self, round_: int) -> Proposal | None:
        """What a round votes on."""
        known = self.proposals.get(round_)
        return known[0] if known else None

    def proposal_of(self, round_: int, value: ValueId) -> Proposal | None:
        """The proposal of a value in a round."""
        for proposal in self.proposals.get(round_, ()):
            if proposal.value.id == value:
                return proposal
        return None

    def polka_voters(self, round_: int, value: ValueId) -> tuple[int, ...]:
        """Who prevoted a value in a round."""
        return self.votes.rounds[round_].prevotes.voters(value)

    def committed(self) -> tuple[int, ValueId] | None:
        """The round and the value, if two thirds precommitted a value whose proposal is known."""
        for round_, votes in self.votes.rounds.items():
            value = votes.precommits.certified
            if value is not None and value in self.values:
                return round_, value
        return None

    def certificate(self, round_: int, value: ValueId) -> CommitCertificate:
        """The certificate of a commit that is seen."""
        return CommitCertificate(round_, self.values[value], self.votes.rounds[round_].precommits.voters(value))

    def messages(self, rounds: Iterable[int]) -> Iterator[Signed]:
        """What was said in some rounds, to hand it on."""
        for round_ in sorted(set(rounds)):
            yield from self.proposals.get(round_, ())
            votes = self.votes.rounds.get(round_)
            if votes is not None:
                for voter, value in sorted(votes.prevotes.votes.items()):
                    yield Prevote(voter, self.height, round_, value)
                for voter, value in sorted(votes.precommits.votes.items()):
                    yield Precommit(voter, self.height, round_, value)

    def forget_before(self, round_: int, state: RoundState) -> None:
        """Drop the rounds below one, and the values that are named nowhere else, but for what the state refers to."""
        votes, valid_round = self.votes, state.valid_round
        votes.rounds = {at: each for at, each in votes.rounds.items() if at >= round_ or at == valid_round}
        self.proposals = {at: known for at, known in self.proposals.items() if at >= round_}
        named = {each.value.id for known in self.proposals.values() for each in known}
        named |= {value for value in (state.valid_value, state.locked_value) if value is not None}
        self.values = {value: known for value, known in self.values.items() if value in named}
        self.acceptable &= named
