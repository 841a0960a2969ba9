"""The steps of PBFT replicas without a clock, and what an honest one may do in each; the liar's are up to a test.

Any message in flight may arrive next, twice or never, any timer run out, any execution end, any replica crash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.cluster import Cluster, output, pbft
from support.pbft_signed import Signed

from consensus.pbft.messages import Commit, NewView, OutputRequest, Prepare, PrePrepare
from consensus.protocol import (
    Abandon,
    Adopt,
    Block,
    Broadcast,
    CancelTimer,
    Decide,
    Execute,
    Halt,
    Message,
    Pair,
    Resync,
    Send,
    SetTimer,
)

LIAR = 3
HEIGHTS = 24
WINDOW = 4

CUT_OFF = st.sampled_from([set[int]()] * 4 + [{one} for one in range(4)] + [{0, 1}, {1, 2}, {0, 2}])
ONCE = st.tuples(*[st.sampled_from([(), (), (1,), (2,), (3,)])] * 4)
ALWAYS = st.integers(0, LIAR - 1).map(lambda one: tuple(range(1, HEIGHTS + 1) if at == one else () for at in range(4)))
HONEST = st.integers(0, LIAR - 1)


class PbftSteps(RuleBasedStateMachine):
    """Three honest replicas and a liar. `flight` is what is on its way; the cluster only keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: Counter[str] = Counter()
        self.flight: list[tuple[int, Message]] = []
        self.executions: dict[int, list[Execute]] = {replica: [] for replica in range(4)}
        self.waiting: set[int] = set()
        self.halt_at: dict[int, int] = {}
        self.lifted: dict[int, int] = {}  # the view in which a replica last stood halted and went on
        self.low = [0] * 4  # where the watermarks stood before the last input

    @initialize(
        apart=ONCE | ALWAYS,
        is_split=st.booleans(),
        is_by_view=st.booleans(),
        transient_until=st.sampled_from([1, 2, 99, 99]),
        policy=st.sampled_from(["retry", "skip", "halt", "halt"]),
        outvoted=st.sampled_from(["resync", "resync", "stay"]),
        pipeline=st.sampled_from([1, 3, 3]),
    )
    def begin(
        self,
        apart: tuple[Sequence[int], ...],
        is_split: bool,
        is_by_view: bool,
        transient_until: int,
        policy: Any,
        outvoted: Any,
        pipeline: int,
    ) -> None:
        def answer(replica: int, block: Block, view: int) -> bytes:
            is_apart = block.height in apart[replica] and not block.is_empty and view < transient_until
            return output(f"{block} {view * is_by_view} {is_apart * (1 + is_split * replica)}")

        config = pbft(
            policy=policy, outvoted=outvoted, pipeline=pipeline, checkpoint_interval=2, watermark_window=WINDOW
        )
        self.books = Cluster(config, blocks=HEIGHTS, answer=answer, behaviours={LIAR: "silent"})
        self.signed = Signed(config.quorum, LIAR)
        for replica in range(4):
            self.do(replica, self.node(replica).start())

    def node(self, replica: int) -> Any:
        return self.books.inner[replica]

    # --- what follows from an input -------------------------------------------------------------------------

    def do(self, replica: int, effects: tuple[object, ...]) -> None:
        for at, effect in enumerate(effects):
            match effect:
                case Broadcast(message):
                    for receiver in range(4):
                        self.send(replica, receiver, message)
                case Send(receiver, message):
                    assert receiver != replica, "asked itself"
                    self.send(replica, receiver, message)
                case Execute():
                    self.executions[replica].append(effect)
                case SetTimer():
                    self.waiting.add(replica)
                case CancelTimer():
                    self.waiting.discard(replica)
                case Resync():
                    self.executions[replica].clear()
            if replica != LIAR:
                self.judge(replica, effects, at)
        self.low[replica] = self.node(replica).stable.height

    def send(self, sender: int, receiver: int, message: Message) -> None:
        if sender != receiver:
            self.signed.note(message)
            self.flight.append((receiver, message))

    def judge(self, replica: int, effects: tuple[object, ...], at: int) -> None:
        """May an honest replica do this?"""
        match effect := effects[at]:
            case Broadcast(PrePrepare() | Prepare() | Commit() as vote):
                self.judge_vote(replica, vote)
            case Broadcast(NewView()):
                self.reached["view begun"] += 1
            case Send(_, OutputRequest()):
                assert self.books.config.outvoted == "stay"
                self.reached["fetched"] += 1
            case Execute(block):
                self.judge_execution(block)
            case Decide():
                self.judge_decision(replica, effect)
            case Adopt(height):
                assert height > max(self.books.decided[replica], default=0)
                self.books.watch.adopted(replica, effect, 0)
                self.lift_halt(replica, height)
                self.reached["adopted"] += 1
            case Resync():
                self.judge_resync(replica, effect, effects[:at], effects[at + 1 :])
            case Halt(height):
                assert self.books.config.policy == "halt"
                self.halt_at[replica] = height
                self.reached["halt"] += 1
            case Abandon(_, _, "no quorum possible"):
                self.reached["ballot split"] += 1

    def judge_vote(self, replica: int, vote: PrePrepare | Prepare | Commit) -> None:
        node = self.node(replica)
        assert self.low[replica] < vote.height <= node.stable.height + WINDOW, "beyond the watermarks"
        assert vote.height < self.halt_at.get(replica, HEIGHTS + 1), "voted where it halted"
        if isinstance(vote, PrePrepare):
            assert vote.block == self.books.source(vote.height)
            assert node.config.leader(vote.view) == replica
            assert vote.height <= node.decided + node.config.pipeline
        slot = node._slots.get(vote.height)
        if isinstance(vote, Prepare) and slot is not None and slot.bound_output is None and vote.view == node.view:
            assert vote.pair.output == self.books.answer(replica, slot.proposal, vote.view), "another attempt's answer"

    def judge_execution(self, block: Block) -> None:
        is_skip = block.is_empty and self.books.config.policy == "skip"
        assert 1 <= block.height <= HEIGHTS
        assert block.is_empty or block == self.books.source(block.height), "no client asked for it"
        assert is_skip or block.digest in self.signed.blocks, "nobody proposed it"

    def judge_decision(self, replica: int, decide: Decide) -> None:
        height, decided = decide.block.height, self.books.decided[replica]
        pair = Pair(decide.block.digest, decide.output)
        assert height not in decided
        assert self.books.config.quorum.is_quorum(decide.voters)
        assert self.signed.commits[height, decide.view, pair] | {LIAR} >= set(decide.voters), (
            "who never committed to it"
        )
        decided[height] = decide
        self.books.watch.decided(replica, decide, 0)
        self.lift_halt(replica, height)
        self.reached["skip decided"] += decide.block.is_empty and self.books.config.policy == "skip"

    def lift_halt(self, replica: int, height: int) -> None:
        if self.halt_at.get(replica, HEIGHTS + 1) <= height:
            del self.halt_at[replica]
            self.lifted[replica] = self.node(replica).view
            self.reached["halt lifted"] += 1

    def judge_resync(self, replica: int, resync: Resync, before: tuple[object, ...], after: tuple[object, ...]) -> None:
        decided = self.books.decided[replica]
        assert self.books.config.outvoted == "resync"
        assert resync.height == max(decided, default=0), "not the latest height"
        assert resync.output == decided[resync.height].output
        self.books.watch.resynced(replica, resync, 0)
        self.reached["resync"] += 1
        self.reached["resync with more above"] += isinstance(next(iter(after), None), Execute)
        self.reached["resync by a late answer"] += not any(isinstance(effect, Decide) for effect in before)

    # --- the world ------------------------------------------------------------------------------------------

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
    def arrive_at_a_copy_too(self, data: st.DataObject) -> None:
        """What a copy is told, the replica does not hear; told the same, both do the same."""
        receiver, message = self.flight.pop(data.draw(st.integers(0, len(self.flight) - 1)))
        node, before, copy = self.node(receiver), deepcopy(self.node(receiver)), deepcopy(self.node(receiver))
        effects = copy.receive(message)
        assert node == before
        assert node.receive(message) == effects
        assert node == copy
        self.do(receiver, effects)

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

    @rule(steps=st.integers(1, 8), cut_off=CUT_OFF, lost=st.booleans(), idle=CUT_OFF)
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

    @rule(
        slow=HONEST,
        steps=st.integers(2, 6),
        executes=st.integers(0, 3),
        crashes=st.sampled_from([False, False, True]),
        is_overtaken=st.booleans(),
    )
    def one_is_slow(self, slow: int, steps: int, executes: int, crashes: bool, is_overtaken: bool) -> None:
        """One replica executes late, and may hear nothing of its next height for a while, only of those above."""
        held: list[tuple[int, Message]] = []
        height = self.node(slow).decided + 1 if is_overtaken else None
        for _ in range(steps):
            held += [(to, message) for to, message in self.flight if to == slow and message.height == height]
            self.flight = [(to, message) for to, message in self.flight if to != slow or message.height != height]
            self.time_passes(1, set(), idle={slow})
        for _ in range(executes):
            self.execute(slow)
        if crashes:
            self.crash(slow)
        self.flight += held

    @rule(replica=st.integers(0, 3))
    def time_out(self, replica: int) -> None:
        if replica in self.waiting:
            self.waiting.discard(replica)
            self.do(replica, self.node(replica).timeout())

    def time_all_out(self) -> None:
        """First they ask what they missed, and then for the next view."""
        for _ in range(2):
            for replica in range(4):
                self.time_out(replica)

    @rule(cut_off=CUT_OFF, steps=st.integers(0, 6))
    def all_time_out(self, cut_off: set[int], steps: int) -> None:
        self.time_all_out()
        self.time_passes(steps, cut_off)

    def arrive_in_part(self, steps: int, arrives: Callable[[int, Message], bool]) -> None:
        for _ in range(steps):
            flight, self.flight = self.flight, []
            for receiver, message in flight:
                if arrives(receiver, message):
                    self.deliver(receiver, message)
            for replica in range(4):
                self.execute(replica)

    @rule(kind=st.sampled_from(["prepare", "commit"]), knowing=st.sets(st.integers(0, 3), max_size=2))
    def a_view_fails(self, kind: str, knowing: set[int]) -> None:
        """The votes of one kind reach only some, and then all ask for the next view."""
        self.arrive_in_part(3, lambda receiver, message: message.kind != kind or receiver in knowing)
        self.all_time_out(set(), 4)

    @rule(replica=HONEST)
    def crash(self, replica: int) -> None:
        self.executions[replica].clear()
        self.waiting.discard(replica)
        self.do(replica, self.node(replica).recover())
