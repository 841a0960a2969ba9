"""What follows from being ordered: executions in turn, answers to clients, checkpoints and certificates."""

from __future__ import annotations

from hashlib import sha256

from support.cluster import MS, output
from support.pbft_classic_cluster import PbftClassicCluster, pbft_classic
from support.pbft_classic_solo import PbftClassicSolo

from consensus.pbft.messages import Checkpoint, PrePrepare
from consensus.protocol import Block, Broadcast, Certify, Execute, Message, Reply


def test_several_executions_may_be_under_way_and_each_answer_goes_to_the_clients_at_once() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2, 3)
    assert [execute.block.height for execute in solo.of(Execute)] == [1, 2, 3]
    assert solo.of(Reply) == []
    assert (solo.protocol.decided, solo.protocol.executed_height) == (3, 0)
    solo.executed(1)
    assert [(reply.block, reply.output) for reply in solo.of(Reply)] == [(solo[1], output("same"))]
    assert solo.protocol.executed_height == 1


def test_a_block_without_requests_has_no_client_to_answer() -> None:
    solo = PbftClassicSolo()
    solo.propose(1, block=Block(1, ()))
    solo.commits((0, 1, 2), Block(1, ()))
    solo.keep(solo.protocol.executed(Block(1, ()), 0, output("nothing")))
    assert solo.of(Reply) == []
    assert solo.protocol.executed_height == 1


def test_the_state_of_executions_is_a_chain_of_blocks_and_outputs() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2)
    solo.executed(1, 2)
    first = sha256(bytes(32) + solo[1].digest + output("same")).digest()
    assert solo.protocol.execution == sha256(first + solo[2].digest + output("same")).digest()


def test_an_answer_out_of_turn_is_not_taken() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2)
    assert solo.executed(2) == []
    solo.executed(1)
    assert solo.executed(1) == [], "nor one that comes twice"
    assert solo.protocol.executed_height == 1


def test_a_replica_tells_its_state_when_it_has_executed_a_checkpoint_height_and_not_when_it_ordered_it() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2, 3, 4)
    solo.executed(1, 2, 3)
    assert solo.said(Checkpoint) == []
    solo.executed(4)
    assert solo.said(Checkpoint) == [Checkpoint(3, 4, solo.snapshot(4))]


def test_a_quorum_of_equal_states_certifies_the_outputs_of_all_heights_up_to_there_in_order() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2, 3, 4, 5)
    solo.executed(1, 2, 3, 4, 5)
    solo.checkpoints((0,), 4)
    solo.checkpoints((1,), 4, "another")
    assert (solo.of(Certify), solo.protocol.stable.height) == ([], 0)
    solo.checkpoints((2,), 4)
    assert solo.of(Certify) == [Certify(height, output("same"), (0, 2, 3)) for height in (1, 2, 3, 4)]
    assert (solo.protocol.certified, solo.protocol.stable.height) == (4, 4)
    solo.checkpoints((1,), 4)
    assert len(solo.of(Certify)) == 4


def test_states_that_differ_in_an_earlier_output_alone_are_two_states() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2, 3, 4)
    solo.executed(1, name="mine")
    solo.executed(2, 3, 4)
    solo.checkpoints((0, 1), 4)
    assert solo.protocol.stable.height == 0


def test_a_replica_slower_than_the_others_compares_when_it_gets_there() -> None:
    solo = PbftClassicSolo(watermark_window=4)
    solo.order(1, 2, 3, 4)
    solo.executed(1, 2)
    solo.checkpoints((0, 1, 2), 4)
    assert solo.protocol.stable.height == 0, "its own watermarks wait for its own execution"
    solo.executed(3, 4)
    assert [certify.height for certify in solo.of(Certify)] == [1, 2, 3, 4]
    assert solo.protocol.stable.height == 4


def test_a_certificate_that_came_by_state_transfer_waits_for_the_execution_too() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2, 3, 4)
    solo.executed(1, 2, 3)
    solo.hear(*(solo.view_change(sender, stable=solo.stable(4), decided=4) for sender in (0, 1)))
    solo.hear(solo.new_view(*(solo.view_change(sender, stable=solo.stable(4), decided=4) for sender in (0, 1, 2))))
    assert solo.protocol.stable.height == 0
    solo.executed(4)
    assert solo.protocol.stable == solo.stable(4)


def test_the_window_stops_a_leader_until_a_quorum_has_executed_and_told_its_state() -> None:
    config = pbft_classic(pipeline=8, timeout_ns=9_000 * MS, timeout_max_ns=9_000 * MS)

    def slow_checkpoints(sender: int, receiver: int, message: Message) -> int:
        return 3_000 * MS if message.kind == "checkpoint" else 1 * MS

    cluster = PbftClassicCluster(config, blocks=12, delay_ns=slow_checkpoints)
    cluster.run(until_ns=2_900 * MS)
    assert cluster.heights() == [8] * 4
    assert max(message.height for _, _, message in cluster.sent if isinstance(message, PrePrepare)) == 8
    cluster.run(until_ns=3_400 * MS)
    assert cluster.heights() == [12] * 4
    assert cluster.abandons == []


def test_ordering_runs_ahead_of_slow_executions_up_to_the_watermark() -> None:
    cluster = PbftClassicCluster(
        pbft_classic(pipeline=8), blocks=20, compute_ns=lambda replica: 300 * MS, delay_ns=lambda *_: 1 * MS
    )
    cluster.run(until_ns=200 * MS)
    assert cluster.heights() == [8] * 4
    assert [protocol.executed_height for protocol in cluster.inner] == [0] * 4
    cluster.run()
    cluster.check()
    assert cluster.heights() == [20] * 4
    assert cluster.abandons == [], "a replica that executes makes progress, and accuses nobody (C&L 4.4)"


def test_a_replica_back_from_a_crash_executes_again_what_was_under_way() -> None:
    solo = PbftClassicSolo()
    solo.order(1, 2, 3)
    solo.executed(1)
    before = len(solo.of(Execute))
    again = solo.keep(solo.protocol.recover())
    assert [execute.block.height for execute in solo.of(Execute)[before:]] == [2, 3]
    assert any(isinstance(effect, Broadcast) for effect in again), "and asks what it missed"
    solo.executed(2, 3)
    assert solo.protocol.executed_height == 3
