"""The three phases: who votes for what, when a block is ordered, and what it costs."""

from __future__ import annotations

from collections import Counter

import pytest
from support.cluster import MS, output
from support.pbft_classic_cluster import PbftClassicCluster, pbft_classic
from support.pbft_classic_solo import PbftClassicSolo

from consensus.pbft.messages import PrePrepare, Sync, SyncRequest
from consensus.pbft_classic import PbftClassicConfig
from consensus.pbft_classic.messages import Commit, Prepare
from consensus.protocol import Block, Decide, Execute, Message, Pair
from consensus.quorum import QuorumSystem


@pytest.mark.parametrize(("n", "delays"), [(1, 0), (3, 2), (4, 3), (7, 3), (16, 3), (64, 3)])
def test_a_block_costs_two_n_times_n_minus_1_messages_and_three_delays(n: int, delays: int) -> None:
    """With three, of whom none may be faulty, a backup and the leader it heard are a quorum: that saves a delay."""
    blocks = 3 if n < 64 else 1
    cluster = PbftClassicCluster(pbft_classic(n), blocks=blocks).run(until_ns=5_000 * MS)
    assert cluster.is_done
    cluster.settle()
    sent = Counter(message.kind for _, _, message in cluster.sent)
    in_all = {"pre-prepare": n - 1, "prepare": (n - 1) ** 2, "commit": n * (n - 1)}
    assert sent == Counter({kind: blocks * each for kind, each in in_all.items()})
    assert sum(in_all.values()) == 2 * n * (n - 1)
    first = [at for at, _ in zip(cluster.decided_at_ns, range(n), strict=False)]
    assert set(first) == {delays * 10 * MS}, "everybody has ordered the first block by then"
    cluster.check()


def test_the_leader_s_proposal_stands_for_its_prepare_and_counts_in_the_quorum() -> None:
    solo = PbftClassicSolo()
    solo.propose(1)
    assert [(vote.sender, vote.block) for vote in solo.said(Prepare)] == [(3, solo[1].digest)]
    assert solo.said(Commit) == []
    solo.prepares((1,), solo[1])
    assert [vote.block for vote in solo.said(Commit)] == [solo[1].digest]

    leader = PbftClassicSolo(replica=0)
    assert leader.said(Prepare) == []
    leader.prepares((1, 2), leader[1])
    assert [vote.height for vote in leader.said(Commit)] == [1]


def test_a_prepare_from_the_leader_counts_for_nothing() -> None:
    """It has one vote, its proposal: neither a second one, nor one that comes before and spends it."""
    solo = PbftClassicSolo()
    solo.prepares((0,), Block(1, ()))
    solo.propose(1)
    solo.prepares((0,), solo[1])
    assert solo.said(Commit) == []
    solo.prepares((1,), solo[1])
    assert [vote.block for vote in solo.said(Commit)] == [solo[1].digest]


def test_a_replica_prepares_one_block_in_a_view_and_commits_no_other() -> None:
    solo = PbftClassicSolo()
    solo.propose(1)
    solo.propose(1, block=Block(1, ()))
    solo.prepares((1, 2), Block(1, ()))
    assert [vote.block for vote in solo.said(Prepare)] == [solo[1].digest]
    assert solo.said(Commit) == []


def test_a_replica_shown_another_block_than_the_quorum_prepared_commits_to_neither() -> None:
    solo = PbftClassicSolo(n=7, replica=3)
    solo.propose(1)
    solo.prepares((1, 2, 4, 5, 6), Block(1, ()))
    assert solo.said(Commit) == []


def test_a_quorum_of_commits_orders_a_block_and_fewer_do_not() -> None:
    solo = PbftClassicSolo()
    solo.propose(1)
    solo.commits((0, 1), solo[1])
    assert solo.of(Decide) == []
    solo.commits((2,), solo[1])
    (decide,) = solo.of(Decide)
    assert (decide.block, decide.output, decide.view, decide.voters) == (solo[1], b"", 0, (0, 1, 2))
    assert decide.state == solo.snapshot(1).chain == solo.protocol.state


def test_no_block_is_executed_before_it_is_ordered_and_then_it_is_once() -> None:
    solo = PbftClassicSolo(pipeline=4)
    solo.propose(1)
    solo.propose(2)
    solo.prepares((1, 2), solo[1])
    assert solo.of(Execute) == []
    solo.commits((0, 1, 2), solo[2])
    assert solo.of(Execute) == [], "the height below it is not ordered yet"
    solo.commits((0, 1, 2), solo[1])
    assert [(execute.block.height, execute.view) for execute in solo.of(Execute)] == [(1, 0), (2, 0)]
    solo.order(1, 2)
    assert len(solo.of(Execute)) == 2


def test_heights_in_flight_are_ordered_in_turn_however_they_are_committed() -> None:
    solo = PbftClassicSolo(pipeline=4)
    solo.order(3, 2, 1)
    assert [decide.block.height for decide in solo.of(Decide)] == [1, 2, 3]


def test_commits_for_a_block_never_seen_are_asked_about() -> None:
    solo = PbftClassicSolo()
    solo.commits((0, 1, 2), solo[1])
    assert len(solo.said(SyncRequest)) == 1
    solo.hear(Sync(0, 0, None, (solo.decision(1),), None, ()))
    assert [decide.block for decide in solo.of(Decide)] == [solo[1]]


@pytest.mark.parametrize("block", [Block(1, (0, 99)), Block(1, (0, 0)), Block(101, (100,))])
def test_what_no_client_asked_for_is_not_prepared(block: Block) -> None:
    solo = PbftClassicSolo(watermark_window=200)
    solo.propose(1, block=block)
    assert solo.said(Prepare) == []


def test_only_the_leader_proposes() -> None:
    solo = PbftClassicSolo()
    solo.hear(PrePrepare(1, 0, solo[1]), PrePrepare(2, 0, solo[1]))
    assert solo.said(Prepare) == []


def test_a_proposal_beyond_the_watermark_is_not_prepared() -> None:
    solo = PbftClassicSolo(watermark_window=8)
    solo.propose(8)
    solo.propose(9)
    assert [vote.height for vote in solo.said(Prepare)] == [8]


def test_a_leader_has_no_more_heights_in_flight_than_its_pipeline() -> None:
    for pipeline, proposed in ((1, [1]), (8, [1, 2, 3, 4, 5, 6, 7, 8])):
        solo = PbftClassicSolo(replica=0, pipeline=pipeline, watermark_window=16)
        assert [message.height for message in solo.said(PrePrepare)] == proposed
        solo.commits((1, 2, 3), solo[1])
        assert max(message.height for message in solo.said(PrePrepare)) == pipeline + 1


def test_a_leader_that_is_a_quorum_by_itself_orders_a_window_of_any_size_at_once() -> None:
    solo = PbftClassicSolo(replica=0, n=1, watermark_window=5_000, blocks=10_000)
    assert len(solo.of(Decide)) == 5_000


def test_different_outputs_keep_no_block_from_being_ordered() -> None:
    cluster = PbftClassicCluster(
        pbft_classic(), blocks=6, answer=lambda replica, block, view: output(f"{replica}")
    ).run()
    assert cluster.heights() == [6] * 4
    assert cluster.abandons == []


def test_weight_decides_and_not_heads() -> None:
    heavy = QuorumSystem((5, 1, 1, 1))
    heavy_down = PbftClassicCluster(pbft_classic(quorum=heavy), blocks=2, behaviours={0: "silent"})
    assert heavy_down.run(until_ns=20_000 * MS).heights()[1:] == [0, 0, 0]
    light_down = PbftClassicCluster(pbft_classic(quorum=heavy), blocks=2, behaviours={1: "silent"})
    assert light_down.run().is_done


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"pipeline": 0}, "pipeline is 0"), ({"checkpoint_interval": 9, "watermark_window": 8}, "watermark_window is 8")],
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PbftClassicConfig(quorum=QuorumSystem.equal(4), **settings)  # type: ignore[arg-type]


def test_a_vote_that_tells_nothing_has_no_effects() -> None:
    solo = PbftClassicSolo(n=7)
    solo.propose(1)
    assert solo.prepares((1,), solo[1]) == []
    assert solo.commits((1,), solo[1]) == []
    assert solo.protocol.receive(Commit(2, 0, 99, Pair(b"", b"").block)) == ()


def halves(sender: int, receiver: int, message: Message) -> int:
    return (1 if sender // 2 == receiver // 2 else 300) * MS


@pytest.mark.parametrize("behaviour", ["silent", "equivocating-leader", "equivocating-voter"])
@pytest.mark.parametrize("n", [4, 7])
def test_a_faulty_first_leader_forks_nothing_and_holds_nobody_up_for_long(n: int, behaviour: str) -> None:
    cluster = PbftClassicCluster(
        pbft_classic(n, pipeline=4), blocks=10, behaviours={0: behaviour}, delay_ns=halves
    ).run()
    cluster.check()
    assert cluster.is_done
