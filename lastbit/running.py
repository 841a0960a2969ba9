"""A run from scenario to result: load what it needs, let it happen, and say what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from lastbit.conclusion import conclude
from lastbit.environment import current_environment
from lastbit.fleet import Material, load_material, make_replicas
from lastbit.result import Result
from lastbit.scenario import Scenario, load_scenario
from lastbit.simulation import Simulation
from simcore.streams import Streams
from simcore.trace import TraceWriter

Progress = Callable[[int, int], None]


def run(
    scenario: Scenario | Path | str,
    *,
    seed: int | None = None,
    blocks: int | None = None,
    model: str | Path | None = None,
    inputs: Path | None = None,
    dims: Mapping[str, int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    values: Mapping[str, str] | None = None,
    output: str | None = None,
    trace: Path | str | None = None,
    trace_events: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run a scenario.

    Args:
        scenario: one that was loaded, a file, or the name of a bundled one.
        seed, blocks, model, inputs, dims, ranges, values, output: replace what the scenario says; see
            `Scenario.with_overrides`.
        trace: a file to write the trace to.
        trace_events: write every delivered event into it, too.
        progress: called with the heights reached and the target.

    Raises:
        ValueError: what was given cannot be run; the message says what, where and what is allowed. Its subclasses
            (ScenarioError, ModelError, InputsError...) say which kind.
        NotRepeatable: the model answered differently when it was run again.

    Example:
        >>> run("all-equal", blocks=3).heights.committed
        3
    """
    loaded = scenario if isinstance(scenario, Scenario) else load_scenario(str(scenario))
    chosen = loaded.with_overrides(
        seed=seed,
        blocks=blocks,
        model=model,
        inputs=inputs,
        dims=dims,
        ranges=ranges,
        values=values,
        output=output,
    )
    options = {"blocks": blocks, "model": model, "inputs": inputs, "dim": dims, "range": ranges, "value": values}
    command = _command(scenario, chosen, {**options, "output": output})
    trace = None if trace is None else Path(trace)
    prepared = Prepared(chosen)
    with TraceWriter(trace, prepared.header(), events=trace_events) as writer:
        return prepared.run(writer, command=command, trace=trace, progress=progress)


def _command(given: Scenario | Path | str, chosen: Scenario, options: Mapping[str, object]) -> str | None:
    """The command that repeats a run; None for a scenario made in Python, which no command names."""
    if isinstance(given, Scenario):
        return None
    words = ["lastbit", "run", str(given), "--seed", str(chosen.seed)]
    for name, value in options.items():
        if isinstance(value, Mapping):
            words += [f"--{name}={key}={_option(each)}" for key, each in value.items()]
        elif value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _option(value: object) -> str:
    return ":".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Prepared:
    """A scenario whose model, inputs and engines were loaded, tried and found to fit.

    Args:
        scenario: what is to be run.

    Raises:
        ValueError: something does not fit; see `run`.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.streams = Streams(scenario.seed)
        self.material: Material = load_material(scenario, self.streams)
        self.replicas = make_replicas(scenario, self.material, self.streams)
        self._simulation: Simulation | None = None

    def header(self) -> dict[str, Any]:
        """All that a replay needs: the whole scenario, what it runs by sha256, and where it ran."""
        return {
            "scenario": self.scenario.resolved(),
            "model_sha256": self.material.model.sha256,
            "inputs_sha256": self.material.inputs.sha256,
            "environment": msgspec.to_builtins(current_environment()),
        }

    def run(
        self,
        writer: TraceWriter,
        *,
        command: str | None = None,
        trace: Path | None = None,
        progress: Progress | None = None,
        events_max: int | None = None,
    ) -> Result:
        """Let it happen once, and close the trace. With `events_max` it is cut there, as if it were interrupted."""
        simulation = self._simulation = Simulation(self.scenario, self.replicas, self.streams, writer, progress)
        ended = simulation.run(events_max=events_max)
        return conclude(simulation, self.material, ended, command=command, trace_file=trace)

    def was_interrupted(self, events_max: int | None = None) -> bool:
        """Did the user cut the run short, before any `events_max`?"""
        simulation = self._simulation
        if simulation is None or simulation.ended is None or not simulation.ended.interrupted:
            return False
        return events_max is None or simulation.world.events < events_max
