"""View changes: what binds the next view, what it begins with, and how long everybody waits."""

from __future__ import annotations

from copy import deepcopy

import pytest
from support.cluster import MS
from support.pbft_classic_cluster import PbftClassicCluster, pbft_classic
from support.pbft_classic_solo import PbftClassicSolo

from consensus.pbft.messages import NewView, PrePrepare, Sync, SyncRequest
from consensus.pbft_classic.messages import Commit, Prepare, ViewChange
from consensus.protocol import Abandon, Adopt, Block, CancelTimer, Decide, Execute, Message, SetTimer

OTHER = Block(1, ())


def test_a_prepared_certificate_binds_the_block_in_the_next_view() -> None:
    solo = PbftClassicSolo()
    changes = (solo.view_change(0, prepared=(solo.certificate(1, block=OTHER),)), *map(solo.view_change, (1, 2)))
    solo.hear(solo.new_view(*changes))
    assert [(vote.view, vote.block) for vote in solo.said(Prepare)] == [(1, OTHER.digest)]
    solo.propose(1, view=1)
    assert [vote.block for vote in solo.said(Prepare)] == [OTHER.digest], "nothing else is voted for there"
    assert solo.of(Execute) == []


def test_of_two_certificates_the_later_view_s_binds_since_the_earlier_was_not_decided() -> None:
    for order in (1, -1):
        solo = PbftClassicSolo()
        changes = (
            solo.view_change(0, 3, prepared=(solo.certificate(1, view=2),)),
            solo.view_change(1, 3, prepared=(solo.certificate(1, view=0, block=OTHER),)),
            solo.view_change(2, 3),
        )
        leader = PbftClassicSolo(replica=0)
        leader.hear(NewView(3, 3, changes[::order]))
        assert [vote.block for vote in leader.said(Prepare)] == [leader[1].digest]


def test_nothing_is_proposed_again_up_to_the_latest_stable_checkpoint_that_one_of_them_knows() -> None:
    solo = PbftClassicSolo()
    bound = {"prepared": (solo.certificate(4), solo.certificate(5))}
    solo.hear(
        solo.new_view(
            solo.view_change(0, stable=solo.stable(4), decided=4),
            solo.view_change(1, **bound),
            solo.view_change(2, **bound),
        )
    )
    assert [vote.height for vote in solo.said(Prepare)] == [5]


def test_the_leader_of_a_new_view_sends_no_prepare_for_what_the_view_begins_with() -> None:
    leader = PbftClassicSolo(replica=1)
    leader.hear(*(leader.view_change(sender, prepared=(leader.certificate(1),)) for sender in (0, 2, 3)))
    assert len(leader.said(NewView)) == 1
    assert leader.said(Prepare) == []
    assert leader.said(PrePrepare) == [], "the new view itself says what is proposed again"
    leader.prepares((0, 2), leader[1], view=1)
    assert [(vote.view, vote.height) for vote in leader.said(Commit)] == [(1, 1)]


def test_a_height_without_a_certificate_is_free_and_gets_its_clients_block_and_no_null_request() -> None:
    """Height 2 is certified and 1 is not: C&L would fill 1 with a null request, and its requests would be lost here."""
    leader = PbftClassicSolo(replica=1, pipeline=2)
    leader.hear(*(leader.view_change(sender, prepared=(leader.certificate(2),)) for sender in (0, 2, 3)))
    assert [message.block for message in leader.said(PrePrepare)] == [leader[1]]
    leader.commits((0, 2, 3), leader[2], view=1)
    leader.commits((0, 2, 3), leader[1], view=1)
    assert [decide.block for decide in leader.of(Decide)] == [leader[1], leader[2]]


def test_what_one_replica_prepared_binds_all_others() -> None:
    """Only replica 3 sees the quorum of prepares, for a block without requests that the first leader made up."""

    def only_to_3(sender: int, receiver: int, message: Message) -> int | None:
        lost = isinstance(message, Prepare | Commit | Sync) and message.view == 0 and receiver != 3
        return None if lost or (isinstance(message, ViewChange) and sender == 2) else 10 * MS

    cluster = PbftClassicCluster(pbft_classic(), blocks=1, delay_ns=only_to_3)
    empty = Block(1, ())
    cluster.inner[0].source = lambda height: empty if height == 1 else None
    cluster.run()
    cluster.check_no_fork()
    assert {decided[1].block for decided in cluster.decided} == {empty}


@pytest.mark.parametrize(
    "said",
    [
        lambda solo: {"prepared": (solo.certificate(1, voters=(0, 1)),)},
        lambda solo: {"prepared": (solo.certificate(1, view=1),)},
        lambda solo: {"prepared": (solo.certificate(9),)},
        lambda solo: {"stable": solo.stable(4), "prepared": (solo.certificate(4),)},
        lambda solo: {"stable": solo.stable(4, voters=(0, 1))},
    ],
    ids=["no quorum", "of the view itself", "above the watermarks", "below them", "no stable quorum"],
)
def test_a_view_change_whose_certificates_do_not_hold_begins_nothing(said) -> None:  # type: ignore[no-untyped-def]
    solo = PbftClassicSolo()
    solo.hear(solo.new_view(solo.view_change(0, **said(solo)), solo.view_change(1), solo.view_change(2)))
    assert solo.protocol.view == 0
    solo.hear(solo.new_view(*map(solo.view_change, (0, 1, 2))))
    assert solo.protocol.view == 1


def test_a_view_change_shows_certificates_of_decided_heights_too_until_a_checkpoint_stands_for_them() -> None:
    solo = PbftClassicSolo(pipeline=8)
    for height in range(1, 6):
        solo.propose(height)
        solo.prepares((1, 2), solo[height])
        solo.commits((0, 1), solo[height])
    solo.executed(1, 2, 3, 4)
    solo.timeout()
    solo.timeout()
    solo.checkpoints((0, 1), 4)
    solo.hear(*(solo.view_change(sender, 7) for sender in (0, 1)))
    first, second = solo.said(ViewChange)
    assert [certificate.block.height for certificate in first.prepared] == [1, 2, 3, 4, 5]
    assert [vote.height for vote in first.checkpoints] == [4], "told again for those who missed it"
    assert (second.stable.height, [certificate.block.height for certificate in second.prepared]) == (4, [5])


def test_a_replica_that_has_left_a_view_votes_in_it_no_more_and_in_the_next_only_when_it_begins() -> None:
    solo = PbftClassicSolo()
    solo.timeout()
    solo.timeout()
    solo.propose(1)
    solo.propose(1, view=1)
    assert solo.said(Prepare) == []
    solo.hear(solo.new_view(*map(solo.view_change, (0, 1, 2))))
    assert [vote.view for vote in solo.said(Prepare)] == [1], "what came early has waited"


def test_a_replica_that_has_left_a_view_no_longer_votes_on_what_that_view_proposed_again() -> None:
    """It lags behind the watermarks of the new view, leaves it, and only then its own watermarks move."""
    solo = PbftClassicSolo(watermark_window=4)
    ahead = {"stable": solo.stable(4), "decided": 4}
    solo.hear(solo.new_view(*(solo.view_change(s, prepared=(solo.certificate(6),), **ahead) for s in (0, 1, 2))))
    solo.hear(*(solo.view_change(sender, 2, **ahead) for sender in (0, 1)))
    assert (solo.protocol.view, solo.protocol.active) == (2, False)
    solo.hear(Sync(0, 2, solo.stable(4), (), None, ()))
    assert solo.protocol.stable.height == 4
    assert solo.said(Prepare) == []


def test_what_a_new_view_proposes_again_above_the_watermark_is_voted_for_when_that_moves() -> None:
    solo = PbftClassicSolo(watermark_window=4)
    ahead = {"stable": solo.stable(4), "decided": 4}
    solo.hear(solo.new_view(*(solo.view_change(s, prepared=(solo.certificate(6),), **ahead) for s in (0, 1, 2))))
    assert solo.said(Prepare) == []
    solo.hear(Sync(0, 1, solo.stable(4), (), None, ()))
    assert [(vote.view, vote.height) for vote in solo.said(Prepare)] == [(1, 6)]


def test_an_unprepared_proposal_of_an_earlier_view_binds_nobody() -> None:
    solo = PbftClassicSolo()
    solo.propose(1, block=OTHER)
    solo.hear(solo.new_view(*map(solo.view_change, (0, 1, 2))))
    solo.propose(1, view=1)
    assert [(vote.view, vote.block) for vote in solo.said(Prepare)] == [(0, OTHER.digest), (1, solo[1].digest)]


def test_a_replica_asks_what_it_missed_before_it_accuses_the_leader_and_the_timeout_doubles_to_its_cap() -> None:
    solo = PbftClassicSolo(timeout_ns=100, timeout_max_ns=300)
    assert [timer.duration_ns for timer in solo.of(SetTimer)] == [50]
    solo.timeout()
    assert (len(solo.said(SyncRequest)), solo.of(Abandon)) == (1, [])
    waited = []
    for view in (1, 2, 3):
        solo.timeout()
        waited.append(solo.of(SetTimer)[-1].duration_ns)
        solo.hear(solo.view_change(0, view), solo.view_change(1, view))
    assert waited == [200, 300, 300]
    assert [(abandon.height, abandon.reason) for abandon in solo.of(Abandon)] == [(1, "timed out")]


def test_ordering_resets_the_timeout_and_executing_restarts_it() -> None:
    solo = PbftClassicSolo(timeout_ns=100, timeout_max_ns=300)
    solo.hear(*(solo.view_change(sender, 1) for sender in (0, 1)))
    solo.hear(solo.new_view(*map(solo.view_change, (0, 1, 2))))
    assert solo.of(SetTimer)[-1].duration_ns == 100
    solo.propose(1, view=1)
    solo.commits((0, 1, 2), solo[1], view=1)
    assert solo.of(SetTimer)[-1].duration_ns == 50
    timers = len(solo.of(SetTimer))
    solo.timeout()
    solo.executed(1)
    assert [timer.duration_ns for timer in solo.of(SetTimer)[timers:]] == [50, 50]
    solo.timeout()
    assert solo.of(Abandon) == [], "it asks first again"


def test_an_execution_that_ends_between_two_views_leaves_the_timer_alone() -> None:
    solo = PbftClassicSolo()
    solo.order(1)
    solo.timeout()
    solo.timeout()
    assert not any(isinstance(effect, SetTimer | CancelTimer) for effect in solo.executed(1))


def test_nobody_waits_when_everything_is_ordered() -> None:
    solo = PbftClassicSolo(blocks=1)
    solo.order(1)
    assert CancelTimer() in solo.effects


def test_a_replica_that_slept_past_a_checkpoint_takes_it_over_and_executes_from_there() -> None:
    cluster = PbftClassicCluster(pbft_classic(pipeline=8), blocks=78, crashes=((3, 50 * MS, 1_000 * MS),)).run()
    cluster.check()
    assert cluster.heights() == [78] * 4
    adopted = [adopt.height for adopt in cluster.adopted[3]]
    assert adopted
    assert [resync.height for resync in cluster.resyncs[3]] == adopted
    assert cluster.inner[3].execution == cluster.inner[0].execution
    assert cluster.abandons == [], "the others did not wait for it"


def test_a_replica_that_slept_within_the_window_gets_the_decisions_and_executes_them_itself() -> None:
    solo = PbftClassicSolo()
    solo.hear(Sync(0, 0, None, (solo.decision(1), solo.decision(2)), None, ()))
    assert [decide.voters for decide in solo.of(Decide)] == [(0, 1, 2), (0, 1, 2)]
    assert [execute.block.height for execute in solo.of(Execute)] == [1, 2]
    assert solo.of(Adopt) == []


def test_a_certificate_without_a_quorum_moves_nobody() -> None:
    solo = PbftClassicSolo()
    lie = (solo.decision(1, voters=(0, 1)),)
    solo.hear(Sync(0, 0, solo.stable(4, voters=(0, 1)), lie, None, ()))
    assert (solo.protocol.decided, solo.of(Adopt), solo.of(Decide)) == (0, [], [])


def test_votes_of_others_in_a_sync_are_not_taken_on_its_sender_s_word() -> None:
    solo = PbftClassicSolo()
    solo.propose(1)
    solo.hear(Sync(2, 0, None, (), None, tuple(Prepare(sender, 0, 1, solo[1].digest) for sender in (0, 1))))
    assert solo.said(Commit) == []


def test_a_replica_s_own_votes_are_said_once_more_to_who_asks() -> None:
    solo = PbftClassicSolo()
    solo.propose(1)
    solo.prepares((1,), solo[1])
    solo.hear(SyncRequest(2, 0, 0, 0))
    (sync,) = solo.said(Sync)
    assert [(vote.kind, vote.height) for vote in sync.votes] == [("prepare", 1), ("commit", 1)]

    leader = PbftClassicSolo(replica=0)
    leader.hear(SyncRequest(2, 0, 0, 0))
    (sync,) = leader.said(Sync)
    assert [(vote.kind, vote.height) for vote in sync.votes] == [("pre-prepare", 1)]


def test_a_copy_is_equal_until_it_hears_something_else() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2)
    solo.executed(1)
    twin = deepcopy(solo.protocol)
    assert twin == solo.protocol
    twin.receive(Commit(0, 0, 3, solo[3].digest))
    assert twin != solo.protocol
