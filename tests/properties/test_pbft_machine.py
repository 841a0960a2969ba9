"""PBFT step by step: whatever arrives when, one chain of blocks and outputs is decided, and what is prepared binds.

No clock here: any message in flight may arrive next, twice or never, any timer run out, any execution end, any replica
crash and come back; and replica 3 does what the others do, and signs what it likes besides.
`test_pbft_schedules.py` has time, and liveness.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from support.cluster import output
from support.pbft_steps import HEIGHTS, HONEST, LIAR, WINDOW, PbftSteps

from consensus.pbft.messages import (
    GENESIS,
    Checkpoint,
    Commit,
    Decision,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    StableCheckpoint,
    Sync,
    ViewChange,
)
from consensus.protocol import Block, Execute, Message, Pair

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


class PbftStepsWithALiar(PbftSteps):
    """Three honest replicas and one that signs what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.proposals: dict[tuple[int, int, int], Block] = {}

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

    @rule(
        receivers=RECEIVERS,
        at=HONEST,
        ahead=st.integers(1, 6),
        asks=st.sampled_from(["all", "nothing", "more"]),
        at_once=st.booleans(),
    )
    def propose(self, receivers: set[int], at: int, ahead: int, asks: str, at_once: bool) -> None:
        """The liar's turn, as one replica sees it or a view later: one block for some and another for the next."""
        node = self.node(at)
        view = next(later for later in range(node.view, node.view + 4) if node.config.leader(later) == LIAR)
        height = node.decided + ahead
        requests = {"all": (height - 1,), "nothing": (), "more": (height - 1, 99)}[asks]
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, PrePrepare(LIAR, view, Block(height, requests)))
            if at_once:
                self.deliver(*self.flight.pop())

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
        asking = sorted(data.draw(st.permutations(sorted(changes)))[:2])
        own = self.lying_view_change(changes[asking[0]].view, data)
        new_view = NewView(LIAR, own.view, (*(changes[sender] for sender in asking), own))
        for receiver in sorted(receivers):
            self.send(LIAR, receiver, new_view)

    @rule(receiver=HONEST, data=st.data())
    def hand_on(self, receiver: int, data: st.DataObject) -> None:
        """State transfer by the liar: some of what it can prove, what it cannot, and votes in the others' names."""
        node = self.node(receiver)
        height = node.decided + 1
        block = Block(height, (height - 1,))
        invented = output("invented")
        unproven = [StableCheckpoint(height, invented, (0, LIAR)), StableCheckpoint(height, invented, (LIAR,) * 3)]
        stable = data.draw(st.sampled_from([None, *unproven, *self.signed.stable()]))
        decisions = [Decision(node.view, block, invented, (0, LIAR)), *self.signed.decisions()]
        shown = tuple(data.draw(st.permutations(decisions))[: data.draw(st.integers(0, 3))])
        new_view = data.draw(st.sampled_from([None, *self.signed.new_views[-2:]]))
        lie = Pair(block.digest, invented)
        votes = tuple(kind(of, node.view, height, lie) for kind in (Prepare, Commit) for of in (0, 1, 2))
        self.send(LIAR, receiver, Sync(LIAR, node.view, stable, shown, new_view, votes))

    @rule(order=st.permutations(range(LIAR)), steps=st.integers(2, 8), alone=st.booleans())
    def the_liar_leads(self, order: list[int], steps: int, alone: bool) -> None:
        """In the view before, one alone sees a quorum prepare. The liar hides that from another, or from all others."""
        knowing, shown, third = order
        astray = (shown,) if alone else (shown, third, LIAR)

        def is_last_before(message: Message) -> bool:
            return isinstance(message, PrePrepare) and message.view % 4 == LIAR - 1

        for _ in range(4):
            if self.node(shown).view % 4 == LIAR - 1 and self.node(shown).active:
                break
            self.time_all_out()
            self.arrive_in_part(
                2, lambda _, message: isinstance(message, ViewChange | NewView) or is_last_before(message)
            )
        self.arrive_in_part(3, lambda receiver, message: not isinstance(message, Prepare) or receiver == knowing)
        self.time_all_out()
        self.arrive_in_part(1, lambda to, message: isinstance(message, ViewChange) and (alone or to != LIAR))
        view = self.node(shown).view
        changes = [self.signed.changes[view][each] for each in (shown, third) if each in self.signed.changes[view]]
        own = ViewChange(LIAR, view, GENESIS, (), 0, (), (), tuple(range(1, HEIGHTS + 1)))
        for too_few in ((*changes[:1], own), (own, own, own)):
            assert self.node(shown).receive(NewView(LIAR, view, too_few)) == ()
        for replica in astray:
            self.deliver(replica, NewView(LIAR, view, (*changes, own)))
        self.time_passes(steps, set() if alone else {knowing})

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
    def one_proposal_counts_at_each_height_of_a_view(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            node = self.node(replica)
            for height, slot in node._slots.items() if node.active else ():
                if slot.proposal is not None:
                    known = self.proposals.setdefault((replica, node.view, height), slot.proposal)
                    assert known == slot.proposal

    @invariant()
    def who_dissents_has_taken_over(self) -> None:
        for node in map(self.node, range(LIAR)) if hasattr(self, "books") else ():
            if node.config.outvoted == "resync":
                assert not [height for height, slot in node._slots.items() if height <= node.decided and slot.dissents]

    @invariant()
    def who_halted_stands_until_others_have_gone_on(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            assert self.node(replica).halt_at == self.halt_at.get(replica)

    @invariant()
    def a_view_begins_on_the_word_of_a_quorum(self) -> None:
        for node in map(self.node, range(LIAR)) if hasattr(self, "books") else ():
            changes = node._new_view.view_changes if node._new_view is not None else ()
            assert not changes or self.books.config.quorum.is_quorum(change.sender for change in changes)
            for change in changes:
                assert change.sender == LIAR or self.signed.changes[change.view][change.sender] == change

    @invariant()
    def the_latest_certificate_that_a_view_began_with_binds_it(self) -> None:
        for replica in range(LIAR) if hasattr(self, "books") else ():
            node = self.node(replica)
            if not node.active or node.view == 0:
                continue
            if replica in self.halt_at or self.lifted.get(replica) == node.view:
                continue  # it forgets what its view proposes above the height halted at; too few go on to do harm
            self.reached["view begun otherwise by the liar"] += node._new_view.sender == LIAR
            certificates = [each for change in node._new_view.view_changes for each in change.prepared]
            for height, slot in node._slots.items():
                shown = [each for each in certificates if each.block.height == height]
                if shown and slot.prepare_vote is not None:
                    latest = max(shown, key=lambda each: each.view)
                    assert slot.prepare_vote == Pair(latest.block.digest, latest.output)
                    self.reached["pair bound"] += 1
                    own = any(latest in each.prepared for each in node._new_view.view_changes if each.sender != LIAR)
                    self.reached["pair bound by the liar's certificate"] += not own

    def teardown(self) -> None:
        ALL_REACHED.update(self.reached)


ALL_REACHED: Counter[str] = Counter()


def test_no_step_forks_the_chain_and_each_branch_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    ALL_REACHED.clear()
    budget = settings(derandomize=True, deadline=None, max_examples=200, stateful_step_count=50, database=None)
    run_state_machine_as_test(PbftStepsWithALiar, settings=budget)
    with capsys.disabled():
        print("\nPBFT steps:", ", ".join(f"{branch} {ALL_REACHED[branch]}" for branch in BRANCHES))
    assert all(ALL_REACHED[branch] for branch in BRANCHES), f"a branch was never reached: {ALL_REACHED}"
