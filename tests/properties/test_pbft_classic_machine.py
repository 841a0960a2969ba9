"""PBFT that orders first, step by step: whatever arrives when, there is one chain, and one state at each checkpoint.

No clock here: any message in flight may arrive next, twice or never, any timer run out, any execution end, any replica
crash and come back; and replica 3 does what the others do, and signs what it likes besides.
`test_pbft_classic_schedules.py` has time, and liveness.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from support.cluster import output
from support.pbft_classic_cluster import PbftClassicCluster, pbft_classic

from consensus.pbft.messages import Checkpoint, NewView, PrePrepare
from consensus.pbft_classic.messages import Commit, Prepare, Snapshot
from consensus.protocol import (
    Adopt,
    Block,
    Broadcast,
    CancelTimer,
    Certify,
    Decide,
    Execute,
    Message,
    Outvoted,
    Reply,
    Resync,
    Send,
    SetTimer,
)

LIAR = 3
HEIGHTS = 9

CUT_OFF = st.sampled_from([set[int]()] * 4 + [{one} for one in range(4)] + [{0, 1}, {1, 2}, {0, 2}])


class PbftClassicSteps(RuleBasedStateMachine):
    """Three honest replicas and a liar. `flight` is what is on its way; the cluster only keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.flight: list[tuple[int, Message]] = []
        self.executions: dict[int, list[Execute]] = {replica: [] for replica in range(4)}
        self.waiting: set[int] = set()
        self.stable: dict[int, Snapshot] = {}

    @initialize(
        apart=st.tuples(*[st.sampled_from([0, 0, 0, 2, 3])] * 4),
        outvoted=st.sampled_from(["resync", "resync", "stay", "halt"]),
        pipeline=st.sampled_from([1, 4]),
    )
    def begin(self, apart: tuple[int, ...], outvoted: Any, pipeline: int) -> None:
        def answer(replica: int, block: Block, view: int) -> bytes:
            return output(f"{block} {block.height == apart[replica]}")

        self.books = PbftClassicCluster(
            pbft_classic(outvoted=outvoted, pipeline=pipeline, checkpoint_interval=2, watermark_window=4),
            blocks=HEIGHTS,
            answer=answer,
            behaviours={LIAR: "silent"},
        )
        for replica in range(4):
            self.do(replica, self.node(replica).start())

    def node(self, replica: int) -> Any:
        return self.books.inner[replica]

    def do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            assert replica not in self.books.outvoted or isinstance(effect, CancelTimer), "a halted replica went on"
            match effect:
                case Broadcast(message):
                    for receiver in range(4):
                        self.send(replica, receiver, message)
                case Send(receiver, message):
                    self.send(replica, receiver, message)
                case Execute():
                    self.executions[replica].append(effect)
                case SetTimer():
                    self.waiting.add(replica)
                case CancelTimer():
                    self.waiting.discard(replica)
                case Resync():
                    self.executions[replica].clear()
                case Outvoted():
                    self.executions[replica].clear()
                    self.books.outvoted[replica] = effect
                case Certify(height) if replica != LIAR:
                    assert height not in self.books.certified[replica]
                    self.books.certified[replica][height] = effect
                case Reply(block, _) if replica != LIAR:
                    assert block.height <= self.node(replica).decided, "answered before it was ordered"
                case Decide(block) if replica != LIAR:
                    assert block.height not in self.books.decided[replica]
                    self.books.decided[replica][block.height] = effect
                    self.books.watch.decided(replica, effect, 0)
                case Adopt() if replica != LIAR:
                    self.books.watch.adopted(replica, effect, 0)

    def send(self, sender: int, receiver: int, message: Message) -> None:
        if sender != receiver:
            self.books.sent.append((sender, receiver, message))
            self.flight.append((receiver, message))

    def deliver(self, receiver: int, message: Message) -> None:
        self.do(receiver, self.node(receiver).receive(message))

    @precondition(lambda self: self.flight)
    @rule(data=st.data(), again=st.booleans())
    def arrive(self, data: st.DataObject, again: bool) -> None:
        at = data.draw(st.integers(0, len(self.flight) - 1))
        receiver, message = self.flight[at] if again else self.flight.pop(at)
        self.deliver(receiver, message)

    @precondition(lambda self: self.flight)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.flight[data.draw(st.integers(0, len(self.flight) - 1))]

    @rule(replica=st.integers(0, 3))
    def execute(self, replica: int) -> None:
        if self.executions[replica]:
            done = self.executions[replica].pop(0)
            answer = self.books.answer(replica, done.block, done.view)
            self.do(replica, self.node(replica).executed(done.block, done.view, answer))

    @rule(steps=st.integers(1, 12), cut_off=CUT_OFF, lost=st.booleans(), idle=CUT_OFF)
    def time_passes(self, steps: int, cut_off: set[int], lost: bool = True, idle: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        """What is in flight arrives, in order, but for those who are cut off; executions end, but for who is slow."""
        for _ in range(steps):
            flight, self.flight = self.flight, []
            for receiver, message in flight:
                if receiver not in cut_off:
                    self.deliver(receiver, message)
                elif not lost:
                    self.flight.append((receiver, message))
            for replica in range(4):
                if replica not in idle:
                    self.execute(replica)

    @rule(replica=st.integers(0, 3))
    def time_out(self, replica: int) -> None:
        if replica in self.waiting:
            self.waiting.discard(replica)
            self.do(replica, self.node(replica).timeout())

    @rule(cut_off=CUT_OFF, steps=st.integers(0, 6))
    def all_time_out(self, cut_off: set[int], steps: int) -> None:
        for _ in range(2):
            for replica in range(4):
                self.time_out(replica)
        self.time_passes(steps, cut_off)

    @rule(kept=st.sampled_from(["prepare", "commit"]), reached=st.sets(st.integers(0, 3), max_size=2))
    def a_view_fails(self, kept: str, reached: set[int]) -> None:
        """The votes of one kind reach only some, and then all ask for the next view."""
        for _ in range(3):
            flight, self.flight = self.flight, []
            for receiver, message in flight:
                if message.kind != kept or receiver in reached:
                    self.deliver(receiver, message)
        self.all_time_out(set(), 4)

    @rule(replica=st.integers(0, LIAR - 1))
    def crash(self, replica: int) -> None:
        self.executions[replica].clear()
        self.waiting.discard(replica)
        self.do(replica, self.node(replica).recover())

    @rule(
        receivers=st.sets(st.integers(0, LIAR - 1), min_size=1),
        at=st.integers(0, LIAR - 1),
        kind=st.sampled_from([Prepare, Commit]),
        empty=st.booleans(),
        further=st.sampled_from([0, 0, 0, 1]),
    )
    def vote(self, receivers: set[int], at: int, kind: Any, empty: bool, further: int) -> None:
        """A vote for the clients' block or an empty one, in the view in which replica `at` stands, or the next."""
        node = self.node(at)
        height = min(node.decided + 1, HEIGHTS)
        block = Block(height, () if empty else (height - 1,))
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, kind(LIAR, node.view + further, height, block.digest))

    @rule(receivers=st.sets(st.integers(0, LIAR - 1), min_size=1), at=st.integers(0, LIAR - 1), data=st.data())
    def tell_a_state(self, receivers: set[int], at: int, data: st.DataObject) -> None:
        """A checkpoint vote for any state that anybody told at that height, or an invented one."""
        height = (self.node(at).executed_height // 2 + data.draw(st.integers(0, 2))) * 2
        told = {m.state for _, _, m in self.books.sent if isinstance(m, Checkpoint) and m.height == height}
        states = [*sorted(told), Snapshot(bytes(32), output("invented"), output("invented"))]
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, Checkpoint(LIAR, height, data.draw(st.sampled_from(states))))

    @rule(receiver=st.integers(0, LIAR - 1), ahead=st.integers(1, 2), empty=st.booleans())
    def propose(self, receiver: int, ahead: int, empty: bool) -> None:
        """The liar's turn, as this receiver sees it or a view later: one block for one and another for the next."""
        node = self.node(receiver)
        view = next(at for at in range(node.view, node.view + 4) if node.config.leader(at) == LIAR)
        height = min(node.decided + ahead, HEIGHTS)
        self.send(LIAR, receiver, PrePrepare(LIAR, view, Block(height, () if empty else (height - 1,))))

    @rule(receiver=st.integers(0, LIAR - 1), hides=st.booleans())
    def ask_for_a_view(self, receiver: int, hides: bool) -> None:
        """A view change that may hide what the liar prepared, to the view after the receiver's."""
        change = replace(self.node(LIAR)._view_change(), view=self.node(receiver).view + 1)
        self.send(LIAR, receiver, replace(change, prepared=() if hides else change.prepared))

    @precondition(lambda self: any(isinstance(message, NewView) for _, _, message in self.books.sent))
    @rule(receiver=st.integers(0, LIAR - 1))
    def begin_its_view_otherwise(self, receiver: int) -> None:
        """A new view of the liar's own, with its own view change bare."""
        own = [m for sender, _, m in self.books.sent if isinstance(m, NewView) and sender == LIAR]
        if own:
            bare = [
                replace(change, prepared=()) if change.sender == LIAR else change for change in own[-1].view_changes
            ]
            self.send(LIAR, receiver, replace(own[-1], view_changes=tuple(bare)))

    @invariant()
    def there_is_one_chain(self) -> None:
        if hasattr(self, "books"):
            self.books.check_no_fork()

    @invariant()
    def two_stable_checkpoints_at_one_height_are_equal(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            stable = self.node(replica).stable
            if stable.height:
                assert self.books.config.quorum.is_quorum(stable.voters)
                assert self.stable.setdefault(stable.height, stable.state) == stable.state

    @invariant()
    def executions_follow_the_order_within_the_window(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            node = self.node(replica)
            assert node.stable.height <= node.executed_height <= node.decided <= node.stable.height + 4

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.books.check()


TestPbftClassicSteps = PbftClassicSteps.TestCase
TestPbftClassicSteps.settings = settings(
    derandomize=True, deadline=None, max_examples=200, stateful_step_count=50, database=None
)
