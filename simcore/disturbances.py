"""Disturbances: faults that make copies late, lose them for a while, or bring them twice.

All are off by default. Windows are half open, and what holds when a copy is *sent* is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from simcore.faults import check_replicas, check_window, holds
from simcore.latency import DELAY_NS_MAX

FACTOR_MAX = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """A replica on a slow line: latencies from it and to it are so many times as long.

    Args:
        replica: who.
        factor: how many times as long, 1 to a million.
        from_ns: the first nanosecond of being slow.
        until_ns: the first nanosecond of being fast again; None: never.

    Raises:
        ValueError: a factor outside its bounds, a replica or time below 0, or a window that is none.
    """

    replica: int
    factor: float
    from_ns: int = 0
    until_ns: int | None = None

    def __post_init__(self) -> None:
        check_replicas("slow", (self.replica,))
        if not 1 <= self.factor <= FACTOR_MAX:
            raise ValueError(f"slow: factor {self.factor} is outside 1 .. {FACTOR_MAX:g}")
        check_window("slow", self.from_ns, self.until_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """A while in which copies take so much longer.

    Args:
        extra_ns: how much, up to one day.
        from_ns: the first nanosecond of it.
        until_ns: the first nanosecond after it; None: it lasts.
        senders: whose copies; None: everybody's.
        receivers: to whom; None: to everybody.

    Raises:
        ValueError: a delay outside its bounds, nobody to delay, a replica or time below 0, or a window that is none.
    """

    extra_ns: int
    from_ns: int = 0
    until_ns: int | None = None
    senders: frozenset[int] | None = None
    receivers: frozenset[int] | None = None

    def __post_init__(self) -> None:
        _check_delay("delay: extra_ns", self.extra_ns)
        for side in (self.senders, self.receivers):
            if side is not None:
                if not side:
                    raise ValueError("delay: nobody is named; leave senders or receivers out for everybody")
                check_replicas("delay", side)
        check_window("delay", self.from_ns, self.until_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordering:
    """Some copies are held back, so that later ones overtake them.

    Args:
        probability: that a copy is held back.
        held_ns_max: for how long at most; every time from 0 on is equally likely.

    Raises:
        ValueError: no probability, or a time outside 0 .. one day.
    """

    probability: float
    held_ns_max: int

    def __post_init__(self) -> None:
        _check_probability("reordering", self.probability)
        _check_delay("reordering: held_ns_max", self.held_ns_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeGst:
    """What holds before global stabilisation time (Dwork, Lynch and Stockmeyer, "Consensus in the presence of partial
    synchrony", 1988): copies are lost, or late by an unknown time. From that time on nothing of it holds.

    A copy that was sent before and not lost arrives no later than one that is sent at that time would.

    Args:
        gst_ns: the first nanosecond of order.
        loss: probability that a copy sent before is lost.
        extra_ns_max: by how much at most one is late that is not; every time from 0 on is equally likely.

    Raises:
        ValueError: no probability, a negative time, or a lateness outside 0 .. one day.
    """

    gst_ns: int
    loss: float
    extra_ns_max: int

    def __post_init__(self) -> None:
        if self.gst_ns < 0:
            raise ValueError(f"before GST: gst_ns {self.gst_ns} is negative; time begins at 0")
        _check_probability("before GST: loss", self.loss)
        _check_delay("before GST: extra_ns_max", self.extra_ns_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbances:
    """All disturbances of a network.

    Args:
        slow: replicas on slow lines. The factors of sender and receiver, and of windows that overlap, multiply.
        delays: whiles in which copies take longer. Delays that overlap add up.
        duplication: probability that a copy arrives twice. The second has a latency of its own, drawn as all are.
        reordering: copies that are held back.
        before_gst: what holds before global stabilisation time.

    Raises:
        ValueError: no probability.

    Example:
        >>> calm = Disturbances()
        >>> slow = Disturbances(slow=(Slow(replica=1, factor=3.0, until_ns=9), Slow(replica=1, factor=2.0)))
        >>> bool(calm), slow.factor(1, 8), slow.factor(1, 9), slow.factor(0, 0)
        (False, 6.0, 2.0, 1.0)
    """

    slow: tuple[Slow, ...] = ()
    delays: tuple[Delay, ...] = ()
    duplication: float = 0.0
    reordering: Reordering | None = None
    before_gst: BeforeGst | None = None

    def __post_init__(self) -> None:
        _check_probability("duplication", self.duplication)

    def __bool__(self) -> bool:
        return self != Disturbances()

    @property
    def draws(self) -> bool:
        """Whether any of them is random."""
        return self.duplication > 0 or self.reordering is not None or self.before_gst is not None

    @property
    def named(self) -> Iterator[int]:
        """The replicas that are named, each as often as it is."""
        yield from (slow.replica for slow in self.slow)
        for delay in self.delays:
            yield from delay.senders or ()
            yield from delay.receivers or ()

    def factor(self, replica: int, time_ns: int) -> float:
        """How many times as long a latency is for what that replica sends or is sent at that time."""
        factors = [each.factor for each in self.slow if each.replica == replica and _holds(each, time_ns)]
        return math.prod(sorted(factors), start=1.0)  # sorted: the order in which they are named changes no bit

    def delays_of(self, sender: int, time_ns: int) -> list[Delay]:
        """The delays that hold for what a sender sends at that time."""
        return [
            each for each in self.delays if _holds(each, time_ns) and (each.senders is None or sender in each.senders)
        ]


def extra_ns(delays: Iterable[Delay], receiver: int) -> int:
    """How much longer a copy takes to that receiver under those delays."""
    return sum(each.extra_ns for each in delays if each.receivers is None or receiver in each.receivers)


def _holds(window: Slow | Delay, time_ns: int) -> bool:
    return holds(window.from_ns, window.until_ns, time_ns)


def _check_probability(what: str, probability: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"{what}: {probability} is no probability; from 0 to 1")


def _check_delay(what: str, delay_ns: int) -> None:
    if not 0 <= delay_ns <= DELAY_NS_MAX:
        raise ValueError(f"{what} {delay_ns} is outside 0 .. {DELAY_NS_MAX} ns (one day)")
