"""A draw by position does not depend on what was drawn before, and is the draw of the plain stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simcore.streams import Streams

SEEDS = st.integers(min_value=0, max_value=1 << 130)
INDICES = st.lists(st.integers(min_value=0, max_value=(1 << 64) - 1), max_size=3)


@given(
    SEEDS, st.text(max_size=8), INDICES, st.lists(st.integers(min_value=0, max_value=20_000), min_size=1, max_size=20)
)
def test_uniforms_in_any_order_are_the_doubles_of_the_stream(
    seed: int, name: str, indices: list[int], positions: list[int]
) -> None:
    plain = Streams(seed).generator(name, *indices).random(max(positions) + 1)
    draws = Streams(seed).uniforms(name, *indices)
    assert [draws[position] for position in positions] == [plain[position] for position in positions]


@given(SEEDS, st.text(max_size=8), INDICES, st.text(max_size=8), INDICES)
def test_two_addresses_share_no_draws(
    seed: int, name: str, indices: list[int], other_name: str, other_indices: list[int]
) -> None:
    streams = Streams(seed)
    here = streams.generator(name, *indices).integers(0, 1 << 63, 4).tolist()
    there = streams.generator(other_name, *other_indices).integers(0, 1 << 63, 4).tolist()
    assert (here == there) == ((name, indices) == (other_name, other_indices))
