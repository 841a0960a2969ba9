"""`lastbit audit`: which settings give the same bits on a model?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from lastbit.cli.findings import exit_code, tell
from lastbit.cli.options import (
    as_typed,
    generated_inputs_options,
    inputs_option,
    json_option,
    quiet_option,
    refuse_unwritable,
)
from lastbit.cli.output import write_whole
from lastbit.cli.progress import progress_bar

if TYPE_CHECKING:
    from lastbit.auditing.findings import Gate


@click.command(short_help="Find out which settings give the same bits on a model.")
@click.argument("model", metavar="MODEL")
@inputs_option
@generated_inputs_options
@click.option("--output", metavar="NAME", help="The output that holds the scores.")
@click.option("--profiles", metavar="NAME,NAME|FILE.toml", help="What to try; the whole library, if left out.")
@click.option("--forms", metavar="bytes,top1", help="What may be voted on; all that make sense, if left out.")
@click.option("--samples", type=int, help="How many inputs to try.  [default: 300, fewer for a heavy model]")
@click.option("--seed", type=int, default=0, help="Of inputs that are drawn, and of orders of summation.")
@click.option("--fleet", metavar="NAME=0.7,NAME=0.3", help="Shares, or numbers of machines: do they form a quorum?")
@click.option("--replicas", type=click.IntRange(1, 10_000), default=4, help="How many are drawn from --fleet.")
@click.option("--wanted", metavar="NAME,NAME", help="Profiles that are to agree: what must be prescribed?")
@click.option(
    "--fail-on",
    type=click.Choice(["classes", "flips", "baseline"], case_sensitive=False),
    help="Exit with 7 if there is more than one class by a form, any top-1 flip, or a change since --baseline.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="An earlier audit, written with --json: say what changed.",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as a web page, too.")
@json_option
@quiet_option
def audit(
    model: str,
    inputs: Path | None,
    dims: tuple[str, ...],
    ranges: tuple[str, ...],
    values: tuple[str, ...],
    output: str | None,
    profiles: str | None,
    forms: str | None,
    samples: int | None,
    seed: int,
    fleet: str | None,
    replicas: int,
    wanted: str | None,
    fail_on: Gate | None,
    baseline: Path | None,
    html: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run MODEL, a FILE.onnx or the name of one that came with lastbit, under many numeric settings.

    Says which settings give equal bytes on all inputs, how far the others lie apart, how often the best class flips,
    and which settings change nothing. Ctrl-C ends it early and reports what was found so far.

    \b
    Examples:
      lastbit audit digits-forest
      lastbit audit my.onnx --dim batch=1 --samples 1000
      lastbit audit my.onnx --profiles ref,threads4,noprepack --fail-on classes
      lastbit audit my.onnx --forms top1 --fail-on classes
      lastbit audit my.onnx --wanted ref,threads4,noprepack
      lastbit audit my.onnx --html report.html
      lastbit audit my.onnx --baseline before.json --fail-on baseline
    """
    if fleet is None and click.get_current_context().get_parameter_source("replicas") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--replicas says how many are drawn from a fleet: --fleet NAME=0.7,NAME=0.3")
    if fail_on == "baseline" and baseline is None:
        raise click.UsageError("--fail-on baseline needs one to compare with: --baseline before.json")
    import lastbit
    from lastbit.auditing.baseline import read_baseline, with_changes
    from lastbit.auditing.choice import chosen_profiles
    from lastbit.auditing.page import page
    from lastbit.inputs.options import Overrides

    overrides = Overrides.from_texts(dims=dims, ranges=ranges, values=values)
    chosen = None if profiles is None else chosen_profiles(profiles)
    if html is not None:
        read = [path for path in (Path(model), Path(profiles or ""), inputs, baseline) if path is not None]
        refuse_unwritable(html, option="--html", read_by_the_run=read)
    before = None if baseline is None else read_baseline(baseline)
    with progress_bar(model, quiet=quiet) as progress:
        found = lastbit.audit(
            model,
            inputs=inputs,
            dims=overrides.dims,
            ranges=overrides.ranges,
            values=overrides.values,
            output=output,
            profiles=chosen,
            forms=None if forms is None else [form.strip() for form in forms.split(",") if form.strip()],
            seed=seed,
            fleet=fleet,
            replicas=replicas,
            wanted=wanted,
            progress=progress,
            samples=samples,
        )
    if before is not None:
        found = with_changes(found, before)
    tell(found, as_json=as_json)
    if html is not None:
        told = as_typed(click.get_current_context(), without=("html", "as_json", "quiet", "fail_on"))
        write_whole(html, page(found, command=told))
    return exit_code(found, fail_on, quiet=quiet)
