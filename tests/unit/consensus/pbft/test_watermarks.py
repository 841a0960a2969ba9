"""Watermarks, checkpoints and state transfer."""

from __future__ import annotations

import pytest
from support.cluster import MS, Cluster, pbft
from support.solo import Solo

from consensus.pbft.messages import Checkpoint, Prepare, PrePrepare, StableCheckpoint, Sync, SyncRequest
from consensus.protocol import Adopt, Decide, Execute, Message


@pytest.mark.parametrize("pipeline", [1, 8])
def test_the_watermark_blocks_the_chain_until_a_checkpoint_frees_it(pipeline: int) -> None:
    """Checkpoint votes are slow: the chain stands at the watermark until they are there, and then goes on at once."""
    config = pbft(pipeline=pipeline, watermark_window=8, timeout_ns=9_000 * MS, timeout_max_ns=9_000 * MS)

    def slow_checkpoints(sender: int, receiver: int, message: Message) -> int:
        return 3_000 * MS if isinstance(message, Checkpoint) else 1 * MS

    cluster = Cluster(config, blocks=12, delay_ns=slow_checkpoints)
    cluster.run(until_ns=2_900 * MS)
    assert cluster.heights() == [8] * 4
    assert max(message.height for _, _, message in cluster.sent if isinstance(message, PrePrepare)) == 8
    cluster.run(until_ns=3_400 * MS)
    assert cluster.heights() == [12] * 4
    assert cluster.abandons == []


def test_a_leader_has_no_more_heights_in_flight_than_its_pipeline() -> None:
    for pipeline, proposed in ((1, [1]), (8, [1, 2, 3, 4, 5, 6, 7, 8])):
        solo = Solo(replica=0, pipeline=pipeline, watermark_window=16)
        assert [message.height for message in solo.said(PrePrepare)] == proposed
        solo.commits((1, 2, 3), 1)
        assert max(message.height for message in solo.said(PrePrepare)) == pipeline + 1


def test_a_proposal_beyond_the_watermark_is_not_executed() -> None:
    solo = Solo(watermark_window=8)
    solo.propose(8)
    solo.propose(9)
    assert [execute.block.height for execute in solo.of(Execute)] == [8]


def test_a_checkpoint_is_stable_on_the_word_of_a_quorum_about_one_state_and_not_before() -> None:
    solo = Solo()
    solo.decide(1, 2, 3, 4)
    assert [vote.height for vote in solo.said(Checkpoint)] == [4]
    solo.checkpoints_unseen((0, 1), 4)  # of another state
    assert solo.protocol.stable.height == 0
    solo.checkpoints((2,), 4)
    assert solo.protocol.stable.height == 0
    other = Solo()
    other.decide(1, 2, 3, 4)
    other.checkpoints((0,), 4)
    assert other.protocol.stable.height == 0
    other.checkpoints((1,), 4)
    assert other.protocol.stable == other.stable(4, voters=(0, 1, 3))
    assert min(other.protocol._slots, default=5) > 4, "what lies below is forgotten"


def test_lost_checkpoint_votes_are_told_again_with_the_view_change_that_follows() -> None:
    """Every checkpoint vote is lost; the chain stands at the watermark until timers bring the votes in another way."""

    def no_checkpoints(sender: int, receiver: int, message: Message) -> int | None:
        return None if isinstance(message, Checkpoint) else 10 * MS

    cluster = Cluster(pbft(), blocks=20, delay_ns=no_checkpoints).run()
    cluster.check_no_fork()
    assert cluster.is_done


@pytest.mark.parametrize("pipeline", [1, 8])
def test_a_replica_that_slept_past_a_checkpoint_catches_up_by_state_transfer(pipeline: int) -> None:
    cluster = Cluster(pbft(pipeline=pipeline), blocks=78, crashes=((3, 50 * MS, 1_000 * MS),)).run()
    cluster.check_no_fork()
    assert cluster.heights() == [78] * 4
    assert cluster.adopted[3]
    missed = [height for height in range(1, 79) if height not in cluster.decided[3]]
    assert missed == list(range(missed[0], cluster.adopted[3][-1].height + 1))
    assert cluster.decided[3][78].state == cluster.decided[0][78].state
    assert cluster.abandons == [], "the others did not wait for it"


def test_a_replica_that_only_missed_decisions_gets_them_with_their_certificates() -> None:
    solo = Solo()
    solo.hear(Sync(0, 0, None, (solo.decision(1), solo.decision(2)), None, ()))
    assert [(decide.block.height, decide.voters) for decide in solo.of(Decide)] == [(1, (0, 1, 2)), (2, (0, 1, 2))]


def test_a_certificate_without_a_quorum_moves_nobody() -> None:
    solo = Solo()
    solo.hear(Sync(0, 0, StableCheckpoint(4, bytes(32), (0, 1)), (solo.decision(1, voters=(0, 1)),), None, ()))
    assert (solo.protocol.decided, solo.of(Adopt), solo.of(Decide)) == (0, [], [])


def test_votes_of_others_in_a_sync_are_not_taken_on_its_sender_s_word() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1)
    solo.hear(Sync(0, 0, None, (), None, tuple(Prepare(sender, 0, 1, solo.pair(1)) for sender in (0, 1, 2))))
    assert sorted(solo.protocol._slots[1].prepares.votes) == [0, 3]


def test_a_replica_is_helped_with_all_that_it_lacks_and_no_more() -> None:
    solo = Solo()
    solo.decide(1, 2, 3, 4, 5)
    solo.checkpoints((0, 1), 4)
    solo.hear(SyncRequest(1, 0, 2, 0))
    solo.hear(SyncRequest(1, 0, 5, 4))
    (sync,) = solo.said(Sync)
    assert sync.stable == solo.protocol.stable
    assert [decision.block.height for decision in sync.decisions] == [5]


def test_a_replica_that_hears_of_a_far_checkpoint_asks_one_who_is_there_and_adopts() -> None:
    solo = Solo(watermark_window=4)
    solo.checkpoints((0,), 8)
    assert solo.said(SyncRequest) == [], "one replica may be faulty"
    solo.checkpoints((1,), 8)
    assert len(solo.said(SyncRequest)) == 1
    solo.checkpoints((2,), 8)
    assert len(solo.said(SyncRequest)) == 1, "one more tells nothing new"
    solo.hear(Sync(0, 0, solo.stable(8), (solo.decision(9),), None, ()))
    assert [adopt.height for adopt in solo.of(Adopt)] == [8]
    assert solo.protocol.decided == 9
