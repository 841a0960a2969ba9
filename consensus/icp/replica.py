"""ICP: one replica, as a pure state machine.

After Camenisch, Drijvers, Hanke, Pignolet, Shoup and Williams, "Internet Computer Consensus" (PODC 2022, IACR
2021/632), protocol ICC0; its clauses are named below as in the figures there. Replicas order first and execute after.
State certification, the slowing down of notaries and catch-up packages are those of dfinity/ic (and IACR 2022/087).

What follows from that:

- A round ends with the first notarized block, at the speed of the network; several may be notarized in one round.
- A block that no replica of a quorum saw a rival of is final, and with it all before it.
- What a block's execution gave is voted on apart. Who is outvoted takes the certified state over; where no output has
  n - f behind it, nobody can tell who is wrong: blocks go on for a while, slower, and then stop.

The paper has every party echo the blocks it votes for. Here a replica asks one of the voters for a block that it lacks.

A state machine does not know the time, only which timers ran out; `clock.py` says what it makes of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from consensus.ballot import Ballot
from consensus.icp.certification import CatchUpLog, CertificationLog
from consensus.icp.chain import SYNC_MAX, Chain
from consensus.icp.clock import RoundClock
from consensus.icp.config import IcpConfig
from consensus.icp.messages import (
    GENESIS,
    BlockId,
    BlockRequest,
    CatchUpPackage,
    CatchUpShare,
    CertificationShare,
    CertifiedOutput,
    Finalization,
    FinalizationShare,
    Finalized,
    Notarization,
    NotarizationShare,
    Notarized,
    Proposal,
    Signed,
    Status,
    Sync,
    TreeBlock,
)
from consensus.icp.round import Round
from consensus.machine import Machine
from consensus.pbft.new_view import is_asked_for
from consensus.protocol import (
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    Certify,
    Decide,
    Effects,
    Execute,
    Message,
    Resync,
    Send,
    SetTimer,
)

ROUNDS_AHEAD = 4
"""Rounds after the current one whose messages are kept."""

CHAIN_KEPT = 50
"""Final blocks before the last catch-up package that are kept for those who lag (dfinity/ic: MINIMUM_CHAIN_LENGTH)."""


class Icp(Machine):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks.

    Attributes:
        height: the round that it is in: all before have ended.
        decided: the height up to which all is final; `state` is the id of that block, the digest of the chain.
        certified: the height up to which outputs are certified.
        view: the rank of the last block that it notarized in its round, 0 before that.
    """

    halt_at: None = None  # nothing halts a replica for good

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
        self._executed = 0
        self._shared_output_of = 0  # the last height whose output this replica has voted for
        self._certification = CertificationLog(config.quorum, config.certified_gap_max + ROUNDS_AHEAD)
        packages_max = (config.certified_gap_max + config.cup_gap_max) // config.cup_interval + 2
        self._catch_up = CatchUpLog(config.quorum, config.cup_interval, packages_max)
        self._catch_up_share: CatchUpShare | None = None  # this replica's last
        self._clock = RoundClock(config)
        self._asked_at = 0  # the round in which this replica last asked who is ahead

    # --- inputs -------------------------------------------------------------------------------------------

    def start(self) -> Effects:
        self._begin_round()
        return self._drain()

    def receive(self, message: Message) -> Effects:
        self._HANDLERS[message.__class__](self, message)
        return self._drain() if self._effects else ()  # most shares change nothing

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        height = block.height
        if (height, view) != (self._executed + 1, 0) or height > self.decided:
            return ()  # void: this replica took a later state over meanwhile
        self._executed = height
        self._certification.own[height] = output
        if height > self._shared_output_of:  # after a resync this may be the second time: the first vote stands
            self._shared_output_of = height
            share = self._certification.voted[height] = CertificationShare(self.id, height, output)
            self._emit(Broadcast(share))
            self._certification.add(share)
        if height <= self._certification.height:
            self._resync_if_outvoted(height)
        self._certify()
        return self._drain()

    def timeout(self) -> Effects:
        self._clock.run_out()
        self._round.asked_for.clear()
        if self._clock.is_time_to_ask():
            self._emit(Broadcast(self._status()))
        self._ask_for_lacking()
        self._deliver()
        self._consider()
        self._arm()
        return self._drain()

    def recover(self) -> Effects:
        self._execute_from(self._executed + 1)
        self._emit(Broadcast(self._status()))
        self._clock.stop()
        self._arm()
        return self._drain()

    @property
    def certified(self) -> int:
        return self._certification.height

    @property
    def view(self) -> int:
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
            self._emit(Send(sender, self._status()))

    def _begin_round(self) -> None:
        self._clock.restart()
        if self.quorum.replicas > 1 and self.decided - self.certified > self.config.certified_gap_slow:
            self._emit(Send(self._confidant, self._status()))
        self._consider()
        self._arm()

    def _end_rounds(self) -> None:
        """Clause (a) of a round, for as many rounds as can end."""
        begun = self.height
        while True:
            ended = max((at for at, each in self._rounds.items() if at >= self.height and each.ending), default=None)
            if ended is None:
                break
            self._end_round(self._rounds[ended])
        if self.height > begun:
            self._begin_round()

    def _end_round(self, round_: Round) -> None:
        certificate = round_.ending
        assert certificate is not None, "a round without a notarized block does not end"
        if isinstance(certificate, Notarized):
            self._emit(Broadcast(Notarization(self.id, certificate)))
        for height in range(self.height, round_.height + 1):
            if height in self._rounds:
                self._rounds[height].forget_shares()
        self._enter(round_.height + 1, certificate)
        if set(round_.shared.values()) <= {certificate.block}:  # N is a subset of {B}
            self._share_finality(round_, certificate.block)

    def _share_finality(self, round_: Round, block: BlockId) -> None:
        share = FinalizationShare(self.id, round_.height, block)
        self._emit(Broadcast(share))
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
            or notarized - (self._catch_up.height + config.cup_interval) >= config.cup_gap_max
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
        rank, best = round_.ranking.index(self.id), round_.best_rank
        if (
            round_.has_proposed
            or self._clock.elapsed_ns < self._proposal_delay_ns(rank)
            or (best is not None and best < rank)
        ):
            return
        if self._parent is None and self.height > 1:
            return  # a catch-up package brought this replica here: others have a parent's certificate
        round_.has_proposed = True
        parent = GENESIS if self._parent is None else self._parent.block
        content = self.source(self.height) or Block(self.height, ())
        proposal = Proposal(self.id, TreeBlock(content, self.id, rank, parent), self._parent)
        self._emit(Broadcast(proposal))
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
                self._emit(Broadcast(share))
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
        """The round of a message that comes early; None if that is over, or so far ahead that something was missed."""
        if message.height < self.height:
            return None
        round_ = self._round_of(message.height)
        if round_ is None:
            self._ask_who_is_ahead(message.sender)
        return round_

    def _after_share(self, round_: Round, ballot: Ballot[BlockId], share: NotarizationShare) -> None:
        """Combine n - f shares; ask for a block that some honest replica surely has."""
        block = ballot.certified
        if block is not None:
            round_.notarized.setdefault(block, Notarized(round_.height, block, ballot.voters(block)))
        if share.block not in round_.proposals:
            voters = ballot.voters(share.block)
            if self.quorum.has_honest(voters):
                self._ask_for(round_.height, share.block, voters)

    def _on_notarization(self, message: Notarization) -> None:
        round_, certificate = self._coming_round(message), message.certificate
        if round_ is None or not self._note(certificate):
            return
        if certificate.block not in round_.proposals:
            self._ask_for(round_.height, certificate.block, certificate.voters)
        self._end_rounds()

    # --- finalization ---------------------------------------------------------------------------------------

    def _on_finalization_share(self, share: FinalizationShare) -> None:
        round_ = self._rounds.get(share.height) or self._round_of(share.height)
        if round_ is None:
            if share.height > self.decided:
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
        self._emit(Broadcast(Finalization(self.id, certificate)))
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
            self._emit(Decide(block.content, b"", block.rank, certificate.voters, block.id))
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

    def _execute_from(self, height: int) -> None:
        for each in range(height, self.decided + 1):
            self._emit(Execute(self._chain.content(each), 0))

    # --- state certification ----------------------------------------------------------------------------------

    def _on_certification_share(self, share: CertificationShare) -> None:
        if self._certification.add(share):
            self._certify()

    def _certify(self) -> None:
        """Take the certificates in the order of their heights."""
        before = self.certified
        while (certificate := self._certification.next(self.decided)) is not None:
            self._resync_if_outvoted(certificate.height)
            self._emit(Certify(certificate.height, certificate.output, certificate.voters))
            if certificate.height % self.config.cup_interval == 0:
                self._share_package(certificate)
        if self.certified > before:
            self._complete_packages()
            self._forget()
            self._consider()
            self._arm()

    def _resync_if_outvoted(self, height: int) -> None:
        if self.config.outvoted == "resync" and self._certification.dissents(height):
            self._resync(self._certification.certificates[height].output, height)

    def _resync(self, output: bytes, height: int) -> None:
        """Take a certified state over; what was computed above it is void."""
        self._executed = height
        self._certification.resync(height, output)
        self._emit(Resync(height, output))
        self._execute_from(height + 1)

    def _forget(self) -> None:
        """Drop what nobody lacks any more, and what this replica has executed and compared."""
        height = min(self._catch_up.height - CHAIN_KEPT, self._executed, self.certified)
        if height in self._chain:
            self._chain.forget(height)
            self._certification.forget(height)

    # --- catch-up packages ------------------------------------------------------------------------------------

    def _share_package(self, certificate: CertifiedOutput) -> None:
        height = certificate.height
        share = CatchUpShare(self.id, height, self._chain.id(height), certificate.output)
        self._catch_up_share = share
        self._emit(Broadcast(share))
        self._catch_up.add(share)

    def _on_catch_up_share(self, share: CatchUpShare) -> None:
        package = self._catch_up.add(share)
        if package is None:
            return
        if package.height > self.certified:
            if package.height > self.decided:
                self._ask_who_is_ahead(share.sender)
            return  # it becomes this replica's when its height is certified here
        self._take(package)
        self._consider()
        self._arm()

    def _complete_packages(self) -> None:
        package = self._catch_up.last_complete(self.certified)
        if package is not None:
            self._take(package)

    def _take(self, package: CatchUpPackage) -> None:
        """A package up to which everything is certified here; who has executed far less does not go on from there."""
        self._catch_up.take(package)
        if self._executed <= package.height - self.config.cup_interval:
            self._resync(package.output, package.height)
        self._forget()

    def _adopt(self, package: CatchUpPackage) -> None:
        """Take over from others what this replica has missed."""
        if package.height <= self._catch_up.height or not package.holds(self.quorum):
            return
        if package.height <= self.certified:
            self._take(package)
            return
        height = package.height
        self._certification.skip_to(height)
        self._certification.certificates[height] = CertifiedOutput(height, package.output, package.voters)
        self._catch_up.take(package)
        if height > self.decided:
            self._jump_to(package)
        else:
            self._emit(Certify(height, package.output, package.voters))
            if self._executed <= height - self.config.cup_interval:
                self._resync(package.output, height)
            else:
                self._resync_if_outvoted(height)
        self._forget()

    def _jump_to(self, package: CatchUpPackage) -> None:
        """The chain up to a package was missed, and nobody has it any more."""
        self.decided, self.state = package.height, package.block
        self._chain = Chain()
        self._emit(Adopt(package.height, package.block))
        self._resync(package.output, package.height)
        self._forget_rounds()
        if self.height <= self.decided:
            self._enter(self.decided + 1, None)
            self._begin_round()

    # --- what was missed --------------------------------------------------------------------------------------

    @property
    def _confidant(self) -> int:
        """Whom to ask in this round what shares of outputs were missed: the others in turn."""
        others = self.quorum.replicas - 1
        return (self.id + 1 + self.height % others) % self.quorum.replicas

    def _status(self) -> Status:
        return Status(self.id, self.height, self.decided, self.certified, self._catch_up.height)

    def _ask_for(self, height: int, block: BlockId, voters: tuple[int, ...]) -> None:
        """Ask one of those who voted for a block for it; once until the next mark."""
        if block in self._round.asked_for:
            return
        self._round.asked_for.add(block)
        others = [voter for voter in voters if voter != self.id]
        if others:
            witness = others[(self.id + height + self._clock.elapsed_ns // self.config.unit_ns) % len(others)]
            self._emit(Send(witness, BlockRequest(self.id, height, block, self.decided)))

    def _ask_for_lacking(self) -> None:
        for block, voters in self._round.lacking.items():
            self._ask_for(self.height, block, voters)

    def _on_block_request(self, request: BlockRequest) -> None:
        """Send the block, and those before it that the asker may lack."""
        found: list[Signed] = []
        height, block = request.height, request.block
        while height > request.decided and len(found) < SYNC_MAX:
            proposal = self._proposal(height, block)
            if proposal is None:
                break
            found.append(proposal)
            height, block = height - 1, proposal.block.parent
        if found:
            self._emit(Send(request.sender, Sync(self.id, None, (), None, (), tuple(found))))

    def _proposal(self, height: int, block: BlockId) -> Proposal | None:
        if height > self.decided:
            round_ = self._rounds.get(height)
            return None if round_ is None else round_.proposals.get(block)
        return self._chain.proposal(height, block)

    def _on_status(self, message: Status) -> None:
        package, decided, certified = None, message.decided, message.certified
        latest = self._catch_up.latest
        lacks_block = decided < self.decided and decided + 1 not in self._chain
        lacks_output = certified < self.certified and certified + 1 not in self._certification.certificates
        if latest is not None and message.package < latest.height <= certified:
            package = latest
        elif latest is not None and certified < latest.height and (lacks_block or lacks_output):
            package, certified = latest, latest.height
            decided = max(decided, latest.height)
        chain, finalized = self._chain.after(decided)
        certificates = self._certification.certificates
        outputs = tuple(certificates[at] for at in range(certified + 1, certified + SYNC_MAX + 1) if at in certificates)
        said = tuple(self._said(message))
        if package or chain or outputs or said:
            self._emit(Send(message.sender, Sync(self.id, package, chain, finalized, outputs, said)))

    def _said(self, status: Status) -> list[Signed]:
        """What was said in rounds that are not final, and this replica's shares that the asker may have missed."""
        said: list[Signed] = []
        for height, round_ in sorted(self._rounds.items()):
            if height >= status.height:
                said.extend(round_.proposals.values())
                said.extend(NotarizationShare(self.id, height, rank, block) for rank, block in round_.shared.items())
            ending = round_.ending
            if height >= status.height and isinstance(ending, Notarized):
                said.append(Notarization(self.id, ending))
            if self.id in round_.finals.votes:
                said.append(FinalizationShare(self.id, height, round_.finals.votes[self.id]))
        voted, first = self._certification.voted, max(self.certified, status.certified) + 1
        said.extend(voted[height] for height in range(first, first + SYNC_MAX) if height in voted)
        if self._catch_up_share is not None and self._catch_up_share.height > self._catch_up.height:
            said.append(self._catch_up_share)
        return said

    def _on_sync(self, message: Sync) -> None:
        if message.package is not None:
            self._adopt(message.package)
        if message.finalized is not None:
            self._take_chain(message.chain, message.finalized)
        for certificate in message.outputs:
            self._certification.take(certificate)
        self._certify()
        for each in message.messages:
            self._HANDLERS[each.__class__](self, each)
        self._consider()
        self._arm()

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
            self._emit(CancelTimer())
        elif waits and not self._clock.mark_ns:
            best = self._round.best_rank
            last_ns = self._notary_delay_ns(self.quorum.replicas) if self._is_active else 0
            due_ns = () if best is None else (self._notary_delay_ns(best),)
            self._emit(SetTimer(self._clock.run_to_next(last_ns=last_ns, due_ns=due_ns)))

    _HANDLERS: ClassVar[dict[type, Callable[[Icp, Any], None]]] = {
        Proposal: _on_proposal,
        NotarizationShare: _on_notarization_share,
        Notarization: _on_notarization,
        FinalizationShare: _on_finalization_share,
        Finalization: _on_finalization,
        CertificationShare: _on_certification_share,
        CatchUpShare: _on_catch_up_share,
        BlockRequest: _on_block_request,
        Status: _on_status,
        Sync: _on_sync,
    }
