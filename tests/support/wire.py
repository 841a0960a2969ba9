"""A network of a few replicas, and all that arrives by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from simcore.disturbances import Disturbances
from simcore.faults import Crash, Partition
from simcore.latency import Latency
from simcore.network import NO_DISTURBANCES, Network
from simcore.running_digest import RunningDigest, content_of
from simcore.streams import Streams
from simcore.world import World

CONTENT = content_of(b"message")
ROUND = (1, 0)


class Wire:
    """A network and all that arrived by it: (time, receiver, message)."""

    def __init__(
        self,
        latency: Latency,
        *,
        replicas: int = 3,
        loss: float = 0.0,
        crashes: Sequence[Crash] = (),
        partitions: Sequence[Partition] = (),
        disturbances: Disturbances = NO_DISTURBANCES,
    ) -> None:
        self.world = World()
        self.digest = RunningDigest()
        self.arrived: list[tuple[int, int, Any]] = []
        self.answers: dict[tuple[int, Any], Callable[[], object]] = {}
        """What is done when a message arrives at a replica."""
        self.network: Network[Any, None] = Network(
            self.world,
            Streams(1),
            self.digest,
            [partial(self._arrive, receiver) for receiver in range(replicas)],
            replicas=replicas,
            kinds=2,
            latency=latency,
            loss=loss,
            crashes=crashes,
            partitions=partitions,
            disturbances=disturbances,
        )

    def _arrive(self, receiver: int, message: Any) -> None:
        self.arrived.append((self.world.now_ns, receiver, message))
        if (receiver, message) in self.answers:
            self.answers[receiver, message]()

    def broadcast(self, sender: int, message: Any = "m", round_key: tuple[int, int] = ROUND, kind: int = 0) -> None:
        self.network.broadcast(sender, message, CONTENT, round_key, kind)

    def send(self, sender: int, receiver: int, kind: int = 0) -> None:
        self.network.send(sender, receiver, "m", CONTENT, ROUND, kind)

    def broadcast_at(self, *times_ns: int, sender: int = 0) -> None:
        """Broadcast at these times; each message is its time."""
        for time_ns in times_ns:
            self.world.call_at(time_ns, partial(self.broadcast, sender, time_ns))

    def run(self) -> list[tuple[int, int, Any]]:
        self.world.run()
        return self.arrived

    def counts(self) -> tuple[int, int, int]:
        return self.network.sent, self.network.delivered, self.network.lost
