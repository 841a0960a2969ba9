"""Windows of crashes and partitions are half open, and impossible ones are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simcore.faults import Crash, Partition


def groups(*members: set[int]) -> tuple[frozenset[int], ...]:
    return tuple(frozenset(group) for group in members)


def test_a_window_holds_from_its_beginning_to_just_before_its_end() -> None:
    for window in (
        Crash(replica=0, from_ns=5, until_ns=7),
        Partition(groups=groups({0}), from_ns=5, until_ns=7),
    ):
        assert [window.holds_at(time_ns) for time_ns in (4, 5, 6, 7)] == [False, True, True, False]


def test_a_crash_without_an_end_lasts() -> None:
    assert Crash(replica=0, from_ns=5).holds_at(10**18)


def test_a_replica_that_no_group_names_is_alone() -> None:
    split = Partition(groups=groups({0, 1}, {2, 3}), from_ns=0, until_ns=1)
    assert split.reached_by(3, 0) == {2, 3}
    assert split.reached_by(4, 0) == {4}


def reached(split: Partition, time_ns: int) -> list[list[int]]:
    """For each replica, whom it reaches."""
    return [sorted(split.reached_by(replica, time_ns)) for replica in range(4)]


def test_one_way_what_goes_from_an_earlier_group_to_a_later_one_is_lost_and_what_goes_back_is_not() -> None:
    split = Partition(groups=groups({1}, {0, 3}, {2}), from_ns=0, until_ns=9, one_way=True)

    assert reached(split, 0) == [[0, 1, 3], [1], [0, 1, 2, 3], [0, 1, 3]]


def test_groups_that_move_move_by_one_replica_each_time_and_come_round() -> None:
    split = Partition(groups=groups({0}, {1, 2, 3}), from_ns=10, until_ns=100, every_ns=5)

    alone = [[replica for replica in range(4) if len(reached(split, at)[replica]) == 1] for at in range(10, 36, 5)]
    assert alone == [[0], [1], [2], [3], [0], [1]]
    assert reached(split, 14) == reached(split, 10)
    assert reached(split, 15) == [[0, 2, 3], [1], [0, 2, 3], [0, 2, 3]]


def test_groups_may_move_and_be_apart_one_way() -> None:
    split = Partition(groups=groups({0}, {1, 2, 3}), from_ns=0, until_ns=100, every_ns=5, one_way=True)

    assert reached(split, 0) == [[0], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert reached(split, 5) == [[0, 1, 2, 3], [1], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Crash(replica=-1, from_ns=0), "replica -1"),
        (lambda: Crash(replica=0, from_ns=-1), "from_ns -1"),
        (lambda: Crash(replica=0, from_ns=5, until_ns=5), "until_ns 5 is not after from_ns 5"),
        (lambda: Partition(groups=(), from_ns=0, until_ns=1), "there must be a group"),
        (lambda: Partition(groups=groups(set()), from_ns=0, until_ns=1), "every group needs a replica"),
        (lambda: Partition(groups=groups({0, 1}, {1}), from_ns=0, until_ns=1), r"replicas \[1\] stand in more"),
        (lambda: Partition(groups=groups({-2}), from_ns=0, until_ns=1), "replica -2"),
        (lambda: Partition(groups=groups({0}), from_ns=3, until_ns=2), "until_ns 2 is not after"),
        (lambda: Partition(groups=groups({0}, {1}), from_ns=0, until_ns=1, every_ns=0), "every_ns 0 is no time"),
        (lambda: Partition(groups=groups({0}, {2}), from_ns=0, until_ns=1, every_ns=1), "name every replica"),
        (lambda: Partition(groups=groups({0}, {2}), from_ns=0, until_ns=1, one_way=True), "name every replica"),
    ],
)
def test_what_is_no_fault_is_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
