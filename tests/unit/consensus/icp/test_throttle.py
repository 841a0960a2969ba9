"""When certification lags: notarizing slows down, stops at the gap, and goes on when certification does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.cluster import MS, output
from support.icp_cluster import IcpCluster, icp
from support.icp_solo import IcpSolo

from consensus.icp import IcpConfig, n_minus_f
from consensus.icp.messages import NotarizationShare, Proposal
from consensus.protocol import Block

UNIT = 40 * MS


def two_and_two(replica: int, block: Block, view: int) -> bytes:
    return output(f"{block} {replica // 2}")


def lagging(heights: int, **settings: object) -> IcpSolo:
    """Some heights are final and none of them certified."""
    solo = IcpSolo(**settings)  # type: ignore[arg-type]
    for height in range(1, heights + 1):
        solo.pass_round(height)
    return solo


def shares_at(solo: IcpSolo, height: int) -> int:
    return sum(share.height == height for share in solo.said(NotarizationShare))


def test_as_long_as_certification_lags_by_three_nothing_is_slower() -> None:
    solo = lagging(3)
    solo.propose(4)
    assert shares_at(solo, 4) == 1


def test_each_height_more_delays_notarizing_by_one_unit() -> None:
    for more in (1, 2, 5):
        solo = lagging(3 + more, timeout_ns=100 * UNIT)
        solo.propose(4 + more)
        solo.wait_until(more * UNIT - 1)
        assert shares_at(solo, 4 + more) == 0
        solo.wait_until(more * UNIT)
        assert shares_at(solo, 4 + more) == 1


def test_heights_without_finality_delay_later_ranks_by_half_and_never_rank_0() -> None:
    config = icp()
    delays = [config.notary_delay_ns(2, finality_gap=gap, backlog=0) for gap in range(3)]
    assert delays == [2 * UNIT, 3 * UNIT, 4.5 * UNIT]
    assert config.notary_delay_ns(2, finality_gap=10, backlog=0) == config.notary_delay_ns(
        2, finality_gap=70, backlog=0
    )
    assert config.notary_delay_ns(2, finality_gap=10, backlog=0) == 2 * UNIT * 3**10 // 2**10
    assert config.notary_delay_ns(0, finality_gap=9, backlog=0) == 0


def test_a_replica_applies_that_to_the_round_it_is_in() -> None:
    config = icp()
    solo = IcpSolo(rank=config.ranking(1).index(config.block_maker(2, 3)))
    solo.propose(1)
    solo.notarize(solo.block(1), solo.others)  # notarized, and not final: a gap of one
    solo.propose(2, rank=1)
    solo.wait_until(UNIT * 3 // 2 - 1)
    assert shares_at(solo, 2) == 0
    solo.wait_until(UNIT * 3 // 2)
    assert shares_at(solo, 2) == 1


def test_at_the_gap_nothing_is_notarized_until_certification_goes_on() -> None:
    solo = lagging(5, certified_gap_slow=4, certified_gap_max=5)
    solo.propose(6)
    solo.wait_until(20 * UNIT)
    assert shares_at(solo, 6) == 0
    solo.certify(1, "same", solo.others)
    assert shares_at(solo, 6) == 1


def test_the_gap_is_counted_from_what_is_notarized_though_nothing_is_final() -> None:
    solo = IcpSolo(certified_gap_slow=4, certified_gap_max=5)
    for height in range(1, 6):
        solo.propose(height)
        solo.notarize(solo.block(height), solo.others)
    assert (solo.protocol.height, solo.protocol.decided) == (6, 0)
    solo.propose(6)
    solo.wait_until(20 * UNIT)
    assert shares_at(solo, 6) == 0
    solo.finalize(solo.block(5), solo.others)
    solo.certify(1, "same", solo.others)
    assert shares_at(solo, 6) == 1


def test_a_block_is_made_even_at_the_gap_so_that_one_alone_is_there_when_notarizing_goes_on() -> None:
    cluster = IcpCluster(icp(certified_gap_max=5), blocks=20, answer=two_and_two).run(5_000 * MS)
    assert {message.block.rank for message in cluster.said() if isinstance(message, Proposal)} == {0}
    assert max(message.height for message in cluster.said() if isinstance(message, Proposal)) == 6


@pytest.mark.parametrize(("gap", "until_ns"), [(70, 100_000 * MS), (12, 10_000 * MS)])
def test_blocks_go_on_without_certification_slower_and_slower_and_stop_exactly_at_the_gap(
    gap: int, until_ns: int
) -> None:
    config = icp(certified_gap_max=gap, timeout_ns=4_000 * MS)
    cluster = IcpCluster(config, blocks=100, answer=two_and_two).run(until_ns)
    cluster.check()
    assert cluster.heights() == [gap] * 4
    assert all(node.certified == 0 for node in cluster.inner)  # type: ignore[attr-defined]
    assert cluster.resyncs == [[]] * 4
    at_ns = cluster.decided_at_ns[::4]
    took = [later - earlier for earlier, later in pairwise(at_ns)]
    assert took[:3] == [20 * MS] * 3
    assert took[9] - took[8] == UNIT


def test_they_stop_exactly_so_far_beyond_the_next_catch_up_package_that_is_due() -> None:
    config = icp(cup_interval=4, cup_gap_max=6)
    cluster = IcpCluster(config, blocks=100, answer=two_and_two).run(5_000 * MS)
    assert cluster.heights() == [4 + 6] * 4


def test_a_lag_that_heals_lets_blocks_go_on() -> None:
    slow = {"compute_ns": lambda replica: 300 * MS}
    cluster = IcpCluster(icp(certified_gap_max=5), blocks=20, **slow).run(200_000 * MS)  # type: ignore[arg-type]
    cluster.check()
    assert [node.certified for node in cluster.inner] == [20] * 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta_bnd_ns": 0}, "delta_bnd_ns is 0; at least 1"),
        ({"epsilon_ns": -1}, "epsilon_ns is -1; at least 0"),
        ({"cup_interval": 0}, "cup_interval is 0; at least 1"),
        ({"certified_gap_slow": 70}, "below certified_gap_max, 70"),
        ({"outvoted": "halt"}, '"resync" or "stay"'),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IcpConfig(quorum=n_minus_f((1,) * 4), **settings)  # type: ignore[arg-type]
