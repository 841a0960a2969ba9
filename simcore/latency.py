"""Latency models: how long a copy of a message is under way, in whole nanoseconds.

A model is a frozen value that fills an array of delays from a generator that it is given; it keeps no state and draws
from nowhere else. `draws` says whether it draws at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

DELAY_NS_MAX = 24 * 3600 * 10**9
"""One day. A bound that no network needs, so that delays can share a 64-bit word with the receiver's number."""

SIGMA_MAX = 10.0


class Latency(Protocol):
    """What the network asks of a latency model."""

    @property
    def draws(self) -> bool:
        """Whether delays are random; if not, `matrix` leaves the generator alone."""

    def check(self, replicas: int) -> None:
        """Raise ValueError where the model does not fit that many replicas."""

    def matrix(self, rng: Generator, kinds: int, replicas: int) -> npt.NDArray[np.int64]:
        """Draw the delays of one round: [kind, sender, receiver], in ns. The diagonal means nothing."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Every copy takes the same time.

    Raises:
        ValueError: `delay_ns` outside 0 .. one day.

    Example:
        >>> Constant(5).matrix(np.random.default_rng(0), 1, 2).tolist()
        [[[5, 5], [5, 5]]]
    """

    delay_ns: int
    draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_delay("delay_ns", self.delay_ns)

    def check(self, replicas: int) -> None:
        """Fits any number of replicas."""

    def matrix(self, rng: Generator, kinds: int, replicas: int) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """Fill the array; nothing is drawn."""
        return np.full((kinds, replicas, replicas), self.delay_ns, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every delay from `low_ns` to `high_ns`, both included, is equally likely (but for one part in 2**53).

    Raises:
        ValueError: a bound outside 0 .. one day, or `high_ns` below `low_ns`.
    """

    low_ns: int
    high_ns: int
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_delay("low_ns", self.low_ns)
        _check_delay("high_ns", self.high_ns)
        if self.high_ns < self.low_ns:
            raise ValueError(f"uniform latency: high_ns {self.high_ns} is below low_ns {self.low_ns}")

    def check(self, replicas: int) -> None:
        """Fits any number of replicas."""

    def matrix(self, rng: Generator, kinds: int, replicas: int) -> npt.NDArray[np.int64]:
        """Draw the delays of one round."""
        # Three times as fast as Generator.integers, and as exact on every processor: one IEEE multiplication each.
        delays = rng.random((kinds, replicas, replicas))
        delays *= self.high_ns - self.low_ns + 1
        return delays.astype(np.int64) + self.low_ns


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A median with a long tail: the logarithm of the delay is normal with deviation `sigma`. Cut at one day.

    The exponential may differ in its last bit between processors, which moves a delay by 1 ns about once in 10**8.

    Raises:
        ValueError: `median_ns` outside 1 .. one day, or `sigma` outside 0 .. 10.
    """

    median_ns: int
    sigma: float
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_delay("median_ns", self.median_ns)
        if self.median_ns == 0:
            raise ValueError("lognormal latency: median_ns 0 has no logarithm; at least 1")
        if not (math.isfinite(self.sigma) and 0 <= self.sigma <= SIGMA_MAX):
            raise ValueError(f"lognormal latency: sigma {self.sigma} is outside 0 .. {SIGMA_MAX:g}")

    def check(self, replicas: int) -> None:
        """Fits any number of replicas."""

    def matrix(self, rng: Generator, kinds: int, replicas: int) -> npt.NDArray[np.int64]:
        """Draw the delays of one round."""
        delays = rng.standard_normal((kinds, replicas, replicas))
        delays *= self.sigma
        np.exp(delays, out=delays)
        delays *= self.median_ns
        np.minimum(delays, DELAY_NS_MAX, out=delays)
        return np.rint(delays, out=delays).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A table: row the sender, column the receiver, in ns; the same in every round. The diagonal means nothing.

    Raises:
        ValueError: a table that is not square, or a delay outside 0 .. one day.

    Example:
        >>> table = Matrix(((0, 3), (4, 0)))
        >>> table.matrix(np.random.default_rng(0), 1, 2).tolist()
        [[[0, 3], [4, 0]]]
    """

    delays_ns: tuple[tuple[int, ...], ...]
    draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for sender, row in enumerate(self.delays_ns):
            if len(row) != len(self.delays_ns):
                raise ValueError(
                    f"latency matrix: row {sender} has {len(row)} delays and the table {len(self.delays_ns)} rows; "
                    "it must be square"
                )
            for receiver, delay_ns in enumerate(row):
                _check_delay(f"row {sender}, column {receiver}", delay_ns)

    def check(self, replicas: int) -> None:
        """Raise ValueError where the table is not for that many replicas."""
        if len(self.delays_ns) != replicas:
            raise ValueError(f"latency matrix: {len(self.delays_ns)} rows, and there are {replicas} replicas")

    def matrix(self, rng: Generator, kinds: int, replicas: int) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """Repeat the table for every kind; nothing is drawn."""
        table = np.array(self.delays_ns, dtype=np.int64)
        return np.broadcast_to(table, (kinds, replicas, replicas)).copy()


def _check_delay(name: str, delay_ns: int) -> None:
    if not 0 <= delay_ns <= DELAY_NS_MAX:
        raise ValueError(f"latency: {name} {delay_ns} is outside 0 .. {DELAY_NS_MAX} ns (one day)")
