"""Outputs differ: who is outvoted and what it does, and what the chain does where nobody is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.cluster import MS, output
from support.pbft_classic_cluster import PbftClassicCluster, pbft_classic
from support.pbft_classic_solo import PbftClassicSolo

from consensus.pbft.messages import Checkpoint, PrePrepare, Sync
from consensus.protocol import Adopt, Block, CancelTimer, Certify, Decide, Execute, Outvoted, Resync, SetTimer


def drifted(*replicas: int, at: int = 6) -> Callable[[int, Block, int], bytes]:
    """These replicas have an answer of their own at one height."""
    return lambda replica, block, view: output(
        f"own {replica}" if replica in replicas and block.height == at else f"{block.height}"
    )


def low_or_high(replica: int, block: Block, view: int) -> bytes:
    return output("low" if replica < 2 else "high")


def outvoted_at_4(policy: str) -> PbftClassicSolo:
    """Replica 3 has its own answer at height 2, has gone on to 6, and the three others agree at 4."""
    solo = PbftClassicSolo(outvoted=policy, pipeline=8)
    solo.order(1, 2, 3, 4, 5, 6)
    solo.executed(1)
    solo.executed(2, name="mine")
    solo.executed(3, 4, 5)
    solo.checkpoints((0, 1, 2), 4)
    return solo


def test_an_outvoted_replica_takes_the_certified_state_over_and_executes_anew_from_there() -> None:
    solo = outvoted_at_4("resync")
    resync = solo.of(Resync)
    assert resync == [Resync(4, output("same"))]
    after = solo.effects[solo.effects.index(resync[0]) :]
    assert [effect.block.height for effect in after if isinstance(effect, Execute)] == [5, 6]
    assert solo.of(Certify) == [Certify(4, output("same"), (0, 1, 2))], "it never saw what others computed below"
    assert (solo.protocol.executed_height, solo.protocol.certified, solo.protocol.stable.height) == (4, 4, 4)
    solo.executed(5, 6)
    assert solo.protocol.execution == solo.snapshot(6).execution


def test_a_replica_that_goes_on_with_its_own_state_moves_its_watermarks_and_certifies_nothing() -> None:
    solo = outvoted_at_4("stay")
    assert (solo.of(Resync), solo.of(Certify), solo.of(Outvoted)) == ([], [], [])
    assert (solo.protocol.stable.height, solo.protocol.certified) == (4, 0)
    solo.executed(6)
    solo.order(7, 8, 9)
    solo.executed(7, 8)
    solo.checkpoints((0, 1, 2), 8)
    assert (solo.protocol.stable.height, solo.protocol.certified) == (8, 0)
    assert [decide.block.height for decide in solo.of(Decide)][-1] == 9


def test_a_replica_that_halts_says_so_and_takes_no_further_part() -> None:
    solo = outvoted_at_4("halt")
    assert solo.of(Outvoted) == [Outvoted(4, 0)]
    assert solo.protocol.halt_at == 4
    assert [type(effect) for effect in solo.effects if isinstance(effect, SetTimer | CancelTimer)][-1] is CancelTimer
    said = len(solo.effects)
    solo.executed(6)
    solo.order(7)
    solo.hear(*(solo.view_change(sender) for sender in (0, 1)), Sync(0, 0, solo.stable(8), (), None, ()))
    solo.timeout()
    solo.keep(solo.protocol.recover())
    assert len(solo.effects) == said
    assert (solo.protocol.decided, solo.protocol.executed_height) == (6, 5)


def test_a_replica_that_halts_on_what_a_sync_shows_it_orders_nothing_that_the_sync_holds() -> None:
    solo = PbftClassicSolo(outvoted="halt")
    solo.order(1, 2, 3, 4)
    solo.executed(1, 2, 3, 4, name="mine")
    solo.hear(Sync(0, 0, solo.stable(4), (solo.decision(5),), None, ()))
    assert (solo.protocol.halt_at, solo.protocol.decided) == (4, 4)


def test_a_replica_votes_once_for_each_checkpoint_though_it_executes_anew() -> None:
    """Two different votes at one height would let two quorums stand there."""
    solo = PbftClassicSolo(pipeline=8)
    solo.order(*range(1, 9))
    solo.executed(*range(1, 9), name="mine")
    assert [vote.height for vote in solo.said(Checkpoint)] == [4, 8]
    solo.checkpoints((0, 1, 2), 4)
    assert len(solo.of(Resync)) == 1
    solo.executed(*range(5, 9))
    assert [vote.height for vote in solo.said(Checkpoint)] == [4, 8]
    solo.checkpoints((0, 1, 2), 8)
    assert len(solo.of(Resync)) == 1, "what it has now is what the others have"
    assert solo.protocol.certified == 8


def test_a_replica_that_lags_behind_a_stable_checkpoint_takes_it_over() -> None:
    solo = PbftClassicSolo()
    solo.order(1)
    solo.hear(Sync(0, 0, solo.stable(8), (solo.decision(9),), None, ()))
    assert solo.of(Adopt) == [Adopt(8, solo.snapshot(8).chain)]
    assert solo.of(Resync) == [Resync(8, output("same"))]
    assert [execute.block.height for execute in solo.of(Execute)] == [1, 9]
    assert solo.executed(1) == []
    solo.executed(9)
    assert solo.protocol.execution == solo.snapshot(9).execution


def test_a_split_in_halves_stops_the_order_at_the_watermark_and_leaves_clients_with_two_answers() -> None:
    """Both answers have f + 1 = 2 equal replies. No checkpoint becomes stable, so nobody can order past it."""
    halves = PbftClassicCluster(
        pbft_classic(pipeline=4),
        blocks=20,
        answer=lambda replica, block, view: output("low" if replica < 2 else "high"),
    )
    halves.run(until_ns=60_000 * MS)
    halves.check()
    assert halves.heights() == [8] * 4
    assert max(message.height for _, _, message in halves.sent if isinstance(message, PrePrepare)) == 8
    assert halves.certified == [{}] * 4
    for height in range(1, 9):
        assert halves.answers_to_clients(height) == {output("low"): {0, 1}, output("high"): {2, 3}}


def test_a_full_window_lets_timers_run_out_and_views_change_without_end_at_the_capped_timeout() -> None:
    halves = PbftClassicCluster(pbft_classic(), blocks=20, answer=low_or_high)
    halves.run(until_ns=60_000 * MS)
    at_60_s = max(protocol.view for protocol in halves.inner)
    halves.run(until_ns=120_000 * MS)
    further = max(protocol.view for protocol in halves.inner) - at_60_s
    assert 15 <= further <= 20, "3.2 s each, and some for the messages"
    assert halves.heights() == [8] * 4


def test_a_minority_of_two_in_seven_is_outvoted_and_the_chain_goes_on() -> None:
    cluster = PbftClassicCluster(pbft_classic(7), blocks=20, answer=drifted(2, 5)).run()
    cluster.check()
    assert cluster.heights() == [20] * 7
    assert [[resync.height for resync in resyncs] for resyncs in cluster.resyncs] == [[], [], [8], [], [], [8], []]
    assert cluster.answers_to_clients(6) == {
        output("6"): {0, 1, 3, 4, 6},
        output("own 2"): {2},
        output("own 5"): {5},
    }


def test_three_of_seven_are_too_many_and_the_order_stops() -> None:
    cluster = PbftClassicCluster(pbft_classic(7), blocks=20, answer=drifted(1, 2, 5)).run(until_ns=30_000 * MS)
    cluster.check()
    assert cluster.heights() == [12] * 7, "the checkpoint at 4 was stable"


@pytest.mark.parametrize(("policy", "height", "certified"), [("resync", 20, 20), ("stay", 20, 4), ("halt", 8, 4)])
def test_one_drifting_replica_does_what_it_is_told_and_the_others_go_on(
    policy: str, height: int, certified: int
) -> None:
    cluster = PbftClassicCluster(pbft_classic(outvoted=policy), blocks=20, answer=drifted(2))
    cluster.run(until_ns=30_000 * MS)
    assert cluster.heights() == [20, 20, height, 20]
    cluster.settle()
    cluster.check()
    assert [protocol.certified for protocol in cluster.inner] == [20, 20, certified, 20]
    assert list(cluster.outvoted) == ([2] if policy == "halt" else [])
    assert [resync.height for resync in cluster.resyncs[2]] == ([8] if policy == "resync" else [])
    assert cluster.answers_to_clients(6)[output("own 2")] == {2}, "said before it could know better"
