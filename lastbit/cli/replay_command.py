"""`lastbit replay`: does a trace come out the same again?"""

from __future__ import annotations

from pathlib import Path

import click

from lastbit.cli.options import inputs_option, model_option, quiet_option
from lastbit.cli.output import give
from lastbit.cli.progress import progress_bar


@click.command(short_help="Run a trace again and compare every record.")
@click.argument("trace", type=click.Path(path_type=Path), metavar="TRACE")
@model_option
@inputs_option
@quiet_option
def replay(trace: Path, model: str | None, inputs: Path | None, quiet: bool) -> int:
    """Run again what a TRACE records, and compare record by record.

    The file is checked against its own digest first: a damaged one is refused, with the line. A model or inputs that
    did not come with lastbit are given with --model and --inputs and known by their sha256; a path in a trace is never
    opened.

    \b
    Examples:
      lastbit run one-in-ten-thousand --trace run.jsonl
      lastbit replay run.jsonl
      lastbit replay run.jsonl --model my.onnx --inputs my.npz
    """
    from lastbit.replay import replay as replay_trace
    from lastbit.result import EXIT_OTHERWISE

    with progress_bar(f"replay {trace.name}", quiet=quiet) as progress:
        replayed = replay_trace(trace, model=model, inputs=inputs, progress=progress)
    give(replayed.report)
    return 0 if replayed.same else EXIT_OTHERWISE
