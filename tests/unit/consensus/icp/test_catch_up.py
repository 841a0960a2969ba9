"""Catch-up packages, and what those who were away are sent."""

from __future__ import annotations

from support.cluster import MS, output
from support.icp_cluster import IcpCluster, icp
from support.icp_solo import IcpSolo

from consensus.icp.messages import (
    CatchUpPackage,
    CatchUpShare,
    CertificationShare,
    CertifiedOutput,
    Finalized,
    Proposal,
    Status,
    Sync,
)
from consensus.icp.replica import CHAIN_KEPT
from consensus.protocol import Adopt, Certify, Decide, Execute, Resync, SetTimer

ALL = (0, 1, 2)


def certified(heights: int, **settings: object) -> IcpSolo:
    """Some heights are final and certified."""
    solo = IcpSolo(**settings)  # type: ignore[arg-type]
    for height in range(1, heights + 1):
        solo.pass_round(height)
        solo.executed(height)
        solo.certify(height, "same", solo.others)
    return solo


def package(solo: IcpSolo, height: int, voters: tuple[int, ...] = ALL) -> Sync:
    return Sync(0, CatchUpPackage(height, solo.block(height).id, output("same"), voters), (), None, (), ())


def test_every_so_many_heights_a_share_of_a_catch_up_package_is_sent() -> None:
    solo = certified(9, cup_interval=4)
    shares = solo.said(CatchUpShare)
    assert shares == [CatchUpShare(solo.id, height, solo.block(height).id, output("same")) for height in (4, 8)]


def test_n_minus_f_shares_make_a_package_and_what_is_long_before_it_is_forgotten() -> None:
    solo = certified(CHAIN_KEPT + 9, cup_interval=CHAIN_KEPT + 8)
    assert solo.protocol._chain.first == 1
    solo.package(CHAIN_KEPT + 8, "same", solo.others[:1])
    assert solo.protocol._catch_up.height == 0
    solo.package(CHAIN_KEPT + 8, "same", solo.others[1:2])
    assert solo.protocol._catch_up.height == CHAIN_KEPT + 8
    assert solo.protocol._chain.first == min(solo.protocol._certification.certificates) == 9


def test_shares_that_differ_or_are_of_no_package_make_none() -> None:
    solo = certified(5, cup_interval=4)
    solo.package(4, "another", solo.others[:2])
    solo.package(5, "same", solo.others)
    solo.hear(*(CatchUpShare(0, height, b"far", b"far") for height in range(4, 4_000, 4)))
    assert solo.protocol._catch_up.height == 0
    assert len(solo.protocol._catch_up._ballots) <= solo.protocol._catch_up.packages_max


def test_a_package_counts_when_its_height_is_certified_here() -> None:
    solo = certified(3, cup_interval=4)
    solo.package(4, "same", solo.others)
    assert solo.protocol._catch_up.height == 0
    solo.pass_round(4)
    solo.certify(4, "same", solo.others)
    assert solo.protocol._catch_up.height == 4


def test_a_package_ahead_of_what_is_certified_here_waits_while_that_goes_on() -> None:
    solo = certified(3, cup_interval=4)
    solo.package(8, "same", solo.others)
    for height in range(4, 9):
        solo.pass_round(height)
        solo.executed(height)
        assert solo.protocol._catch_up.height == 0
        solo.certify(height, "same", solo.others)
    assert (solo.protocol._catch_up.height, solo.of(Resync)) == (8, [])


def test_who_has_missed_what_nobody_keeps_adopts_a_package_and_its_state() -> None:
    solo = certified(1, cup_interval=4)
    effects = [effect for effect in solo.hear(package(solo, 8)) if isinstance(effect, Adopt | Resync | Execute)]
    assert effects == [Adopt(8, solo.block(8).id), Resync(8, output("same"))]
    assert (solo.protocol.decided, solo.protocol.certified, solo.protocol.height) == (8, 8, 9)
    solo.pass_round(9)
    solo.executed(9)
    assert [decide.block.height for decide in solo.of(Decide)] == [1, 9]
    assert solo.said(CertificationShare)[-1].height == 9


def test_a_package_without_n_minus_f_is_not_adopted() -> None:
    solo = certified(1, cup_interval=4)
    solo.hear(package(solo, 8, voters=(0, 1)))
    assert solo.of(Adopt) == []


def test_a_package_stands_for_certificates_that_were_missed_below_it() -> None:
    solo = IcpSolo(cup_interval=4)
    for height in range(1, 6):
        solo.pass_round(height)
        solo.executed(height)
    solo.hear(package(solo, 4))
    assert [certify.height for certify in solo.of(Certify)] == [4]
    assert (solo.of(Resync), solo.protocol.decided) == ([], 5)


def test_who_is_a_whole_interval_behind_in_executing_takes_the_state_over() -> None:
    solo = IcpSolo(cup_interval=4)
    for height in range(1, 6):
        solo.pass_round(height)
        solo.certify(height, "same", solo.others)
    solo.package(4, "same", solo.others)
    assert solo.of(Resync) == [Resync(4, output("same"))]
    assert solo.of(Execute)[-1] == Execute(solo.block(5).content, 0)


def test_who_is_sent_a_package_and_is_a_whole_interval_behind_in_executing_takes_the_state_over() -> None:
    solo = IcpSolo(cup_interval=4)
    for height in range(1, 6):
        solo.pass_round(height)
    solo.hear(package(solo, 4))
    assert solo.of(Resync) == [Resync(4, output("same"))]


def test_who_asks_is_sent_final_blocks_and_certificates_with_what_proves_them() -> None:
    solo = certified(5)
    solo.hear(Status(solo.others[0], 2, 1, 2, 0))
    (sync,) = solo.said(Sync)
    assert [proposal.height for proposal in sync.chain] == [2, 3, 4, 5]
    assert (sync.finalized, sync.package) == (Finalized(5, solo.block(5).id, sync.finalized.voters), None)
    assert [certificate.height for certificate in sync.outputs] == [3, 4, 5]
    newcomer = IcpSolo(rank=0)
    newcomer.hear(*(Sync(0, None, sync.chain[:0], None, (), ()),))
    newcomer.propose(1)
    newcomer.hear(sync)
    assert newcomer.of(Decide) == []  # block 1 is not final here: the chain does not link
    other = certified(1, rank=0)
    other.hear(sync)
    assert [decide.block.height for decide in other.of(Decide)] == [1, 2, 3, 4, 5]
    assert other.protocol.height == 6


def test_a_chain_counts_only_if_it_is_linked_and_final() -> None:
    source = certified(5)
    source.hear(Status(source.others[0], 1, 0, 0, 0))
    (sync,) = source.said(Sync)
    few = Finalized(5, source.block(5).id, (0, 1))
    empty = source.proposal(source.block(3, empty=True))
    for chain, finalized in (
        (sync.chain, few),
        (sync.chain[:-1], sync.finalized),
        ((*sync.chain[:2], empty, *sync.chain[3:]), sync.finalized),
        (sync.chain, Finalized(5, source.block(5, empty=True).id, ALL)),
    ):
        solo = IcpSolo(rank=0)
        solo.hear(Sync(0, None, chain, finalized, (), ()))
        assert solo.of(Decide) == []


def test_who_asks_for_what_is_forgotten_is_sent_the_package_and_what_comes_after() -> None:
    last = CHAIN_KEPT + 10
    solo = certified(last + 2, cup_interval=last)
    solo.package(last, "same", solo.others)
    solo.hear(Status(solo.others[0], 3, 2, 2, 0))
    (sync,) = solo.said(Sync)
    assert sync.package is not None
    assert sync.package.height == last
    assert [proposal.height for proposal in sync.chain] == [last + 1, last + 2]
    assert [certificate.height for certificate in sync.outputs] == [last + 1, last + 2]
    newcomer = IcpSolo(rank=0, cup_interval=last)
    newcomer.hear(sync)
    assert (newcomer.protocol.decided, newcomer.protocol.certified) == (last + 2, last + 2)
    assert [execute.block.height for execute in newcomer.of(Execute)] == [last + 1, last + 2]


def test_who_has_certified_what_a_package_stands_for_and_lacks_it_is_sent_it() -> None:
    solo, other = certified(5, cup_interval=4), certified(5, cup_interval=4, rank=0)
    solo.package(4, "same", solo.others)
    solo.hear(Status(other.id, 6, 5, 5, 4))
    assert solo.said(Sync) == []
    solo.hear(Status(other.id, 6, 5, 5, 0))
    (sync,) = solo.said(Sync)
    assert other.protocol._catch_up.height == 0
    other.hear(sync)
    assert (other.protocol._catch_up.height, other.of(Adopt), other.of(Resync)) == (4, [], [])


def test_after_a_crash_what_was_being_executed_is_asked_for_again() -> None:
    solo = IcpSolo()
    for height in (1, 2, 3):
        solo.pass_round(height)
    solo.executed(1)
    effects = solo.keep(solo.protocol.recover())
    assert [effect.block.height for effect in effects if isinstance(effect, Execute)] == [2, 3]
    assert solo.said(Status) == [Status(solo.id, 4, 3, 0, 0)]
    assert isinstance(effects[-1], SetTimer)


def test_who_asks_is_sent_the_own_shares_of_the_one_it_asks() -> None:
    solo = certified(4, cup_interval=4)
    solo.pass_round(5)
    solo.executed(5)
    solo.propose(6)
    solo.notarize(solo.block(6), solo.others)
    solo.propose(7)
    solo.hear(Status(solo.others[0], 6, 5, 4, 0))
    (sync,) = solo.said(Sync)
    own = {(each.kind, each.height) for each in sync.messages if each.sender == solo.id}
    assert own >= {
        ("notarization-share", 6),
        ("notarization-share", 7),
        ("notarization", 6),
        ("finalization-share", 6),
        ("certification-share", 5),
        ("catch-up-share", 4),
    }
    assert {each.block.id for each in sync.messages if isinstance(each, Proposal)} >= {solo.block(6).id}


def test_a_replica_that_was_away_for_long_comes_back_by_a_package() -> None:
    cluster = IcpCluster(icp(cup_interval=20), blocks=100, crashes=((2, 100 * MS, 1_900 * MS),)).run(60_000 * MS)
    cluster.check()
    assert [adopt.height for adopt in cluster.adopted[2]] != []
    assert [node.certified for node in cluster.inner] == [100] * 4  # type: ignore[attr-defined]


def test_a_replica_that_was_away_briefly_takes_the_blocks_themselves() -> None:
    cluster = IcpCluster(icp(cup_interval=20), blocks=40, crashes=((2, 100 * MS, 400 * MS),)).run(60_000 * MS)
    cluster.check()
    assert cluster.adopted[2] == []
    assert sorted(cluster.decided[2]) == list(range(1, 41))


def test_certificates_wait_for_their_turn_in_a_window() -> None:
    solo = certified(1)
    far = tuple(CertifiedOutput(height, output("same"), ALL) for height in range(2, 500))
    solo.hear(Sync(0, None, (), None, far, ()))
    assert max(solo.protocol._certification.certificates) == 75
