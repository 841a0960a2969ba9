"""Tendermint with outputs in its headers: one replica over many heights, as a pure state machine.

After arXiv:1807.04938 (the rules are in `rules.py`) and the way CometBFT treats an application's hash. Replicas execute
what is proposed and prevote. The header of the next height states the output of this one (or, as the configuration may
say, the proposal states its own), and a replica whose arithmetic gave another output prevotes nil on it.

What follows from that:

- Replicas whose outputs differ commit a height together and find out at the next one: a decision names no output, and
  the next one certifies it.
- Who is outvoted, because a block that states another output than its own gets two thirds of the precommits, halts,
  or takes the state that goes with theirs over, as the configuration says.
- Where no output has two thirds behind it nobody halts: rounds end in nil, and the next proposer tries, without end.

The paper presumes gossip: what one correct replica has, all have in the end. Here messages may be lost, so a replica
that no timeout will wake asks all others what it has missed. A protocol has one timer, so of the timeouts of a round
only the last is waited for: once two thirds have precommitted, nobody needs this replica's vote to end the round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any, ClassVar

from consensus.machine import Machine
from consensus.pbft.new_view import is_asked_for
from consensus.protocol import (
    Abandon,
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    Certify,
    Decide,
    Effects,
    Execute,
    Message,
    Outvoted,
    Resync,
    Send,
    SetTimer,
)
from consensus.tendermint.config import TendermintConfig
from consensus.tendermint.early import EarlyMessages, FarVotes
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
    TimedOut,
    ValueReady,
)
from consensus.tendermint.height_log import HeightLog
from consensus.tendermint.messages import (
    NO_OUTPUT,
    CommitCertificate,
    Precommit,
    Prevote,
    Proposal,
    Signed,
    Status,
    Sync,
    Value,
)
from consensus.tendermint.round_state import (
    NO_ROUND,
    CastPrecommit,
    CastPrevote,
    DecideValue,
    GetValue,
    Propose,
    Refused,
    RoundState,
    Schedule,
    SkipTo,
    Step,
    Timeout,
    ValueId,
)
from consensus.tendermint.rules import apply
from consensus.tendermint.vote_keeper import Tally, Vote, VoteType

ROUNDS_AHEAD = 4
"""Rounds after the current one whose messages are kept in full."""

ROUNDS_KEPT = 8
"""Rounds before the current one that are remembered."""

EARLY_MAX = 16
"""Messages of heights to come that are kept of each sender: five rounds of one height."""

CERTIFICATES_KEPT = 1_024
"""Heights for which a replica can help those who lag."""

CERTIFICATES_SENT_MAX = 32
"""Certificates in one message."""


@lru_cache(maxsize=64)  # all replicas of a run take the same steps
def next_state(state: bytes, value: ValueId) -> bytes:
    """The digest of the chain of decisions, one decision further."""
    return sha256(state + value).digest()


class Tendermint(Machine):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks."""

    def __init__(self, replica: int, config: TendermintConfig, source: BlockSource) -> None:
        super().__init__()
        self.id = replica
        self.config = config
        self.quorum = config.quorum
        self.source = source
        self.decided = 0  # the height up to which everything is decided
        self.certified = 0  # the height up to which two thirds stand behind the outputs
        self.state = bytes(32)  # digest of the chain of decisions up to there
        self.halt_at: int | None = None
        self.round_state = RoundState(height=0)  # of the height that is voted on
        self._log = HeightLog(0, config.quorum)
        self._is_voting = False
        self._own: bytes | None = NO_OUTPUT  # this replica's output at `decided`; None while it is computed
        self._scheduled: set[Timeout] = set()  # of this round
        self._has_seen_polka = False  # line 36 has fired in this round
        self._valid_polka: tuple[int, ...] = ()  # who prevoted the valid value in its round
        self._pending: CommitCertificate | None = None  # decided by others, and not executed here yet
        self._executing: set[tuple[bytes, int]] = set()
        self._certificates: dict[int, CommitCertificate] = {}
        self._backlog: dict[int, CommitCertificate] = {}  # of heights to come
        self._early = EarlyMessages(EARLY_MAX)
        self._far = FarVotes(config.quorum)
        self._asked_at = 0  # the height at which this replica last asked who is ahead
        self._armed: tuple[Timeout | None, int, int] | None = None

    # --- inputs -------------------------------------------------------------------------------------------

    def start(self) -> Effects:
        self._begin_height()
        self._settle()
        return self._drain()

    def receive(self, message: Message) -> Effects:
        self._HANDLERS[message.__class__](self, message)
        return self._drain() if self._effects else ()  # most votes change nothing

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        self._executing.discard((block.digest, view))
        if self._own is None:
            last = self._certificates[self.decided]
            if (block, view) == (last.value.block, last.round):
                self._own = output
                self._begin_height()
        elif block.height == self.decided + 1:
            self._log.outputs.setdefault(block.digest, {})[view] = output
            if self._pending is not None:
                self._conclude(self._pending)
            elif self._is_voting and self._log.first_proposal(view) is None:
                self._offer_value()
        self._settle()
        return self._drain()

    def timeout(self) -> Effects:
        if self._armed is None:
            return ()
        awaited, height, round_ = self._armed
        self._armed = None
        if awaited is None:
            self._emit(Broadcast(Status(self.id, height, round_)))
        else:
            self._feed(TimedOut(awaited, height, round_))
        self._settle()
        return self._drain()

    def recover(self) -> Effects:
        self._executing.clear()
        self._armed = None
        if self._own is None:
            self._execute_decided(self._certificates[self.decided])
        elif self._pending is not None:
            self._execute_decided(self._pending)
        elif self._is_voting:
            self._consider_proposals()
            self._offer_value()
        if self.halt_at is None:
            self._emit(Broadcast(Status(self.id, self.decided + 1, self.view)))
        self._settle()
        return self._drain()

    @property
    def view(self) -> int:
        """The round of the height that is voted on."""
        return max(self.round_state.round, 0)

    # --- heights and rounds -------------------------------------------------------------------------------

    def _begin_height(self) -> None:
        """Vote on the next height, or take it from a certificate that is there already."""
        height = self.decided + 1
        self._executing.clear()
        self.round_state = RoundState(height)
        self._log = HeightLog(height, self.quorum)
        self._far = FarVotes(self.quorum)
        self._valid_polka = ()
        certificate = self._backlog.get(height)
        if certificate is not None:
            self._conclude(certificate)
        elif self.source(height) is not None:
            self._is_voting = True
            self._start_round(0)
            for message in self._early.take(height):
                self._HANDLERS[message.__class__](self, message)

    def _start_round(self, round_: int) -> None:
        self._scheduled = set()
        self._has_seen_polka = False
        state = self.round_state
        self._log.forget_before(round_ - ROUNDS_KEPT, (state.valid_value, state.locked_value))
        self._feed(StartRound(round_, is_proposer=self.config.proposer(state.height, round_) == self.id))
        for vote in self._far.take(round_ + ROUNDS_AHEAD):
            self._log.votes.add(vote, round_)
        self._consider_proposals()

    def _feed(self, event: Event) -> None:
        """Apply a rule, and do what it says."""
        if isinstance(event, ProposalWithPolka):
            self._has_seen_polka = True
            self._valid_polka = self._log.polka_voters(self.round_state.round, event.value)
        self.round_state, output = apply(self.round_state, event)
        match output:
            case Propose(round_, value, valid_round):
                self._propose(round_, value, valid_round)
            case GetValue():
                self._offer_value()
            case CastPrevote(round_, value):
                self._vote(VoteType.PREVOTE, round_, value)
            case CastPrecommit(round_, value):
                self._vote(VoteType.PRECOMMIT, round_, value)
            case DecideValue():
                certificate = self._log.certificate()
                assert certificate is not None, "a decision without a certificate"
                self._conclude(certificate)
            case Schedule(timeout):
                self._scheduled.add(timeout)
            case SkipTo(round_):
                self._emit(Abandon(self.round_state.height, self.round_state.round, "no decision"))
                self._start_round(round_)
            case Refused(why):
                raise AssertionError(f"{event} in {self.round_state}: {why}")

    def _settle(self) -> None:
        """Apply the rules until none has anything left to say."""
        while self._is_voting and (event := self._next_event()) is not None:
            self._feed(event)
        self._arm()

    def _next_event(self) -> Event | None:
        """The first rule whose condition holds."""
        certificate = self._log.certificate()
        if certificate is not None:
            return ProposalWithPrecommits(certificate.round, certificate.value.id)
        step, round_, votes = self.round_state.step, self.round_state.round, self._log.votes
        if step is Step.PROPOSE and (judged := self._judged_proposal()) is not None:
            return judged
        if step in (Step.PREVOTE, Step.PRECOMMIT) and (polka := self._new_polka()) is not None:
            return polka
        if step is Step.PREVOTE and votes.has(VoteType.PREVOTE, round_, None):
            return PolkaNil()
        if step is Step.PREVOTE and Timeout.PREVOTE not in self._scheduled and votes.has_any(VoteType.PREVOTE, round_):
            return PolkaAny()
        if Timeout.PRECOMMIT not in self._scheduled and votes.has_any(VoteType.PRECOMMIT, round_):
            return PrecommitAny()
        return None

    # --- proposals ----------------------------------------------------------------------------------------

    def _offer_value(self) -> None:
        """Propose the clients' block, if it is this replica's turn and it knows the digest that is to be stated."""
        state = self.round_state
        if self.config.proposer(state.height, state.round) != self.id or self._log.first_proposal(state.round):
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
            value = Value(block, digest)
            self._log.values[value.id] = value
            self._feed(ValueReady(value.id))

    def _propose(self, round_: int, value: ValueId, valid_round: int) -> None:
        polka = self._valid_polka if valid_round != NO_ROUND else ()
        proposal = Proposal(self.id, round_, self._log.values[value], valid_round, polka)
        self._emit(Broadcast(proposal))
        self._log.add_proposal(proposal)
        self._consider_proposals()

    def _on_proposal(self, message: Proposal) -> None:
        if not self._is_of_this_height(message) or not self._is_well_formed(message):
            return
        round_ = self.round_state.round
        if round_ - ROUNDS_KEPT <= message.round <= round_ + ROUNDS_AHEAD and self._log.add_proposal(message):
            self._consider_proposals()
            self._settle()

    def _is_well_formed(self, message: Proposal) -> bool:
        """Is it the proposer's, and is there a polka of an earlier round where it says that there was one?"""
        if message.sender != self.config.proposer(message.height, message.round):
            return False
        if message.valid_round == NO_ROUND:
            return True
        return 0 <= message.valid_round < message.round and self.quorum.is_quorum(message.polka)

    def _consider_proposals(self) -> None:
        """Execute what this round proposes: anew, unless it had a polka before and was executed then."""
        round_ = self.round_state.round
        for proposal in self._log.proposals.get(round_, ()):
            block = proposal.value.block
            known = self._log.outputs.get(block.digest, {})
            is_known = round_ in known or (proposal.valid_round != NO_ROUND and known)
            if not is_known and self._may_be_valid(proposal.value):
                self._execute(block, round_)

    def _may_be_valid(self, value: Value) -> bool:
        """Is it what clients asked for, and does it state this replica's own output, as far as that is known?"""
        if not is_asked_for(value.block, self.source):
            return False
        return self.config.digest == "proposal" or value.digest == self._own

    def _is_valid(self, value: Value) -> bool:
        """May this replica vote for a value? Where the output stands in the proposal, not before it was executed."""
        if not self._may_be_valid(value):
            return False
        outputs = self._log.outputs.get(value.block.digest, {})
        return self.config.digest == "next-header" or value.digest in outputs.values()

    def _judged_proposal(self) -> Event | None:
        """Lines 22 and 28: this round's proposal, once it can be judged."""
        proposal = self._log.first_proposal(self.round_state.round)
        if proposal is None:
            return None
        value = proposal.value
        if self._may_be_valid(value) and (value.block.digest, proposal.round) in self._executing:
            return None
        has_polka, is_valid = proposal.valid_round != NO_ROUND, self._is_valid(value)
        if has_polka:
            return ProposalWithEarlierPolka(value.id, proposal.valid_round) if is_valid else InvalidProposalWithPolka()
        return ProposalReceived(value.id) if is_valid else InvalidProposal()

    def _new_polka(self) -> Event | None:
        """Line 36: a polka of this round for a valid proposal of this round, for the first time."""
        round_ = self.round_state.round
        value = None if self._has_seen_polka else self._log.polka(round_)
        proposal = None if value is None else self._log.proposal_of(round_, value)
        if value is None or proposal is None or not self._is_valid(proposal.value):
            return None
        return ProposalWithPolka(value)

    # --- votes --------------------------------------------------------------------------------------------

    def _vote(self, kind: VoteType, round_: int, value: ValueId | None) -> None:
        cast = Prevote if kind is VoteType.PREVOTE else Precommit
        self._emit(Broadcast(cast(self.id, self.round_state.height, round_, value)))
        self._log.votes.add(Vote(self.id, kind, round_, value), round_)

    def _on_vote(self, message: Prevote | Precommit) -> None:
        if not self._is_of_this_height(message):
            return
        round_ = self.round_state.round
        kind = VoteType.PREVOTE if isinstance(message, Prevote) else VoteType.PRECOMMIT
        vote = Vote(message.sender, kind, message.round, message.value)
        if message.round > round_ + ROUNDS_AHEAD:
            is_overtaken = self._far.add(vote)
        elif message.round < round_ - ROUNDS_KEPT:
            return
        else:
            told = self._log.votes.add(vote, round_)
            if told is None:
                return
            is_overtaken = told.tally is Tally.SKIP
        if is_overtaken:
            self._feed(RoundSkip(message.round))
        self._settle()

    def _is_of_this_height(self, message: Proposal | Prevote | Precommit) -> bool:
        """Is it of the height that is voted on? One of a later height is kept for then."""
        if self.halt_at is not None or message.round < 0:
            return False
        if message.height == self.decided + 1 and self._is_voting:
            return True
        if message.height > self.decided:
            self._early.keep(message)
            if message.height > self.decided + 2 and self._asked_at <= self.decided and self._own is not None:
                self._asked_at = self.decided + 1
                self._emit(Send(message.sender, Status(self.id, self.decided + 1, self.view)))
        return False

    # --- decisions ----------------------------------------------------------------------------------------

    def _conclude(self, certificate: CommitCertificate) -> None:
        """The next height is decided: hand it on, or halt if it states another output than this replica's.

        A replica's output for a height is what it computes in the round that decides: an output of another round may be
        another one, and a replica that was away in that round would differ for that alone.
        """
        self._is_voting = False
        value, outputs = certificate.value, self._log.outputs.get(certificate.value.block.digest, {})
        self._backlog.pop(value.block.height, None)
        is_stated_here = self.config.digest == "proposal"
        agrees = value.digest in outputs.values() if is_stated_here else value.digest == self._own
        if is_stated_here and not agrees and certificate.round not in outputs:
            self._pending = certificate
            self._execute_decided(certificate)
            return
        self._pending = None
        if not agrees and self.config.outvoted == "halt":
            self.halt_at = value.block.height
            self._emit(Outvoted(value.block.height, certificate.round))
            return
        self.decided, self.state = value.block.height, next_state(self.state, value.id)
        self._certificates[self.decided] = certificate
        self._certificates.pop(self.decided - CERTIFICATES_KEPT, None)
        output = value.digest
        if is_stated_here:
            self.certified = self.decided
        else:
            self._certify_before(certificate)
            if not agrees:
                self._resync(self.certified, value.digest)
            self._own = outputs.get(certificate.round) if agrees else None  # from the wrong state is from none
            output = b""
        self._emit(Decide(value.block, output, certificate.round, certificate.voters, self.state))
        if is_stated_here and not agrees:
            self._resync(self.decided, value.digest)
        if self._own is None:
            self._execute_decided(certificate)
        else:
            self._begin_height()

    def _certify_before(self, certificate: CommitCertificate) -> None:
        """Who decides a height stands behind what its header states: the output of the height before."""
        self.certified = certificate.height - 1
        if self.certified:  # no output comes before the first height
            self._emit(Certify(self.certified, certificate.value.digest, certificate.voters))

    def _resync(self, height: int, output: bytes) -> None:
        self._executing.clear()
        self._emit(Resync(height, output))

    def _execute_decided(self, certificate: CommitCertificate) -> None:
        self._execute(certificate.value.block, certificate.round)

    def _execute(self, block: Block, round_: int) -> None:
        if (block.digest, round_) not in self._executing:
            self._executing.add((block.digest, round_))
            self._emit(Execute(block, round_))

    # --- what was missed ----------------------------------------------------------------------------------

    def _on_status(self, message: Status) -> None:
        certificates = tuple(
            self._certificates[height]
            for height in range(message.height, min(self.decided, message.height + CERTIFICATES_SENT_MAX - 1) + 1)
            if height in self._certificates
        )
        said: tuple[Signed, ...] = ()
        if message.height == self.decided + 1 and self._is_voting:
            said = tuple(self._log.messages({message.round, self.view - 1, self.view}))
        if certificates or said:
            self._emit(Send(message.sender, Sync(self.id, certificates, said)))

    def _on_sync(self, message: Sync) -> None:
        for certificate in message.certificates:
            ahead = certificate.height - self.decided
            if self.halt_at is None and 0 < ahead <= CERTIFICATES_SENT_MAX and certificate.holds(self.quorum):
                self._backlog[certificate.height] = certificate
        if self._own is not None and self._pending is None and self.decided + 1 in self._backlog:
            self._conclude(self._backlog[self.decided + 1])
        for each in message.messages:
            self._HANDLERS[each.__class__](self, each)
        self._settle()

    # --- timer and effects --------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Wait for what the state waits for: a timeout of this round, or messages that may be lost."""
        awaited = self._awaited()
        if awaited == self._armed:
            return
        self._armed = awaited
        self._emit(CancelTimer() if awaited is None else SetTimer(self.config.timeout_of(awaited[2])))

    def _awaited(self) -> tuple[Timeout | None, int, int] | None:
        if not self._is_voting:
            return None
        state = self.round_state
        timeout = None
        if Timeout.PRECOMMIT in self._scheduled:
            timeout = Timeout.PRECOMMIT
        elif state.step is Step.PROPOSE:
            timeout = Timeout.PROPOSE
        elif state.step is Step.PREVOTE and Timeout.PREVOTE in self._scheduled:
            timeout = Timeout.PREVOTE
        return timeout, state.height, state.round

    _HANDLERS: ClassVar[dict[type, Callable[[Tendermint, Any], None]]] = {
        Proposal: _on_proposal,
        Prevote: _on_vote,
        Precommit: _on_vote,
        Status: _on_status,
        Sync: _on_sync,
    }
