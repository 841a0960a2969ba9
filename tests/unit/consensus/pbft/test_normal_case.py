"""Nothing goes wrong, or only the arithmetic does: what is said, what is decided, and what a dissenter does."""

from __future__ import annotations

from collections import Counter

import pytest
from support.cluster import Cluster, output, pbft
from support.solo import Solo

from consensus.pbft.config import PbftConfig
from consensus.pbft.messages import Commit, OutputRequest, OutputResponse, Prepare, PrePrepare
from consensus.protocol import Block, Decide, Execute
from consensus.quorum import QuorumSystem


@pytest.mark.parametrize("n", [1, 3, 4, 7, 10])
def test_a_block_costs_one_proposal_and_two_rounds_of_votes_in_which_the_leader_takes_part(n: int) -> None:
    """(n-1) + n(n-1) + n(n-1): unlike C&L's, the leader prepares too, since its vote names its own output."""
    cluster = Cluster(pbft(n), blocks=3).run().settle()
    sent = Counter(message.kind for _, _, message in cluster.sent)
    assert sent == Counter({"pre-prepare": 3 * (n - 1), "prepare": 3 * n * (n - 1), "commit": 3 * n * (n - 1)})
    cluster.check_no_fork()


def test_every_replica_executes_each_block_once_and_decides_it_in_the_first_view() -> None:
    cluster = Cluster(pbft(), blocks=6).run()
    assert Counter((replica, block.height) for replica, block, _ in cluster.executions) == {
        (replica, height): 1 for replica in range(4) for height in range(1, 7)
    }
    assert {decide.view for decided in cluster.decided for decide in decided.values()} == {0}
    assert cluster.abandons == []


def test_replicas_vote_for_a_pair_and_commit_only_what_a_quorum_prepared() -> None:
    solo = Solo()
    solo.propose(1)
    assert [execute.block for execute in solo.of(Execute)] == [solo.block(1)]
    assert solo.said(Prepare) == []
    solo.executed(1)
    assert [vote.pair for vote in solo.said(Prepare)] == [solo.pair(1)]
    solo.prepares((0,), 1)
    assert solo.said(Commit) == []
    solo.prepares((1,), 1)
    assert [vote.pair for vote in solo.said(Commit)] == [solo.pair(1)]
    solo.commits((0,), 1)
    assert solo.of(Decide) == []
    solo.commits((1,), 1)
    assert [(decide.output, decide.voters) for decide in solo.of(Decide)] == [(output("same"), (0, 1, 3))]


def test_equal_blocks_with_unequal_outputs_are_not_a_quorum() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1)
    solo.prepares((0,), 1, "same")
    solo.prepares((1,), 1, "another")
    assert solo.said(Commit) == []


def test_a_proposal_from_another_than_the_leader_is_not_executed() -> None:
    solo = Solo()
    solo.hear(PrePrepare(1, 0, solo.block(1)), PrePrepare(2, 0, solo.block(1)))
    assert solo.of(Execute) == []


@pytest.mark.parametrize("block", [Block(1, (0, 99)), Block(101, (100,))], ids=["made up", "past the last"])
def test_a_proposal_of_what_no_client_asked_for_is_not_executed(block: Block) -> None:
    solo = Solo(watermark_window=200)
    solo.hear(PrePrepare(0, 0, block))
    assert solo.of(Execute) == []


def test_heights_in_flight_are_decided_in_order_however_they_are_committed() -> None:
    solo = Solo(pipeline=4)
    for height in (3, 2, 1):
        solo.propose(height)
        solo.commits((0, 1, 2), height)
    assert [decide.block.height for decide in solo.of(Decide)] == [1, 2, 3]


def test_a_dissenting_replica_commits_to_the_certified_output_and_fetches_it() -> None:
    cluster = Cluster(pbft(), blocks=2, answer=lambda replica, block, view: output("odd" if replica == 3 else "even"))
    cluster.run().settle()
    assert cluster.heights() == [2, 2, 2, 2]
    said = {message.pair.output for sender, _, message in cluster.sent if sender == 3 and isinstance(message, Commit)}
    assert said == {output("even")}
    asked = {(sender, message.height) for sender, _, message in cluster.sent if isinstance(message, OutputRequest)}
    assert asked == {(3, 1), (3, 2)}
    assert all(
        message.output == output("even") for _, _, message in cluster.sent if isinstance(message, OutputResponse)
    )
    assert not any(slot.dissents for slot in cluster.inner[3]._slots.values())
    cluster.check_no_fork()


def test_weight_decides_and_not_heads() -> None:
    """One replica of weight 5 and three of weight 1: without the heavy one nobody decides, without a light one all."""
    heavy_down = Cluster(pbft(quorum=QuorumSystem((5, 1, 1, 1))), blocks=2, behaviours={0: "silent"})
    assert heavy_down.run(until_ns=20_000_000_000).heights()[1:] == [0, 0, 0]
    light_down = Cluster(pbft(quorum=QuorumSystem((5, 1, 1, 1))), blocks=2, behaviours={1: "silent"})
    assert light_down.run().is_done


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pipeline": 0}, "pipeline is 0"),
        ({"timeout_ns": 0}, "timeout_ns is 0"),
        ({"pipeline": 8, "watermark_window": 7}, "watermark_window is 7"),
        ({"checkpoint_interval": 9, "watermark_window": 8}, "no checkpoint could free it"),
        ({"timeout_ns": 2, "timeout_max_ns": 1}, "timeout_max_ns is 1"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PbftConfig(quorum=QuorumSystem.equal(4), **settings)  # type: ignore[arg-type]
