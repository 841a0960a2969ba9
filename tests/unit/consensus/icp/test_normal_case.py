"""Nothing goes wrong: what is said, and how long it takes."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from support.cluster import MS
from support.icp_cluster import IcpCluster, icp
from support.icp_solo import IcpSolo

from consensus.icp import IcpConfig, n_minus_f
from consensus.icp.messages import KINDS, NotarizationShare, Proposal, TreeBlock
from consensus.protocol import Block, Message, SetTimer


@pytest.mark.parametrize("n", [3, 4, 7])
def test_a_block_costs_one_proposal_three_rounds_of_shares_and_two_of_what_they_make(n: int) -> None:
    cluster = IcpCluster(icp(n), blocks=5).run().settle()
    sent = Counter(message.kind for _, _, message in cluster.sent)
    each = ("notarization-share", "notarization", "finalization-share", "finalization", "certification-share")
    assert sent == Counter({"proposal": 5 * (n - 1)} | dict.fromkeys(each, 5 * n * (n - 1)))
    cluster.check()
    assert all(list(cluster.certified[replica]) == [1, 2, 3, 4, 5] for replica in range(n))


def test_one_replica_alone_decides_and_certifies() -> None:
    cluster = IcpCluster(icp(1), blocks=20).run().settle()
    cluster.check()
    assert list(cluster.certified[0]) == list(range(1, 21))


def test_a_block_is_final_after_three_delays_and_the_next_is_proposed_after_two() -> None:
    cluster = IcpCluster(icp(), blocks=6).run()
    assert cluster.decided_at_ns == [at for height in range(1, 7) for at in [(20 * height + 10) * MS] * 4]


def test_the_beacon_draws_the_block_maker_of_each_round() -> None:
    cluster = IcpCluster(icp(), blocks=40).run()
    makers = {message.height: sender for sender, _, message in cluster.sent if isinstance(message, Proposal)}
    assert [makers[height] for height in range(1, 41)] == [
        cluster.config.block_maker(height, 0) for height in range(1, 41)
    ]
    assert min(Counter(makers.values()).values()) > 4
    other = replace(cluster.config, beacon_seed=b"another")
    assert [other.ranking(height) for height in range(1, 9)] != [
        cluster.config.ranking(height) for height in range(1, 9)
    ]


def test_six_replicas_need_five_and_thirteen_nine() -> None:
    assert [n_minus_f((1,) * n).threshold for n in (1, 3, 4, 6, 7, 13)] == [1, 3, 3, 5, 5, 9]
    assert n_minus_f((5, 1, 1, 1)).threshold == 6


def test_epsilon_holds_every_round_up_for_what_the_proposal_has_not_taken() -> None:
    cluster = IcpCluster(icp(epsilon_ns=15 * MS), blocks=6).run()
    assert cluster.decided_at_ns[::4] == [(25 * height + 10) * MS for height in range(1, 7)]


def test_a_silent_block_maker_costs_the_delays_of_the_next_rank() -> None:
    config = icp()
    silent = config.block_maker(1, 0)
    cluster = IcpCluster(config, blocks=1, behaviours={silent: "silent"}).run()
    cluster.check()
    assert cluster.decided_at_ns[0] == 40 * MS + 30 * MS
    decides = [decided[1] for replica, decided in enumerate(cluster.decided) if replica != silent]
    assert {decide.view for decide in decides} == {1}


def test_a_healthy_round_sets_one_timer() -> None:
    timers: Counter[int] = Counter()

    class Counting(IcpCluster):
        def _do(self, replica: int, effects: tuple[object, ...]) -> None:
            timers[replica] += sum(isinstance(effect, SetTimer) for effect in effects) if len(effects) != 1 else 0
            super()._do(replica, effects)

    cluster = Counting(icp(), blocks=20).run()
    cluster.check()
    assert all(count <= 22 for count in timers.values())


def test_every_message_has_a_kind_of_its_own_a_height_and_a_view() -> None:
    def delay_ns(sender: int, receiver: int, message: Message) -> int:
        assert message.kind in KINDS
        assert message.height >= 0
        assert message.view >= 0
        return 10 * MS

    lossy: Any = {"crashes": ((1, 50 * MS, 900 * MS),), "delay_ns": delay_ns}
    cluster = IcpCluster(icp(cup_interval=4), blocks=12, **lossy).run()
    assert {message.kind for _, _, message in cluster.sent} >= {"status", "sync", "catch-up-share"}
    assert len(set(KINDS)) == len(KINDS) == 10


def test_a_config_says_who_makes_blocks() -> None:
    config: IcpConfig = icp(7)
    assert sorted(config.ranking(3)) == list(range(7))
    assert config.block_maker(3, 2) == config.ranking(3)[2]


def test_a_copy_of_a_replica_is_equal_and_goes_on_alike() -> None:
    solo = IcpSolo(cup_interval=2)
    for height in (1, 2, 3):
        solo.pass_round(height)
        solo.executed(height)
        solo.certify(height, "same", solo.others[:height])
    twin = deepcopy(solo.protocol)
    assert twin == solo.protocol
    share = NotarizationShare(solo.others[0], 4, 1, b"block")
    solo.hear(share)
    assert twin != solo.protocol
    twin.receive(share)
    assert twin == solo.protocol


def test_the_id_of_a_block_binds_its_content_maker_rank_and_all_before_it() -> None:
    blocks = [
        TreeBlock(Block(2, requests), maker, rank, parent)
        for requests in ((), (1,))
        for maker, rank in ((0, 0), (1, 0), (0, 1))
        for parent in (bytes(32), b"other")
    ]
    assert len({block.id for block in blocks}) == 12
    assert TreeBlock(Block(2, ()), 0, 0, bytes(32), b"claimed").id == blocks[0].id
