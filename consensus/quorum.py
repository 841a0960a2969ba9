"""Quorums: how much weight a digest needs before replicas may act on it.

A quorum system is safe when two quorums always share an honest replica, and live when the honest alone
can form one (Malkhi and Reiter, "Byzantine quorum systems", Distributed Computing 1998).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


class QuorumError(ValueError):
    """Weights and threshold with which replicas could not agree safely, or not at all."""


@dataclass(frozen=True, slots=True)
class QuorumSystem:
    """Voting weights of the replicas and the weight that decides.

    Args:
        weights: weight of each replica, positive integers; replica ids are their positions.
        faulty_weight_max: weight that may be faulty (F). Left out: the most below a third of the total.
        threshold: weight of a quorum (q). Left out: the smallest that is safe, the least q with 2q - W > F.

    Raises:
        QuorumError: two quorums need not share an honest replica, or the honest cannot form one.

    Example:
        >>> QuorumSystem.equal(4).threshold
        3
        >>> QuorumSystem.equal(6).threshold  # not 2f+1 = 3: those need not intersect
        4
        >>> QuorumSystem((5, 1, 1, 1)).threshold  # W = 8, F = 2
        6
    """

    weights: tuple[int, ...]
    faulty_weight_max: int = -1
    threshold: int = -1

    def __post_init__(self) -> None:
        if not self.weights:
            raise QuorumError("a quorum system needs at least one replica")
        for replica, weight in enumerate(self.weights):
            if weight < 1:
                raise QuorumError(f"replica {replica} has weight {weight}; weights are positive integers")
        if self.faulty_weight_max == -1:
            object.__setattr__(self, "faulty_weight_max", (self.total - 1) // 3)
        if self.threshold == -1:
            object.__setattr__(self, "threshold", (self.total + self.faulty_weight_max) // 2 + 1)
        self._check_safe()
        self._check_live()

    @classmethod
    def equal(cls, replicas: int, *, faulty_max: int | None = None, threshold: int | None = None) -> Self:
        """A system of replicas that weigh 1 each."""
        return cls((1,) * replicas, -1 if faulty_max is None else faulty_max, -1 if threshold is None else threshold)

    @property
    def replicas(self) -> int:
        """How many replicas vote (n)."""
        return len(self.weights)

    @property
    def total(self) -> int:
        """The weight of all replicas together (W)."""
        return sum(self.weights)

    def weight_of(self, replicas: Iterable[int]) -> int:
        """The weight of a set of replicas; naming one twice does not count it twice."""
        return sum(map(self.weights.__getitem__, set(replicas)))

    def is_quorum(self, replicas: Iterable[int]) -> bool:
        """Do these replicas decide?"""
        return self.weight_of(replicas) >= self.threshold

    def has_honest(self, replicas: Iterable[int]) -> bool:
        """Is one of these replicas surely honest (do they outweigh all that may be faulty)?"""
        return self.weight_of(replicas) > self.faulty_weight_max

    def _check_safe(self) -> None:
        if self.faulty_weight_max < 0:
            raise QuorumError(f"a faulty weight of {self.faulty_weight_max} is no weight; at least 0")
        shared = 2 * self.threshold - self.total
        if shared <= self.faulty_weight_max:
            raise QuorumError(
                f"two quorums of {self.threshold} of {self.total} may share as little as {max(shared, 0)}, all of it "
                f"faulty (up to {self.faulty_weight_max}): at least {(self.total + self.faulty_weight_max) // 2 + 1}"
            )

    def _check_live(self) -> None:
        honest = self.total - self.faulty_weight_max
        if honest < self.threshold:
            raise QuorumError(
                f"with {self.faulty_weight_max} of {self.total} faulty the honest weigh {honest} and cannot form "
                f"a quorum of {self.threshold}"
            )
