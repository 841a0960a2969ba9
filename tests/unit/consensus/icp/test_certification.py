"""Outputs are voted on apart from blocks: what is certified, who takes over whose state, and what nobody can tell."""

from __future__ import annotations

from support.cluster import MS, output
from support.icp_cluster import IcpCluster, icp
from support.icp_solo import IcpSolo

from consensus.icp.messages import CertificationShare, CertifiedOutput, Status, Sync
from consensus.protocol import Block, Certify, Execute, Resync, Send


def drifting(*replicas: int, at: int = 2) -> object:
    """From a height on these compute another output than the others, until they take the certified state over."""

    def answer(replica: int, block: Block, view: int) -> bytes:
        return output(f"{block} {replica in replicas and block.height == at}")

    return answer


def test_a_final_block_is_executed_once_and_its_output_told_to_all() -> None:
    solo = IcpSolo()
    solo.pass_round(1)
    assert solo.of(Execute) == [Execute(solo.block(1).content, 0)]
    solo.executed(1)
    assert solo.said(CertificationShare) == [CertificationShare(solo.id, 1, output("same"))]


def test_n_minus_f_equal_outputs_are_certified_in_order_of_height() -> None:
    solo = IcpSolo()
    for height in (1, 2):
        solo.pass_round(height)
        solo.executed(height)
    solo.certify(2, "same", solo.others[:2])
    solo.certify(1, "same", solo.others[:1])
    assert solo.of(Certify) == []
    solo.certify(1, "same", solo.others[1:2])
    voters = tuple(sorted([solo.id, *solo.others[:2]]))
    assert solo.of(Certify) == [Certify(height, output("same"), voters) for height in (1, 2)]


def test_a_height_is_certified_only_when_it_is_final_here() -> None:
    solo = IcpSolo()
    solo.certify(1, "same", solo.others)
    assert solo.of(Certify) == []
    solo.pass_round(1)
    assert [certify.height for certify in solo.of(Certify)] == [1]


def test_who_is_outvoted_takes_the_certified_state_over_and_executes_anew_what_comes_after() -> None:
    solo = IcpSolo()
    for height in (1, 2, 3):
        solo.pass_round(height)
    solo.executed(1, "own")
    solo.executed(2, "own")
    solo.certify(1, "same", solo.others[:2])
    effects = solo.certify(1, "same", solo.others[2:])
    two, three = (Execute(solo.block(height).content, 0) for height in (2, 3))
    told = [effect for effect in effects if isinstance(effect, Resync | Execute | Certify)]
    assert told == [Resync(1, output("same")), two, three, Certify(1, output("same"), tuple(solo.others))]
    solo.executed(2)
    assert solo.said(CertificationShare)[2:] == []  # it has voted at this height, and its first vote stands
    solo.executed(3)
    assert solo.said(CertificationShare)[2:] == [CertificationShare(solo.id, 3, output("same"))]


def test_what_was_computed_in_a_void_state_is_not_compared_any_more() -> None:
    solo = IcpSolo()
    for height in (1, 2):
        solo.pass_round(height)
        solo.executed(height, "own")
    solo.certify(2, "same", solo.others)
    solo.certify(1, "same", solo.others)
    assert solo.of(Resync) == [Resync(1, output("same"))]
    solo.executed(2)
    assert [certify.height for certify in solo.of(Certify)] == [1, 2]
    assert len(solo.of(Resync)) == 1


def test_who_executes_late_and_finds_another_output_certified_resyncs_then() -> None:
    solo = IcpSolo()
    solo.pass_round(1)
    solo.certify(1, "same", solo.others)
    assert len(solo.of(Certify)) == 1
    solo.executed(1, "own")
    assert solo.of(Resync) == [Resync(1, output("same"))]


def test_who_is_told_to_stay_keeps_its_own_state_and_goes_on() -> None:
    solo = IcpSolo(outvoted="stay")
    for height in (1, 2):
        solo.pass_round(height)
        solo.executed(height, "own")
    solo.certify(1, "same", solo.others)
    assert solo.of(Resync) == []
    assert [certify.height for certify in solo.of(Certify)] == [1]
    assert [share.output for share in solo.said(CertificationShare)] == [output("own")] * 2


def test_the_result_of_an_execution_that_was_not_asked_for_is_ignored() -> None:
    solo = IcpSolo()
    solo.pass_round(1)
    solo.executed(2)
    assert solo.said(CertificationShare) == []


def test_a_certificate_of_others_counts_if_it_holds() -> None:
    solo = IcpSolo()
    solo.pass_round(1)
    for voters in ((0, 1), (0, 1, 2)):
        solo.hear(Sync(0, None, (), None, (CertifiedOutput(1, output("same"), voters),), ()))
        assert len(solo.of(Certify)) == (len(voters) == 3)


def test_a_flood_of_outputs_takes_no_memory() -> None:
    solo = IcpSolo()
    for height in range(1, 500):
        solo.hear(CertificationShare(0, height, bytes([height % 256])), CertificationShare(0, height, b"another"))
    ballots = solo.protocol._certification._ballots
    assert len(ballots) == 74
    assert all(len(ballot.votes) == 1 for ballot in ballots.values())


def test_who_certification_leaves_behind_asks_one_of_the_others_in_each_round() -> None:
    solo = IcpSolo(delta_bnd_ns=MS)
    for height in range(1, 8):
        solo.pass_round(height)
    asked = solo.said(Status)
    assert [(status.decided, status.certified) for status in asked] == [(height, 0) for height in (4, 5, 6)]
    receivers = [effect.receiver for effect in solo.of(Send) if isinstance(effect.message, Status)]
    assert sorted(receivers) == solo.others, "each in turn"


def test_a_drifting_replica_resyncs_and_agrees_from_there_on() -> None:
    cluster = IcpCluster(icp(), blocks=20, answer=drifting(3)).run()  # type: ignore[arg-type]
    cluster.check()
    assert [[resync.height for resync in each] for each in cluster.resyncs] == [[], [], [], [2]]
    assert all(node.certified == 20 for node in cluster.inner)  # type: ignore[attr-defined]
    assert 3 not in cluster.certified[3][2].voters
    assert 3 in cluster.certified[3][20].voters


def test_a_minority_of_two_in_seven_resyncs() -> None:
    cluster = IcpCluster(icp(7), blocks=20, answer=drifting(1, 4)).run()  # type: ignore[arg-type]
    cluster.check()
    assert [len(each) for each in cluster.resyncs] == [0, 1, 0, 0, 1, 0, 0]
    assert all(node.certified == 20 for node in cluster.inner)  # type: ignore[attr-defined]


def test_three_in_seven_leave_nothing_certified_and_nobody_resyncs() -> None:
    cluster = IcpCluster(icp(7), blocks=20, answer=drifting(1, 4, 5)).run(5_000 * MS)  # type: ignore[arg-type]
    cluster.check()
    assert all(node.certified == 1 for node in cluster.inner)  # type: ignore[attr-defined]
    assert cluster.resyncs == [[]] * 7
