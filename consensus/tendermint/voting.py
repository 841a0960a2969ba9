"""One height being voted on: the rules applied to what is heard, by a replica that judges what is proposed.

`rules.py` says what follows from an event; here it is found out which event there is, from proposals, votes and this
replica's own outputs, and what the rule says is done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from consensus.ballot import Ballot
from consensus.machine import Machine
from consensus.pbft.new_view import is_asked_for
from consensus.protocol import Abandon, Block, BlockSource, Broadcast, CancelTimer, Execute, SetTimer
from consensus.tendermint.config import TendermintConfig
from consensus.tendermint.early import FarVotes
from consensus.tendermint.events import (
    Event,
    InvalidProposal,
    InvalidProposalWithPolka,
    PolkaAny,
    PolkaNil,
    PrecommitAny,
    ProposalReceived,
    ProposalWithEarlierPolka,
    ProposalWithPolka,
    ProposalWithPrecommits,
    RoundSkip,
    StartRound,
    ValueReady,
)
from consensus.tendermint.height_log import HeightLog
from consensus.tendermint.messages import (
    GENESIS,
    NO_OUTPUT,
    CommitCertificate,
    Precommit,
    Prevote,
    Proposal,
    Value,
    Vote,
)
from consensus.tendermint.round_state import (
    NO_ROUND,
    CastPrecommit,
    CastPrevote,
    DecideValue,
    GetValue,
    Propose,
    RoundState,
    Schedule,
    SkipTo,
    Timeout,
    ValueId,
)
from consensus.tendermint.rules import apply
from consensus.tendermint.vote_keeper import Tally, VoteKeeper

ROUNDS_AHEAD = 4
"""Rounds after the current one whose messages are kept in full."""

ROUNDS_KEPT = 8
"""Rounds before the current one that are remembered."""

_VOTES: dict[type, type[Prevote | Precommit]] = {CastPrevote: Prevote, CastPrecommit: Precommit}


class Voting(Machine, ABC):
    """A replica at one height after another; who follows up on a decision begins the next.

    Attributes:
        id: its position in the quorum system's weights.
        state: the chain of decisions so far, named by the last.
        round_state: where it stands in the height that is voted on.
    """

    def __init__(self, replica: int, config: TendermintConfig, source: BlockSource) -> None:
        super().__init__()
        self.id = replica
        self.config = config
        self.quorum = config.quorum
        self.source = source
        self.state: ValueId = GENESIS
        self.round_state = RoundState(height=0)
        self._log = HeightLog(0, VoteKeeper(config.quorum))
        # By kind of vote, of the round under way; none while this replica is not voting.
        self._ballots: dict[type, Ballot[ValueId | None]] = {}
        self._own: bytes | None = NO_OUTPUT  # this replica's output of the height before; None while it is computed
        self._proposal: Proposal | None = None  # what this round votes on
        self._executing: set[tuple[bytes, int]] = set()
        self._timeout: Timeout | None = None  # that of this round which is waited for
        self._far: FarVotes | None = None  # none was heard at this height
        self._armed: tuple[Timeout | None, int, int] | None = None

    @property
    def view(self) -> int:
        """The round of the height that is voted on."""
        return max(self.round_state.round, 0)

    @abstractmethod
    def _conclude(self, certificate: CommitCertificate) -> None:
        """The height is decided."""

    @abstractmethod
    def _keep_for_later(self, message: Proposal | Vote) -> None:
        """A message is not of the height that is voted on."""

    # --- rounds -------------------------------------------------------------------------------------------

    def _look_at(self, height: int) -> None:
        """Nothing is known of a height yet."""
        self._executing.clear()
        self._ballots = {}
        self.round_state = RoundState(height)
        self._log = HeightLog(height, VoteKeeper(self.quorum))
        self._far = None

    def _start_round(self, round_: int) -> None:
        state, votes = self.round_state, self._log.votes.votes_of(round_)
        self._ballots = {Prevote: votes.prevotes, Precommit: votes.precommits}
        self._proposal, self._timeout = self._log.first_proposal(round_), None
        if round_ > ROUNDS_KEPT:
            self._log.forget_before(round_ - ROUNDS_KEPT, state)
        self._feed(StartRound(round_, is_proposer=self.config.proposer(state.height, round_) == self.id))
        if self._timeout is None:  # line 18: it may take time until the proposer has its value
            self._wait_for("propose")
        if self._far is not None:
            for vote in self._far.take(round_ + ROUNDS_AHEAD):
                self._log.votes.count(vote)
        if self._proposal is not None:
            self._consider_proposals()

    def _feed(self, event: Event) -> None:
        """Apply a rule, and do what it says."""
        self.round_state, output = apply(self.round_state, event)
        if output is not None:
            follow = self._CONSEQUENCES.get(output.__class__)
            assert follow is not None, f"{event} in {self.round_state}: {output}"  # refused
            follow(self, output)

    def _cast(self, output: CastPrevote | CastPrecommit) -> None:
        if self._timeout is not None:  # a timeout of the step that ends with this vote
            self._wait_for(None)
        kind, value = _VOTES[output.__class__], output.value
        vote = kind(self.id, self.round_state.height, output.round, value)
        self._effects.append(Broadcast(vote))
        is_complete = self._ballots[kind].join(self.id, value)
        if is_complete is None:
            self._log.votes.count(vote)
        elif is_complete:
            self._log.votes.complete(vote)

    def _decide_value(self, output: DecideValue) -> None:
        self._conclude(self._log.certificate(output.round, output.value))

    def _wait_for(self, timeout: Timeout | None) -> None:
        """Once two thirds have precommitted, nothing else is waited for in this round."""
        if self._timeout != "precommit":
            self._timeout = timeout
            self._arm()

    def _skip_to(self, output: SkipTo) -> None:
        self._effects.append(Abandon(self.round_state.height, self.round_state.round, "no decision"))
        self._start_round(output.round)

    def _settle(self) -> None:
        """Apply the first rule whose condition holds, until there is none."""
        threshold = self.quorum.threshold
        while ballots := self._ballots:
            log, precommits = self._log, ballots[Precommit]
            event: Event | None = None
            if log.votes.has_commit and (committed := log.committed()) is not None:
                event = ProposalWithPrecommits(*committed)
            elif self.round_state.step == "propose":
                event = self._judged_proposal()
            elif ballots[Prevote].heard >= threshold:
                event = self._judged_prevotes(ballots[Prevote])
            if event is None and precommits.heard >= threshold and self._timeout != "precommit":
                event = PrecommitAny()
            if event is None:
                return
            self._feed(event)
        if self._armed is not None:
            self._armed = None
            self._effects.append(CancelTimer())

    # --- proposals ----------------------------------------------------------------------------------------

    def _offer_value(self) -> None:
        """Propose the clients' block, if it is this replica's turn and it knows the digest that is to be stated."""
        state = self.round_state
        if self.config.proposer(state.height, state.round) != self.id or self._proposal is not None:
            return
        block = self.source(state.height)
        if block is None:
            return
        digest = self._own
        if self.config.digest == "proposal":
            digest = self._log.outputs.get(block.digest, {}).get(state.round)
            if digest is None:
                self._execute(block, state.round)
                return
        if digest is not None:
            value = Value(block, digest, self.state)
            self._log.values[value.id] = value
            self._feed(ValueReady(value.id))

    def _propose(self, output: Propose) -> None:
        value, valid_round = self._log.values[output.value], output.valid_round
        polka = self._log.polka_voters(valid_round, value.id) if valid_round != NO_ROUND else ()
        proposal = Proposal(self.id, output.round, value, valid_round, polka)
        self._effects.append(Broadcast(proposal))
        self._add_proposal(proposal)

    def _on_proposal(self, message: Proposal) -> None:
        if message.value.block.height != self.round_state.height or not self._ballots:
            self._keep_for_later(message)
            return
        if self._is_well_formed(message) and self._add_proposal(message):
            self._settle()

    def _add_proposal(self, proposal: Proposal) -> bool:
        """Note a proposal, and execute it if this round votes on it; False if it is no news."""
        if not self._log.add_proposal(proposal):
            return False
        if self._may_be_valid(proposal.value):
            self._log.acceptable.add(proposal.value.id)
        if proposal.round == self.round_state.round:
            if self._proposal is None:
                self._proposal = proposal
            self._consider(proposal)
        return True

    def _is_near(self, round_: int) -> bool:
        """Are messages of a round kept in full?"""
        ahead = round_ - self.round_state.round
        return -ROUNDS_KEPT <= ahead <= ROUNDS_AHEAD and round_ >= 0

    def _is_well_formed(self, message: Proposal) -> bool:
        """Is it the proposer's, of no far round, and with a polka of an earlier round where it says that it had one?"""
        if not self._is_near(message.round) or message.sender != self.config.proposer(message.height, message.round):
            return False
        if message.valid_round == NO_ROUND:
            return True
        return 0 <= message.valid_round < message.round and self.quorum.is_quorum(message.polka)

    def _consider_proposals(self) -> None:
        for proposal in self._log.proposals.get(self.round_state.round, ()):
            self._consider(proposal)

    def _consider(self, proposal: Proposal) -> None:
        """Execute what this round proposes: anew, unless it had a polka before and was executed then."""
        value = proposal.value
        known = self._log.outputs.get(value.block.digest)
        is_known = known is not None and (proposal.round in known or proposal.valid_round != NO_ROUND)
        if not is_known and value.id in self._log.acceptable:
            self._execute(value.block, proposal.round)

    def _may_be_valid(self, value: Value) -> bool:
        """Is it what clients asked for, next on this chain, and with this replica's own output, as far as known?"""
        if value.parent != self.state or not is_asked_for(value.block, self.source):
            return False
        return self.config.digest == "proposal" or value.digest == self._own

    def _is_valid(self, value: Value) -> bool:
        """May this replica vote for a value? Where the output stands in the proposal, not before it was executed."""
        if value.id not in self._log.acceptable:
            return False
        if self.config.digest == "next-header":
            return True
        return value.digest in self._log.outputs.get(value.block.digest, {}).values()

    def _judged_proposal(self) -> Event | None:
        """Lines 22 and 28: this round's proposal, once it can be judged."""
        proposal = self._proposal
        if proposal is None:
            return None
        value = proposal.value
        if (value.block.digest, proposal.round) in self._executing and value.id in self._log.acceptable:
            return None
        has_polka, is_valid = proposal.valid_round != NO_ROUND, self._is_valid(value)
        if has_polka:
            return ProposalWithEarlierPolka(value.id, proposal.valid_round) if is_valid else InvalidProposalWithPolka()
        return ProposalReceived(value.id) if is_valid else InvalidProposal()

    def _judged_prevotes(self, prevotes: Ballot[ValueId | None]) -> Event | None:
        """Lines 36, 44 and 34: what two thirds that prevoted amount to, as far as that was not said yet."""
        state, value = self.round_state, prevotes.certified
        if value is not None and state.valid_round != state.round and self._is_polka(value):
            return ProposalWithPolka(value)
        if state.step != "prevote":
            return None
        if prevotes.weight.get(None, 0) >= self.quorum.threshold:
            return PolkaNil()
        return PolkaAny() if self._timeout is None else None

    def _is_polka(self, value: ValueId) -> bool:
        """Is what two thirds prevoted a valid proposal of this round?"""
        proposal = self._log.proposal_of(self.round_state.round, value)
        return proposal is not None and self._is_valid(proposal.value)

    def _execute(self, block: Block, round_: int) -> None:
        if (block.digest, round_) not in self._executing:
            self._executing.add((block.digest, round_))
            self._effects.append(Execute(block, round_))

    # --- votes --------------------------------------------------------------------------------------------

    def _on_vote(self, vote: Vote) -> None:
        state = self.round_state
        if vote.height != state.height or not self._ballots:
            if vote.height >= state.height:  # what is below is decided: late votes change nothing
                self._keep_for_later(vote)
        elif vote.round == state.round:
            if self._log.votes.count(vote):
                self._settle()
        else:
            if self._is_overtaken(vote):
                self._feed(RoundSkip(vote.round))
            self._settle()

    def _is_overtaken(self, vote: Vote) -> bool:
        """Count a vote of another round; do more than a third speak in it, and is it later than this one?"""
        if not self._is_near(vote.round):
            self._far = self._far or FarVotes(self.quorum)
            return vote.round > self.round_state.round and self._far.add(vote)
        told = self._log.votes.add(vote, self.round_state.round)
        return told is not None and told.tally is Tally.SKIP

    # --- timer --------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Let the timer run anew: for a timeout of this round, or for messages that may be lost."""
        state = self.round_state
        self._armed = self._timeout, state.height, state.round
        self._effects.append(SetTimer(self.config.timeout_of(state.round)))

    _CONSEQUENCES: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        Propose: _propose,
        GetValue: lambda self, _: self._offer_value(),
        CastPrevote: _cast,
        CastPrecommit: _cast,
        DecideValue: _decide_value,
        Schedule: lambda self, output: self._wait_for(output.timeout),
        SkipTo: _skip_to,
    }
