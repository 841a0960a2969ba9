"""Faults that lie between keys of the tables about the world, or between them and the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from lastbit.scenario.faults import Fault, shown_float
from lastbit.scenario.network import Crash, ExtraDelay, MatrixLatency, Network, Partition, UniformLatency, Window
from lastbit.scenario.tables import Chain


def in_network(network: Network, chain: Chain | None) -> Iterator[Fault]:
    """The faults of the network; without a chain those that need none to be seen."""
    if network.loss == 1:
        yield Fault("network.loss", "1 loses every message, so that nothing could happen; below 1")
    latency = network.latency
    if isinstance(latency, UniformLatency) and latency.high_ms < latency.low_ms:
        yield Fault(
            "network.latency.high_ms",
            f"{shown_float(latency.high_ms)} is below low_ms, {shown_float(latency.low_ms)}",
        )
    if isinstance(latency, MatrixLatency) and chain is not None:
        yield from _in_matrix(latency, chain)
    yield from _in_pairs(network)
    for index, partition in enumerate(network.partition):
        place = f"network.partition[{index}]"
        yield from _in_window(place, partition)
        yield from _in_groups(place, partition, chain)
    for index, slow in enumerate(network.slow):
        yield from _in_window(f"network.slow[{index}]", slow)
        yield from outside(f"network.slow[{index}].replica", slow.replica, chain)
    for index, delay in enumerate(network.delay):
        yield from _in_window(f"network.delay[{index}]", delay)
        yield from _in_sides(f"network.delay[{index}]", delay, chain)


def in_crashes(crashes: Sequence[Crash], chain: Chain | None) -> Iterator[Fault]:
    """The faults of the crashes; without a chain those that need none to be seen."""
    for index, crash in enumerate(crashes):
        yield from _in_window(f"crash[{index}]", crash)
        yield from outside(f"crash[{index}].replica", crash.replica, chain)
        if crash.memory == "lost" and crash.until_ms is None:
            yield Fault(
                f"crash[{index}].memory", '"lost" means nothing to a replica that never comes back; give until_ms'
            )
    in_order = sorted(range(len(crashes)), key=lambda index: (crashes[index].replica, crashes[index].from_ms))
    for earlier, later in pairwise(in_order):
        before, after = crashes[earlier], crashes[later]
        if before.replica == after.replica and (before.until_ms is None or after.from_ms < before.until_ms):
            yield Fault(f"crash[{later}]", f"replica {after.replica} is down already then, by crash[{earlier}]")


def outside(place: str, replica: int, chain: Chain | None) -> Iterator[Fault]:
    """The fault of naming a replica that the chain does not have."""
    if chain is not None and replica >= chain.replicas:
        yield Fault(place, f"there is no replica {replica}; {chain.replicas} replicas, 0 to {chain.replicas - 1}")


def _in_matrix(latency: MatrixLatency, chain: Chain) -> Iterator[Fault]:
    n = chain.replicas
    if len(latency.ms) != n:
        yield Fault("network.latency.ms", f"{len(latency.ms)} rows for {n} replicas; {n} rows of {n}")
        return
    for index, row in enumerate(latency.ms):
        if len(row) != n:
            yield Fault(f"network.latency.ms[{index}]", f"{len(row)} times for {n} replicas; {n} rows of {n}")


def _in_pairs(network: Network) -> Iterator[Fault]:
    if network.reordering_ms is not None and not network.reordering:
        yield Fault("network.reordering_ms", "holds nothing back: give reordering, the share of messages, too")
    if network.gst_ms is not None and network.before_gst is None:
        yield Fault("network.gst_ms", "nothing is wrong before it; before_gst = { loss = 0.1, extra_ms = 500 }")
    if network.before_gst is not None and network.gst_ms is None:
        yield Fault("network.before_gst", "has no end: give gst_ms, the time from which the network is stable, too")


def _in_groups(place: str, partition: Partition, chain: Chain | None) -> Iterator[Fault]:
    if not partition.groups or not all(partition.groups):
        yield Fault(f"{place}.groups", "a group is empty; groups such as [[0, 1], [2, 3]]")
    if chain is not None and len(partition.groups) == 1 and {*range(chain.replicas)} == {*partition.groups[0]}:
        yield Fault(f"{place}.groups", "all replicas are in one group, so that nobody is cut off; leave some out")
    for replica, times in Counter(replica for group in partition.groups for replica in group).items():
        if times > 1:
            yield Fault(f"{place}.groups", f"replica {replica} is named {times} times; a replica is in one group")
        yield from outside(f"{place}.groups", replica, chain)


def _in_sides(place: str, delay: ExtraDelay, chain: Chain | None) -> Iterator[Fault]:
    for key, side in (("senders", delay.senders), ("receivers", delay.receivers)):
        if side is None:
            continue
        if not side:
            yield Fault(f"{place}.{key}", "names nobody; leave it out for everybody")
        for replica, times in Counter(side).items():
            if times > 1:
                yield Fault(f"{place}.{key}", f"replica {replica} is named {times} times")
            yield from outside(f"{place}.{key}", replica, chain)


def _in_window(place: str, window: Window) -> Iterator[Fault]:
    if window.until_ms is not None and window.until_ns is not None and window.until_ns <= window.from_ns:
        yield Fault(
            f"{place}.until_ms",
            f"{shown_float(window.until_ms)} is not after from_ms, {shown_float(window.from_ms)}",
        )
