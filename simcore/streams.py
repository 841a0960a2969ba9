"""Random streams: every draw of a run has an address, and nothing else decides its value.

A stream is named, and may have up to three indices (a height, a round, a replica). Behind each name stands the
counter-based generator Philox 4x64 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
2011): the key is taken from SHA-256 of seed and name, the indices are the three high words of the counter, and the
draws of the stream run through the low word. So a draw depends on no other draw, on no order and on no number of
workers, and making a generator costs a few microseconds: make one where one is needed, keep none.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, Philox
from numpy.random.bit_generator import ISeedSequence

INDICES_MAX = 3
CHUNK_POSITIONS = 4096
CHUNKS_KEPT_MAX = 2

_WORD_END = 1 << 64
_DRAWS_PER_COUNT = 4  # Philox 4x64 turns one value of the counter into four 64-bit words


class Streams:
    """All random numbers of a run.

    Args:
        seed: any integer from 0 on.

    Raises:
        ValueError: the seed is negative.

    Example:
        >>> streams = Streams(42)
        >>> a = streams.generator("latency", 7, 0).random()
        >>> b = streams.generator("latency", 8, 0).random()
        >>> a == streams.generator("latency", 7, 0).random(), a == b
        (True, False)
    """

    __slots__ = ("_keys", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = operator.index(seed)
        if self.seed < 0:
            raise ValueError(f"seed {seed} is negative; a seed is any integer from 0 on")
        self._keys: dict[tuple[str, int], _Key] = {}

    def generator(self, name: str, *indices: int) -> Generator:
        """Begin the stream of that name and those indices, always from its start.

        Streams with different numbers of indices are different streams: ``("a", 1)`` is not ``("a", 1, 0)``.

        Raises:
            ValueError: more than three indices, or one outside 0 .. 2**64 - 1.
        """
        return self._generator_from(0, name, indices)

    def uniforms(self, name: str, *indices: int) -> LazyUniforms:
        """Give the uniform draws of a stream by their position; see `LazyUniforms`. Keep the object: it holds a cache.

        Raises:
            ValueError: more than three indices, or one outside 0 .. 2**64 - 1.
        """
        self._key(name, indices)  # a wrong address is refused here, not at the first draw
        return LazyUniforms(self, name, indices)

    def _generator_from(self, count: int, name: str, indices: tuple[int, ...]) -> Generator:
        key = self._key(name, indices)
        counter = np.zeros(1 + INDICES_MAX, dtype=np.uint64)
        counter[0] = count
        for word, index in enumerate(indices, start=1):
            counter[word] = index
        # Philox takes any ISeedSequence, as NumPy's documentation says; its type stubs name only SeedSequence.
        return Generator(Philox(key, counter=counter))  # type: ignore[arg-type]

    def _key(self, name: str, indices: tuple[int, ...]) -> _Key:
        for index in indices:
            if not 0 <= index < _WORD_END:
                raise ValueError(f'stream "{name}": index {index} is outside 0 .. 2**64 - 1')
        key = self._keys.get((name, len(indices)))
        if key is None:
            if len(indices) > INDICES_MAX:
                raise ValueError(f'stream "{name}": {len(indices)} indices, at most {INDICES_MAX} fit the counter')
            # Two numbers without a slash, then the name: no two addresses give the same text.
            address = f"{self.seed}/{len(indices)}/{name}"
            key = self._keys[name, len(indices)] = _Key(hashlib.sha256(address.encode()).digest())
        return key


class LazyUniforms:
    """The uniform draws of one stream in [0, 1), by position, drawn 4096 at a time as they are asked for.

    Position p is the p-th double of the stream, whatever was asked before. Two chunks are kept (64 KiB), so positions
    that rise, with some overlap, cost well under a microsecond each. For a draw per request and replica use one
    object and the position ``request_id * replicas + replica``.

    Example:
        >>> draws = Streams(42).uniforms("dial")
        >>> late = draws[1_000_000]
        >>> early = draws[0]
        >>> early == Streams(42).generator("dial").random()
        True
    """

    __slots__ = ("_chunks", "_indices", "_name", "_streams")

    def __init__(self, streams: Streams, name: str, indices: tuple[int, ...]) -> None:
        self._streams = streams
        self._name = name
        self._indices = indices
        self._chunks: dict[int, npt.NDArray[np.float64]] = {}

    def __getitem__(self, position: int) -> float:
        chunk = self._chunks.get(position // CHUNK_POSITIONS)
        if chunk is None:
            chunk = self._draw(position)
        return chunk.item(position % CHUNK_POSITIONS)

    def _draw(self, position: int) -> npt.NDArray[np.float64]:
        if position < 0:
            raise IndexError(f'stream "{self._name}": position {position} is negative; draws are counted from 0')
        number = position // CHUNK_POSITIONS
        count = number * (CHUNK_POSITIONS // _DRAWS_PER_COUNT)
        chunk = self._streams._generator_from(count, self._name, self._indices).random(CHUNK_POSITIONS)
        if len(self._chunks) == CHUNKS_KEPT_MAX:
            del self._chunks[next(iter(self._chunks))]  # the one drawn first
        self._chunks[number] = chunk
        return chunk


class _Key(ISeedSequence):
    """Hands Philox a key that is ready made.

    ``Philox(key=...)`` asks the operating system for entropy that it then throws away, and takes four times as long.
    """

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> npt.NDArray[Any]:
        assert n_words == len(self._words), f"Philox asked for {n_words} words of key; it has {len(self._words)}"
        assert np.dtype(dtype) == np.uint64, f"Philox asked for a key of {dtype}; it is made of uint64"
        return self._words
