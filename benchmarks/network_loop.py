"""The network alone: broadcasts with running digest, delivered to an empty callback, against the bare SimPy loop.

python -m benchmarks.network_loop
"""

from __future__ import annotations

import statistics
import time

from benchmarks import simpy_loop
from simcore.latency import Constant, Latency, LogNormal, Uniform
from simcore.network import Network
from simcore.running_digest import RunningDigest, content_of
from simcore.streams import Streams
from simcore.world import World

REPLICAS = 16
KINDS = 8
KINDS_SENT = 3
"""Three phases in which everyone sends to everyone, of a protocol that has five more kinds of message."""

EVENTS = 7_200
REPEATS = 100
LATENCIES: dict[str, Latency] = {
    "constant": Constant(10**7),
    "uniform": Uniform(10**6, 10**8),
    "lognormal": LogNormal(10**7, 0.5),
}


def seconds(events: int, latency: Latency, *, replicas: int = REPLICAS, loss: float = 0.0) -> float:
    """Time the delivery of at least that many copies, and scale it to exactly so many."""
    world = World()
    digest = RunningDigest()
    network: Network[str, None] = Network(
        world, Streams(1), digest, [ignore] * replicas, replicas=replicas, kinds=KINDS, latency=latency, loss=loss
    )
    content = content_of(b"message")
    height = 0
    started = time.process_time()
    while network.sent < events:
        height += 1
        for kind in range(KINDS_SENT):
            for sender in range(replicas):
                network.broadcast(sender, "message", content, (height, 0), kind)
            world.run()
        digest.hexdigest()
    return (time.process_time() - started) * events / network.sent


def ignore(message: str) -> None:
    """Take a message and do nothing."""


def main() -> None:
    """Print the rates as ratios: the two loops take turns, so that both meet the same machine."""
    bare: list[float] = []
    ours: dict[str, list[float]] = {name: [] for name in LATENCIES}
    for _ in range(REPEATS):
        bare.append(simpy_loop.seconds(EVENTS))
        for name, latency in LATENCIES.items():
            ours[name].append(seconds(EVENTS, latency))
    print(f"bare SimPy loop       {min(bare) / EVENTS * 1e9:6.0f} ns an event at best")
    for name, times in ours.items():
        ratio = statistics.median(a / b for a, b in zip(bare, times, strict=True))
        best = min(times) / EVENTS * 1e9
        print(
            f"network, {name:12s} {best:6.0f} ns a copy at best   rate {min(bare) / min(times):.2f} of the bare loop's"
            f" (median of {REPEATS} pairs {ratio:.2f})"
        )


if __name__ == "__main__":
    main()
