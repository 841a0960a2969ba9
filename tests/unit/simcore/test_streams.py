"""Streams give the same draw for the same address, and another for any other."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.random import Generator, Philox

from simcore.streams import CHUNK_POSITIONS, Streams


def test_the_same_address_gives_the_same_draws_whoever_drew_before() -> None:
    streams = Streams(7)
    first = streams.generator("latency", 3, 1).random(5)
    streams.generator("loss").random(100)
    assert np.array_equal(first, streams.generator("latency", 3, 1).random(5))
    assert np.array_equal(first, Streams(7).generator("latency", 3, 1).random(5))


@pytest.mark.parametrize(
    ("seed", "name", "indices"),
    [
        (8, "latency", (3, 1)),
        (7, "loss", (3, 1)),
        (7, "latency", (1, 3)),
        (7, "latency", (3,)),
        (7, "latency", (3, 1, 0)),
        (7, "latency", (3, 2)),
        (7, "latency", ()),
    ],
)
def test_any_other_seed_name_or_index_gives_other_draws(seed: int, name: str, indices: tuple[int, ...]) -> None:
    here = Streams(7).generator("latency", 3, 1).random(4)
    assert not np.array_equal(here, Streams(seed).generator(name, *indices).random(4))


def test_a_stream_is_philox_with_the_indices_in_the_high_words_of_the_counter() -> None:
    words = np.frombuffer(hashlib.sha256(b"42/2/latency").digest()[:16], dtype="<u8")
    reference = Generator(Philox(key=words.astype(np.uint64), counter=np.array([0, 5, 6, 0], dtype=np.uint64)))
    assert np.array_equal(reference.random(9), Streams(42).generator("latency", 5, 6).random(9))


def test_the_first_draws_of_a_stream_stay_as_they_were_when_this_was_written() -> None:
    assert Streams(42).generator("latency", 1, 0).integers(0, 1 << 62, 2).tolist() == [
        3851993697048540140,
        2756930204075265378,
    ]


def test_a_seed_of_any_size_is_taken() -> None:
    huge = Streams(1 << 200).generator("a").random()
    assert huge != Streams(0).generator("a").random()


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed -1 is negative"):
        Streams(-1)


@pytest.mark.parametrize("indices", [(-1,), (1 << 64,), (0, 0, -5)])
def test_an_index_that_does_not_fit_the_counter_is_refused(indices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r'stream "a": index -?\d+ is outside'):
        Streams(0).generator("a", *indices)


def test_four_indices_are_refused() -> None:
    with pytest.raises(ValueError, match="4 indices, at most 3"):
        Streams(0).uniforms("a", 1, 2, 3, 4)


def test_uniforms_are_refused_before_their_start() -> None:
    with pytest.raises(IndexError, match="position -1 is negative"):
        Streams(0).uniforms("a")[-1]


def test_uniforms_keep_a_bounded_number_of_chunks() -> None:
    draws = Streams(0).uniforms("a")
    for number in range(10):
        draws[number * CHUNK_POSITIONS]
    assert len(draws._chunks) == 2
