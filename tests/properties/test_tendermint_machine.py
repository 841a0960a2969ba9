"""Tendermint step by step: whatever arrives when, agreement holds and locks are kept.

No clock here: any message in flight may arrive next, twice or never, any timer run out, any execution end, any replica
crash and come back; and replica 3 does what the others do, and signs what it likes besides.
`test_tendermint_schedules.py` has time, and liveness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from support.cluster import output
from support.tendermint_cluster import TendermintCluster, tendermint

from consensus.protocol import Block, Broadcast, CancelTimer, Certify, Decide, Execute, Message, Resync, Send, SetTimer
from consensus.tendermint.messages import Precommit, Prevote, Proposal, Status, Sync, Value

LIAR = 3
HEIGHTS = 3


CUT_OFF = st.sampled_from([set[int]()] * 4 + [{one} for one in range(4)] + [{0, 1}, {1, 2}, {0, 2}])


class TendermintSteps(RuleBasedStateMachine):
    """Three honest replicas and a liar. `flight` is what is on its way; the cluster only keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.flight: list[tuple[int, Message]] = []
        self.executions: dict[int, list[Execute]] = {replica: [] for replica in range(4)}
        self.waiting: set[int] = set()

    @initialize(
        digest=st.sampled_from(["next-header", "proposal"]),
        apart=st.tuples(*[st.sampled_from([0, 0, 1, 2])] * 4),
        by_round=st.sampled_from([True, True, False]),
        outvoted=st.sampled_from(["halt", "resync"]),
    )
    def begin(self, digest: Any, apart: tuple[int, ...], by_round: bool, outvoted: Any) -> None:
        def answer(replica: int, block: Block, view: int) -> bytes:
            return output(f"{block} {view if by_round else 0} {block.height == apart[replica]}")

        self.books = TendermintCluster(
            tendermint(digest=digest, outvoted=outvoted), blocks=HEIGHTS, answer=answer, behaviours={LIAR: "silent"}
        )
        for replica in range(4):
            self.do(replica, self.books.inner[replica].start())

    def do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(message):
                    for receiver in range(4):
                        self.send(replica, receiver, message)
                case Send(receiver, message):
                    self.send(replica, receiver, message)
                case Execute(block, view):
                    self.executions[replica].append(effect)
                    self.books.executions.append((replica, block, view))
                case SetTimer():
                    self.waiting.add(replica)
                case CancelTimer():
                    self.waiting.discard(replica)
                case Decide(block) if replica != LIAR:
                    assert block.height not in self.books.decided[replica]
                    self.books.decided[replica][block.height] = effect
                    self.books.watch.decided(replica, effect, 0)
                case Certify() if replica != LIAR:
                    self.books.certified[replica].append(effect)
                case Resync():
                    self.executions[replica].clear()
                    self.books.resynced[replica].append(effect)

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
    def time_passes(self, steps: int, cut_off: set[int], lost: bool = True) -> None:
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

    @rule(locking=st.sets(st.integers(0, LIAR - 1), max_size=2))
    def a_round_fails(self, locking: set[int]) -> None:
        """A whole round, in which some see a polka and lock; a lost vote and the liar's nil keep it from all others."""

        def arrives(receiver: int, message: Message) -> Message | None:
            is_vote = isinstance(message, Prevote | Precommit)
            is_shown = receiver in locking and isinstance(message, Prevote)
            is_lost = isinstance(message, Prevote) and message.sender == (receiver + 1) % LIAR
            if isinstance(message, Status | Sync) or (is_lost and not is_shown):
                return None
            return replace(message, value=None) if is_vote and message.sender == LIAR and not is_shown else message

        for steps in (4, 2):
            for _ in range(steps):
                flight, self.flight = self.flight, []
                for receiver, message in flight:
                    arriving = arrives(receiver, message)
                    if arriving is not None:
                        self.do(receiver, self.node(receiver).receive(arriving))
                for replica in range(4):
                    self.execute(replica)
            for replica in range(4):
                self.time_out(replica)

    @rule(cut_off=CUT_OFF, steps=st.integers(0, 8))
    def all_time_out(self, cut_off: set[int], steps: int) -> None:
        for replica in range(4):
            self.time_out(replica)
        self.time_passes(steps, cut_off)

    @rule(replica=st.integers(0, LIAR - 1))
    def crash(self, replica: int) -> None:
        self.executions[replica].clear()
        self.waiting.discard(replica)
        self.do(replica, self.node(replica).recover())

    @rule(
        receivers=st.sets(st.integers(0, LIAR - 1), min_size=1),
        at=st.integers(0, LIAR - 1),
        kind=st.sampled_from([Prevote, Precommit]),
        later=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 6]),
        data=st.data(),
        cut_off=CUT_OFF,
    )
    def lie(
        self,
        receivers: set[int],
        at: int,
        kind: Callable[..., Message],
        later: int,
        data: st.DataObject,
        cut_off: set[int],
    ) -> None:
        """A vote for nil or what was proposed, where replica `at` stands or later."""
        node = self.node(at)
        height, round_ = node.decided + 1, node.view + later
        seen = {m.value.id for m in self.books.said() if isinstance(m, Proposal) and m.height == height}
        value = data.draw(st.sampled_from([None, *sorted(seen)]))
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, kind(LIAR, height, round_, value))
        self.time_passes(1, cut_off)

    @rule(receiver=st.integers(0, LIAR - 1), empty=st.booleans(), data=st.data())
    def propose(self, receiver: int, empty: bool, data: st.DataObject) -> None:
        """The liar's turn, as this receiver sees it, or a later one of its turns: one block, another, or an old one."""
        node = self.node(receiver)
        height = node.decided + 1
        turns = (at for at in range(node.view, node.view + 4) if node.config.proposer(height, at) == LIAR)
        round_ = next(turns)
        seen = [m for m in self.books.said() if isinstance(m, Proposal) and m.height == height]
        digests = sorted({m.value.digest for m in seen}) or [output("invented")]
        block = Block(height, () if empty else (height - 1,))
        lie = Proposal(LIAR, round_, Value(block, data.draw(st.sampled_from(digests)), node.state), -1, ())
        with_polka = [m for m in seen if -1 < m.valid_round < round_]
        if with_polka and data.draw(st.booleans()):
            old = data.draw(st.sampled_from(with_polka))
            lie = Proposal(LIAR, round_, old.value, old.valid_round, old.polka)
        self.send(LIAR, receiver, lie)

    @invariant()
    def nobody_forks(self) -> None:
        if hasattr(self, "books"):
            self.books.check_no_fork()

    @invariant()
    def a_lock_is_never_older_than_the_valid_value(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            state = self.node(replica).round_state
            assert state.locked_round <= state.valid_round <= max(state.round, -1)

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.books.check_honest_votes()
            self.books.check_outvoted()


TestTendermintSteps = TendermintSteps.TestCase
TestTendermintSteps.settings = settings(
    derandomize=True, deadline=None, max_examples=200, stateful_step_count=60, database=None
)
