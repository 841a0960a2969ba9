"""ICP's ordering of blocks, protocol ICC0: one replica's rounds, up to the blocks that are final.

After Camenisch, Drijvers, Hanke, Pignolet, Shoup and Williams, "Internet Computer Consensus" (PODC 2022, IACR
2021/632); the clauses are named as in the figures there. How notaries slow down and stop is that of dfinity/ic. What
becomes of final blocks stands in `replica.py`.

A state machine does not know the time, only which timers ran out. So a round is measured in marks: the timer runs to
the next moment at which anything may fall due, and is not moved until then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from consensus.ballot import Ballot
from consensus.icp.chain import Chain
from consensus.icp.clock import RoundClock
from consensus.icp.config import IcpConfig
from consensus.icp.messages import (
    GENESIS,
    BlockId,
    BlockRequest,
    Finalization,
    FinalizationShare,
    Finalized,
    Notarization,
    NotarizationShare,
    Notarized,
    Proposal,
    Status,
    TreeBlock,
)
from consensus.icp.round import Round
from consensus.machine import Machine
from consensus.pbft.new_view import is_asked_for
from consensus.protocol import (
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    Decide,
    Send,
    SetTimer,
)

ROUNDS_AHEAD = 4
"""Rounds after the current one whose messages are kept."""


class IcpOrdering(Machine, ABC):
    """The part of a replica that makes, notarizes and finalizes blocks. See `Icp` for its attributes."""

    def __init__(self, replica: int, config: IcpConfig, source: BlockSource) -> None:
        super().__init__()
        self.id = replica
        self.config = config
        self.quorum = config.quorum
        self.source = source
        self.height = 1
        self.decided = 0
        self.state: BlockId = GENESIS
        self._parent: Notarized | Finalized | None = None  # what ended the round before; of what a block is made on
        self._round = self._new_round(1)
        self._rounds = {1: self._round}  # all above `decided`
        self._finalized: Finalized | None = None  # the highest, if not all blocks up to it are here
        self._chain = Chain()
        self._clock = RoundClock(config)
        self._asked_at = 0  # the round in which this replica last asked who is ahead

    # --- what the rest of the replica tells and does --------------------------------------------------------

    @property
    @abstractmethod
    def certified(self) -> int:
        """The height up to which outputs are certified."""

    @property
    @abstractmethod
    def _package_height(self) -> int:
        """The height of the last catch-up package."""

    @property
    @abstractmethod
    def _confidant(self) -> int:
        """Whom to ask in this round what was missed."""

    @abstractmethod
    def _status(self) -> Status:
        """Where this replica stands."""

    @abstractmethod
    def _execute_from(self, height: int) -> None:
        """Ask for the execution of the final blocks from a height on."""

    @abstractmethod
    def _certify(self) -> None:
        """Certify what can be certified by now."""

    @property
    def view(self) -> int:
        """The rank of the last block that this replica notarized in its round, 0 before that."""
        return next(reversed(self._round.shared), 0)

    # --- rounds -------------------------------------------------------------------------------------------

    def _new_round(self, height: int) -> Round:
        return Round(height, self.quorum, self.config.ranking(height))

    def _round_of(self, height: int) -> Round | None:
        """The round of a height, if this replica keeps it; one that is far ahead shows that something was missed."""
        round_ = self._rounds.get(height)
        if round_ is None and self.decided < height <= self.height + ROUNDS_AHEAD:
            round_ = self._rounds[height] = self._new_round(height)
        return round_

    def _ask_who_is_ahead(self, sender: int) -> None:
        if self._asked_at < self.height:
            self._asked_at = self.height
            self._effects.append(Send(sender, self._status()))

    def _begin_round(self) -> None:
        self._clock.restart()
        if self.quorum.replicas > 1 and self.decided - self.certified > self.config.certified_gap_slow:
            self._effects.append(Send(self._confidant, self._status()))
        self._consider()
        self._arm()

    def _end_rounds(self) -> None:
        """Clause (a) of a round, for as many rounds as can end."""
        begun = self.height
        while True:
            last: Round | None = None
            for height, round_ in self._rounds.items():
                if height >= self.height and round_.notarized and round_.ending is not None:
                    last = round_ if last is None or height > last.height else last
            if last is None:
                break
            self._end_round(last)
        if self.height > begun:
            self._begin_round()

    def _end_round(self, round_: Round) -> None:
        certificate = round_.ending
        assert certificate is not None, "a round without a notarized block does not end"
        if isinstance(certificate, Notarized):
            self._effects.append(Broadcast(Notarization(self.id, certificate)))
        for height in range(self.height, round_.height + 1):
            if height in self._rounds:
                self._rounds[height].forget_shares()
        self._enter(round_.height + 1, certificate)
        if set(round_.shared.values()) <= {certificate.block}:  # N is a subset of {B}
            self._share_finality(round_, certificate.block)

    def _share_finality(self, round_: Round, block: BlockId) -> None:
        share = FinalizationShare(self.id, round_.height, block)
        self._effects.append(Broadcast(share))
        self._on_finalization_share(share)

    def _enter(self, height: int, parent: Notarized | Finalized | None) -> None:
        self.height, self._parent = height, parent
        round_ = self._round_of(height)
        assert round_ is not None, "the current round is kept"
        self._round = round_

    def _note(self, certificate: Notarized | Finalized) -> bool:
        """A block is notarized; is that news, and true?"""
        round_ = self._round_of(certificate.height)
        if round_ is None or certificate.block in round_.notarized or not certificate.holds(self.quorum):
            return False
        round_.notarized[certificate.block] = certificate
        return True

    # --- making and notarizing blocks (clauses b and c) -----------------------------------------------------

    @property
    def _is_past_the_end(self) -> bool:
        """Have the clients asked for nothing more? Then rounds are there only to make what was asked for final."""
        return self.source(self.height) is None

    @property
    def _is_active(self) -> bool:
        return not self._is_past_the_end or self.decided < self.height - 1

    @property
    def _is_stopped(self) -> bool:
        """Has certification, or the next catch-up package, fallen back so far that no block may be notarized?"""
        notarized, config = self.height - 1, self.config
        return (
            notarized - self.certified >= config.certified_gap_max
            or notarized - (self._package_height + config.cup_interval) >= config.cup_gap_max
        )

    def _notary_delay_ns(self, rank: int) -> int:
        backlog = max(0, self.decided - self.certified - self.config.certified_gap_slow)
        return self.config.notary_delay_ns(rank, finality_gap=self.height - 1 - self.decided, backlog=backlog)

    def _consider(self) -> None:
        """Make a block, notarize one, if it is time; then end the rounds that this ends."""
        if self._is_active:
            self._propose_if_due()
            if not self._is_stopped:
                self._notarize_what_is_due()
                self._end_rounds()

    def _proposal_delay_ns(self, rank: int) -> int:
        return self.config.proposal_delay_ns(rank + self._is_past_the_end)  # the end is mostly final before that

    def _propose_if_due(self) -> None:
        """Clause (b)."""
        round_ = self._round
        if round_.has_proposed:
            return
        rank = round_.ranking.index(self.id)
        if self._clock.elapsed_ns < self._proposal_delay_ns(rank):
            return
        best = round_.best_rank
        if best is not None and best < rank:
            return
        if self._parent is None and self.height > 1:
            return  # a catch-up package brought this replica here: others have a parent's certificate
        round_.has_proposed = True
        parent = GENESIS if self._parent is None else self._parent.block
        content = self.source(self.height) or Block(self.height, ())
        proposal = Proposal(self.id, TreeBlock(content, self.id, rank, parent), self._parent)
        self._effects.append(Broadcast(proposal))
        round_.add(proposal)

    def _notarize_what_is_due(self) -> None:
        """Clause (c), for as long as it applies."""
        round_ = self._round
        while (rank := round_.best_rank) is not None and self._clock.elapsed_ns >= self._notary_delay_ns(rank):
            mine = round_.shared.get(rank)
            block = next((each for each in round_.ranks[rank] if each != mine), None)
            if block is None:
                return
            if mine is not None:
                round_.disqualified.add(rank)
            else:
                round_.shared[rank] = block
                share = NotarizationShare(self.id, round_.height, rank, block)
                self._effects.append(Broadcast(share))
                if (ballot := round_.ballot(rank)) is not None and ballot.add(self.id, block):
                    self._after_share(round_, ballot, share)

    def _on_proposal(self, message: Proposal) -> None:
        block = message.block
        if block.height > self.height + ROUNDS_AHEAD:
            self._ask_who_is_ahead(message.sender)
            return
        round_ = self._round_of(block.height)
        if round_ is None or not self._is_valid(message, round_) or not round_.add(message):
            return
        if message.parent is not None:
            self._note(message.parent)
        self._end_rounds()
        if block.id in round_.notarized:
            self._deliver()
        if block.height == self.height:
            self._consider()

    def _is_valid(self, message: Proposal, round_: Round) -> bool:
        block, parent = message.block, message.parent
        if not 0 <= block.rank < len(round_.ranking) or round_.ranking[block.rank] != block.maker:
            return False
        if message.sender != block.maker or not self._is_wanted(block.content):
            return False
        if block.height == 1:
            return parent is None and block.parent == GENESIS
        return (
            parent is not None
            and (parent.height, parent.block) == (block.height - 1, block.parent)
            and parent.holds(self.quorum)
        )

    def _is_wanted(self, content: Block) -> bool:
        return is_asked_for(content, self.source) or (content.is_empty and self.source(content.height) is None)

    # --- notarization shares --------------------------------------------------------------------------------

    def _on_notarization_share(self, share: NotarizationShare) -> None:
        if share.height < self.height:
            return  # the round has ended: late shares change nothing
        round_ = self._round if share.height == self.height else self._coming_round(share)
        if round_ is None:
            return
        ballot = round_.shares.get(share.rank) or round_.ballot(share.rank)
        if ballot is None or ballot.certified is not None:
            return
        if ballot.add(share.sender, share.block) or share.block not in round_.proposals:
            self._after_share(round_, ballot, share)
            self._end_rounds()

    def _coming_round(self, message: NotarizationShare | Notarization) -> Round | None:
        """The round of a message that is not over; None if it is so far ahead that something was missed."""
        round_ = self._round_of(message.height)
        if round_ is None:
            self._ask_who_is_ahead(message.sender)
        return round_

    def _after_share(self, round_: Round, ballot: Ballot[BlockId], share: NotarizationShare) -> None:
        """Combine n - f shares; ask for a block that some honest replica surely has."""
        block = ballot.certified
        if block is not None:
            round_.notarized.setdefault(block, Notarized(round_.height, block, ballot.voters(block)))
        known = share.block in round_.proposals or share.block in self._round.asked_for
        if not known and ballot.weight.get(share.block, 0) > self.quorum.faulty_weight_max:
            self._ask_for(round_.height, share.block, ballot.voters(share.block))

    def _on_notarization(self, message: Notarization) -> None:
        certificate = message.certificate
        if certificate.height < self.height:
            return
        round_ = self._coming_round(message)
        if round_ is None or not self._note(certificate):
            return
        if certificate.block not in round_.proposals:
            self._ask_for(round_.height, certificate.block, certificate.voters)
        self._end_rounds()

    # --- finalization ---------------------------------------------------------------------------------------

    def _on_finalization_share(self, share: FinalizationShare) -> None:
        if share.height <= self.decided:
            return
        round_ = self._rounds.get(share.height) or self._round_of(share.height)
        if round_ is None:
            self._ask_who_is_ahead(share.sender)
            return
        ballot = round_.finals
        if ballot.certified is None and ballot.add(share.sender, share.block) and ballot.certified is not None:
            self._finalize(Finalized(share.height, ballot.certified, ballot.voters(ballot.certified)))

    def _on_finalization(self, message: Finalization) -> None:
        certificate = message.certificate
        if certificate.height <= self.decided:
            return
        round_ = self._round_of(certificate.height)
        if round_ is None:
            self._ask_who_is_ahead(message.sender)
        elif round_.finalized is None and certificate.holds(self.quorum):
            self._finalize(certificate)

    def _finalize(self, certificate: Finalized) -> None:
        round_ = self._rounds[certificate.height]
        if round_.finalized is not None:
            return
        round_.finalized = certificate
        round_.notarized.setdefault(certificate.block, certificate)
        self._effects.append(Broadcast(Finalization(self.id, certificate)))
        if self._finalized is None or certificate.height > self._finalized.height:
            self._finalized = certificate
        self._deliver()

    def _deliver(self) -> None:
        """Decide the last final block and all before it, once they are here."""
        certificate = self._finalized
        if certificate is None:
            return
        branch: list[Proposal] = []
        height, block = certificate.height, certificate.block
        while height > self.decided:
            round_ = self._rounds.get(height)
            proposal = None if round_ is None else round_.proposals.get(block)
            if proposal is None:
                self._ask_for(height, block, certificate.voters)
                return
            branch.append(proposal)
            height, block = height - 1, proposal.block.parent
        if block == self.state:  # else more than f are faulty: this replica has decided otherwise
            self._decide(branch[::-1], certificate)

    def _decide(self, branch: list[Proposal], certificate: Finalized) -> None:
        for proposal in branch:
            block = proposal.block
            self.decided, self.state = block.height, block.id
            self._chain.add(proposal, certificate)
            self._effects.append(Decide(block.content, b"", block.rank, certificate.voters, block.id))
        self._execute_from(branch[0].height)
        self._forget_rounds()
        if self.height <= self.decided:
            self._enter(self.decided + 1, certificate)
            self._begin_round()
        elif not self._is_active:
            self._arm()
        self._certify()
        self._consider()

    def _forget_rounds(self) -> None:
        self._rounds = {height: round_ for height, round_ in self._rounds.items() if height > self.decided}
        if self._finalized is not None and self._finalized.height <= self.decided:
            self._finalized = None

    # --- blocks that were missed ----------------------------------------------------------------------------

    def _ask_for(self, height: int, block: BlockId, voters: tuple[int, ...]) -> None:
        """Ask one of those who voted for a block for it; once until the next mark."""
        if block in self._round.asked_for:
            return
        self._round.asked_for.add(block)
        others = [voter for voter in voters if voter != self.id]
        if others:
            witness = others[(self.id + height + self._clock.elapsed_ns // self.config.unit_ns) % len(others)]
            self._effects.append(Send(witness, BlockRequest(self.id, height, block, self.decided)))

    def _ask_for_lacking(self) -> None:
        for block, voters in self._round.lacking.items():
            self._ask_for(self.height, block, voters)

    def _take_chain(self, chain: tuple[Proposal, ...], finalized: Finalized) -> None:
        """Decide final blocks that others sent, if they are linked to what is decided here and to the certificate."""
        branch = [proposal for proposal in chain if proposal.height > self.decided]
        tip = self.state
        for height, proposal in enumerate(branch, self.decided + 1):
            if (proposal.height, proposal.block.parent) != (height, tip):
                return
            tip = proposal.block.id
        if branch and (branch[-1].height, tip) == (finalized.height, finalized.block) and finalized.holds(self.quorum):
            self._decide(branch, finalized)

    # --- timer ------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Let the timer run to the next mark, unless it runs; stop it where nothing is waited for."""
        waits = self._is_active or self.certified < self.decided
        if not waits and self._clock.mark_ns:
            self._clock.stop()
            self._effects.append(CancelTimer())
        elif waits and not self._clock.mark_ns:
            best = self._round.best_rank
            last_ns = self._notary_delay_ns(self.quorum.replicas) if self._is_active else 0
            due_ns = () if best is None else (self._notary_delay_ns(best),)
            self._effects.append(SetTimer(self._clock.run_to_next(last_ns=last_ns, due_ns=due_ns)))
