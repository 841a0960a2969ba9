"""PBFT step by step: whatever arrives when, one chain of blocks and outputs is decided, and what is prepared binds.

No clock here: any message in flight may arrive next, twice or never, any timer run out, any execution end, any replica
crash and come back; and replica 3 does what the others do, and signs what it likes besides.
`test_pbft_schedules.py` has time, and liveness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.cluster import Cluster, output, pbft
from support.pbft_signed import Signed

from consensus.pbft.messages import (
    GENESIS,
    Checkpoint,
    Commit,
    NewView,
    OutputRequest,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Sync,
    ViewChange,
)
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
ALWAYS = st.integers(0, LIAR).map(lambda one: tuple(range(1, HEIGHTS + 1) if at == one else () for at in range(4)))
HONEST = st.integers(0, LIAR - 1)
RECEIVERS = st.sets(HONEST, min_size=1)

BRANCHES = (
    "view begun",
    "view begun otherwise by the liar",
    "pair bound",
    "pair bound by the liar's certificate",
    "ballot split",
    "skip decided",
    "halt",
    "halt lifted",
    "fetched",
    "resync",
    "resync with more above",
    "resync by a late answer",
    "adopted",
)
reached: Counter[str] = Counter()


class PbftSteps(RuleBasedStateMachine):
    """Three honest replicas and a liar. `flight` is what is on its way; the cluster only keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.flight: list[tuple[int, Message]] = []
        self.executions: dict[int, list[Execute]] = {replica: [] for replica in range(4)}
        self.waiting: set[int] = set()
        self.halt_at: dict[int, int] = {}
        self.lifted: dict[int, int] = {}  # the view in which a replica last stood halted and went on
        self.low = [0] * 4  # where the watermarks stood before the last input

    @initialize(
        apart=ONCE | ALWAYS,
        is_split=st.booleans(),
        transient_until=st.sampled_from([1, 2, 99, 99]),
        policy=st.sampled_from(["retry", "skip", "halt"]),
        outvoted=st.sampled_from(["resync", "resync", "stay"]),
        pipeline=st.sampled_from([1, 3, 3]),
    )
    def begin(
        self,
        apart: tuple[Sequence[int], ...],
        is_split: bool,
        transient_until: int,
        policy: Any,
        outvoted: Any,
        pipeline: int,
    ) -> None:
        def answer(replica: int, block: Block, view: int) -> bytes:
            is_apart = block.height in apart[replica] and not block.is_empty and view < transient_until
            return output(f"{block} {is_apart * (1 + is_split * replica)}")

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
                reached["view begun"] += 1
            case Send(_, OutputRequest()):
                assert self.books.config.outvoted == "stay"
                reached["fetched"] += 1
            case Execute(block):
                self.judge_execution(block)
            case Decide():
                self.judge_decision(replica, effect)
            case Adopt(height):
                assert height > max(self.books.decided[replica], default=0)
                self.books.watch.adopted(replica, effect, 0)
                self.lift_halt(replica, height)
                reached["adopted"] += 1
            case Resync():
                self.judge_resync(replica, effect, effects[:at], effects[at + 1 :])
            case Halt(height):
                assert self.books.config.policy == "halt"
                self.halt_at[replica] = height
                reached["halt"] += 1
            case Abandon(_, _, "no quorum possible"):
                reached["ballot split"] += 1

    def judge_vote(self, replica: int, vote: PrePrepare | Prepare | Commit) -> None:
        node = self.node(replica)
        assert self.low[replica] < vote.height <= node.stable.height + WINDOW, "beyond the watermarks"
        assert vote.height < self.halt_at.get(replica, HEIGHTS + 1), "voted where it halted"
        if isinstance(vote, PrePrepare):
            assert vote.block == self.books.source(vote.height)
            assert node.config.leader(vote.view) == replica
            assert vote.height <= node.decided + node.config.pipeline

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
        reached["skip decided"] += decide.block.is_empty and self.books.config.policy == "skip"

    def lift_halt(self, replica: int, height: int) -> None:
        if self.halt_at.get(replica, HEIGHTS + 1) <= height:
            del self.halt_at[replica]
            self.lifted[replica] = self.node(replica).view
            reached["halt lifted"] += 1

    def judge_resync(self, replica: int, resync: Resync, before: tuple[object, ...], after: tuple[object, ...]) -> None:
        decided = self.books.decided[replica]
        assert self.books.config.outvoted == "resync"
        assert resync.height == max(decided, default=0), "not the latest height"
        assert resync.output == decided[resync.height].output
        self.books.watch.resynced(replica, resync, 0)
        reached["resync"] += 1
        reached["resync with more above"] += isinstance(next(iter(after), None), Execute)
        reached["resync by a late answer"] += not any(isinstance(effect, Decide) for effect in before)

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

    @rule(slow=HONEST, steps=st.integers(2, 5), executes=st.integers(0, 3), crashes=st.booleans())
    def a_height_is_overtaken(self, slow: int, steps: int, executes: int, crashes: bool) -> None:
        """One replica hears nothing of its next height for a while, only of those above, and is slow to execute."""
        held: list[tuple[int, Message]] = []
        height = self.node(slow).decided + 1
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

    @rule(order=st.permutations(range(LIAR)), steps=st.integers(2, 8))
    def the_liar_leads(self, order: list[int], steps: int) -> None:
        """In the view before, one alone sees a quorum prepare. Another is shown a new view on the word of the rest."""
        knowing, shown, third = order
        for _ in range(4):
            if self.node(shown).view % 4 == LIAR - 1 and self.node(shown).active:
                break
            self.time_all_out()
            self.arrive_in_part(2, lambda _, message: isinstance(message, ViewChange | NewView))
        self.arrive_in_part(3, lambda receiver, message: not isinstance(message, Prepare) or receiver == knowing)
        self.time_all_out()
        self.arrive_in_part(1, lambda _, message: isinstance(message, ViewChange))
        view = self.node(shown).view
        changes = [self.signed.changes[view][each] for each in (shown, third) if each in self.signed.changes[view]]
        given_up = tuple(range(1, HEIGHTS + 1))
        own = ViewChange(LIAR, view, GENESIS, (), 0, (), (), given_up)
        self.deliver(shown, NewView(LIAR, view, (*changes, own)))
        self.time_passes(steps, set())

    @rule(replica=HONEST)
    def crash(self, replica: int) -> None:
        self.executions[replica].clear()
        self.waiting.discard(replica)
        self.do(replica, self.node(replica).recover())

    # --- the liar -------------------------------------------------------------------------------------------

    @rule(
        receivers=RECEIVERS,
        at=HONEST,
        kind=st.sampled_from([Prepare, Commit]),
        ahead=st.sampled_from([1, 1, 1, 2, 3, 5]),
        further=st.sampled_from([0, 0, 0, 1]),
        data=st.data(),
    )
    def vote(self, receivers: set[int], at: int, kind: Any, ahead: int, further: int, data: st.DataObject) -> None:
        """A vote for a pair that somebody voted for at that height, or an invented one."""
        node = self.node(at)
        height = node.decided + ahead
        seen = {pair for of, _, pair in self.signed.prepares if of == height}
        invented = Pair(Block(height, (height - 1,)).digest, output("invented"))
        pair = data.draw(st.sampled_from([*sorted(seen), invented]))
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, kind(LIAR, node.view + further, height, pair))

    @rule(receivers=RECEIVERS, at=HONEST, ahead=st.integers(1, 6), asks=st.sampled_from(["all", "nothing", "more"]))
    def propose(self, receivers: set[int], at: int, ahead: int, asks: str) -> None:
        """The liar's turn, as one replica sees it or a view later: one block for some and another for the next."""
        node = self.node(at)
        view = next(later for later in range(node.view, node.view + 4) if node.config.leader(later) == LIAR)
        height = node.decided + ahead
        requests = {"all": (height - 1,), "nothing": (), "more": (height - 1, 99)}[asks]
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, PrePrepare(LIAR, view, Block(height, requests)))

    @rule(receivers=RECEIVERS, at=HONEST, data=st.data())
    def tell_a_state(self, receivers: set[int], at: int, data: st.DataObject) -> None:
        """A checkpoint vote for any state that anybody told, or an invented one."""
        ahead = (self.node(at).decided // 2 + data.draw(st.integers(0, 4))) * 2
        height, state = data.draw(st.sampled_from([*sorted(self.signed.states), (ahead, output("invented"))]))
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, Checkpoint(LIAR, height, state))

    def lying_view_change(self, view: int, data: st.DataObject) -> ViewChange:
        """With some of the certificates that it can have, and its word on what was begun and given up."""
        stable = data.draw(st.sampled_from([GENESIS, *self.signed.stable()]))
        heights = range(stable.height + 1, stable.height + WINDOW + 1)
        prepared = [each for each in self.signed.prepared(view) if each.block.height in heights]
        shown = data.draw(st.sampled_from(["none", "all", "some"]))
        if shown == "some" and prepared:
            prepared = [data.draw(st.sampled_from(prepared))]
        begun = data.draw(st.sampled_from([(), tuple(Block(height, (height - 1,)) for height in heights)]))
        return ViewChange(
            sender=LIAR,
            view=view,
            stable=stable,
            checkpoints=(),
            decided=stable.height,
            prepared=() if shown == "none" else tuple(prepared),
            started=data.draw(st.sampled_from([begun, tuple(Block(height, ()) for height in heights)])),
            abandoned=tuple(data.draw(st.sampled_from([(), heights]))),
        )

    @rule(receivers=RECEIVERS, at=HONEST, further=st.sampled_from([1, 1, 1, 2, 9]), data=st.data())
    def ask_for_a_view(self, receivers: set[int], at: int, further: int, data: st.DataObject) -> None:
        change = self.lying_view_change(self.node(at).view + further, data)
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, change)

    @rule(receiver=HONEST, flaw=st.sampled_from(["no quorum", "too late", "too far"]))
    def ask_with_a_certificate_that_does_not_hold(self, receiver: int, flaw: str) -> None:
        """It is refused, and changes nothing."""
        node = self.node(receiver)
        view, height = node.view + 1, 1 + WINDOW if flaw == "too far" else 1
        voters = (0, 0, LIAR) if flaw == "no quorum" else (0, 1, LIAR)
        forged = PreparedCertificate(view if flaw == "too late" else 0, Block(height, ()), output("invented"), voters)
        change = ViewChange(LIAR, view, GENESIS, (), 0, (forged,), (), (height,))
        before = deepcopy(node)
        assert node.receive(change) == ()
        assert node == before

    @precondition(lambda self: any(len(changes) > 1 for view, changes in self.signed.changes.items() if view % 4 == 3))
    @rule(receivers=RECEIVERS, data=st.data(), recently=st.booleans())
    def begin_its_view_otherwise(self, receivers: set[int], data: st.DataObject, recently: bool) -> None:
        """A new view of the liar's own, on the word of some who asked for it, and its own lies."""
        views = sorted(view for view, said in self.signed.changes.items() if view % 4 == LIAR and len(said) > 1)
        changes = self.signed.changes[views[-1] if recently else data.draw(st.sampled_from(views))]
        two = sorted(data.draw(st.permutations(sorted(changes)))[:2])
        own = self.lying_view_change(changes[two[0]].view, data)
        new_view = NewView(LIAR, own.view, (*(changes[sender] for sender in two), own))
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, new_view)

    @rule(receiver=HONEST, data=st.data())
    def hand_on(self, receiver: int, data: st.DataObject) -> None:
        """State transfer by the liar: some of what it can prove, and votes of its own with another's among them."""
        stable = data.draw(st.sampled_from([None, *self.signed.stable()]))
        decisions = self.signed.decisions()
        shown = tuple(data.draw(st.permutations(decisions))[: data.draw(st.integers(0, 3))])
        new_view = data.draw(st.sampled_from([None, *self.signed.new_views[-2:]]))
        node = self.node(receiver)
        lie = Pair(Block(node.decided + 1, ()).digest, output("invented"))
        votes = tuple(kind(of, node.view, node.decided + 1, lie) for kind in (Prepare, Commit) for of in (0, 1, 2))
        self.send(LIAR, receiver, Sync(LIAR, node.view, stable, shown, new_view, votes))

    # --- what must hold -------------------------------------------------------------------------------------

    @invariant()
    def there_is_one_chain(self) -> None:
        if hasattr(self, "books"):
            self.books.check_no_fork()

    @invariant()
    def certificates_were_signed_by_those_they_name(self) -> None:
        for node in map(self.node, range(LIAR)) if hasattr(self, "books") else ():
            stable, quorum = node.stable, self.books.config.quorum
            assert stable == GENESIS or quorum.is_quorum(stable.voters)
            assert self.signed.states[stable.height, stable.state] | {LIAR} >= set(stable.voters)
            for height, slot in node._slots.items():
                if (sure := slot.prepared) is not None:
                    assert quorum.is_quorum(sure.voters)
                    pair = Pair(sure.block.digest, sure.output)
                    assert self.signed.prepares[height, sure.view, pair] | {LIAR} >= set(sure.voters)

    @invariant()
    def each_replica_stays_between_its_watermarks(self) -> None:
        for node in map(self.node, range(LIAR)) if hasattr(self, "books") else ():
            low = node.stable.height
            assert low <= node.decided <= low + WINDOW
            assert all(low < height <= low + WINDOW for height in node._slots)

    @invariant()
    def what_waits_for_an_answer_is_being_executed(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            node = self.node(replica)
            for slot in node._slots.values() if node.active else ():
                if slot.awaits_execution:
                    assert Execute(slot.proposal, node.view) in self.executions[replica]

    @invariant()
    def the_latest_certificate_that_a_view_began_with_binds_it(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            node = self.node(replica)
            if not node.active or node.view == 0:
                continue
            if replica in self.halt_at or self.lifted.get(replica) == node.view:
                continue  # it forgets what its view proposes above the height halted at; too few go on to do harm
            reached["view begun otherwise by the liar"] += node._new_view.sender == LIAR
            certificates = [each for change in node._new_view.view_changes for each in change.prepared]
            for height, slot in node._slots.items():
                shown = [each for each in certificates if each.block.height == height]
                if shown and slot.prepare_vote is not None:
                    latest = max(shown, key=lambda each: each.view)
                    assert slot.prepare_vote == Pair(latest.block.digest, latest.output)
                    reached["pair bound"] += 1
                    own = any(latest in each.prepared for each in node._new_view.view_changes if each.sender != LIAR)
                    reached["pair bound by the liar's certificate"] += not own


def test_no_step_forks_the_chain_and_each_branch_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    reached.clear()
    budget = settings(derandomize=True, deadline=None, max_examples=200, stateful_step_count=50, database=None)
    run_state_machine_as_test(PbftSteps, settings=budget)
    with capsys.disabled():
        print("\nPBFT steps:", ", ".join(f"{branch} {reached[branch]}" for branch in BRANCHES))
    assert all(reached[branch] for branch in BRANCHES), f"a branch was never reached: {reached}"
