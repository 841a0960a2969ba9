"""`lastbit run`: from a scenario to a report."""

from __future__ import annotations

from pathlib import Path

import click

from lastbit.cli.options import (
    generated_inputs_options,
    inputs_option,
    json_option,
    model_option,
    quiet_option,
    refuse_unwritable,
)
from lastbit.cli.output import give, give_report, say
from lastbit.cli.progress import progress_bar


@click.command(short_help="Run a scenario and report where replicas agreed.")
@click.argument("scenario", metavar="NAME|FILE")
@click.option("--seed", type=int, help="Another seed than the scenario's.")
@click.option("--blocks", type=int, help="Another number of heights to reach.")
@model_option
@inputs_option
@generated_inputs_options
@click.option("--output", metavar="NAME", help="The output that replicas vote on.")
@click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="Write a trace, for `lastbit replay`.")
@click.option("--trace-events", is_flag=True, help="Write every delivered event into the trace, too.")
@json_option
@quiet_option
def run(
    scenario: str,
    seed: int | None,
    blocks: int | None,
    model: str | None,
    inputs: Path | None,
    dims: tuple[str, ...],
    ranges: tuple[str, ...],
    values: tuple[str, ...],
    output: str | None,
    trace: Path | None,
    trace_events: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a scenario, by the NAME of one that came with lastbit or from a TOML FILE.

    The exit code says how it ended: 0 as the scenario expects, 3 stalled, 4 forked, 5 inconclusive, 6 otherwise than
    expected. Ctrl-C ends the run early and reports what was done so far.

    \b
    Examples:
      lastbit run one-in-ten-thousand
      lastbit run one-in-ten-thousand --seed 7 --blocks 50000
      lastbit run all-equal --model my.onnx --dim batch=1 --range ids=0:30521
      lastbit run mine.toml --trace run.jsonl --json > result.json
    """
    if trace_events and trace is None:
        raise click.UsageError("--trace-events needs a file to write to: --trace run.jsonl")
    import lastbit
    from lastbit.inputs.options import Overrides
    from lastbit.report import render
    from lastbit.result import to_json
    from lastbit.scenario import load_scenario

    overrides = Overrides.from_texts(dims=dims, ranges=ranges, values=values)
    loaded = load_scenario(scenario)
    if trace is not None:
        read = (Path(scenario), Path(model or ""), inputs, loaded.model_path, loaded.inputs_path)
        refuse_unwritable(trace, option="--trace", read_by_the_run=[path for path in read if path is not None])
    with progress_bar(loaded.name, quiet=quiet) as progress:
        result = lastbit.run(
            scenario,
            seed=seed,
            blocks=blocks,
            model=model,
            inputs=inputs,
            dims=overrides.dims,
            ranges=overrides.ranges,
            values=overrides.values,
            output=output,
            trace=trace,
            trace_events=trace_events,
            progress=progress,
        )
    if as_json:
        give(to_json(result).decode())
    else:
        give_report(lambda width: render(result, width=width))
    if result.interrupted and not quiet:
        say("interrupted: the result covers what was done so far")
    return result.exit_code
