"""Faults that lie between tables or between keys of one table: each value fine by itself, the whole impossible.

Each check takes only tables that are valid by themselves, so that a scenario with faults of both kinds shows them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from consensus.quorum import QuorumError
from lastbit.protocols import PROTOCOLS
from lastbit.scenario.faults import Fault, shown_float
from lastbit.scenario.network import Crash, MatrixLatency, Network, Partition, UniformLatency
from lastbit.scenario.tables import (
    CardInputs,
    Chain,
    ModelChoice,
    ReplicaOverride,
)

KEYS_OF_SOME = frozenset().union(*(kind.keys for kind in PROTOCOLS.values()))
"""The keys of `[chain]` that only some protocols read."""


def faults_across(tables: Mapping[str, Any]) -> Iterator[Fault]:
    """All faults among the tables given, by their keys in the file; a key is absent where its table is not valid."""
    chain: Chain | None = tables.get("chain")
    if chain is not None:
        yield from _in_chain(chain)
    if "model" in tables:
        yield from _in_model(tables["model"], tables.get("inputs"))
    if "network" in tables:
        yield from _in_network(tables["network"], chain)
    yield from _in_overrides(tables.get("replica", ()), chain)
    yield from _in_crashes(tables.get("crash", ()), chain)


def _in_chain(chain: Chain) -> Iterator[Fault]:
    yield from _in_protocol(chain)
    if chain.weights is not None and len(chain.weights) != chain.replicas:
        yield Fault("chain.weights", f"{len(chain.weights)} weights for {chain.replicas} replicas; one for each")
    else:
        yield from _in_quorum(chain)
    if chain.watermark_window is not None:
        least = max(chain.checkpoint_interval, chain.pipeline)
        if chain.watermark_window < least:
            yield Fault(
                "chain.watermark_window",
                f"{chain.watermark_window} heights are too few; at least {least}, so that the pipeline of "
                f"{chain.pipeline} and a checkpoint every {chain.checkpoint_interval} heights fit in",
            )
    if chain.timeout_ms is not None and chain.timeout_cap_ms is not None and chain.timeout_cap_ms < chain.timeout_ms:
        yield Fault(
            "chain.timeout_cap_ms",
            f"{shown_float(chain.timeout_cap_ms)} is below the first timeout, {shown_float(chain.timeout_ms)}",
        )
    if (
        chain.stall_after_ms is not None
        and chain.give_up_after_ms is not None
        and chain.give_up_after_ms < chain.stall_after_ms
    ):
        yield Fault(
            "chain.give_up_after_ms",
            f"{shown_float(chain.give_up_after_ms)} is below stall_after_ms, {shown_float(chain.stall_after_ms)}: "
            "the run would end before it counts as a stall",
        )


def _in_protocol(chain: Chain) -> Iterator[Fault]:
    """What another protocol bears or reads, and this one does not."""
    kind = chain.kind
    for key, found, borne in (
        ("policy", chain.policy, kind.policies),
        ("outvoted", chain.outvoted, kind.outvoted),
    ):
        if found not in borne:
            allowed = " or ".join(f'"{each}"' for each in borne)
            yield Fault(f"chain.{key}", f'{kind.title} bears no "{found}"; {allowed}')
    for key in sorted(KEYS_OF_SOME - kind.keys):
        if getattr(chain, key) != type(chain).model_fields[key].default:
            readers = " and ".join(each.title for each in PROTOCOLS.values() if key in each.keys)
            yield Fault(f"chain.{key}", f"is read by {readers} alone, and this chain runs {kind.title}")


def _in_quorum(chain: Chain) -> Iterator[Fault]:
    try:
        chain.quorum_system()
    except QuorumError as error:
        yield Fault("chain.faulty_max" if chain.quorum is None else "chain.quorum", str(error))


def _in_model(model: ModelChoice, inputs: object) -> Iterator[Fault]:
    if model.name is None and model.file is None:
        yield Fault("model", 'names no model; name = "digits-mlp", or file = "mine.onnx" beside the scenario')
    if model.name is not None and model.file is not None:
        yield Fault("model", "has both a name and a file; one of them")
    if model.file is not None and isinstance(inputs, CardInputs):
        yield Fault("inputs.kind", 'a model of your own has no card; kind = "npz" or "generated"')


def _in_network(network: Network, chain: Chain | None) -> Iterator[Fault]:
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
    for index, partition in enumerate(network.partition):
        place = f"network.partition[{index}]"
        yield from _in_window(place, partition)
        yield from _in_groups(place, partition, chain)


def _in_matrix(latency: MatrixLatency, chain: Chain) -> Iterator[Fault]:
    n = chain.replicas
    if len(latency.ms) != n:
        yield Fault("network.latency.ms", f"{len(latency.ms)} rows for {n} replicas; {n} rows of {n}")
        return
    for index, row in enumerate(latency.ms):
        if len(row) != n:
            yield Fault(f"network.latency.ms[{index}]", f"{len(row)} times for {n} replicas; {n} rows of {n}")


def _in_groups(place: str, partition: Partition, chain: Chain | None) -> Iterator[Fault]:
    if not partition.groups or not all(partition.groups):
        yield Fault(f"{place}.groups", "a group is empty; groups such as [[0, 1], [2, 3]]")
    for replica, times in Counter(replica for group in partition.groups for replica in group).items():
        if times > 1:
            yield Fault(f"{place}.groups", f"replica {replica} is named {times} times; a replica is in one group")
        yield from _outside(f"{place}.groups", replica, chain)


def _in_overrides(overrides: Sequence[ReplicaOverride], chain: Chain | None) -> Iterator[Fault]:
    first_at: dict[int, int] = {}
    for index, override in enumerate(overrides):
        yield from _outside(f"replica[{index}].id", override.id, chain)
        if override.id in first_at:
            yield Fault(
                f"replica[{index}].id", f"{override.id} is described already, by replica[{first_at[override.id]}]"
            )
        first_at.setdefault(override.id, index)


def _in_crashes(crashes: Sequence[Crash], chain: Chain | None) -> Iterator[Fault]:
    for index, crash in enumerate(crashes):
        yield from _in_window(f"crash[{index}]", crash)
        yield from _outside(f"crash[{index}].replica", crash.replica, chain)
    in_order = sorted(range(len(crashes)), key=lambda index: (crashes[index].replica, crashes[index].from_ms))
    for earlier, later in pairwise(in_order):
        before, after = crashes[earlier], crashes[later]
        if before.replica == after.replica and (before.until_ms is None or after.from_ms < before.until_ms):
            yield Fault(f"crash[{later}]", f"replica {after.replica} is down already then, by crash[{earlier}]")


def _in_window(place: str, window: Partition | Crash) -> Iterator[Fault]:
    if window.until_ms is not None and window.until_ns is not None and window.until_ns <= window.from_ns:
        yield Fault(
            f"{place}.until_ms",
            f"{shown_float(window.until_ms)} is not after from_ms, {shown_float(window.from_ms)}",
        )


def _outside(place: str, replica: int, chain: Chain | None) -> Iterator[Fault]:
    if chain is not None and replica >= chain.replicas:
        yield Fault(place, f"there is no replica {replica}; {chain.replicas} replicas, 0 to {chain.replicas - 1}")
