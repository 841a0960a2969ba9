"""Detours: what disturbances make of an itinerary.

What is random about a copy is drawn as its latency is: for a whole round at once, from a stream for each disturbance,
by (height, round, repeat) and there by kind, sender and receiver. So no draw depends on what else was sent, and to turn
one disturbance on changes no draw of another, and no latency.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from simcore.disturbances import Disturbances, Reordering, extra_ns
from simcore.itineraries import Itinerary, itinerary_of
from simcore.latency import DELAY_NS_MAX, Latency
from simcore.rounds import RoundKey, Rounds
from simcore.running_digest import delay_ns_of
from simcore.streams import Streams

COPIES = 2
"""Of one message to one receiver: the first, and the second where it is duplicated."""

_NONE = -1


@dataclass(frozen=True, slots=True)
class Chances:
    """What is drawn for one round, as arrays over kinds, senders and receivers; the last two over first and second
    copies before these.

    Attributes:
        second_ns: the latency of the second copy; -1 where there is none.
        is_lost: whether a copy is lost, if it is sent before global stabilisation time.
        held_ns: for how long a copy is held back.
        extra_ns: by how much one is late that is sent before global stabilisation time.
    """

    second_ns: npt.NDArray[np.int64]
    is_lost: npt.NDArray[np.bool_]
    held_ns: npt.NDArray[np.int64]
    extra_ns: npt.NDArray[np.int64]


class Detours:
    """Changes itineraries as the disturbances say. The order in which they apply stands in `altered`.

    Args:
        streams: where the draws come from: "network.duplication", "network.second", "network.reordering" and
            "network.before-gst", each of them with ".broadcast" or ".send" behind.
        replicas: how many there are.
        kinds: how many kinds of message there are.
        latency: how long copies are under way undisturbed.
        disturbances: what happens to them.
    """

    def __init__(
        self, streams: Streams, *, replicas: int, kinds: int, latency: Latency, disturbances: Disturbances
    ) -> None:
        self._streams = streams
        self._replicas = replicas
        self._kinds = kinds
        self._latency = latency
        self._disturbances = disturbances
        self._broadcasts = Rounds(partial(self._draw, "broadcast"))
        self._sends = Rounds(partial(self._draw, "send"))
        self._nothing = Chances(
            self._constant(_NONE),
            np.broadcast_to(np.False_, self._shape),
            self._constant(0, COPIES),
            self._constant(0, COPIES),
        )

    def broadcast(self, round_key: RoundKey, kind: int, sender: int) -> Chances:
        """The draws for a broadcast. To be asked for once for each, also for one that is never sent."""
        if not self._disturbances.draws:
            return self._nothing
        return self._broadcasts.next(round_key, kind * self._replicas + sender)

    def send(self, round_key: RoundKey, kind: int, sender: int, receiver: int) -> Chances:
        """The draws for one copy; as for a broadcast."""
        if not self._disturbances.draws:
            return self._nothing
        return self._sends.next(round_key, (kind * self._replicas + sender) * self._replicas + receiver)

    def altered(
        self, itinerary: Itinerary, chances: Chances, kind: int, sender: int, now_ns: int
    ) -> tuple[Itinerary, int]:
        """The way that copies really take, and how many second copies there are.

        In this order: before global stabilisation time a copy may be lost; one that is not may be joined by a second,
        which goes its own way. Its time under way is its latency, times the factors of sender and receiver, plus the
        delays that hold, plus the time that it is held back; all this at most one day. Before global stabilisation time
        there comes on top by how much it is late, at most what is left until then.
        """
        copies = []
        disturbances, seconds = self._disturbances, 0
        gst = disturbances.before_gst
        until_gst_ns = max(gst.gst_ns - now_ns, 0) if gst is not None else 0
        sender_factor, delays = disturbances.factor(sender, now_ns), disturbances.delays_of(sender, now_ns)
        for receiver, copy, latency_ns in _copies(itinerary, chances, kind, sender, is_lossy=until_gst_ns > 0):
            factor = sender_factor * disturbances.factor(receiver, now_ns)
            delay_ns = latency_ns if factor == 1 else round(latency_ns * factor)
            delay_ns += extra_ns(delays, receiver) + int(chances.held_ns[copy, kind, sender, receiver])
            delay_ns = min(delay_ns, DELAY_NS_MAX)
            if until_gst_ns:
                delay_ns += min(int(chances.extra_ns[copy, kind, sender, receiver]), until_gst_ns)
            copies.append((delay_ns, receiver))
            seconds += copy
        copies.sort()
        return itinerary_of(copies), seconds

    def _draw(self, way: str, round_key: RoundKey, repeat: int) -> Chances:
        def uniforms(name: str, *copies: int) -> npt.NDArray[np.float64]:
            rng = self._streams.generator(f"network.{name}.{way}", *round_key, repeat)
            return rng.random((*copies, *self._shape))

        second_ns, is_lost = self._nothing.second_ns, self._nothing.is_lost
        held_ns, extra_ns = self._nothing.held_ns, self._nothing.extra_ns
        disturbances = self._disturbances
        if disturbances.duplication > 0:
            rng = self._streams.generator(f"network.second.{way}", *round_key, repeat)
            second_ns = self._latency.matrix(rng, self._kinds, self._replicas)
            second_ns[uniforms("duplication") >= disturbances.duplication] = _NONE
        if disturbances.reordering is not None:
            held_ns = _held_ns(uniforms("reordering", 2, COPIES), disturbances.reordering)
        if disturbances.before_gst is not None:
            drawn = uniforms("before-gst", 1 + COPIES)
            is_lost = drawn[0] < disturbances.before_gst.loss
            extra_ns = _up_to(disturbances.before_gst.extra_ns_max, drawn[1:])
        return Chances(second_ns, is_lost, held_ns, extra_ns)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self._kinds, self._replicas, self._replicas

    def _constant(self, value: int, *copies: int) -> npt.NDArray[np.int64]:
        return np.broadcast_to(np.int64(value), (*copies, *self._shape))


def _copies(
    itinerary: Itinerary, chances: Chances, kind: int, sender: int, *, is_lossy: bool
) -> Iterator[tuple[int, int, int]]:
    """What is not lost: receiver, which copy, its latency."""
    receivers, arrivals, _, _ = itinerary
    seconds_ns, lost = chances.second_ns[kind, sender].tolist(), chances.is_lost[kind, sender].tolist()
    for receiver, arrival in zip(receivers, arrivals, strict=True):
        if is_lossy and lost[receiver]:
            continue
        yield receiver, 0, delay_ns_of(arrival)
        if seconds_ns[receiver] != _NONE:
            yield receiver, 1, seconds_ns[receiver]


def _held_ns(drawn: npt.NDArray[np.float64], reordering: Reordering) -> npt.NDArray[np.int64]:
    held_ns = _up_to(reordering.held_ns_max, drawn[1])
    held_ns[drawn[0] >= reordering.probability] = 0
    return held_ns


def _up_to(most_ns: int, drawn: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Turn uniform draws in [0, 1) into whole times from 0 to the greatest, both included."""
    return np.minimum((drawn * (most_ns + 1)).astype(np.int64), most_ns)
