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
from functools import lru_cache
from hashlib import sha256
from typing import Any, ClassVar

from consensus.machine import Machine
from consensus.pbft.checkpoints import CheckpointLog
from consensus.pbft.config import PbftConfig
from consensus.pbft.early import EarlyVotes
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
from consensus.pbft.new_view import Reproposal, begins_view, is_asked_for, is_valid, plan_new_view
from consensus.pbft.slot import Slot
from consensus.pbft.view_changes import ViewChangeLog
from consensus.protocol import (
    Abandon,
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    Decide,
    Effects,
    Execute,
    Halt,
    Message,
    Pair,
    Send,
    SetTimer,
)


@lru_cache(maxsize=64)  # all replicas of a run take the same steps
def next_state(state: bytes, block: bytes, output: bytes) -> bytes:
    """The digest of the chain of decisions, one decision further."""
    return sha256(state + block + output).digest()


class Pbft(Machine):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks."""

    def __init__(self, replica: int, config: PbftConfig, source: BlockSource) -> None:
        super().__init__()
        self.id = replica
        self.config = config
        self.quorum = config.quorum
        self.source = source
        self.view = 0
        self.active = True  # False from leaving a view until the next one begins
        self.decided = 0  # the height up to which everything is decided
        self.state = GENESIS.state  # digest of the chain of decisions up to there
        self.stable = GENESIS
        self.halt_at: int | None = None
        self._slots: dict[int, Slot] = {}
        self._checkpoints = CheckpointLog(config.quorum)
        self._reproposals: dict[int, Reproposal] = {}  # of this view: nothing else may be voted for at these heights
        self._abandoned: set[int] = set()  # of this view
        self._view_changes = ViewChangeLog(config.quorum)
        self._new_view: NewView | None = None
        self._early = EarlyVotes(3 * config.watermark_window)  # as many as one sender can cast in one view
        self._views_without_progress = 0
        self._has_asked = False

    # --- inputs -------------------------------------------------------------------------------------------

    def start(self) -> Effects:
        self._restart_timer()
        self._propose()
        return self._drain()

    def receive(self, message: Message) -> Effects:
        self._HANDLERS[message.__class__](self, message)
        return self._drain() if self._effects else ()  # most votes change nothing

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        slot = self._slots.get(block.height)
        if slot is None:
            return ()  # past a stable checkpoint: nobody waits for this answer any more
        slot.own = Pair(block.digest, output)
        if slot.decision is not None:
            self._fetch_if_dissenting(slot)
        elif view == self.view and self.active and slot.proposal == block and slot.prepare_vote is None:
            self._vote_prepare(slot, slot.own)
        return self._drain()

    def timeout(self) -> Effects:
        if not self.active:
            self._insist_on_next_view()
        elif not self._has_asked:
            # Ask before accusing: what is missing may have been lost on the way to this replica alone.
            self._has_asked = True
            self._emit(Broadcast(SyncRequest(self.id, self.view, self.decided, self.stable.height)))
            self._emit(SetTimer(self._timeout_ns - self._timeout_ns // 2))
        else:
            self._abandon(self.decided + 1, "timed out")
        return self._drain()

    def recover(self) -> Effects:
        for slot in self._slots.values():
            if self.active and slot.awaits_execution and slot.proposal is not None:
                self._emit(Execute(slot.proposal, self.view))
            self._fetch_if_dissenting(slot)
        self._emit(Broadcast(SyncRequest(self.id, self.view, self.decided, self.stable.height)))
        self._restart_timer()
        return self._drain()

    # --- the normal case (C&L 4.2) ------------------------------------------------------------------------

    def _propose(self) -> None:
        if self.config.leader(self.view) != self.id:
            return
        for height in range(self.decided + 1, min(self.decided + self.config.pipeline, self._high) + 1):
            block, slot = self.source(height), self._slot(height)
            if block is None or slot is None or not self.active:
                return
            if slot.proposal is not None or slot.decision is not None:
                continue
            self._emit(Broadcast(PrePrepare(self.id, self.view, block)))
            self._accept(slot, block, None)

    def _on_pre_prepare(self, message: PrePrepare) -> None:
        slot = self._voting_slot(message)
        if slot is None or slot.proposal is not None or slot.decision is not None:
            return  # one proposal for each height of a view, and what the view began with comes first
        is_from_leader = message.sender == self.config.leader(self.view)
        if is_from_leader and message.height <= self._high and is_asked_for(message.block, self.source):
            self._accept(slot, message.block, None)

    def _accept(self, slot: Slot, block: Block, bound_output: bytes | None) -> None:
        slot.proposal = block
        slot.bound_output = bound_output
        if bound_output is None:
            self._emit(Execute(block, self.view))
            self._after_prepare(slot)
            self._after_commit(slot)
        else:
            self._vote_prepare(slot, Pair(block.digest, bound_output))

    def _vote_prepare(self, slot: Slot, pair: Pair) -> None:
        slot.prepare_vote = pair
        self._emit(Broadcast(Prepare(self.id, self.view, slot.height, pair)))
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
            self._emit(Broadcast(Commit(self.id, self.view, slot.height, pair)))
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

    def _deliver(self) -> None:
        """Hand decisions on in the order of their heights."""
        before = self.decided
        while (slot := self._slots.get(self.decided + 1)) is not None and slot.decision is not None:
            decision = slot.decision
            self._reach(self.decided + 1, next_state(self.state, decision.block.digest, decision.output))
            self._emit(Decide(decision.block, decision.output, decision.view, decision.voters, self.state))
            self._fetch_if_dissenting(slot)
            if self.decided % self.config.checkpoint_interval == 0:
                self._vote_checkpoint()
        if self.decided > before:
            self._after_progress()

    def _reach(self, height: int, state: bytes) -> None:
        self.decided, self.state = height, state
        if self.halt_at is not None and self.halt_at <= height:
            self.halt_at = None  # others went on: a faulty leader showed the evidence for halting to this one alone

    def _after_progress(self) -> None:
        if self.active:  # a replica between two views goes on waiting for the next one
            self._views_without_progress = 0
            self._restart_timer()
            self._take_up_reproposals()  # a halt may have been lifted
            self._propose()

    def _fetch_if_dissenting(self, slot: Slot) -> None:
        """Ask all who committed: some dissent themselves, some may be faulty, and a message may be lost."""
        if slot.decision is None or not slot.dissents:
            return
        request = OutputRequest(self.id, self.view, slot.height, slot.decision.output)
        for voter in slot.decision.voters:
            if voter != self.id:
                self._emit(Send(voter, request))

    def _on_output_request(self, message: OutputRequest) -> None:
        slot = self._slots.get(message.height)
        if slot is not None and slot.own is not None and slot.own.output == message.output:
            self._emit(Send(message.sender, OutputResponse(self.id, message.view, message.height, message.output)))

    def _on_output_response(self, message: OutputResponse) -> None:
        slot = self._slots.get(message.height)
        if slot is not None and slot.decision is not None and message.output == slot.decision.output:
            slot.own = Pair(slot.decision.block.digest, message.output)

    # --- watermarks and checkpoints (C&L 4.3) -------------------------------------------------------------

    @property
    def _high(self) -> int:
        """The highest height that this replica takes part in."""
        high = self.stable.height + self.config.watermark_window
        return high if self.halt_at is None else min(high, self.halt_at - 1)

    def _slot(self, height: int) -> Slot | None:
        slot = self._slots.get(height)
        if slot is None and self.stable.height < height <= self._high:
            slot = self._slots[height] = Slot(height, self.quorum)
        return slot

    def _voting_slot(self, message: PrePrepare | Prepare | Commit) -> Slot | None:
        """The slot that a message of this view belongs to; one of a later view is kept for then."""
        if message.view != self.view or not self.active:
            if message.view >= self.view:
                self._early.keep(message)
            return None
        slot = self._slots.get(message.height)
        return slot if slot is not None else self._slot(message.height)

    def _vote_checkpoint(self) -> None:
        vote = Checkpoint(self.id, self.decided, self.state)
        self._checkpoints.own[self.decided] = vote
        self._emit(Broadcast(vote))
        self._on_checkpoint(vote)

    def _on_checkpoint(self, vote: Checkpoint) -> None:
        if vote.height <= self.stable.height:
            return
        if vote.height > self.stable.height + self.config.watermark_window:
            self._ask_one_of(self._checkpoints.add_ahead(vote))
        elif stable := self._checkpoints.add(vote):
            self._stabilise(stable)

    def _stabilise(self, stable: StableCheckpoint) -> None:
        """A quorum stands at this height: forget what lies below, and let the watermarks move."""
        if stable.height > self.decided:
            self._ask_one_of(stable.voters)
        elif stable.height > self.stable.height:
            self.stable = stable
            self._checkpoints.forget(stable.height)
            self._abandoned = {height for height in self._abandoned if height > stable.height}
            self._slots = {height: slot for height, slot in self._slots.items() if height > stable.height}
            self._take_up_reproposals()
            self._propose()

    # --- catching up (C&L 4.3 and 4.6, state transfer) ----------------------------------------------------

    def _ask_one_of(self, replicas: tuple[int, ...]) -> None:
        """Ask the first of some replicas that all could answer; the timer asks everybody if that one does not."""
        witness = next((replica for replica in replicas if replica != self.id), None)
        if witness is not None:
            self._emit(Send(witness, SyncRequest(self.id, self.view, self.decided, self.stable.height)))

    def _on_sync_request(self, message: SyncRequest) -> None:
        self._help(message.sender, message.view, message.decided, message.stable)

    def _help(self, asker: int, view: int, decided: int, stable_height: int) -> None:
        """Send a replica what this one has and that one lacks, if anything."""
        stable = self.stable if self.stable.height > stable_height else None
        known = max(decided, self.stable.height)
        decisions = tuple(
            slot.decision for height, slot in sorted(self._slots.items()) if height > known and slot.decision
        )
        new_view = self._new_view if self.active and view < self.view else None
        votes = self._own_votes() if self.active and view <= self.view else ()
        if stable or decisions or new_view or votes:
            self._emit(Send(asker, Sync(self.id, self.view, stable, decisions, new_view, votes)))

    def _own_votes(self) -> tuple[PrePrepare | Prepare | Commit, ...]:
        votes: list[PrePrepare | Prepare | Commit] = []
        for _, slot in sorted(self._slots.items()):
            if slot.decision is None:
                if slot.proposal is not None and self.config.leader(self.view) == self.id:
                    votes.append(PrePrepare(self.id, self.view, slot.proposal))
                votes.extend(slot.votes_of(self.id, self.view))
        return tuple(votes)

    def _on_sync(self, message: Sync) -> None:
        if message.stable is not None and message.stable.holds(self.quorum):
            self._adopt(message.stable)
        for decision in message.decisions:
            slot = self._slot(decision.block.height)
            if slot is not None and slot.decision is None and decision.holds(self.quorum):
                slot.decision = decision
        self._deliver()
        if message.new_view is not None:
            self._on_new_view(message.new_view)
        for vote in message.votes:
            if vote.sender == message.sender:
                self._HANDLERS[vote.__class__](self, vote)

    def _adopt(self, stable: StableCheckpoint) -> None:
        if stable.height <= self.decided:
            self._stabilise(stable)
            return
        self._reach(stable.height, stable.state)
        self._emit(Adopt(stable.height, stable.state))
        self._stabilise(stable)
        self._after_progress()

    # --- view changes (C&L 4.4 and 4.5.2) -----------------------------------------------------------------

    def _abandon(self, height: int, reason: str) -> None:
        """Give up the attempt at a height and ask for the next view."""
        if not self.active or (self.halt_at is not None and height >= self.halt_at):
            return
        slot = self._slots.get(height)
        if slot is not None and slot.proposal is not None:
            self._abandoned.add(height)
        self._emit(Abandon(height, self.view, reason))
        self._leave_for(self.view + 1)

    def _leave_for(self, view: int) -> None:
        self.view, self.active = view, False
        self._reproposals = {}
        self._early.forget_before(view)
        self._views_without_progress += 1
        change = self._view_change()
        self._view_changes.add(change)
        self._emit(Broadcast(change))
        self._emit(SetTimer(self._timeout_ns))
        self._begin_view_if_leading()

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

    def _insist_on_next_view(self) -> None:
        """The next view does not begin: its leader is silent, or too few ask for it yet."""
        if self._view_changes.quorum_reached(self.view):
            self._leave_for(self.view + 1)
        else:
            self._emit(Broadcast(self._view_changes.by(self.id)))
            self._emit(SetTimer(self._timeout_ns))

    def _on_view_change(self, message: ViewChange) -> None:
        if not is_valid(message, self.quorum, self.config.watermark_window):
            return
        for vote in message.checkpoints:
            self._on_checkpoint(vote)
        if message.view < self.view or (message.view == self.view and self.active) or message.decided < self.decided:
            self._help(message.sender, message.view - 1, message.decided, message.stable.height)
        if message.view >= self.view and self._view_changes.add(message):
            self._join_others()
            self._begin_view_if_leading()

    def _join_others(self) -> None:
        """Enough replicas left this view that one of them is honest: follow."""
        view = self._view_changes.surely_left_for(self.view)
        if view is not None:
            given_up = {height for change in self._view_changes.beyond(self.view) for height in change.abandoned}
            self._abandoned |= given_up & self._slots.keys()
            self._leave_for(view)

    def _begin_view_if_leading(self) -> None:
        if self.active or self.config.leader(self.view) != self.id:
            return
        changes = self._view_changes.quorum_for(self.view)
        if changes is not None:
            new_view = NewView(self.id, self.view, changes)
            self._emit(Broadcast(new_view))
            self._begin_view(new_view)

    def _on_new_view(self, message: NewView) -> None:
        if message.view < self.view or (message.view == self.view and self.active):
            return
        if message.sender == self.config.leader(message.view) and begins_view(
            message.view, message.view_changes, self.quorum, self.config.watermark_window
        ):
            self._begin_view(message)

    def _begin_view(self, new_view: NewView) -> None:
        plan = plan_new_view(new_view.view_changes, self.quorum, self.config.policy, self.source)
        self.view, self.active, self._new_view = new_view.view, True, new_view
        self._view_changes.forget(self.view)
        self._abandoned = set()
        for slot in self._slots.values():
            slot.begin_view()
        self._reproposals = {reproposal.block.height: reproposal for reproposal in plan.reproposals}
        if plan.halt_at is not None and (self.halt_at is None or plan.halt_at < self.halt_at):
            self.halt_at = plan.halt_at
            self._emit(Halt(plan.halt_at, self.view))
        self._restart_timer()
        self._stabilise(plan.stable)
        self._take_up_reproposals()
        self._propose()
        for vote in self._early.take():
            self._HANDLERS[vote.__class__](self, vote)

    def _take_up_reproposals(self) -> None:
        """Vote on what the new view proposes again, at the heights that lie between the watermarks by now."""
        for height, reproposal in self._reproposals.items():
            slot = self._slot(height)
            if slot is not None and slot.proposal is None and height <= self._high:
                self._accept(slot, reproposal.block, reproposal.output)

    # --- timer and effects --------------------------------------------------------------------------------

    @property
    def _timeout_ns(self) -> int:
        if self._views_without_progress == 0:
            return self.config.timeout_ns
        doublings = min(self._views_without_progress, 62)
        return min(self.config.timeout_ns << doublings, self.config.timeout_max_ns)

    def _restart_timer(self) -> None:
        next_height = self.decided + 1
        waits = (self.halt_at is None or next_height < self.halt_at) and self.source(next_height) is not None
        self._has_asked = False
        self._emit(SetTimer(self._timeout_ns // 2) if waits else CancelTimer())

    _HANDLERS: ClassVar[dict[type, Callable[[Pbft, Any], None]]] = {
        PrePrepare: _on_pre_prepare,
        Prepare: _on_prepare,
        Commit: _on_commit,
        Checkpoint: _on_checkpoint,
        ViewChange: _on_view_change,
        NewView: _on_new_view,
        SyncRequest: _on_sync_request,
        Sync: _on_sync,
        OutputRequest: _on_output_request,
        OutputResponse: _on_output_response,
    }
