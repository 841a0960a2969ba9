"""The network: carries messages between replicas, with latency, loss, crashes and partitions.

A broadcast is one event that travels: on each arrival it puts itself into SimPy's queue again for the next receiver,
in order of arrival. So the queue holds one entry for each broadcast under way instead of one for each copy, and a
delivery allocates nothing but its record in the running digest.

All that becomes of a copy is settled when it is sent: the delays and losses are drawn by then, and the windows of
crashes and partitions are known from the start. Where two events share a nanosecond, the one scheduled first comes
first; a copy counts as scheduled when the copy before it, of the same broadcast, arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Generic, TypeVar

from simpy.core import Environment
from simpy.events import NORMAL, Event

from simcore.faults import Crash, Partition
from simcore.itineraries import Itineraries, Itinerary, RoundKey
from simcore.latency import Latency
from simcore.running_digest import REPLICAS_MAX, RunningDigest, cause_of
from simcore.streams import Streams
from simcore.world import World

MessageT = TypeVar("MessageT")


class Network(Generic[MessageT]):
    """Carries messages, whatever they are, and calls `deliver(receiver, message)` for each copy that arrives.

    Args:
        world: whose clock and queue to use.
        streams: where delays and losses are drawn, by (height, round); see `itineraries`.
        digest: takes a record of each delivery. Only one network may write to it.
        deliver: called at each arrival.
        replicas: how many there are, 2 to 65536.
        kinds: how many kinds of message there are.
        latency: how long a copy is under way.
        loss: probability that a copy is lost, each on its own. Below 1.
        crashes: when replicas are down. A copy that arrives then is lost; a replica that is down sends nothing.
        partitions: when groups are apart. A copy is lost if sender and receiver are apart when it is *sent*.

    Raises:
        ValueError: an argument outside its bounds, or a crash or partition of a replica that does not exist.
    """

    def __init__(
        self,
        world: World,
        streams: Streams,
        digest: RunningDigest,
        deliver: Callable[[int, MessageT], None],
        *,
        replicas: int,
        kinds: int,
        latency: Latency,
        loss: float = 0.0,
        crashes: Sequence[Crash] = (),
        partitions: Sequence[Partition] = (),
    ) -> None:
        if not 2 <= replicas <= REPLICAS_MAX:
            raise ValueError(f"network: {replicas} replicas; 2 to {REPLICAS_MAX}")
        if kinds < 1:
            raise ValueError(f"network: {kinds} kinds of message; at least 1")
        if not 0 <= loss < 1:
            raise ValueError(f"network: loss {loss} is outside 0 .. 1 (1 itself excluded)")
        latency.check(replicas)
        named = [crash.replica for crash in crashes] + [
            i for split in partitions for group in split.groups for i in group
        ]
        if named and max(named) >= replicas:
            raise ValueError(f"network: a fault names replica {max(named)}, and the last is {replicas - 1}")

        self.sent = 0
        """Copies sent so far."""
        self.lost = 0
        """Copies sent so far that do not arrive; known at once, see above."""
        self._environment = world.environment
        self._digest = digest
        self._others = replicas - 1
        self._itineraries = Itineraries(streams, replicas=replicas, kinds=kinds, latency=latency, loss=loss)
        self._crashes = {
            replica: [crash for crash in crashes if crash.replica == replica]
            for replica in {c.replica for c in crashes}
        }
        self._partitions = tuple(partitions)
        self._faults = bool(crashes or partitions)
        self._on_arrival = _on_arrival(self._environment, digest.append_half, deliver)

    @property
    def delivered(self) -> int:
        """Copies that have arrived so far."""
        return self._digest.events - self._digest.recorded

    def is_down(self, replica: int) -> bool:
        """Say whether a crash window of that replica holds now."""
        return self._is_down_at(replica, self._environment.now)  # type: ignore[arg-type]

    def broadcast(self, sender: int, message: MessageT, content: bytes, round_key: RoundKey, kind: int) -> None:
        """Send a copy to everyone but the sender.

        Args:
            sender: who sends.
            message: what the receivers are given.
            content: 16 bytes that stand for the message in the history; see `running_digest.content_of`.
            round_key: height and round whose draws decide the delays. What belongs to no height: (0, view).
            kind: number of the message's kind.

        Raises:
            ValueError: content that is not 16 bytes long.
        """
        self._launch(sender, message, content, kind, self._itineraries.broadcast(round_key, kind, sender), self._others)

    def send(
        self, sender: int, receiver: int, message: MessageT, content: bytes, round_key: RoundKey, kind: int
    ) -> None:
        """Send one copy; the arguments are those of `broadcast`.

        Raises:
            ValueError: a replica that sends to itself, or content that is not 16 bytes long.
        """
        if receiver == sender:
            raise ValueError(f"replica {sender} sends to itself")
        self._launch(sender, message, content, kind, self._itineraries.send(round_key, kind, sender, receiver), 1)

    def _launch(
        self, sender: int, message: MessageT, content: bytes, kind: int, itinerary: Itinerary, copies: int
    ) -> None:
        now_ns: int = self._environment.now  # type: ignore[assignment]
        cause = cause_of(now_ns, kind, content)
        if self._faults:
            if self._is_down_at(sender, now_ns):
                return
            itinerary = self._reached(sender, now_ns, itinerary)
        receivers, arrivals, first_ns, gaps_ns = itinerary
        self.sent += copies
        self.lost += copies - len(receivers)
        if not receivers:
            return
        self._digest.fold_when_full()
        hops = zip(receivers, arrivals, gaps_ns, strict=False)
        flight = _Flight(self._environment, self._on_arrival, message, cause, hops)
        self._environment.schedule(flight, NORMAL, first_ns)

    def _is_down_at(self, replica: int, time_ns: int) -> bool:
        return any(crash.holds_at(time_ns) for crash in self._crashes.get(replica, ()))

    def _reached(self, sender: int, now_ns: int, itinerary: Itinerary) -> Itinerary:
        """Leave out the copies that partitions and crashes keep from arriving."""
        cut = [split.reached_by(sender) for split in self._partitions if split.holds_at(now_ns)]
        receivers, arrivals, first_ns, gaps_ns = itinerary
        delays_ns = accumulate(gaps_ns, initial=first_ns)
        kept = [
            (receiver, arrival, delay_ns)
            for receiver, arrival, delay_ns in zip(receivers, arrivals, delays_ns, strict=False)
            if all(receiver in reached for reached in cut) and not self._is_down_at(receiver, now_ns + delay_ns)
        ]
        if len(kept) in (0, len(receivers)):
            return itinerary if kept else ([], [], -1, [-1])
        gaps_ns = [after[2] - before[2] for before, after in pairwise(kept)]
        return [copy[0] for copy in kept], [copy[1] for copy in kept], kept[0][2], [*gaps_ns, -1]


class _Flight(Event):
    """A message under way, with what remains of its itinerary."""

    _ok = True  # what SimPy asks of an event that is scheduled with its outcome known
    _value = None

    def __init__(
        self,
        environment: Environment,
        callbacks: list[Callable[[Any], None]],
        message: object,
        cause: bytes,
        hops: Iterator[tuple[int, bytes, int]],
    ) -> None:
        # Event.__init__ is not called: it would make a list of callbacks to be thrown away.
        self.env = environment
        self.callbacks = callbacks
        self.message = message
        self.cause = cause
        self.hops = hops


def _on_arrival(
    environment: Environment, append_half: Callable[[bytes], None], deliver: Callable[[int, Any], None]
) -> list[Callable[[Any], None]]:
    """Make the list of callbacks that all flights share.

    SimPy takes an event's list away before it calls what stands in it, and does not change the list; so a flight is
    armed again by handing it the same list. This is the hottest code of a run, hence a closure and no attribute.
    """
    schedule = environment.schedule
    armed: list[Callable[[Any], None]] = []

    def arrive(flight: _Flight) -> None:
        message, cause, hops = flight.message, flight.cause, flight.hops
        receiver, arrival, gap_ns = next(hops)
        append_half(cause)
        append_half(arrival)
        while gap_ns == 0:  # copies that arrive together are one event of the world, and a record each
            deliver(receiver, message)
            receiver, arrival, gap_ns = next(hops)
            append_half(cause)
            append_half(arrival)
        if gap_ns > 0:
            flight.callbacks = armed
            schedule(flight, NORMAL, gap_ns)
        deliver(receiver, message)

    armed.append(arrive)
    return armed
