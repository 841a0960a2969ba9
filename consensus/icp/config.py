"""What all replicas of an ICP subnet have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from consensus.icp.beacon import ranking
from consensus.quorum import QuorumSystem

Outvoted: TypeAlias = Literal["resync", "stay"]

BACKOFF_MAX = 10
"""Heights without finality after which the delays of later ranks grow no further: by then 57 times as long."""


def n_minus_f(weights: tuple[int, ...], faulty_max: int | None = None) -> QuorumSystem:
    """The quorum system of ICC0: all but what may be faulty.

    Args:
        weights: weight of each replica.
        faulty_max: weight that may be faulty (f). Left out: the most below a third of the total.

    Example:
        >>> n_minus_f((1,) * 6).threshold  # QuorumSystem.equal(6) needs 4 only: the smallest that is safe
        5
        >>> n_minus_f((1,) * 13, faulty_max=2).threshold
        11
    """
    faulty = (sum(weights) - 1) // 3 if faulty_max is None else faulty_max
    return QuorumSystem(weights, faulty, sum(weights) - faulty)


@dataclass(frozen=True, slots=True, kw_only=True)
class IcpConfig:
    """What all replicas of a subnet have in common.

    Args:
        quorum: who votes with which weight; `n_minus_f` gives the protocol's own.
        delta_bnd_ns: the paper's bound on a message's delay; twice that is what one rank waits longer than the one
            before (dfinity/ic: `unit_delay`).
        epsilon_ns: how long every replica waits before it notarizes (dfinity/ic: `initial_notary_delay`). With 0 the
            chain is as fast as the network.
        timeout_ns: after so long in one round without an end a replica asks all others what it has missed, and again
            after twice, four times... as long.
        timeout_max_ns: the longest time between two such questions.
        certified_gap_slow: heights that certification may lag behind finalization before notarizing slows down.
        certified_gap_max: heights that it may lag behind notarization before that stops.
        cup_gap_max: heights that notarization may go beyond the next catch-up package due, before it stops.
        cup_interval: heights from one catch-up package to the next.
        outvoted: what a replica does whose output is not the certified one: `resync` takes the certified state over,
            `stay` goes on with its own.
        beacon_seed: where the random beacon begins.

    Example:
        >>> config = IcpConfig(quorum=n_minus_f((1, 1, 1, 1)), delta_bnd_ns=50, epsilon_ns=7)
        >>> [config.proposal_delay_ns(rank) for rank in range(3)]
        [0, 100, 200]
        >>> [config.notary_delay_ns(rank, finality_gap=0, backlog=0) for rank in range(3)]
        [7, 107, 207]
        >>> sorted(config.block_maker(1, rank) for rank in range(4))
        [0, 1, 2, 3]
    """

    quorum: QuorumSystem
    delta_bnd_ns: int = 500_000_000
    epsilon_ns: int = 0
    timeout_ns: int = 4_000_000_000
    timeout_max_ns: int = 64_000_000_000
    certified_gap_slow: int = 3
    certified_gap_max: int = 70
    cup_gap_max: int = 130
    cup_interval: int = 500
    outvoted: Outvoted = "resync"
    beacon_seed: bytes = b"lastbit"

    def __post_init__(self) -> None:
        for name in ("delta_bnd_ns", "timeout_ns", "certified_gap_max", "cup_gap_max", "cup_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1")
        if self.timeout_max_ns < self.timeout_ns:
            raise ValueError(f"timeout_max_ns is {self.timeout_max_ns}; at least timeout_ns, {self.timeout_ns}")
        if self.epsilon_ns < 0:
            raise ValueError(f"epsilon_ns is {self.epsilon_ns}; at least 0")
        if not 0 <= self.certified_gap_slow < self.certified_gap_max:
            raise ValueError(
                f"certified_gap_slow is {self.certified_gap_slow}; at least 0 and below certified_gap_max, "
                f"{self.certified_gap_max}, or notarizing would stop before it slows down"
            )
        if self.outvoted not in ("resync", "stay"):
            raise ValueError(f'outvoted is "{self.outvoted}"; "resync" or "stay"')

    @property
    def unit_ns(self) -> int:
        """What one rank waits longer than the one before."""
        return 2 * self.delta_bnd_ns

    def ranking(self, height: int) -> tuple[int, ...]:
        """The block makers of a round, by rank."""
        return ranking(self.beacon_seed, height, self.quorum.replicas)

    def block_maker(self, height: int, rank: int) -> int:
        """Who has a rank in a round."""
        return self.ranking(height)[rank]

    def proposal_delay_ns(self, rank: int) -> int:
        """How long after a round began a replica of some rank makes a block."""
        return self.unit_ns * rank

    def notary_delay_ns(self, rank: int, *, finality_gap: int, backlog: int) -> int:
        """How long after a round began a block of some rank may be notarized.

        As in dfinity/ic, `get_adjusted_notary_delay_from_settings`, in whole numbers.

        Args:
            rank: rank of the block's maker.
            finality_gap: notarized heights that are not final; each makes the wait for a rank half as long again, and
                none that of rank 0. dfinity/ic knows no cap; here it is `BACKOFF_MAX`.
            backlog: how many heights more than `certified_gap_slow` certification lags behind finalization; each adds
                one unit.
        """
        gap = min(finality_gap, BACKOFF_MAX)
        by_rank: int = self.unit_ns * rank * 3**gap // 2**gap
        return self.epsilon_ns + by_rank + self.unit_ns * backlog
