"""The random beacon: which replica may make a block first in a round, second, and so on.

In the paper the beacon of a round is a threshold signature whose shares travel one round ahead. Here it is a chain of
hashes: as hard to steer, but anybody can look ahead, and no message is spent on it.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256


def beacon(seed: bytes, height: int) -> bytes:
    """The beacon of a round.

    Example:
        >>> beacon(b"seed", 2) == sha256(beacon(b"seed", 1) + (2).to_bytes(8)).digest()
        True
    """
    chain = _chain(seed)
    while len(chain) <= height:
        chain.append(sha256(chain[-1] + len(chain).to_bytes(8)).digest())
    return chain[height]


@lru_cache(maxsize=8)
def _chain(seed: bytes) -> list[bytes]:
    """All beacons of a chain so far; only ever made longer."""
    return [sha256(b"lastbit beacon\0" + seed).digest()]


@lru_cache(maxsize=512)  # all replicas of a run ask for the same few
def ranking(seed: bytes, height: int, replicas: int) -> tuple[int, ...]:
    """The replicas of a round, by rank.

    Example:
        >>> sorted(ranking(b"seed", 1, 4)), ranking(b"seed", 1, 4) == ranking(b"seed", 2, 4)
        ([0, 1, 2, 3], False)
    """
    drawn = beacon(seed, height)
    return tuple(sorted(range(replicas), key=lambda replica: sha256(drawn + replica.to_bytes(8)).digest()))
