"""What a new view begins with: certificates bind, the policy acts on what was given up, and liars gain nothing."""

from __future__ import annotations

import pytest
from support.solo import Solo

from consensus.pbft.messages import GENESIS, Commit, NewView, Prepare, Sync, ViewChange
from consensus.pbft.new_view import Policy, Reproposal, begins_view, plan_new_view
from consensus.protocol import Adopt, Block, Execute, Halt


@pytest.mark.parametrize("policy", ["retry", "skip", "halt"])
def test_a_certificate_binds_block_and_output_whatever_the_policy(policy: Policy) -> None:
    solo = Solo()
    changes = (
        solo.view_change(0, prepared=(solo.certificate(1, name="certified"),), abandoned=(1,)),
        solo.view_change(1, started=(solo.block(1),), abandoned=(1,)),
        solo.view_change(2, started=(solo.block(1),), abandoned=(1,)),
    )
    plan = plan_new_view(changes, solo.config.quorum, policy, solo.source)
    assert plan.reproposals == (Reproposal(solo.block(1), solo.pair(1, "certified").output),)
    assert plan.halt_at is None


def test_of_two_certificates_the_later_view_s_binds_since_the_earlier_was_not_decided() -> None:
    solo = Solo()
    changes = (
        solo.view_change(0, 3, prepared=(solo.certificate(1, view=2, name="later"),)),
        solo.view_change(1, 3, prepared=(solo.certificate(1, view=0, name="stale"),)),
        solo.view_change(2, 3),
    )
    for order in (changes, changes[::-1]):
        plan = plan_new_view(order, solo.config.quorum, "retry", solo.source)
        assert [each.output for each in plan.reproposals] == [solo.pair(1, "later").output]


def test_a_certificate_of_the_view_that_is_asked_for_or_beyond_is_refused() -> None:
    solo = Solo()
    honest = tuple(solo.view_change(sender) for sender in (1, 2))
    for view, holds in ((0, True), (1, False), (7, False)):
        liar = solo.view_change(0, 1, prepared=(solo.certificate(1, view=view),))
        assert begins_view(1, (liar, *honest), solo.config.quorum, 8) is holds


@pytest.mark.parametrize(
    "said",
    [
        lambda solo: {"prepared": (solo.certificate(1, voters=(0, 1)),)},
        lambda solo: {"prepared": (solo.certificate(9),)},
        lambda solo: {"stable": solo.stable(4), "prepared": (solo.certificate(4),)},
        lambda solo: {"stable": solo.stable(4, voters=(0, 1))},
        lambda solo: {"started": (Block(9, (8,)),)},
    ],
    ids=["no quorum", "above the watermarks", "below them", "no stable quorum", "started above"],
)
def test_a_view_change_whose_certificates_do_not_hold_begins_nothing(said: object) -> None:
    solo = Solo()
    liar = solo.view_change(0, **said(solo))  # type: ignore[operator]
    assert not begins_view(1, (liar, solo.view_change(1), solo.view_change(2)), solo.config.quorum, 8)
    assert begins_view(1, (solo.view_change(0), solo.view_change(1), solo.view_change(2)), solo.config.quorum, 8)


def test_one_sender_twice_is_no_quorum() -> None:
    solo = Solo()
    changes = (solo.view_change(0), solo.view_change(0, decided=1), solo.view_change(1))
    assert not begins_view(1, changes, solo.config.quorum, 8)


def test_who_asks_for_a_later_view_does_not_help_to_begin_this_one() -> None:
    solo = Solo(replica=1)
    changes = (solo.view_change(0), solo.view_change(2, 2), solo.view_change(3))
    assert not begins_view(1, changes, solo.config.quorum, 8)
    solo.timeout()
    solo.timeout()
    solo.hear(*changes[:2])
    assert solo.said(NewView) == []
    solo.hear(changes[2])
    (begun,) = solo.said(NewView)
    assert [change.sender for change in begun.view_changes] == [0, 1, 3]


def test_only_the_leader_of_a_view_begins_it() -> None:
    solo = Solo()
    message = solo.new_view(*(solo.view_change(sender) for sender in (0, 1, 2)))
    solo.hear(type(message)(2, 1, message.view_changes))
    assert solo.protocol.view == 0
    solo.hear(message)
    assert solo.protocol.view == 1


@pytest.mark.parametrize(
    ("policy", "reproposed", "halt_at"),
    [
        ("retry", (Reproposal(Block(1, (0,)), None), Reproposal(Block(2, (1,)), None)), None),
        ("skip", (Reproposal(Block(1, ()), None), Reproposal(Block(2, (1,)), None)), None),
        ("halt", (), 1),
    ],
)
def test_the_policy_acts_on_what_was_given_up_and_not_on_what_was_merely_interrupted(
    policy: Policy, reproposed: tuple[Reproposal, ...], halt_at: int | None
) -> None:
    solo = Solo()
    started = (solo.block(1), solo.block(2))
    changes = tuple(solo.view_change(sender, started=started, abandoned=(1,)) for sender in (0, 1, 2))
    plan = plan_new_view(changes, solo.config.quorum, policy, solo.source)
    assert (plan.reproposals, plan.halt_at) == (reproposed, halt_at)


@pytest.mark.parametrize("order", [1, -1])
def test_nothing_is_proposed_again_up_to_the_latest_stable_checkpoint_that_one_of_them_knows(order: int) -> None:
    solo = Solo()
    started = (solo.block(4), solo.block(5))
    changes = (
        solo.view_change(0, stable=solo.stable(4), decided=4, started=started[1:]),
        solo.view_change(1, prepared=(solo.certificate(3),), started=started),
        solo.view_change(2, started=started),
    )
    plan = plan_new_view(changes[::order], solo.config.quorum, "retry", solo.source)
    assert (plan.stable, plan.reproposals) == (solo.stable(4), (Reproposal(solo.block(5), None),))


def test_a_faulty_replica_that_never_led_cannot_begin_a_height_with_a_block_of_its_choice() -> None:
    solo = Solo()
    liar = solo.view_change(0, started=tuple(Block(height, ()) for height in range(1, 9)))
    plan = plan_new_view((liar, solo.view_change(1), solo.view_change(2)), solo.config.quorum, "retry", solo.source)
    assert plan.reproposals == ()


def test_of_two_blocks_of_an_equivocating_leader_the_one_with_more_weight_behind_it_is_tried_again() -> None:
    solo = Solo(n=7)
    halves = [Block(1, ())] * 3 + [solo.block(1)] * 4
    changes = tuple(solo.view_change(sender, started=(block,)) for sender, block in enumerate(halves))
    plan = plan_new_view(changes, solo.config.quorum, "retry", solo.source)
    assert plan.reproposals == (Reproposal(solo.block(1), None),)


def test_a_bound_block_is_voted_for_as_it_stands_and_not_executed_anew() -> None:
    solo = Solo()
    solo.hear(solo.new_view(*(solo.view_change(sender, prepared=(solo.certificate(1),)) for sender in (0, 1, 2))))
    assert [vote.pair for vote in solo.said(Prepare)] == [solo.pair(1)]
    assert solo.of(Execute) == []


def test_the_leader_of_a_new_view_cannot_propose_another_block_where_the_view_began_with_one() -> None:
    solo = Solo()
    solo.hear(solo.new_view(*(solo.view_change(sender, started=(solo.block(1),)) for sender in (0, 1, 2))))
    solo.propose(1, view=1, block=Block(1, ()))
    assert [execute.block for execute in solo.of(Execute)] == [solo.block(1)]


def test_what_was_given_up_in_one_view_is_not_held_against_the_next() -> None:
    """It gave height 1 up alone; the view began without its word, and failed for another reason."""
    solo = Solo(policy="halt")
    solo.propose(1)
    solo.timeout()
    solo.timeout()
    assert solo.protocol.view == 1
    solo.hear(solo.new_view(*(solo.view_change(sender, started=(solo.block(1),)) for sender in (0, 1, 2))))
    assert solo.of(Halt) == []
    solo.hear(solo.view_change(0, 2), solo.view_change(1, 2))
    assert solo.protocol.view == 2
    assert [effect.message.abandoned for effect in solo.effects if _is_view_change(effect)] == [(1,), ()]


def _is_view_change(effect: object) -> bool:
    return getattr(getattr(effect, "message", None), "kind", "") == "view-change"


def test_a_replica_that_alone_was_shown_evidence_for_halting_goes_on_when_others_did() -> None:
    """A faulty leader begins the view for one replica only; the others never hear of it and decide the height."""
    solo = Solo(policy="halt", watermark_window=4)
    evidence = (solo.view_change(sender, started=(solo.block(1),), abandoned=(1,)) for sender in (0, 1, 2))
    solo.hear(solo.new_view(*evidence))
    assert solo.protocol.halt_at == 1

    solo.checkpoints((0, 1, 2), 4)  # asks for the state that it is behind
    solo.hear(Sync(0, 1, solo.stable(4), (), None, ()))

    assert [(adopt.height, adopt.state) for adopt in solo.of(Adopt)] == [(4, solo.state_after(4))]
    assert solo.protocol.halt_at is None
    solo.propose(5, view=1)
    assert [execute.block for execute in solo.of(Execute)] == [solo.block(5)]


def test_a_halt_that_is_lifted_leaves_no_height_of_the_present_view_out() -> None:
    solo = Solo(policy="halt", pipeline=4)
    solo.propose(1)
    solo.hear(solo.new_view(*(solo.view_change(s, started=(solo.block(1),), abandoned=(1,)) for s in (0, 1, 2))))
    bound = {"prepared": (solo.certificate(1), solo.certificate(2))}
    solo.hear(solo.new_view(*(solo.view_change(sender, 2, **bound) for sender in (0, 1, 2))))
    assert solo.said(Prepare) == []
    solo.hear(Sync(0, 2, None, (solo.decision(1),), None, ()))
    assert (solo.protocol.halt_at, solo.protocol.decided) == (None, 1)
    solo.propose(2, view=2, block=Block(2, ()))
    assert [vote.pair for vote in solo.said(Prepare) if vote.height == 2] == [solo.pair(2)]


def test_a_certificate_outlasts_views_that_began_without_it() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1)
    solo.prepares((0, 1), 1)
    for view in (1, 2):
        solo.hear(solo.new_view(*(solo.view_change(sender, view) for sender in (0, 1, 2))))
    solo.hear(solo.view_change(0, 3), solo.view_change(1, 3))
    (change,) = solo.said(ViewChange)
    assert change.prepared == (solo.certificate(1, view=0, voters=(0, 1, 3)),)


def test_a_replica_shown_another_block_than_a_quorum_prepared_does_not_commit_to_either() -> None:
    solo = Solo()
    solo.propose(1, block=Block(1, ()))
    solo.prepares((0, 1, 2), 1)
    assert solo.said(Commit) == []
    assert solo.protocol._slots[1].prepared is None


def test_nothing_of_a_view_is_voted_on_before_it_begins() -> None:
    solo = Solo()
    solo.timeout()
    solo.timeout()
    assert (solo.protocol.view, solo.protocol.active) == (1, False)
    solo.propose(1, view=1)
    solo.prepares((0, 1, 2), 1, view=1)
    assert (solo.of(Execute), solo.said(Commit)) == ([], [])
    solo.hear(solo.new_view(*(solo.view_change(sender) for sender in (0, 1, 2))))
    assert [execute.view for execute in solo.of(Execute)] == [1]
    assert [vote.view for vote in solo.said(Commit)] == [1]


def test_a_halted_replica_votes_below_the_height_it_halted_at_and_not_from_there_on() -> None:
    solo = Solo(policy="halt", pipeline=4)
    both = (solo.block(1), solo.block(2))
    solo.hear(solo.new_view(*(solo.view_change(sender, started=both, abandoned=(2,)) for sender in (0, 1, 2))))
    assert [(halt.height, halt.view) for halt in solo.of(Halt)] == [(2, 1)]
    solo.propose(2, view=1)
    solo.propose(3, view=1)
    assert [execute.block.height for execute in solo.of(Execute)] == [1]


def test_of_two_heights_given_up_in_two_views_the_lower_one_halts() -> None:
    solo = Solo(policy="halt", pipeline=4)
    for view, height in ((1, 2), (2, 1), (3, 2)):
        started = tuple(solo.block(at) for at in range(1, height + 1))
        changes = (solo.view_change(sender, view, started=started, abandoned=(height,)) for sender in (0, 1, 2))
        solo.hear(solo.new_view(*changes))
    assert [halt.height for halt in solo.of(Halt)] == [2, 1]
    assert solo.protocol.halt_at == 1


def test_the_first_view_has_nothing_behind_it() -> None:
    solo = Solo()
    changes = tuple(solo.view_change(sender) for sender in (0, 1, 2))
    plan = plan_new_view(changes, solo.config.quorum, "skip", solo.source)
    assert (plan.stable, plan.reproposals, plan.halt_at) == (GENESIS, (), None)
