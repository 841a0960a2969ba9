"""Faults that lie between tables or between keys of one table: each value fine by itself, the whole impossible.

Each check takes only tables that are valid by themselves, so that a scenario with faults of both kinds shows them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from consensus.quorum import QuorumError
from lastbit.protocols import PROTOCOLS
from lastbit.scenario.across_network import in_crashes, in_network, outside
from lastbit.scenario.faults import Fault, shown_float
from lastbit.scenario.tables import (
    CardInputs,
    Chain,
    ModelChoice,
    ReplicaOverride,
    State,
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
        yield from in_network(tables["network"], chain)
    state: State | None = tables.get("state")
    if state is not None and (state.input is None) != (state.output is None):
        yield Fault("state", "names an input or an output alone; both, or none")
    if state is not None and chain is not None and chain.pipeline > 1 and not chain.kind.orders_first:
        yield Fault("chain.pipeline", "several heights in flight, and state carries over from each to the next; 1")
    yield from _in_overrides(tables.get("replica", ()), chain)
    yield from in_crashes(tables.get("crash", ()), chain)


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
    if chain.certified_gap_slow >= chain.certified_gap_max:
        yield Fault(
            "chain.certified_gap_slow",
            f"{chain.certified_gap_slow} is not below certified_gap_max, {chain.certified_gap_max}: blocks would stop "
            "before they slow down",
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
            yield Fault(f"chain.{key}", f'{kind.name} bears no "{found}"; {allowed}')
    for key in sorted(KEYS_OF_SOME - kind.keys):
        if getattr(chain, key) != type(chain).model_fields[key].default:
            readers = " and ".join(each.name for each in PROTOCOLS.values() if key in each.keys)
            yield Fault(f"chain.{key}", f"is read by {readers} alone, and this chain runs {kind.name}")


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


def _in_overrides(overrides: Sequence[ReplicaOverride], chain: Chain | None) -> Iterator[Fault]:
    first_at: dict[int, int] = {}
    for index, override in enumerate(overrides):
        yield from outside(f"replica[{index}].id", override.id, chain)
        if override.id in first_at:
            yield Fault(
                f"replica[{index}].id", f"{override.id} is described already, by replica[{first_at[override.id]}]"
            )
        first_at.setdefault(override.id, index)
