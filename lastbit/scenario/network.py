"""The tables about the world: latencies, and everything that can be wrong with a network or keep a replica away."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from lastbit.scenario.base import Duration, Instant, ReplicaId, Table, ns
from lastbit.scenario.fields import Flag, Probability, Real

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


class Window(Table):
    """A time in which something is wrong."""

    from_ms: Instant
    until_ms: Instant | None

    @property
    def from_ns(self) -> int:
        """When it begins."""
        return ns(self.from_ms)

    @property
    def until_ns(self) -> int | None:
        """When it ends; None: never."""
        return None if self.until_ms is None else ns(self.until_ms)


class Partition(Window):
    """A time in which messages pass only within a group. Replicas that no group names form one more, the last."""

    groups: tuple[tuple[ReplicaId, ...], ...]
    until_ms: Instant
    one_way: Annotated[bool, Flag()] = False
    every_ms: Duration | None = None

    @property
    def until_ns(self) -> int:
        """When it ends."""
        return ns(self.until_ms)

    @property
    def every_ns(self) -> int | None:
        """How often the groups move on by one replica; None: they stay."""
        return None if self.every_ms is None else ns(self.every_ms)


class Slow(Window):
    """A time in which latencies from a replica and to it are so many times as long."""

    replica: ReplicaId
    factor: Annotated[float, Real("a factor", low=1.0, high=1e6)]
    from_ms: Instant = 0.0
    until_ms: Instant | None = None


class ExtraDelay(Window):
    """A time in which messages take so much longer; left out, all senders and all receivers."""

    ms: Delay
    from_ms: Instant = 0.0
    until_ms: Instant | None = None
    senders: tuple[ReplicaId, ...] | None = None
    receivers: tuple[ReplicaId, ...] | None = None

    @property
    def extra_ns(self) -> int:
        """How much longer."""
        return ns(self.ms)


class BeforeGst(Table):
    """What holds before global stabilisation time: messages are lost, or late by up to so much."""

    loss: Annotated[float, Probability()] = 0.0
    extra_ms: Delay = 0.0

    @property
    def extra_ns(self) -> int:
        """By how much a message may be late."""
        return ns(self.extra_ms)


class Crash(Window):
    """A time in which one replica neither hears nor sends; without an end it lasts until the run ends."""

    replica: ReplicaId
    until_ms: Instant | None = None
    memory: Literal["kept", "lost"] = "kept"


class Network(Table):
    """How long messages take, which never arrive, and which arrive late or twice."""

    latency: Latency = ConstantLatency(ms=10.0)
    loss: Annotated[float, Probability()] = 0.0
    duplication: Annotated[float, Probability()] = 0.0
    reordering: Annotated[float, Probability()] = 0.0
    reordering_ms: Delay | None = None
    gst_ms: Instant | None = None
    before_gst: BeforeGst | None = None
    partition: tuple[Partition, ...] = ()
    slow: tuple[Slow, ...] = ()
    delay: tuple[ExtraDelay, ...] = ()

    @property
    def reordering_ns(self) -> int | None:
        """For how long at most a message is held back; None: derived from the latency."""
        return None if self.reordering_ms is None else ns(self.reordering_ms)

    @property
    def gst_ns(self) -> int | None:
        """Global stabilisation time; None: the network is stable from the start."""
        return None if self.gst_ms is None else ns(self.gst_ms)

    @property
    def has_faults(self) -> bool:
        """Whether it does anything else than to carry every message, once, in its latency."""
        return self != Network(latency=self.latency)


KEYS_THAT_NEED_EACH_OTHER = (frozenset({"reordering", "reordering_ms"}), frozenset({"gst_ms", "before_gst"}))
"""Of `[network]`. All other keys are independent: what is left when faulty ones are taken out can be judged."""
