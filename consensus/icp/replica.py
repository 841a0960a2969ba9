"""ICP: one replica, as a pure state machine.

After Camenisch, Drijvers, Hanke, Pignolet, Shoup and Williams, "Internet Computer Consensus" (PODC 2022, IACR
2021/632), protocol ICC0, which stands in `ordering.py`. Replicas order first and execute after.
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

from consensus.icp.certification import CatchUpLog, CertificationLog
from consensus.icp.chain import SYNC_MAX, Chain
from consensus.icp.config import IcpConfig
from consensus.icp.messages import (
    BlockId,
    BlockRequest,
    CatchUpPackage,
    CatchUpShare,
    CertificationShare,
    CertifiedOutput,
    Finalization,
    FinalizationShare,
    Notarization,
    NotarizationShare,
    Notarized,
    Proposal,
    Signed,
    Status,
    Sync,
)
from consensus.icp.ordering import ROUNDS_AHEAD, IcpOrdering
from consensus.protocol import (
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    Certify,
    Effects,
    Execute,
    Message,
    Resync,
    Send,
)

CHAIN_KEPT = 50
"""Final blocks before the last catch-up package that are kept for those who lag (dfinity/ic: MINIMUM_CHAIN_LENGTH)."""


class Icp(IcpOrdering):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks.

    Attributes:
        height: the round that it is in: all before have ended.
        decided: the height up to which all is final; `state` is the id of that block, the digest of the chain.
        certified: the height up to which outputs are certified.
        view: the rank of the last block that it notarized in its round, 0 before that.
    """

    halt_at: None = None  # nothing halts a replica for good

    def __init__(self, replica: int, config: IcpConfig, source: BlockSource) -> None:
        super().__init__(replica, config, source)
        self._executed = 0
        self._shared_output_of = 0  # the last height whose output this replica has voted for
        self._certification = CertificationLog(config.quorum, config.certified_gap_max + ROUNDS_AHEAD)
        packages_max = (config.certified_gap_max + config.cup_gap_max) // config.cup_interval + 2
        self._catch_up = CatchUpLog(config.quorum, config.cup_interval, packages_max)
        self._catch_up_share: CatchUpShare | None = None  # this replica's last

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
            self._effects.append(Broadcast(share))
            self._certification.add(share)
        if height <= self._certification.height:
            self._resync_if_outvoted(height)
        self._certify()
        return self._drain()

    def timeout(self) -> Effects:
        self._clock.run_out()
        self._round.asked_for.clear()
        if self._clock.is_time_to_ask():
            self._effects.append(Broadcast(self._status()))
        self._ask_for_lacking()
        self._deliver()
        self._consider()
        self._arm()
        return self._drain()

    def recover(self) -> Effects:
        self._execute_from(self._executed + 1)
        self._effects.append(Broadcast(self._status()))
        self._clock.stop()
        self._arm()
        return self._drain()

    @property
    def certified(self) -> int:
        return self._certification.height

    @property
    def _package_height(self) -> int:
        return self._catch_up.height

    def _execute_from(self, height: int) -> None:
        for each in range(height, self.decided + 1):
            self._effects.append(Execute(self._chain.content(each), 0))

    # --- state certification ----------------------------------------------------------------------------------

    def _on_certification_share(self, share: CertificationShare) -> None:
        if self._certification.add(share):
            self._certify()

    def _certify(self) -> None:
        """Take the certificates in the order of their heights."""
        before = self.certified
        while (certificate := self._certification.next(self.decided)) is not None:
            self._resync_if_outvoted(certificate.height)
            self._effects.append(Certify(certificate.height, certificate.output, certificate.voters))
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
        self._effects.append(Resync(height, output))
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
        self._effects.append(Broadcast(share))
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
            self._effects.append(Certify(height, package.output, package.voters))
            if self._executed <= height - self.config.cup_interval:
                self._resync(package.output, height)
            else:
                self._resync_if_outvoted(height)
        self._forget()

    def _jump_to(self, package: CatchUpPackage) -> None:
        """The chain up to a package was missed, and nobody has it any more."""
        self.decided, self.state = package.height, package.block
        self._chain = Chain()
        self._effects.append(Adopt(package.height, package.block))
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
            self._effects.append(Send(request.sender, Sync(self.id, None, (), None, (), tuple(found))))

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
            self._effects.append(Send(message.sender, Sync(self.id, package, chain, finalized, outputs, said)))

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

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        Proposal: IcpOrdering._on_proposal,
        NotarizationShare: IcpOrdering._on_notarization_share,
        Notarization: IcpOrdering._on_notarization,
        FinalizationShare: IcpOrdering._on_finalization_share,
        Finalization: IcpOrdering._on_finalization,
        CertificationShare: _on_certification_share,
        CatchUpShare: _on_catch_up_share,
        BlockRequest: _on_block_request,
        Status: _on_status,
        Sync: _on_sync,
    }
