"""`lastbit diff`: how do two profiles differ on a model, or two models?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lastbit.cli.findings import exit_code, tell
from lastbit.cli.options import generated_inputs_options, inputs_option, json_option, quiet_option
from lastbit.cli.progress import progress_bar

if TYPE_CHECKING:
    from lastbit.auditing.findings import Audit, Gate


@click.command(short_help="Find out how two profiles differ on a model, or two models, and where it begins.")
@click.argument("model", metavar="MODEL")
@click.argument("one", metavar="A")
@click.argument("other", metavar="[B]", required=False)
@inputs_option
@generated_inputs_options
@click.option("--output", metavar="NAME", help="The output that holds the scores.")
@click.option("--profile", metavar="NAME", help="Under which two models run.  [default: ref]")
@click.option("--profiles", metavar="FILE.toml", help="Where profiles are that the library lacks.")
@click.option("--samples", type=int, help="How many inputs to try.  [default: 300, fewer for a heavy model]")
@click.option("--seed", type=int, default=0, help="Of inputs that are drawn, and of orders of summation.")
@click.option("--fail-on", type=click.Choice(["classes", "flips"]), help="Exit with 7 if they differ, or flip.")
@json_option
@quiet_option
def diff(
    model: str,
    one: str,
    other: str | None,
    inputs: Path | None,
    dims: tuple[str, ...],
    ranges: tuple[str, ...],
    values: tuple[str, ...],
    output: str | None,
    profile: str | None,
    profiles: str | None,
    samples: int | None,
    seed: int,
    fail_on: Gate | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run MODEL under the profiles A and B, or the models MODEL and A: on how many inputs do they differ, how far, and
    from which node on?

    \b
    Examples:
      lastbit diff digits-mlp ref noprepack
      lastbit diff my.onnx threads4 mine --profiles mine.toml
      lastbit diff old.onnx new.onnx
      lastbit diff old.onnx new.onnx --profile threads4
    """
    _refuse_what_is_neither(one, other, profile)
    from lastbit.auditing import diff as examine
    from lastbit.auditing import diff_models
    from lastbit.auditing.choice import profile_named
    from lastbit.inputs.options import Overrides

    overrides = Overrides.from_texts(dims=dims, ranges=ranges, values=values)
    compare: Callable[..., Audit]
    if other is None:
        compare = partial(diff_models, model, one, profile_named(profile or "ref", profiles))
    else:
        compare = partial(examine, model, profile_named(one, profiles), profile_named(other, profiles))
    with progress_bar(model, quiet=quiet) as progress:
        found = compare(
            inputs=inputs,
            dims=overrides.dims,
            ranges=overrides.ranges,
            values=overrides.values,
            output=output,
            samples=samples,
            seed=seed,
            progress=progress,
        )
    tell(found, as_json=as_json)
    return exit_code(found, fail_on, quiet=quiet)


def _refuse_what_is_neither(one: str, other: str | None, profile: str | None) -> None:
    """Make sure that two profiles were named, or two models.

    Raises:
        click.UsageError: neither.
    """
    from lastbit import resources

    if other is None and not one.endswith(".onnx") and one not in resources.model_names():
        raise click.UsageError(
            f"Missing argument 'B': a second profile beside \"{one}\"; or two models, as in: diff old.onnx new.onnx"
        )
    if other is not None and profile is not None:
        raise click.UsageError("--profile is for two models; here the profiles are A and B")
