"""The tables about the world: latencies, losses, partitions and crashes."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from lastbit.scenario.base import Instant, ReplicaId, Table, ns
from lastbit.scenario.fields import Probability, Real

# One day.
DELAY_MS_MAX = 86_400_000.0

Delay: TypeAlias = Annotated[float, Real("a latency in milliseconds", high=DELAY_MS_MAX)]


class ConstantLatency(Table):
    """Every message takes the same time."""

    kind: Literal["constant"] = "constant"
    ms: Delay

    @property
    def latency_ns(self) -> int:
        """The time of each message."""
        return ns(self.ms)


class UniformLatency(Table):
    """Every time between two bounds is equally likely."""

    kind: Literal["uniform"] = "uniform"
    low_ms: Delay
    high_ms: Delay

    @property
    def low_ns(self) -> int:
        """The shortest time."""
        return ns(self.low_ms)

    @property
    def high_ns(self) -> int:
        """The longest time."""
        return ns(self.high_ms)


class LognormalLatency(Table):
    """Half of the messages are faster than the median; the tail is as long as `sigma` is large."""

    kind: Literal["lognormal"] = "lognormal"
    median_ms: Annotated[float, Real("a latency in milliseconds", low=1e-6, high=DELAY_MS_MAX)]
    sigma: Annotated[float, Real("a spread", high=10.0)]

    @property
    def median_ns(self) -> int:
        """The median time."""
        return ns(self.median_ms)


class MatrixLatency(Table):
    """A time for each pair: row the sender, column the receiver."""

    kind: Literal["matrix"] = "matrix"
    ms: tuple[tuple[Delay, ...], ...]

    @property
    def latency_ns(self) -> tuple[tuple[int, ...], ...]:
        """The times, [sender][receiver]."""
        return tuple(tuple(ns(each) for each in row) for row in self.ms)


Latency: TypeAlias = Annotated[
    ConstantLatency | UniformLatency | LognormalLatency | MatrixLatency, Field(discriminator="kind")
]


class Partition(Table):
    """A time in which messages pass only within a group. Replicas that no group names form one more."""

    groups: tuple[tuple[ReplicaId, ...], ...]
    from_ms: Instant
    until_ms: Instant

    @property
    def from_ns(self) -> int:
        """When it begins."""
        return ns(self.from_ms)

    @property
    def until_ns(self) -> int:
        """When it ends."""
        return ns(self.until_ms)


class Crash(Table):
    """A time in which one replica neither hears nor sends; without an end it lasts until the run ends."""

    replica: ReplicaId
    from_ms: Instant
    until_ms: Instant | None = None

    @property
    def from_ns(self) -> int:
        """When it begins."""
        return ns(self.from_ms)

    @property
    def until_ns(self) -> int | None:
        """When it ends; None: never."""
        return None if self.until_ms is None else ns(self.until_ms)


class Network(Table):
    """How long messages take, and which never arrive."""

    latency: Latency = ConstantLatency(ms=10.0)
    loss: Annotated[float, Probability()] = 0.0
    partition: tuple[Partition, ...] = ()
