"""PBFT as it is in the field: one replica, as a pure state machine.

After Castro and Liskov, "Practical Byzantine fault tolerance" (OSDI 1999; "C&L" below) and Castro's thesis (MIT 2001).
Replicas agree on the order of blocks first, and execute after, each for itself. So no arithmetic can keep a block from
being ordered; but replicas compare their states only at checkpoints, every K heights.

What follows from that:

- Votes name a block. Executions of several heights may be under way; they end in order, and each answer goes to the
  clients at once, who believe f + 1 equal ones.
- Where no quorum computed the same, no checkpoint becomes stable. Ordering goes on up to the high watermark, and stands
  still there: the leader can propose nothing, clients wait, timers run out, and no view change helps.
- A replica whose state is another than the certified one is outvoted: it takes that over, goes on, or halts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from consensus.pbft.core import PbftCore, next_state
from consensus.pbft.messages import Checkpoint, NewView, PrePrepare, StableCheckpoint, Sync, SyncRequest
from consensus.pbft.new_view import latest_certificates, latest_stable
from consensus.pbft_classic.config import PbftClassicConfig
from consensus.pbft_classic.messages import (
    GENESIS,
    Commit,
    Decision,
    Prepare,
    PreparedCertificate,
    Snapshot,
    ViewChange,
)
from consensus.pbft_classic.slot import Slot
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
    Outvoted,
    Reply,
    Resync,
)

ORDERED_VIEW = 0
"""What is executed is ordered: it is no attempt that could fail, and is executed as the first."""


class PbftClassic(PbftCore[Slot, Snapshot, ViewChange]):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks.

    Attributes:
        decided: the height up to which everything is ordered; `state` is the digest of the chain of these blocks.
        executed_height: the height up to which this replica has executed; `execution` is the digest of that.
        certified: the height up to which a quorum stands behind the outputs that this replica has.
        halt_at: the height at which this replica was outvoted, and halted.
    """

    config: PbftClassicConfig

    def __init__(self, replica: int, config: PbftClassicConfig, source: BlockSource) -> None:
        super().__init__(replica, config, source, GENESIS, GENESIS.state.chain)
        self.executed_height = 0
        self.execution = GENESIS.state.execution
        self.certified = 0
        self._leader = config.leader(0)  # of the view that has begun last
        self._reproposals: dict[int, Block] = {}  # of this view: nothing else may be voted for at these heights
        self._snapshots: dict[int, Snapshot] = {}  # of what is executed here, above the stable checkpoint
        self._ahead: StableCheckpoint[Snapshot] | None = None  # ordered here, but not executed yet
        self._voted_up_to = 0  # the highest checkpoint vote: there is one for each height, whatever is executed anew
        self._is_proposing = False

    # --- inputs -------------------------------------------------------------------------------------------

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        del view  # what is ordered is executed, in whatever view
        if self.halt_at is not None:
            return ()
        height = self.executed_height + 1
        slot = self._slots.get(height)
        if slot is None or slot.chain is None or slot.decision is None or slot.decision.block != block:
            return ()  # out of turn, or of a state that this replica has dropped
        self.executed_height, self.execution = height, next_state(self.execution, block.digest, output)
        snapshot = self._snapshots[height] = Snapshot(slot.chain, self.execution, output)
        if not block.is_empty:
            self._effects.append(Reply(block, output))
        if self.active:
            self._restart_timer()  # C&L 4.4: what a replica waits for now is the next request
        if height % self.config.checkpoint_interval == 0 and height > self._voted_up_to:
            self._voted_up_to = height
            self._vote_checkpoint(height, snapshot)
        if self._ahead is not None and self._ahead.height <= height:
            ahead, self._ahead = self._ahead, None
            self._stabilise(ahead)
        return self._drain()

    def receive(self, message: Any) -> Effects:
        if self.halt_at is not None:
            return ()
        self._HANDLERS[message.__class__](self, message)
        return self._drain() if self._effects else ()  # most votes change nothing

    def _drain(self) -> Effects:
        return super()._drain() if self.halt_at is None else self._last_words()

    def _last_words(self) -> Effects:
        """Once it was outvoted, nothing follows from anything."""
        effects = super()._drain()
        kinds = [effect.__class__ for effect in effects]
        return effects[: kinds.index(Outvoted) + 1] if Outvoted in kinds else ()

    def _execute_again(self) -> None:
        self._execute_above(self.executed_height)

    def _execute_above(self, height: int) -> None:
        for at in range(height + 1, self.decided + 1):
            decision = self._slots[at].decision
            assert decision is not None
            self._effects.append(Execute(decision.block, ORDERED_VIEW))

    # --- the normal case (C&L 4.2) ------------------------------------------------------------------------

    def _propose(self) -> None:
        """Where the leader alone is a quorum, what it proposes is ordered at once: a loop, for a window of any size."""
        if self._is_proposing:
            return
        self._is_proposing, before = True, -1
        while self.decided > before:
            before = self.decided
            super()._propose()
        self._is_proposing = False

    def _accept(self, slot: Slot, block: Block) -> None:
        slot.proposal = block
        slot.prepares.add(self._leader, block.digest)
        if self.id != self._leader:
            slot.prepare_vote = block.digest
            self._effects.append(Broadcast(Prepare(self.id, self.view, slot.height, block.digest)))
            slot.prepares.add(self.id, block.digest)
        self._after_prepare(slot)
        self._after_commit(slot)

    def _on_prepare(self, vote: Prepare) -> None:
        slot = self._slots.get(vote.height) if self.active and vote.view == self.view else None
        if slot is None and (slot := self._voting_slot(vote)) is None:
            return
        ballot = slot.prepares
        if ballot.certified is None and vote.sender != self._leader and ballot.add(vote.sender, vote.block):
            self._after_prepare(slot)

    def _after_prepare(self, slot: Slot) -> None:
        ballot, proposal = slot.prepares, slot.proposal
        digest = ballot.certified
        if digest is None or proposal is None or proposal.digest != digest or self.id in slot.commits.votes:
            return
        slot.prepared = PreparedCertificate(self.view, proposal, ballot.voters(digest))
        self._effects.append(Broadcast(Commit(self.id, self.view, slot.height, digest)))
        slot.commits.add(self.id, digest)
        self._after_commit(slot)

    def _on_commit(self, vote: Commit) -> None:
        slot = self._slots.get(vote.height) if self.active and vote.view == self.view else None
        if (slot is None and (slot := self._voting_slot(vote)) is None) or slot.decision is not None:
            return
        if slot.commits.add(vote.sender, vote.block):
            self._after_commit(slot)

    def _after_commit(self, slot: Slot) -> None:
        digest = slot.commits.certified
        if digest is None or slot.decision is not None:
            return
        block, voters = slot.block_of(digest), slot.commits.voters(digest)
        if block is None:
            self._ask_one_of(voters)
            return
        slot.decision = Decision(self.view, block, voters)
        self._deliver()

    def _deliver(self) -> None:
        if self.halt_at is None:
            super()._deliver()

    def _decide(self, slot: Slot) -> None:
        decision = slot.decision
        assert decision is not None
        self.decided, self.state = slot.height, next_state(self.state, decision.block.digest, b"")
        slot.chain = self.state
        self._effects.append(Decide(decision.block, b"", decision.view, decision.voters, self.state))
        self._effects.append(Execute(decision.block, ORDERED_VIEW))

    # --- checkpoints and state transfer (C&L 4.3 and 4.6) -------------------------------------------------

    def _new_slot(self, height: int) -> Slot:
        return Slot(height, self.quorum)

    def _stabilise(self, stable: StableCheckpoint[Snapshot]) -> None:
        """A quorum stands at this height. This replica gets there by executing what it has ordered itself."""
        if stable.height > self.decided:
            self._ask_one_of(stable.voters)
        elif stable.height > self.executed_height:
            if self._ahead is None or stable.height > self._ahead.height:
                self._ahead = stable
        elif stable.height > self.stable.height:
            self._compare(stable)

    def _compare(self, stable: StableCheckpoint[Snapshot]) -> None:
        """Is what this replica computed what a quorum did?"""
        if self._snapshots[stable.height] == stable.state:
            for height in range(self.certified + 1, stable.height + 1):
                self._effects.append(Certify(height, self._snapshots[height].output, stable.voters))
            self.certified = stable.height
        elif self.config.outvoted == "resync":
            self._resync(stable)
        elif self.config.outvoted == "halt":
            self._effects.append(CancelTimer())
            self._effects.append(Outvoted(stable.height, self.view))
            self.halt_at = stable.height
            return
        self._move_watermarks(stable)

    def _resync(self, stable: StableCheckpoint[Snapshot]) -> None:
        """Go on from the certified state. What others computed below it was never seen here, and is not certified."""
        self._effects.append(Resync(stable.height, stable.state.output))
        self._effects.append(Certify(stable.height, stable.state.output, stable.voters))
        self.executed_height, self.execution = stable.height, stable.state.execution
        self.certified = stable.height
        self._execute_above(stable.height)

    def _take_over(self, stable: StableCheckpoint[Snapshot]) -> None:
        self.decided, self.state = stable.height, stable.state.chain
        self._effects.append(Adopt(stable.height, self.state))
        self._resync(stable)

    def _move_watermarks(self, stable: StableCheckpoint[Snapshot]) -> None:
        self._snapshots = {height: made for height, made in self._snapshots.items() if height > stable.height}
        if self._ahead is not None and self._ahead.height <= stable.height:
            self._ahead = None
        super()._move_watermarks(stable)

    # --- view changes (C&L 4.4) ---------------------------------------------------------------------------

    def _leave_for(self, view: int) -> None:
        self._reproposals = {}
        super()._leave_for(view)

    def _view_change(self) -> ViewChange:
        return ViewChange(
            sender=self.id,
            view=self.view,
            stable=self.stable,
            checkpoints=tuple(self._checkpoints.own.values()),
            decided=self.decided,
            prepared=tuple(slot.prepared for _, slot in sorted(self._slots.items()) if slot.prepared is not None),
        )

    def _plan(self, view_changes: tuple[ViewChange, ...]) -> StableCheckpoint[Snapshot]:
        """What was decided is certified in some view change, since two quorums share an honest replica.

        So a height without a certificate is free. C&L fill it with a null request, since the requests that stood there
        get another number later; here each height has its clients' block, and the leader proposes that.
        """
        stable = latest_stable(view_changes)
        self._leader = self.config.leader(self.view)
        self._reproposals = {
            height: certificate.block
            for height, certificate in sorted(latest_certificates(view_changes).items())
            if height > stable.height
        }
        return stable

    def _take_up_reproposals(self) -> None:
        for height, block in self._reproposals.items():
            slot = self._slot(height)
            if slot is not None and slot.proposal is None:
                self._accept(slot, block)

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        PrePrepare: PbftCore._on_pre_prepare,
        Prepare: _on_prepare,
        Commit: _on_commit,
        Checkpoint: PbftCore._on_checkpoint,
        ViewChange: PbftCore._on_view_change,
        NewView: PbftCore._on_new_view,
        SyncRequest: PbftCore._on_sync_request,
        Sync: PbftCore._on_sync,
    }
