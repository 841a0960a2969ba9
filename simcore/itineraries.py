"""Itineraries: in which order, and with which gaps, the copies of a broadcast arrive.

The delays of one round are one array, drawn at once from the stream of that height and round; all senders' rows are
sorted at once, and become lists at once, since a NumPy call costs as much as ten deliveries. `rounds.py` says which
round and which repeat a message belongs to.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from simcore.latency import Latency
from simcore.rounds import RoundKey, Rounds
from simcore.running_digest import ARRIVAL, REPLICA_BITS, REPLICAS_MAX, arrival_of
from simcore.streams import Streams

SORTED_AT_ONCE_MAX = 1024
"""Delays. Of so many, sorting all kinds at once, also those that nobody sends, costs less than a sort for each kind."""

_ARRIVAL_WORD = np.dtype("<i8")
_ARRIVAL_BYTES = np.dtype(f"V{ARRIVAL.size}")
_NEVER = np.iinfo(np.int64).max

Itinerary = tuple[list[int], list[bytes], int, list[int]]
"""The way of one sending's copies: (receivers, arrivals, first_ns, gaps_ns).

Receivers stand in order of arrival, and of number where two arrive together; beside them the halves of their records in
the running digest (delay and receiver, see `running_digest.ARRIVAL`). `first_ns` is the time from the sending to
the first arrival; the gaps are those from each arrival to the next, then -1, and what follows means nothing. Where all
copies arrive together, -1 is the only gap.
"""


def itinerary_of(copies: Sequence[tuple[int, int]]) -> Itinerary:
    """The way of copies that are given as (delay in ns, receiver), in this order."""
    if not copies:
        return [], [], -1, [-1]
    delays_ns, receivers = zip(*copies, strict=True)
    gaps_ns = [after_ns - before_ns for before_ns, after_ns in pairwise(delays_ns)]
    return list(receivers), list(map(arrival_of, delays_ns, receivers)), delays_ns[0], [*gaps_ns, -1]


Stop = tuple[Sequence[int], Sequence[bytes], int]
"""Copies that arrive together: their receivers, their arrivals, and the gap to the next stop."""


def stops(itinerary: Itinerary) -> Iterator[Stop]:
    """The arrivals in order, those of the same nanosecond together, where not all of them are."""
    receivers, arrivals, _, gaps_ns = itinerary
    first = 0
    for last, gap_ns in enumerate(gaps_ns):
        if gap_ns != 0:
            yield receivers[first : last + 1], arrivals[first : last + 1], gap_ns
            first = last + 1
        if gap_ns < 0:
            return


class Itineraries:
    """Draws the itineraries of a run.

    Args:
        streams: where the draws come from: the streams "network.broadcast" and "network.send".
        replicas: how many there are.
        kinds: how many kinds of message there are. All kinds of a round are drawn together.
        latency: how long copies are under way.
        loss: probability that a copy is lost.
    """

    def __init__(self, streams: Streams, *, replicas: int, kinds: int, latency: Latency, loss: float) -> None:
        self._streams = streams
        self._replicas = replicas
        self._kinds = kinds
        self._latency = latency
        self._loss = loss
        self._broadcasts = Rounds(partial(self._draw, "network.broadcast"))
        self._sends = Rounds(partial(self._draw, "network.send"))
        # Without a draw all rounds are alike, and one array serves them all.
        self._fixed = None if latency.draws or loss > 0 else self._draw("network.broadcast", (0, 0), 0)

    def broadcast(self, round_key: RoundKey, kind: int, sender: int) -> Itinerary:
        """The way of the copies to everyone but the sender."""
        if self._fixed is not None:
            return self._fixed.itinerary(kind, sender)
        delays = self._broadcasts.next(round_key, kind * self._replicas + sender)
        return delays.take_itinerary(kind, sender)

    def send(self, round_key: RoundKey, kind: int, sender: int, receiver: int) -> Itinerary:
        """The way of the one copy, which may be lost: then there is no receiver."""
        if self._fixed is not None:
            delay_ns = self._fixed.delay_ns(kind, sender, receiver)
        else:
            place = (kind * self._replicas + sender) * self._replicas + receiver
            delay_ns = self._sends.next(round_key, place).delay_ns(kind, sender, receiver)
        if delay_ns == _NEVER:
            return [], [], -1, [-1]
        return [receiver], [arrival_of(delay_ns, receiver)], delay_ns, [-1]

    def _draw(self, stream: str, round_key: RoundKey, repeat: int) -> _Delays:
        rng = self._streams.generator(stream, *round_key, repeat)
        delays_ns = self._latency.matrix(rng, self._kinds, self._replicas)
        if self._loss > 0:
            delays_ns[rng.random(delays_ns.shape) < self._loss] = _NEVER
        return _Delays(delays_ns, lossy=self._loss > 0)


class _Delays:
    """One array of delays, and the itineraries made of it, kind by kind, as they are asked for."""

    __slots__ = ("_delays_ns", "_lossy", "_sorted")

    def __init__(self, delays_ns: npt.NDArray[np.int64], *, lossy: bool) -> None:
        self._delays_ns = delays_ns
        self._lossy = lossy
        self._sorted: dict[int, list[Itinerary]] = {}

    def delay_ns(self, kind: int, sender: int, receiver: int) -> int:
        return int(self._delays_ns[kind, sender, receiver])

    def itinerary(self, kind: int, sender: int) -> Itinerary:
        rows = self._sorted.get(kind)
        if rows is None:
            if self._delays_ns.size <= SORTED_AT_ONCE_MAX:
                self._sorted = dict(enumerate(_in_order_of_arrival(self._delays_ns, lossy=self._lossy)))
            else:
                (self._sorted[kind],) = _in_order_of_arrival(self._delays_ns[kind : kind + 1], lossy=self._lossy)
            rows = self._sorted[kind]
        return rows[sender]

    def take_itinerary(self, kind: int, sender: int) -> Itinerary:
        """The same, once: what was taken is not kept, so that the memory of 64 rounds stays in the cache."""
        itinerary = self.itinerary(kind, sender)
        self._sorted[kind][sender] = _TAKEN
        return itinerary


_TAKEN: Itinerary = ([], [], -1, [])


@functools.cache
def _receiver_bits(replicas: int) -> npt.NDArray[np.int64]:
    bits = np.tile(np.arange(replicas, dtype=np.int64), (replicas, 1))
    np.fill_diagonal(bits, _NEVER)  # nothing comes to the sender itself
    return bits


def _in_order_of_arrival(delays_ns: npt.NDArray[np.int64], *, lossy: bool) -> list[list[Itinerary]]:
    """Turn delays, [kind, sender, receiver], into the itineraries of each kind's senders."""
    kinds, replicas, _ = delays_ns.shape
    others = replicas - 1
    # Delay and receiver in one word: one plain sort orders by both, and is the fastest there is.
    words = delays_ns << REPLICA_BITS
    words |= _receiver_bits(replicas)
    if lossy:
        words[delays_ns == _NEVER] = _NEVER
    words = words.reshape(kinds * replicas, replicas)
    words.sort(axis=1)
    sorted_ns = words >> REPLICA_BITS
    gaps_ns = sorted_ns[:, 1:] - sorted_ns[:, :-1]
    gaps_ns[:, -1] = -1
    # The words are the second halves of the records as well: their bytes are taken as they are.
    arrivals = words[:, :others].astype(_ARRIVAL_WORD).view(_ARRIVAL_BYTES).tolist()
    receivers = (words[:, :others] & (REPLICAS_MAX - 1)).tolist()
    if lossy:
        never = words == _NEVER
        gaps_ns[never[:, 1:]] = -1
        for receivers_, arrivals_, absent in zip(receivers, arrivals, never.sum(axis=1).tolist(), strict=True):
            del receivers_[replicas - absent :], arrivals_[replicas - absent :]
    if not gaps_ns[:, :-1].any():
        gaps_ns = gaps_ns[:, -1:]
    rows = list(zip(receivers, arrivals, sorted_ns[:, 0].tolist(), gaps_ns.tolist(), strict=True))
    return [rows[first : first + replicas] for first in range(0, len(rows), replicas)]
