from __future__ import annotations

import pytest

from consensus.quorum import QuorumError, QuorumSystem


@pytest.mark.parametrize(
    ("replicas", "faulty", "threshold"),
    [(3, 0, 2), (4, 1, 3), (5, 1, 4), (6, 1, 4), (7, 2, 5), (8, 2, 6), (9, 2, 6), (10, 3, 7)],
)
def test_golden_quorums_of_equal_replicas(replicas: int, faulty: int, threshold: int) -> None:
    system = QuorumSystem.equal(replicas)
    assert (system.faulty_weight_max, system.threshold) == (faulty, threshold)


def test_two_f_plus_one_of_six_need_not_share_an_honest_replica_and_is_refused() -> None:
    with pytest.raises(QuorumError, match="two quorums of 3 of 6 may share as little as 0"):
        QuorumSystem.equal(6, threshold=3)


def test_a_quorum_that_the_honest_cannot_form_is_refused() -> None:
    with pytest.raises(QuorumError, match="the honest weigh 3 and cannot form a quorum of 4"):
        QuorumSystem.equal(4, threshold=4)


@pytest.mark.parametrize(
    ("weights", "faulty", "says"),
    [((), -1, "at least one replica"), ((1, 0), -1, "replica 1 has weight 0"), ((1, 1), -2, "no weight")],
)
def test_what_is_no_quorum_system_is_refused_with_a_reason(weights: tuple[int, ...], faulty: int, says: str) -> None:
    with pytest.raises(QuorumError, match=says):
        QuorumSystem(weights, faulty)


def test_naming_a_replica_twice_does_not_count_it_twice() -> None:
    system = QuorumSystem((5, 1, 1, 1))
    assert system.weight_of([1, 1, 1]) == 1
    assert not system.is_quorum([0, 0])
    assert system.is_quorum([0, 1])


def test_a_replica_is_surely_honest_only_among_more_than_may_be_faulty() -> None:
    system = QuorumSystem.equal(7)
    assert not system.has_honest({0, 1})
    assert system.has_honest({0, 1, 2})
