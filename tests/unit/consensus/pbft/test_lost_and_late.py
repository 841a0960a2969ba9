"""Messages that come late, twice, out of order or not at all, and what a replica may not do because of that."""

from __future__ import annotations

from support.cluster import output
from support.solo import Solo

from consensus.pbft.messages import Commit, OutputRequest, OutputResponse, Prepare, PrePrepare, Sync, SyncRequest
from consensus.protocol import Abandon, Block, Decide, Execute, SetTimer
from consensus.quorum import QuorumSystem


def test_a_replica_that_has_left_a_view_no_longer_votes_on_what_that_view_proposed_again() -> None:
    """It lags behind the watermarks of the new view, leaves it, and only then its own watermarks move."""
    solo = Solo(watermark_window=4)
    ahead = {"stable": solo.stable(4), "decided": 4}
    solo.hear(solo.new_view(*(solo.view_change(s, prepared=(solo.certificate(6),), **ahead) for s in (0, 1, 2))))
    assert solo.protocol.view == 1
    solo.hear(*(solo.view_change(sender, 2, **ahead) for sender in (0, 1)))
    assert (solo.protocol.view, solo.protocol.active) == (2, False)

    solo.hear(Sync(0, 2, solo.stable(4), (), None, ()))

    assert solo.protocol.stable.height == 4
    assert [vote for vote in solo.said(Prepare) if vote.view == 2] == []


def test_a_checkpoint_that_others_made_stable_first_counts_as_soon_as_this_replica_gets_there() -> None:
    solo = Solo(watermark_window=4)
    solo.checkpoints((0, 1, 2), 4)
    assert len(solo.said(SyncRequest)) == 1, "it asks what it has missed, and the answer is lost"

    solo.decide(1, 2, 3, 4)

    assert solo.protocol.stable.height == 4


def test_a_leader_whose_watermark_is_freed_by_a_transferred_checkpoint_proposes_at_once() -> None:
    solo = Solo(replica=0, watermark_window=4)
    for height in range(1, 5):
        solo.commits((1, 2, 3), height)
    assert solo.protocol.decided == 4
    assert max(proposal.height for proposal in solo.said(PrePrepare)) == 4

    solo.hear(Sync(1, 0, solo.stable(4), (), None, ()))

    assert max(proposal.height for proposal in solo.said(PrePrepare)) == 5


def test_a_block_that_names_a_request_twice_is_not_what_clients_asked_for() -> None:
    solo = Solo()
    solo.propose(1, block=Block(1, (0, 0)))
    assert solo.of(Execute) == []


def test_a_replica_follows_to_the_furthest_view_that_an_honest_one_has_surely_reached() -> None:
    """A faulty replica stands in view 5; one that outweighs all who may be faulty is in view 9, and says so once."""
    solo = Solo(replica=5, n=6, quorum=QuorumSystem((1, 3, 1, 1, 1, 1)))
    solo.hear(solo.view_change(0, 5), solo.view_change(1, 9))
    assert solo.protocol.view == 9


def test_a_replica_follows_no_further_than_an_honest_one_has_surely_gone() -> None:
    solo = Solo()
    solo.hear(solo.view_change(0, 5), solo.view_change(1, 9))
    assert solo.protocol.view == 5


def test_one_faulty_replica_in_a_far_view_does_not_drag_others_along() -> None:
    solo = Solo()
    solo.hear(solo.view_change(0, 10**9))
    assert (solo.protocol.view, solo.protocol.active) == (0, True)


def test_a_quorum_of_commits_outweighs_a_ballot_that_only_this_replica_sees_split() -> None:
    """An equivocating voter shows it another vote than the others saw; the block itself is still under way."""
    solo = Solo()
    solo.commits((0, 1, 2), 1, "same")
    solo.prepares((0,), 1, "same")
    solo.prepares((1,), 1, "another")
    solo.prepares((2,), 1, "a third")

    solo.propose(1)

    assert [(decide.block.height, decide.view) for decide in solo.of(Decide)] == [(1, 0)]
    assert solo.of(Abandon) == []


def test_only_who_holds_an_output_hands_it_on() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 1, "same")
    solo.hear(OutputRequest(0, 0, 1, output("same")))
    assert solo.said(OutputResponse) == []

    solo.hear(OutputResponse(1, 0, 1, output("same")))
    solo.hear(OutputRequest(0, 0, 1, output("same")))
    assert [response.output for response in solo.said(OutputResponse)] == [output("same")]


def test_a_dissenting_replica_asks_everybody_who_committed_so_that_one_lost_answer_costs_nothing() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 1, "same")
    assert len(solo.said(OutputRequest)) == 3


def test_a_dissenting_replica_that_crashed_meanwhile_asks_again() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1, "mine")
    solo.commits((0, 1, 2), 1, "same")
    before = len(solo.said(OutputRequest))
    solo.keep(solo.protocol.recover())
    assert len(solo.said(OutputRequest)) == 2 * before


def test_early_votes_of_a_view_wait_until_it_begins() -> None:
    solo = Solo()
    solo.commits((0, 1, 2), 1, view=1)
    assert solo.protocol.decided == 0
    changes = (solo.view_change(sender, prepared=(solo.certificate(1),)) for sender in (0, 1, 2))
    solo.hear(solo.new_view(*changes))
    assert solo.protocol.decided == 1


def test_a_flood_of_votes_for_far_views_is_bounded_for_each_sender_and_does_not_crowd_others_out() -> None:
    solo = Solo()
    for view in range(1, 2_000):
        solo.hear(Commit(0, view, 1, solo.pair(1)))
    solo.commits((1, 2), 1, view=1)
    kept = solo.protocol._early._kept
    assert {sender: len(votes) for sender, votes in kept.items()} == {0: 3 * solo.config.watermark_window, 1: 1, 2: 1}


def test_votes_of_views_that_are_left_make_room_for_those_of_the_next() -> None:
    solo = Solo()
    for height in range(1, 9):
        for _ in range(3):
            solo.commits((0,), height, view=1)
    solo.hear(solo.view_change(1, 2), solo.view_change(2, 2))
    assert solo.protocol.view == 2
    solo.commits((0,), 1, view=2)
    assert solo.protocol._early._kept == {0: [Commit(0, 2, 1, solo.pair(1))]}


def test_votes_beyond_the_watermarks_leave_no_trace() -> None:
    solo = Solo()
    fresh = Solo()
    solo.prepares((0, 1), solo.config.watermark_window + 1)
    solo.commits((0, 1), 99)
    assert solo.protocol == fresh.protocol


def test_a_flood_of_far_checkpoints_is_bounded_to_one_for_each_sender() -> None:
    solo = Solo(n=7)
    for height in range(100, 2_000, 4):
        solo.checkpoints_unseen((0,), height)
    assert solo.said(SyncRequest) == []
    assert len(solo.protocol._checkpoints._ahead) == 1


def test_each_input_without_news_leaves_the_timer_alone() -> None:
    solo = Solo()
    before = len(solo.of(SetTimer))
    solo.propose(1)
    solo.executed(1)
    solo.prepares((0, 1), 1)
    assert len(solo.of(SetTimer)) == before
