"""The network: carries messages between replicas, with latency, loss, crashes, partitions and disturbances.

All that becomes of a copy is settled when it is sent: the delays and losses are drawn by then, and the windows of
crashes, partitions and disturbances are known from the start. Where two events share a nanosecond, the one scheduled
first comes first; a copy counts as scheduled when the copies before it, of the same broadcast, arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from simcore.detours import Chances, Detours
from simcore.disturbances import Disturbances
from simcore.faults import Crash, Partition
from simcore.flights import Flights
from simcore.itineraries import Itineraries, Itinerary, itinerary_of
from simcore.latency import Latency
from simcore.rounds import RoundKey
from simcore.running_digest import REPLICAS_MAX, RunningDigest, delay_ns_of
from simcore.streams import Streams
from simcore.world import World

MessageT = TypeVar("MessageT")
EffectsT = TypeVar("EffectsT")

NO_DISTURBANCES = Disturbances()


class Network(Generic[MessageT, EffectsT]):
    """Carries messages, whatever they are, and calls the receiver's function for each copy that arrives.

    Args:
        world: whose clock and queue to use.
        streams: where delays and losses are drawn, by (height, round); see `itineraries`.
        digest: takes a record of each delivery. Only one network may write to it.
        receive: for each replica, what a message that arrives brings about. Both lists may be filled after this.
        react: for each replica, what makes it happen; called with what `receive` returned, unless that is empty, as it
            mostly is: most votes are too few yet.
        replicas: how many there are, 2 to 65536.
        kinds: how many kinds of message there are.
        latency: how long a copy is under way.
        loss: probability that a copy is lost, each on its own. Below 1.
        crashes: when replicas are down. A copy that arrives then is lost; a replica that is down sends nothing.
        partitions: when groups are apart. A copy is lost if sender and receiver are apart when it is *sent*.
        disturbances: what makes copies late, or brings them twice.

    Raises:
        ValueError: an argument outside its bounds, a fault of a replica that does not exist, or a partition that must
            name every replica and does not.
    """

    def __init__(
        self,
        world: World,
        streams: Streams,
        digest: RunningDigest,
        receive: Sequence[Callable[[MessageT], EffectsT]],
        react: Sequence[Callable[[EffectsT], None]] = (),
        *,
        replicas: int,
        kinds: int,
        latency: Latency,
        loss: float = 0.0,
        crashes: Sequence[Crash] = (),
        partitions: Sequence[Partition] = (),
        disturbances: Disturbances = NO_DISTURBANCES,
    ) -> None:
        if not 2 <= replicas <= REPLICAS_MAX:
            raise ValueError(f"network: {replicas} replicas; 2 to {REPLICAS_MAX}")
        if kinds < 1:
            raise ValueError(f"network: {kinds} kinds of message; at least 1")
        if not 0 <= loss < 1:
            raise ValueError(f"network: loss {loss} is outside 0 .. 1 (1 itself excluded)")
        latency.check(replicas)
        in_groups = [replica for split in partitions for group in split.groups for replica in group]
        last = max([crash.replica for crash in crashes] + in_groups + list(disturbances.named), default=0)
        if last >= replicas:
            raise ValueError(f"network: a fault names replica {last}, and the last is {replicas - 1}")
        for split in partitions:
            if split.names_everybody and sum(map(len, split.groups)) < replicas:
                raise ValueError(
                    f"network: a partition that moves or is one way names all replicas, 0 to {replicas - 1}"
                )

        self.sent = 0
        """Copies sent so far."""
        self.lost = 0
        """Copies so far that do not arrive; known at once, see above."""
        self.duplicated = 0
        """Second copies that the network made so far. In the end sent + duplicated = delivered + lost."""
        self._environment = world.environment
        self._replicas = range(replicas)
        self._digest = digest
        self._others = replicas - 1
        self._itineraries = Itineraries(streams, replicas=replicas, kinds=kinds, latency=latency, loss=loss)
        self._crashes = {
            replica: [crash for crash in crashes if crash.replica == replica]
            for replica in {c.replica for c in crashes}
        }
        self._partitions = tuple(partitions)
        self._detours = (
            Detours(streams, replicas=replicas, kinds=kinds, latency=latency, disturbances=disturbances)
            if disturbances
            else None
        )
        self._faults = bool(crashes or partitions or disturbances)
        self._launch = Flights(world, digest, receive, react).launch

    @property
    def delivered(self) -> int:
        """Copies that have arrived so far."""
        return self._digest.events - self._digest.recorded

    def is_down(self, replica: int) -> bool:
        """Say whether a crash window of that replica holds now."""
        return self._is_down_at(replica, self._environment.now)  # type: ignore[arg-type]

    def reached_by(self, sender: int, time_ns: int) -> frozenset[int]:
        """Name the replicas that partitions let the sender reach at that time, itself among them.

        Where one-way partitions hold, some of them may not reach it. Crashes are not looked at.
        """
        holding = [split.reached_by(sender, time_ns) for split in self._partitions if split.holds_at(time_ns)]
        return frozenset(self._replicas).intersection(*holding)

    def reaches(self, sender: int, receiver: int, time_ns: int) -> bool:
        """Say whether partitions let through what one replica sends another at that time."""
        return receiver in self.reached_by(sender, time_ns)

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
        itinerary = self._itineraries.broadcast(round_key, kind, sender)
        if self._faults:
            chances = None if self._detours is None else self._detours.broadcast(round_key, kind, sender)
            self._launch_under_faults(sender, message, content, kind, itinerary, chances, self._others)
        else:
            self.sent += self._others
            self.lost += self._others - len(itinerary[0])
            self._launch(message, content, kind, itinerary)

    def send(
        self, sender: int, receiver: int, message: MessageT, content: bytes, round_key: RoundKey, kind: int
    ) -> None:
        """Send one copy; the arguments are those of `broadcast`.

        Raises:
            ValueError: a replica that sends to itself, or content that is not 16 bytes long.
        """
        if receiver == sender:
            raise ValueError(f"replica {sender} sends to itself")
        itinerary = self._itineraries.send(round_key, kind, sender, receiver)
        chances = None if self._detours is None else self._detours.send(round_key, kind, sender, receiver)
        self._launch_under_faults(sender, message, content, kind, itinerary, chances, 1)

    def _launch_under_faults(
        self,
        sender: int,
        message: MessageT,
        content: bytes,
        kind: int,
        itinerary: Itinerary,
        chances: Chances | None,
        copies: int,
    ) -> None:
        now_ns: int = self._environment.now  # type: ignore[assignment]
        if self._is_down_at(sender, now_ns):
            return
        self.sent += copies
        if self._detours is not None and chances is not None:
            itinerary, seconds = self._detours.altered(itinerary, chances, kind, sender, now_ns)
            self.duplicated += seconds
            copies += seconds
        itinerary = self._reached(sender, now_ns, itinerary)
        self.lost += copies - len(itinerary[0])
        self._launch(message, content, kind, itinerary)

    def _is_down_at(self, replica: int, time_ns: int) -> bool:
        return any(crash.holds_at(time_ns) for crash in self._crashes.get(replica, ()))

    def _reached(self, sender: int, now_ns: int, itinerary: Itinerary) -> Itinerary:
        """Leave out the copies that partitions and crashes keep from arriving."""
        cut = [split.reached_by(sender, now_ns) for split in self._partitions if split.holds_at(now_ns)]
        receivers, arrivals, _, _ = itinerary
        kept = [
            (delay_ns, receiver)
            for receiver, delay_ns in zip(receivers, map(delay_ns_of, arrivals), strict=True)
            if all(receiver in reached for reached in cut) and not self._is_down_at(receiver, now_ns + delay_ns)
        ]
        return itinerary if len(kept) == len(receivers) else itinerary_of(kept)
