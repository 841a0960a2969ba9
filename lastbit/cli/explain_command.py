"""`lastbit explain`: why did the replicas of a run disagree at a height?"""

from __future__ import annotations

from pathlib import Path

import click

from lastbit.cli.options import inputs_option, json_option, model_option, quiet_option
from lastbit.cli.output import give, give_report
from lastbit.cli.progress import progress_bar


@click.command(short_help="Say which setting, and which node, made replicas disagree.")
@click.argument("trace", type=click.Path(path_type=Path), metavar="TRACE")
@click.option("--height", type=click.IntRange(min=1), required=True, help="Which height of the run.")
@click.option(
    "--attempt",
    type=click.IntRange(min=0),
    metavar="V",
    help="Which view or round of it; left out, the first on which not all agreed.",
)
@model_option
@inputs_option
@json_option
@quiet_option
def explain(
    trace: Path,
    height: int,
    attempt: int | None,
    model: str | None,
    inputs: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Explain a disagreement that a TRACE records: who said what, and for every two answers the first element that
    differs, the first node of the graph at which they part, and the setting that makes the difference.

    The setting is found by changing one at a time. Each answer is computed again first: where that does not give what
    the trace records, as on another processor, nothing is explained and the exit code is 6.

    \b
    Examples:
      lastbit run forest-threads --blocks 3 --trace run.jsonl
      lastbit explain run.jsonl --height 1
      lastbit explain run.jsonl --height 1 --model my.onnx --inputs my.npz
    """
    from lastbit.explaining import explain as explain_height
    from lastbit.explaining.report import render
    from lastbit.result import EXIT_OTHERWISE

    with progress_bar(f"explain {trace.name}", quiet=quiet) as progress:
        found = explain_height(trace, height, attempt=attempt, model=model, inputs=inputs, progress=progress)
    if as_json:
        give(found.to_json())
    else:
        give_report(lambda width: render(found, width=width))
    return EXIT_OTHERWISE if found.outcome == "not-repeated" else 0
