"""ICP step by step: whatever arrives when, one chain is final, and votes are those that ICC0 allows.

No clock here: any message in flight may arrive next, twice or never, any timer run out, any execution end, any replica
crash and come back; and replica 3 does what the others do, and signs what it likes besides.
`test_icp_schedules.py` has time, and liveness.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.cluster import output
from support.icp_cluster import IcpCluster, icp
from support.icp_liar import rival

from consensus.icp.messages import CertificationShare, FinalizationShare, NotarizationShare, Proposal
from consensus.protocol import (
    Adopt,
    Block,
    Broadcast,
    CancelTimer,
    Certify,
    Decide,
    Execute,
    Message,
    Resync,
    Send,
    SetTimer,
)

LIAR = 3
HEIGHTS = 8

CUT_OFF = st.sampled_from([set[int]()] * 4 + [{one} for one in range(4)] + [{0, 1}, {1, 2}, {0, 2}])


class IcpSteps(RuleBasedStateMachine):
    """Three honest replicas and a liar. `flight` is what is on its way; the cluster only keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.flight: list[tuple[int, Message]] = []
        self.executions: dict[int, list[Execute]] = {replica: [] for replica in range(4)}
        self.waiting: set[int] = set()

    @initialize(
        apart=st.tuples(*[st.sampled_from([0, 0, 1, 2])] * 4),
        outvoted=st.sampled_from(["resync", "resync", "stay"]),
        cup_interval=st.sampled_from([1, 3, 500]),
        seed=st.binary(max_size=1),
    )
    def begin(self, apart: tuple[int, ...], outvoted: Any, cup_interval: int, seed: bytes) -> None:
        def answer(replica: int, block: Block, view: int) -> bytes:
            return output(f"{block} {block.height == apart[replica]}")

        config = icp(outvoted=outvoted, cup_interval=cup_interval, certified_gap_max=5, cup_gap_max=5, beacon_seed=seed)
        self.books = IcpCluster(config, blocks=HEIGHTS, answer=answer, behaviours={LIAR: "silent"})
        for replica in range(4):
            self.do(replica, self.node(replica).start())

    def do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(message):
                    for receiver in range(4):
                        self.send(replica, receiver, message)
                case Send(receiver, message):
                    assert receiver != replica, "asked itself"
                    self.send(replica, receiver, message)
                case Execute():
                    self.executions[replica].append(effect)
                case Resync():
                    self.executions[replica].clear()
                case SetTimer(duration_ns):
                    assert duration_ns > 0
                    self.waiting.add(replica)
                case CancelTimer():
                    self.waiting.discard(replica)
                case Decide(block) if replica != LIAR:
                    assert block.height not in self.books.decided[replica]
                    self.books.decided[replica][block.height] = effect
                    self.books.watch.decided(replica, effect, 0)
                case Adopt() if replica != LIAR:
                    self.books.watch.adopted(replica, effect, 0)
                case Certify(height) if replica != LIAR:
                    assert max(self.books.certified[replica], default=0) < height <= self.node(replica).decided
                    self.books.certified[replica][height] = effect

    def send(self, sender: int, receiver: int, message: Message) -> None:
        if sender != receiver:
            self.books.sent.append((sender, receiver, message))
            self.flight.append((receiver, message))

    def node(self, replica: int) -> Any:
        return self.books.inner[replica]

    @precondition(lambda self: self.flight)
    @rule(data=st.data(), again=st.booleans())
    def arrive(self, data: st.DataObject, again: bool) -> None:
        at = data.draw(st.integers(0, len(self.flight) - 1))
        receiver, message = self.flight[at] if again else self.flight.pop(at)
        self.do(receiver, self.node(receiver).receive(message))

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

    @rule(steps=st.integers(1, 8), cut_off=CUT_OFF, lost=st.booleans())
    def time_passes(self, steps: int, cut_off: set[int], lost: bool) -> None:
        """What is in flight arrives, in order, but for those who are cut off; executions end."""
        for _ in range(steps):
            flight, self.flight = self.flight, []
            for receiver, message in flight:
                if receiver not in cut_off:
                    self.do(receiver, self.node(receiver).receive(message))
                elif not lost:
                    self.flight.append((receiver, message))
            for replica in range(4):
                self.execute(replica)

    @rule(replica=st.integers(0, 3))
    def time_out(self, replica: int) -> None:
        if replica in self.waiting:
            self.waiting.discard(replica)
            self.do(replica, self.node(replica).timeout())

    @rule(cut_off=CUT_OFF, steps=st.integers(0, 8))
    def all_time_out(self, cut_off: set[int], steps: int) -> None:
        for replica in range(4):
            self.time_out(replica)
        self.time_passes(steps, cut_off, lost=True)

    @rule(replica=st.integers(0, LIAR - 1))
    def crash(self, replica: int) -> None:
        self.executions[replica].clear()
        self.waiting.discard(replica)
        self.do(replica, self.node(replica).recover())

    @rule(
        receivers=st.sets(st.integers(0, LIAR - 1), min_size=1),
        at=st.integers(0, LIAR - 1),
        is_final=st.booleans(),
        data=st.data(),
    )
    def vote_for_anything(self, receivers: set[int], at: int, is_final: bool, data: st.DataObject) -> None:
        """A share for a block that somebody made, of the round of replica `at` or of one that it may still finalize."""
        node = self.node(at)
        heights = range(node.decided + 1, node.height + 1)
        seen = {m.block.id: m.block for m in self.books.said() if isinstance(m, Proposal) and m.height in heights}
        if not seen:
            return
        block = seen[data.draw(st.sampled_from(sorted(seen)))]
        share: Message = NotarizationShare(LIAR, block.height, block.rank, block.id)
        if is_final:
            share = FinalizationShare(LIAR, block.height, block.id)
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, share)

    @rule(receivers=st.sets(st.integers(0, LIAR - 1), min_size=1), data=st.data())
    def make_a_rival(self, receivers: set[int], data: st.DataObject) -> None:
        """The liar's own block of some round, without its requests."""
        own = [m for m in self.books.said() if isinstance(m, Proposal) and m.sender == LIAR]
        if own:
            lie = rival(data.draw(st.sampled_from(own[-6:])))
            for receiver in sorted(receivers):
                self.send(LIAR, receiver, lie)

    @rule(receiver=st.integers(0, LIAR - 1), ahead=st.integers(0, 3))
    def claim_an_output(self, receiver: int, ahead: int) -> None:
        height = self.node(receiver).certified + ahead
        self.send(LIAR, receiver, CertificationShare(LIAR, height, output("invented")))

    @invariant()
    def nobody_forks(self) -> None:
        if hasattr(self, "books"):
            self.books.check_no_fork()
            self.books.check_certified()

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            node = self.node(replica)
            assert node.decided < node.height
            assert node.certified <= node.decided
            assert all(node.decided < height <= node.height + 4 for height in node._rounds)

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.books.check_honest_votes()


TestIcpSteps = IcpSteps.TestCase
TestIcpSteps.settings = settings(
    derandomize=True, deadline=None, max_examples=200, stateful_step_count=60, database=None
)
