"""Classes and the distances between them, against counting everything at the end."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import floor, log2

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lastbit.auditing.pairs import Answered, Apart, PairsOfClasses
from lastbit.auditing.partition import Partition
from replicas.distance import Distance, distance
from replicas.outputs import Outputs, outputs_digest

NAMES = ("ref", "a", "b", "c", "d")
ROWS = st.lists(st.tuples(*(st.sampled_from([1.0, 1.5, 2.0]) for _ in NAMES)), min_size=1, max_size=6)


def answered(value: float) -> Answered:
    outputs = Outputs.of({"y": np.array([value, 1.75], dtype=np.float32)})
    return Answered(outputs, outputs_digest(outputs), value > 1.75)


def taken(rows: list[tuple[float, ...]]) -> tuple[Partition, PairsOfClasses]:
    partition = Partition(NAMES)
    pairs = PairsOfClasses(partition)
    for request, row in enumerate(rows):
        pairs.take(request, dict(zip(NAMES, map(answered, row), strict=True)))
    return partition, pairs


def expected_apart(rows: list[tuple[float, ...]], one: str, other: str) -> Apart:
    first = None
    changed = flips = 0
    far = Distance()
    by_power = Counter[int]()
    for request, row in enumerate(rows):
        mine, theirs = (answered(row[NAMES.index(name)]) for name in (one, other))
        if mine.bits != theirs.bits:
            changed += 1
            first = request if first is None else first
            here = distance(mine.outputs, theirs.outputs)
            far += here
            by_power[floor(log2(here.scaled_ulp))] += 1
        flips += mine.top1 != theirs.top1
    return Apart(first, changed, flips, far, by_power)


@given(ROWS)
def test_classes_are_the_profiles_that_answered_alike_on_every_input(rows: list[tuple[float, ...]]) -> None:
    partition, _ = taken(rows)

    columns = list(zip(*rows, strict=True))
    by_column: dict[tuple[float, ...], list[str]] = {}
    for name, column in zip(NAMES, columns, strict=True):
        by_column.setdefault(column, []).append(name)
    assert partition.classes == tuple(map(tuple, by_column.values()))


@given(ROWS)
def test_what_is_told_of_two_classes_covers_all_inputs_also_those_before_they_fell_apart(
    rows: list[tuple[float, ...]],
) -> None:
    partition, pairs = taken(rows)

    for one, other in combinations([names[0] for names in partition.classes], 2):
        assert pairs.between(one, other) == expected_apart(rows, one, other)


@given(ROWS, st.sampled_from(NAMES))
def test_a_profile_that_is_dropped_leaves_what_is_told_of_the_others(
    rows: list[tuple[float, ...]], dropped: str
) -> None:
    partition, pairs = taken(rows)
    pairs.drop(dropped)

    assert dropped not in partition.names
    for one, other in combinations([names[0] for names in partition.classes], 2):
        assert pairs.between(one, other) == expected_apart(rows, one, other)


def test_nothing_is_in_no_class() -> None:
    assert Partition([]).classes == ()
