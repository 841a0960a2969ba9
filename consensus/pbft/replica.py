"""PBFT with votes on outputs: one replica, as a pure state machine.

After Castro and Liskov, "Practical Byzantine fault tolerance" (OSDI 1999; "C&L" below). There, replicas order
first and execute after. Here the pre-prepare carries a block and no output; replicas execute it, and prepare
and commit for the *pair* of block digest and output digest. So the chain agrees on what the model answered,
and replicas whose arithmetic differs cannot form a quorum.

What follows from that:

- A prepared certificate binds block and output. A new view proposes that pair again, and replicas vote for it
  without executing anew: a second execution may differ, and two outputs of one height would be a fork.
- A replica that computed another output but sees a certificate commits to the certified one, and fetches it.
- A replica whose ballot can no longer reach a quorum does not act on that alone: its view of the ballot may
  differ from another's. It asks for the next view, which a quorum must begin; `new_view.py` says with what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from consensus.pbft.config import PbftConfig
from consensus.pbft.core import PbftCore, next_state
from consensus.pbft.messages import (
    GENESIS,
    Checkpoint,
    Commit,
    Decision,
    NewView,
    OutputRequest,
    OutputResponse,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    StableCheckpoint,
    Sync,
    SyncRequest,
    ViewChange,
)
from consensus.pbft.new_view import Reproposal, plan_new_view
from consensus.pbft.slot import Slot
from consensus.protocol import (
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    Decide,
    Effects,
    Execute,
    Halt,
    Pair,
    Resync,
    Send,
)


class Pbft(PbftCore[Slot, bytes, ViewChange]):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks."""

    config: PbftConfig

    def __init__(self, replica: int, config: PbftConfig, source: BlockSource) -> None:
        super().__init__(replica, config, source, GENESIS, GENESIS.state)
        self._reproposals: dict[int, Reproposal] = {}  # of this view: nothing else may be voted for at these heights
        self._abandoned: set[int] = set()  # of this view
        self._decided_output = b""  # at `decided`

    # --- inputs -------------------------------------------------------------------------------------------

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        slot = self._slots.get(block.height)
        if slot is None:
            return ()  # past a stable checkpoint: nobody waits for this answer any more
        slot.own = Pair(block.digest, output)
        if slot.decision is not None:
            self._mend_if_dissenting(slot)
        elif view == self.view and self.active and slot.proposal == block and slot.prepare_vote is None:
            self._vote_prepare(slot, slot.own)
        return self._drain()

    # --- the normal case (C&L 4.2) ------------------------------------------------------------------------

    def _execute_again(self) -> None:
        for slot in self._slots.values():
            if self.active and slot.awaits_execution and slot.proposal is not None:
                self._effects.append(Execute(slot.proposal, self.view))
            self._mend_if_dissenting(slot)

    def _accept(self, slot: Slot, block: Block, bound_output: bytes | None = None) -> None:
        slot.proposal = block
        slot.bound_output = bound_output
        if bound_output is None:
            self._effects.append(Execute(block, self.view))
            self._after_prepare(slot)
            self._after_commit(slot)
        else:
            self._vote_prepare(slot, Pair(block.digest, bound_output))

    def _vote_prepare(self, slot: Slot, pair: Pair) -> None:
        slot.prepare_vote = pair
        self._effects.append(Broadcast(Prepare(self.id, self.view, slot.height, pair)))
        slot.prepares.add(self.id, pair)
        self._after_prepare(slot)

    def _on_prepare(self, vote: Prepare) -> None:
        slot = self._slots.get(vote.height) if self.active and vote.view == self.view else None
        if slot is None and (slot := self._voting_slot(vote)) is None:
            return
        ballot = slot.prepares
        if ballot.certified is None and ballot.add(vote.sender, vote.pair):
            self._after_prepare(slot)

    def _after_prepare(self, slot: Slot) -> None:
        ballot = slot.prepares
        pair = ballot.certified
        if pair is None:
            if not ballot.is_open and slot.decision is None and slot.commits.certified is None:
                self._abandon(slot.height, "no quorum possible")
        elif self.id not in slot.commits.votes and slot.proposal is not None and slot.proposal.digest == pair.block:
            slot.prepared = PreparedCertificate(self.view, slot.proposal, pair.output, ballot.voters(pair))
            self._effects.append(Broadcast(Commit(self.id, self.view, slot.height, pair)))
            slot.commits.add(self.id, pair)
            self._after_commit(slot)

    def _on_commit(self, vote: Commit) -> None:
        slot = self._slots.get(vote.height) if self.active and vote.view == self.view else None
        if (slot is None and (slot := self._voting_slot(vote)) is None) or slot.decision is not None:
            return
        if slot.commits.add(vote.sender, vote.pair):
            self._after_commit(slot)

    def _after_commit(self, slot: Slot) -> None:
        pair = slot.commits.certified
        if pair is None or slot.decision is not None:
            return
        block, voters = slot.block_of(pair), slot.commits.voters(pair)
        if block is None:
            self._ask_one_of(voters)
            return
        slot.decision = Decision(self.view, block, pair.output, voters)
        self._deliver()

    def _decide(self, slot: Slot) -> None:
        decision = slot.decision
        assert decision is not None
        self._reach(slot.height, next_state(self.state, decision.block.digest, decision.output))
        self._decided_output = decision.output
        self._effects.append(Decide(decision.block, decision.output, decision.view, decision.voters, self.state))
        self._mend_if_dissenting(slot)
        if self.decided % self.config.checkpoint_interval == 0:
            self._vote_checkpoint(self.decided, self.state)

    def _reach(self, height: int, state: bytes) -> None:
        self.decided, self.state = height, state
        if self.halt_at is not None and self.halt_at <= height:
            self.halt_at = None  # others went on: a faulty leader showed the evidence for halting to this one alone

    def _mend_if_dissenting(self, slot: Slot) -> None:
        if slot.decision is None or not slot.dissents:
            return
        if self.config.outvoted == "stay":
            self._fetch(slot, slot.decision)
        elif slot.height <= self.decided:  # else there is no state after it yet: it is mended when handed on
            self._resync(slot, slot.decision)

    def _resync(self, slot: Slot, decision: Decision) -> None:
        """Take the state of others over as it is by now: later heights may be decided already."""
        slot.own = Pair(decision.block.digest, decision.output)
        self._effects.append(Resync(self.decided, self._decided_output))
        for height, above in sorted(self._slots.items()):
            if height > self.decided and self.active and above.awaits_execution and above.proposal is not None:
                self._effects.append(Execute(above.proposal, self.view))

    def _fetch(self, slot: Slot, decision: Decision) -> None:
        """Ask all who committed: some dissent themselves, some may be faulty, and a message may be lost."""
        request = OutputRequest(self.id, self.view, slot.height, decision.output)
        for voter in decision.voters:
            if voter != self.id:
                self._effects.append(Send(voter, request))

    def _on_output_request(self, message: OutputRequest) -> None:
        slot = self._slots.get(message.height)
        if slot is not None and slot.own is not None and slot.own.output == message.output:
            self._effects.append(
                Send(message.sender, OutputResponse(self.id, message.view, message.height, message.output))
            )

    def _on_output_response(self, message: OutputResponse) -> None:
        slot = self._slots.get(message.height)
        if slot is not None and slot.decision is not None and message.output == slot.decision.output:
            slot.own = Pair(slot.decision.block.digest, message.output)

    # --- watermarks and state transfer (C&L 4.3 and 4.6) ---------------------------------------------------

    @property
    def _high(self) -> int:
        high = super()._high
        return high if self.halt_at is None else min(high, self.halt_at - 1)

    def _new_slot(self, height: int) -> Slot:
        return Slot(height, self.quorum)

    def _move_watermarks(self, stable: StableCheckpoint[bytes]) -> None:
        self._abandoned = {height for height in self._abandoned if height > stable.height}
        super()._move_watermarks(stable)

    def _take_over(self, stable: StableCheckpoint[bytes]) -> None:
        self._reach(stable.height, stable.state)
        self._effects.append(Adopt(stable.height, stable.state))

    # --- view changes (C&L 4.4 and 4.5.2) -----------------------------------------------------------------

    def _abandon(self, height: int, reason: str) -> None:
        if not self.active or (self.halt_at is not None and height >= self.halt_at):
            return
        slot = self._slots.get(height)
        if slot is not None and slot.proposal is not None:
            self._abandoned.add(height)
        super()._abandon(height, reason)

    def _leave_for(self, view: int) -> None:
        self._reproposals = {}
        super()._leave_for(view)

    def _view_change(self) -> ViewChange:
        slots = sorted(self._slots.items())
        return ViewChange(
            sender=self.id,
            view=self.view,
            stable=self.stable,
            checkpoints=tuple(self._checkpoints.own.values()),
            decided=self.decided,
            prepared=tuple(slot.prepared for _, slot in slots if slot.prepared is not None),
            started=tuple(slot.proposal for _, slot in slots if slot.proposal is not None and slot.prepared is None),
            abandoned=tuple(sorted(self._abandoned)),
        )

    def _join_others(self) -> None:
        if self._view_changes.surely_left_for(self.view) is not None:
            given_up = {height for change in self._view_changes.beyond(self.view) for height in change.abandoned}
            self._abandoned |= given_up & self._slots.keys()
        super()._join_others()

    def _plan(self, view_changes: tuple[ViewChange, ...]) -> StableCheckpoint[bytes]:
        plan = plan_new_view(view_changes, self.quorum, self.config.policy, self.source)
        self._abandoned = set()
        self._reproposals = {reproposal.block.height: reproposal for reproposal in plan.reproposals}
        if plan.halt_at is not None and (self.halt_at is None or plan.halt_at < self.halt_at):
            self.halt_at = plan.halt_at
            self._effects.append(Halt(plan.halt_at, self.view))
        return plan.stable

    def _take_up_reproposals(self) -> None:
        for height, reproposal in self._reproposals.items():
            slot = self._slot(height)
            if slot is not None and slot.proposal is None and height <= self._high:
                self._accept(slot, reproposal.block, reproposal.output)

    @property
    def _waits(self) -> bool:
        is_halted = self.halt_at is not None and self.decided + 1 >= self.halt_at
        return not is_halted and super()._waits

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        PrePrepare: PbftCore._on_pre_prepare,
        Prepare: _on_prepare,
        Commit: _on_commit,
        Checkpoint: PbftCore._on_checkpoint,
        ViewChange: PbftCore._on_view_change,
        NewView: PbftCore._on_new_view,
        SyncRequest: PbftCore._on_sync_request,
        Sync: PbftCore._on_sync,
        OutputRequest: _on_output_request,
        OutputResponse: _on_output_response,
    }
