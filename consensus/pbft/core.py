"""What PBFT is, whatever its votes name: views, watermarks, timers, and how stragglers catch up.

After Castro and Liskov, "Practical Byzantine fault tolerance" (OSDI 1999; "C&L" below). The three phases of the normal
case are left to the protocols built on this: `consensus.pbft` votes on outputs, `consensus.pbft_classic` on blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from consensus.machine import Machine
from consensus.pbft.checkpoints import CheckpointLog
from consensus.pbft.config import CoreConfig
from consensus.pbft.early import EarlyVotes, Vote
from consensus.pbft.messages import (
    BareViewChange,
    Checkpoint,
    NewView,
    PrePrepare,
    StableCheckpoint,
    Sync,
    SyncRequest,
)
from consensus.pbft.new_view import begins_view, is_asked_for
from consensus.pbft.view_changes import ViewChangeLog
from consensus.protocol import (
    Abandon,
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    Effects,
    Message,
    Send,
    SetTimer,
)


class AnySlot(Protocol):
    """One height between the watermarks. `decision` is the commit certificate, once there is one."""

    proposal: Block | None
    decision: Any

    def begin_view(self) -> None: ...
    def votes_of(self, replica: int, view: int) -> Iterable[Vote]: ...


State = TypeVar("State", bound=Any)
SlotT = TypeVar("SlotT", bound=AnySlot)
ChangeT = TypeVar("ChangeT", bound=BareViewChange[Any, Any])


@lru_cache(maxsize=64)  # all replicas of a run take the same steps
def next_state(state: bytes, block: bytes, output: bytes) -> bytes:
    """The digest of a chain, one block and its output further."""
    return sha256(state + block + output).digest()


class PbftCore(Machine, ABC, Generic[SlotT, State, ChangeT]):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks."""

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], None]]]

    def __init__(
        self, replica: int, config: CoreConfig, source: BlockSource, genesis: StableCheckpoint[State], state: bytes
    ) -> None:
        super().__init__()
        self.id = replica
        self.config = config
        self.quorum = config.quorum
        self.source = source
        self.view = 0
        self.active = True  # False from leaving a view until the next one begins
        self.decided = 0  # the height up to which everything is decided
        self.state = state  # digest of the chain of decisions up to there
        self.stable = genesis
        self.halt_at: int | None = None
        self._slots: dict[int, SlotT] = {}
        self._checkpoints: CheckpointLog[State] = CheckpointLog(config.quorum)
        self._view_changes: ViewChangeLog[ChangeT] = ViewChangeLog(config.quorum)
        self._new_view: NewView[ChangeT] | None = None
        self._early: EarlyVotes[Any] = EarlyVotes(3 * config.watermark_window)  # as many as one can cast in one view
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

    def timeout(self) -> Effects:
        if not self.active:
            self._insist_on_next_view()
        elif not self._has_asked:
            # Ask before accusing: what is missing may have been lost on the way to this replica alone.
            self._has_asked = True
            self._ask_everybody()
            self._effects.append(SetTimer(self._timeout_ns - self._timeout_ns // 2))
        else:
            self._abandon(self.decided + 1, "timed out")
        return self._drain()

    def recover(self) -> Effects:
        self._execute_again()
        self._ask_everybody()
        self._restart_timer()
        return self._drain()

    @abstractmethod
    def _execute_again(self) -> None:
        """Ask for what was under way when the replica crashed."""

    # --- proposals and decisions --------------------------------------------------------------------------

    def _propose(self) -> None:
        if self.config.leader(self.view) != self.id:
            return
        for height in range(self.decided + 1, min(self.decided + self.config.pipeline, self._high) + 1):
            block, slot = self.source(height), self._slot(height)
            if block is None or slot is None or not self.active:
                return
            if slot.proposal is not None or slot.decision is not None:
                continue
            self._effects.append(Broadcast(PrePrepare(self.id, self.view, block)))
            self._accept(slot, block)

    def _on_pre_prepare(self, message: PrePrepare) -> None:
        slot = self._voting_slot(message)
        if slot is None or slot.proposal is not None or slot.decision is not None:
            return  # one proposal for each height of a view, and what the view began with comes first
        is_from_leader = message.sender == self.config.leader(self.view)
        if is_from_leader and message.height <= self._high and is_asked_for(message.block, self.source):
            self._accept(slot, message.block)

    @abstractmethod
    def _accept(self, slot: SlotT, block: Block) -> None:
        """The leader proposes this block."""

    def _deliver(self) -> None:
        """Hand decisions on in the order of their heights."""
        before = self.decided
        while (slot := self._slots.get(self.decided + 1)) is not None and slot.decision is not None:
            self._decide(slot)
        if self.decided > before:
            self._after_progress()

    @abstractmethod
    def _decide(self, slot: SlotT) -> None:
        """The next height has a decision."""

    def _after_progress(self) -> None:
        if self.active:  # a replica between two views goes on waiting for the next one
            self._views_without_progress = 0
            self._restart_timer()
            self._take_up_reproposals()
            self._propose()

    # --- watermarks and checkpoints (C&L 4.3) -------------------------------------------------------------

    @property
    def _high(self) -> int:
        """The highest height that this replica takes part in."""
        return self.stable.height + self.config.watermark_window

    @abstractmethod
    def _new_slot(self, height: int) -> SlotT: ...

    def _slot(self, height: int) -> SlotT | None:
        slot = self._slots.get(height)
        if slot is None and self.stable.height < height <= self._high:
            slot = self._slots[height] = self._new_slot(height)
        return slot

    def _voting_slot(self, message: Any) -> SlotT | None:
        """The slot that a message of this view belongs to; one of a later view is kept for then."""
        if message.view != self.view or not self.active:
            if message.view >= self.view:
                self._early.keep(message)
            return None
        slot = self._slots.get(message.height)
        return slot if slot is not None else self._slot(message.height)

    def _vote_checkpoint(self, height: int, state: State) -> None:
        vote = Checkpoint(self.id, height, state)
        self._checkpoints.own[height] = vote
        self._effects.append(Broadcast(vote))
        self._on_checkpoint(vote)

    def _on_checkpoint(self, vote: Checkpoint[State]) -> None:
        if vote.height <= self.stable.height:
            return
        if vote.height > self.stable.height + self.config.watermark_window:
            self._ask_one_of(self._checkpoints.add_ahead(vote))
        elif stable := self._checkpoints.add(vote):
            self._stabilise(stable)

    def _stabilise(self, stable: StableCheckpoint[State]) -> None:
        """A quorum stands at this height."""
        if stable.height > self.decided:
            self._ask_one_of(stable.voters)
        elif stable.height > self.stable.height:
            self._move_watermarks(stable)

    def _move_watermarks(self, stable: StableCheckpoint[State]) -> None:
        """Forget what lies below a stable checkpoint, and take part further up."""
        self.stable = stable
        self._checkpoints.forget(stable.height)
        self._slots = {height: slot for height, slot in self._slots.items() if height > stable.height}
        self._take_up_reproposals()
        self._propose()

    # --- catching up (C&L 4.3 and 4.6, state transfer) ----------------------------------------------------

    def _sync_request(self) -> SyncRequest:
        return SyncRequest(self.id, self.view, self.decided, self.stable.height)

    def _ask_everybody(self) -> None:
        self._effects.append(Broadcast(self._sync_request()))

    def _ask_one_of(self, replicas: tuple[int, ...]) -> None:
        """Ask the first of some replicas that all could answer; the timer asks everybody if that one does not."""
        witness = next((replica for replica in replicas if replica != self.id), None)
        if witness is not None:
            self._effects.append(Send(witness, self._sync_request()))

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
            self._effects.append(Send(asker, Sync(self.id, self.view, stable, decisions, new_view, votes)))

    def _own_votes(self) -> tuple[Vote, ...]:
        votes: list[Vote] = []
        for _, slot in sorted(self._slots.items()):
            if slot.decision is None:
                if slot.proposal is not None and self.config.leader(self.view) == self.id:
                    votes.append(PrePrepare(self.id, self.view, slot.proposal))
                votes.extend(slot.votes_of(self.id, self.view))
        return tuple(votes)

    def _on_sync(self, message: Sync[State, Any, ChangeT, Any]) -> None:
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

    def _adopt(self, stable: StableCheckpoint[State]) -> None:
        if stable.height <= self.decided:
            self._stabilise(stable)
            return
        self._take_over(stable)
        self._move_watermarks(stable)
        self._after_progress()

    @abstractmethod
    def _take_over(self, stable: StableCheckpoint[State]) -> None:
        """Others have got further: go on from their state."""

    # --- view changes (C&L 4.4 and 4.5.2) -----------------------------------------------------------------

    def _abandon(self, height: int, reason: str) -> None:
        """Give up the attempt at a height and ask for the next view."""
        self._effects.append(Abandon(height, self.view, reason))
        self._leave_for(self.view + 1)

    def _leave_for(self, view: int) -> None:
        self.view, self.active = view, False
        self._early.forget_before(view)
        self._views_without_progress += 1
        change = self._view_change()
        self._view_changes.add(change)
        self._effects.append(Broadcast(change))
        self._effects.append(SetTimer(self._timeout_ns))
        self._begin_view_if_leading()

    @abstractmethod
    def _view_change(self) -> ChangeT:
        """What this replica tells the leader of the next view."""

    def _insist_on_next_view(self) -> None:
        """The next view does not begin: its leader is silent, or too few ask for it yet."""
        if self._view_changes.quorum_reached(self.view):
            self._leave_for(self.view + 1)
        else:
            self._effects.append(Broadcast(self._view_changes.by(self.id)))
            self._effects.append(SetTimer(self._timeout_ns))

    def _on_view_change(self, message: ChangeT) -> None:
        if not message.holds(self.quorum, self.config.watermark_window):
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
            self._leave_for(view)

    def _begin_view_if_leading(self) -> None:
        if self.active or self.config.leader(self.view) != self.id:
            return
        changes = self._view_changes.quorum_for(self.view)
        if changes is not None:
            new_view = NewView(self.id, self.view, changes)
            self._effects.append(Broadcast(new_view))
            self._begin_view(new_view)

    def _on_new_view(self, message: NewView[ChangeT]) -> None:
        if message.view < self.view or (message.view == self.view and self.active):
            return
        if message.sender == self.config.leader(message.view) and begins_view(
            message.view, message.view_changes, self.quorum, self.config.watermark_window
        ):
            self._begin_view(message)

    def _begin_view(self, new_view: NewView[ChangeT]) -> None:
        self.view, self.active, self._new_view = new_view.view, True, new_view
        self._view_changes.forget(self.view)
        for slot in self._slots.values():
            slot.begin_view()
        stable = self._plan(new_view.view_changes)
        self._restart_timer()
        self._stabilise(stable)
        self._take_up_reproposals()
        self._propose()
        for vote in self._early.take():
            self._HANDLERS[vote.__class__](self, vote)

    @abstractmethod
    def _plan(self, view_changes: tuple[ChangeT, ...]) -> StableCheckpoint[State]:
        """Note what follows from the view changes that begin this view; the latest stable checkpoint in them."""

    @abstractmethod
    def _take_up_reproposals(self) -> None:
        """Vote on what the new view proposes again, at the heights that lie between the watermarks by now."""

    # --- timer --------------------------------------------------------------------------------------------

    @property
    def _timeout_ns(self) -> int:
        if self._views_without_progress == 0:
            return self.config.timeout_ns
        doublings = min(self._views_without_progress, 62)
        return min(self.config.timeout_ns << doublings, self.config.timeout_max_ns)

    @property
    def _waits(self) -> bool:
        """Is there a height to wait for?"""
        return self.source(self.decided + 1) is not None

    def _restart_timer(self) -> None:
        self._has_asked = False
        self._effects.append(SetTimer(self._timeout_ns // 2) if self._waits else CancelTimer())
