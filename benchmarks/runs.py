"""Whole runs to be timed: prepared beforehand, so that loading a model and making sessions is not in the figure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from lastbit.running import Prepared
from lastbit.scenario import Scenario
from lastbit.simulation import Simulation
from simcore.trace import TraceWriter


class Timed(NamedTuple):
    """A run.

    Attributes:
        seconds: by the clock on the wall.
        cpu_s: of the processor, which other programs on a busy machine lengthen less. The bare loops are timed by it.
        heights: how many were reached.
        messages: the copies that were delivered.
    """

    seconds: float
    cpu_s: float
    heights: int
    messages: int


def scenario(
    *,
    replicas: int,
    blocks: int,
    protocol: str = "pbft",
    name: str = "digits-mlp",
    model: Path | None = None,
    **tables: Any,
) -> Scenario:
    """A run in which nothing goes wrong: equal replicas, constant delays, no dial."""
    found = {
        "chain": {"replicas": replicas, "blocks": blocks, "protocol": protocol},
        "model": {"name": name},
        "inputs": {"kind": "card", "noise": 2},
        **tables,
    }
    return Scenario.from_mapping(found).with_overrides(model=model)


def timed(prepared: Prepared) -> Timed:
    """Let a prepared scenario happen, trace digest included, and time it."""
    with TraceWriter(None, prepared.header()) as writer:
        simulation = Simulation(prepared.scenario, prepared.replicas, prepared.streams, writer)
        started, cpu_started = time.perf_counter(), time.process_time()
        simulation.run()
        cpu_s, seconds = time.process_time() - cpu_started, time.perf_counter() - started
        return Timed(seconds, cpu_s, simulation.observation.chain.frontier, simulation.network.delivered)
