"""`outvoted = "resync"`: whoever computed another output than the decided one takes the state of others over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from support.cluster import output
from support.solo import Solo

from consensus.pbft.messages import OutputRequest, Prepare, Sync
from consensus.protocol import Block, Decide, Effect, Execute, Resync


def outvoted(**settings: Any) -> Solo:
    return Solo(outvoted="resync", **settings)


def in_order(effects: Iterable[Effect]) -> list[tuple[str, int]]:
    """What is decided, taken over and executed, by height."""
    return [
        (type(effect).__name__, effect.height if isinstance(effect, Resync) else effect.block.height)
        for effect in effects
        if isinstance(effect, Decide | Resync | Execute)
    ]


def test_who_dissents_when_a_height_is_decided_takes_the_decided_output_over_at_once() -> None:
    solo = outvoted()
    solo.propose(1)
    solo.executed(1, "mine")
    assert in_order(solo.commits((0, 1, 2), 1)) == [("Decide", 1), ("Resync", 1)]
    assert solo.of(Resync) == [Resync(1, output("same"))]


def test_who_computed_the_decided_output_keeps_its_state() -> None:
    solo = outvoted()
    solo.propose(1)
    solo.executed(1, "same")
    solo.commits((0, 1, 2), 1)
    assert solo.protocol.decided == 1
    assert solo.of(Resync) == []


def test_who_computed_nothing_yet_when_a_height_is_decided_has_nothing_to_give_up() -> None:
    solo = outvoted()
    solo.decide(1)
    assert solo.of(Resync) == []


def test_who_executed_another_block_than_the_decided_one_does_not_dissent() -> None:
    """Its answer to the block that a faulty leader showed it alone says nothing of the decided one."""
    solo = outvoted()
    solo.propose(1, block=Block(1, ()))
    solo.keep(solo.protocol.executed(Block(1, ()), 0, output("mine")))
    solo.hear(Sync(0, 0, None, (solo.decision(1),), None, ()))
    assert solo.protocol.decided == 1
    assert solo.of(Resync) == []


def test_a_decision_that_state_transfer_brings_is_dissented_from_like_any_other() -> None:
    solo = outvoted()
    solo.propose(1)
    solo.executed(1, "mine")
    effects = solo.hear(Sync(0, 0, None, (solo.decision(1), solo.decision(2, name="next")), None, ()))
    assert in_order(effects) == [("Decide", 1), ("Resync", 1), ("Decide", 2)]


def test_who_is_done_late_takes_over_what_is_decided_by_now() -> None:
    """Heights 2 and 3 are decided while it still executes height 1."""
    solo = outvoted()
    solo.decide(1)
    solo.decide(2, name="second")
    solo.decide(3, name="third")
    assert in_order(solo.executed(1, "mine")) == [("Resync", 3)]
    assert solo.of(Resync) == [Resync(3, output("third"))]


def test_who_is_done_late_with_the_decided_output_keeps_its_state() -> None:
    solo = outvoted()
    solo.decide(1, 2)
    assert solo.executed(1, "same") == []


def test_an_answer_that_comes_past_a_stable_checkpoint_is_nobody_s_concern() -> None:
    solo = outvoted()
    solo.decide(1, 2, 3, 4)
    solo.checkpoints((0, 1, 2), 4)
    assert solo.protocol.stable.height == 4
    assert solo.executed(1, "mine") == []


def test_what_waits_above_is_asked_for_anew_after_the_state_is_taken_over() -> None:
    """Dropping the own state dropped those executions too. In order of height, whatever order they came in."""
    solo = outvoted(pipeline=4)
    for height in (1, 4, 2, 3):
        solo.propose(height)
    solo.executed(1, "mine")
    assert in_order(solo.commits((0, 1, 2), 1)) == [
        ("Decide", 1),
        ("Resync", 1),
        ("Execute", 2),
        ("Execute", 3),
        ("Execute", 4),
    ]


def test_who_is_done_late_asks_anew_for_what_waits_above_and_not_for_what_is_decided() -> None:
    solo = outvoted(pipeline=4)
    solo.decide(1, 2)
    solo.propose(3)
    assert in_order(solo.executed(1, "mine")) == [("Resync", 2), ("Execute", 3)]


def test_what_is_decided_above_a_gap_is_not_executed_anew() -> None:
    solo = outvoted(pipeline=4)
    for height in (1, 2, 3):
        solo.propose(height)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 3)
    assert in_order(solo.commits((0, 1, 2), 1)) == [("Decide", 1), ("Resync", 1), ("Execute", 2)]


def test_what_it_has_voted_on_already_is_not_executed_anew() -> None:
    """A second answer could not be voted for: the first vote stands."""
    solo = outvoted(pipeline=4)
    for height in (1, 2, 3):
        solo.propose(height)
    solo.executed(1, "mine")
    solo.executed(2, "mine")
    assert in_order(solo.commits((0, 1, 2), 1)) == [("Decide", 1), ("Resync", 1), ("Execute", 3)]


def test_an_answer_to_what_was_asked_for_anew_is_voted_on() -> None:
    solo = outvoted(pipeline=4)
    solo.propose(1)
    solo.propose(2)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 1)
    solo.executed(2)
    assert [vote.pair for vote in solo.said(Prepare) if vote.height == 2] == [solo.pair(2)]


def test_a_bound_block_above_is_not_executed() -> None:
    solo = outvoted(pipeline=4)
    solo.propose(1)
    solo.executed(1, "mine")
    started = {"started": (solo.block(1),)}
    changes = (solo.view_change(sender, prepared=(solo.certificate(2),), **started) for sender in (0, 1, 2))
    solo.hear(solo.new_view(*changes))
    assert in_order(solo.commits((0, 1, 2), 1, view=1)) == [("Decide", 1), ("Resync", 1)]


def test_between_two_views_nothing_above_is_executed() -> None:
    """The next view says what is voted on, and asks for that."""
    solo = outvoted(pipeline=4)
    solo.propose(1)
    solo.propose(2)
    solo.executed(1, "mine")
    solo.hear(*(solo.view_change(sender) for sender in (0, 1)))
    assert not solo.protocol.active
    effects = solo.hear(Sync(0, 1, None, (solo.decision(1),), None, ()))
    assert in_order(effects) == [("Decide", 1), ("Resync", 1)]


def test_a_dissent_above_a_gap_waits_until_the_heights_below_are_decided() -> None:
    """The state after height 2 cannot be taken over while height 1 is open."""
    solo = outvoted(pipeline=4)
    solo.propose(2)
    solo.commits((0, 1, 2), 2, "second")
    assert solo.executed(2, "mine") == []
    solo.propose(1)
    assert in_order(solo.commits((0, 1, 2), 1)) == [("Decide", 1), ("Decide", 2), ("Resync", 2)]
    assert solo.of(Resync) == [Resync(2, output("second"))]


def test_a_dissent_above_a_gap_after_a_state_taken_from_others_names_no_output_of_before() -> None:
    solo = outvoted(pipeline=4)
    solo.decide(1)
    solo.hear(Sync(0, 0, solo.stable(4), (), None, ()))
    solo.propose(6)
    solo.commits((0, 1, 2), 6, "sixth")
    assert solo.executed(6, "mine") == []
    solo.propose(5)
    solo.commits((0, 1, 2), 5)
    assert solo.of(Resync) == [Resync(6, output("sixth"))]


def test_each_height_decided_in_one_go_is_dissented_from_in_turn() -> None:
    solo = outvoted(pipeline=4)
    for height in (1, 2, 3):
        solo.propose(height)
    solo.executed(1, "mine")
    solo.executed(2, "mine")
    solo.commits((0, 1, 2), 2, "second")
    assert in_order(solo.commits((0, 1, 2), 1)) == [
        ("Decide", 1),
        ("Resync", 1),
        ("Execute", 3),
        ("Decide", 2),
        ("Resync", 2),
        ("Execute", 3),
    ]


def test_who_has_taken_the_state_over_dissents_no_more() -> None:
    """A crash, or the same answer once more, changes nothing."""
    solo = outvoted()
    solo.propose(1)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 1)
    solo.keep(solo.protocol.recover())
    assert solo.of(Resync) == [Resync(1, output("same"))]


def test_who_crashes_between_the_takeover_and_the_next_answer_asks_for_that_again() -> None:
    solo = outvoted(pipeline=4)
    solo.propose(1)
    solo.propose(2)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 1)
    assert in_order(solo.keep(solo.protocol.recover())) == [("Execute", 2)]


def test_a_crash_before_the_heights_below_are_decided_does_not_lose_the_dissent() -> None:
    solo = outvoted(pipeline=4)
    solo.propose(2)
    solo.executed(2, "mine")
    solo.commits((0, 1, 2), 2)
    assert in_order(solo.keep(solo.protocol.recover())) == []
    solo.propose(1)
    assert in_order(solo.commits((0, 1, 2), 1)) == [("Decide", 1), ("Decide", 2), ("Resync", 2)]


def test_who_takes_over_fetches_nothing_and_who_stays_takes_nothing_over() -> None:
    for policy, taken, fetched in (("resync", 1, 0), ("stay", 0, 3)):
        solo = Solo(outvoted=policy)
        solo.propose(1)
        solo.executed(1, "mine")
        solo.commits((0, 1, 2), 1)
        assert (len(solo.of(Resync)), len(solo.said(OutputRequest))) == (taken, fetched)
