from __future__ import annotations

import pytest

from lastbit.reach import reach_during, sides_of
from simcore.faults import Partition

FOUR = range(4)


def split(*groups: set[int], **more: int) -> Partition:
    return Partition(groups=tuple(map(frozenset, groups)), **({"from_ns": 10, "until_ns": 90} | more))  # type: ignore[arg-type]


def sides(*splits: Partition, from_ns: int = 20, until_ns: int = 20) -> list[list[int]]:
    reach = reach_during(splits, FOUR, from_ns, until_ns)
    return [sorted(side) for side in sides_of(reach, FOUR)]


def test_without_a_partition_everybody_is_on_one_side() -> None:
    assert sides() == [[0, 1, 2, 3]]


def test_partitions_that_hold_together_leave_what_none_of_them_parts() -> None:
    assert sides(split({0, 1}, {2, 3}), split({0, 2, 3}, {1})) == [[0], [1], [2, 3]]


def test_a_partition_one_way_parts_as_one_both_ways_and_reach_tells_them_apart() -> None:
    one_way = split({0, 1}, {2, 3}, one_way=True)

    assert sides(one_way) == sides(split({0, 1}, {2, 3})) == [[0, 1], [2, 3]]
    reach = reach_during([one_way], FOUR, 20, 20)
    assert [sorted(reach[each]) for each in FOUR] == [[0, 1], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize(("from_ns", "until_ns"), [(0, 9), (90, 99)])
def test_what_does_not_hold_within_the_span_parts_nobody(from_ns: int, until_ns: int) -> None:
    assert sides(split({0, 1}, {2, 3}), from_ns=from_ns, until_ns=until_ns) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(("from_ns", "until_ns"), [(0, 10), (89, 99)])
def test_what_holds_for_a_nanosecond_of_it_does(from_ns: int, until_ns: int) -> None:
    assert sides(split({0, 1}, {2, 3}), from_ns=from_ns, until_ns=until_ns) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("from_ns", "until_ns", "together"),
    [
        (10, 14, [[0], [1, 2, 3]]),
        (10, 15, [[0], [1], [2, 3]]),
        (14, 15, [[0], [1], [2, 3]]),
        (15, 19, [[0, 2, 3], [1]]),
        (10, 24, [[0], [1], [2], [3]]),
        (10, 1_000, [[0], [1], [2], [3]]),
    ],
)
def test_one_that_moves_parts_whomever_it_parts_within_the_span(
    from_ns: int, until_ns: int, together: list[list[int]]
) -> None:
    moving = split({0}, {1, 2, 3}, every_ns=5)

    assert sides(moving, from_ns=from_ns, until_ns=until_ns) == together


def test_a_span_of_many_steps_costs_no_more_than_one_of_each_place() -> None:
    moving = split({0}, {1, 2, 3}, every_ns=1, until_ns=10**18)

    assert sides(moving, from_ns=0, until_ns=10**17) == [[0], [1], [2], [3]]


def test_sides_are_of_those_who_are_asked_about() -> None:
    reach = reach_during([split({0, 1}, {2, 3})], FOUR, 20, 20)

    assert [sorted(side) for side in sides_of(reach, (1, 2, 3))] == [[1], [2, 3]]
