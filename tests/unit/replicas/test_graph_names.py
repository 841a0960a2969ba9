"""Names that nothing in a graph bears."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replicas.graph_names import fresh_name

names = st.sets(st.sampled_from(["y", *(f"y.{number}" for number in range(2, 12))]))


@given(taken=names)
def test_a_fresh_name_is_taken_by_nobody_and_then_by_itself(taken: set[str]) -> None:
    before = set(taken)
    name = fresh_name("y", taken)
    assert name not in before
    assert taken == before | {name}


def test_fresh_names_are_numbered_without_a_gap() -> None:
    taken = {"x"}
    assert [fresh_name("y", taken) for _ in range(20)] == ["y", *(f"y.{number}" for number in range(2, 21))]
