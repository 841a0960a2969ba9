"""`lastbit costs`: what agreement on a block costs, protocol by protocol."""

from __future__ import annotations

import click

from lastbit.cli.options import json_option, quiet_option
from lastbit.cli.output import give
from lastbit.cli.progress import progress_bar
from lastbit.did_you_mean import did_you_mean


def _numbers(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    from lastbit.scenario.base import REPLICAS_MAX

    numbers = []
    for word in value.split(","):
        number = int(word) if word.strip().isdecimal() else 0
        if not 2 <= number <= REPLICAS_MAX:
            raise click.BadParameter(
                f'"{word}" is not a number of replicas; from 2 to {REPLICAS_MAX}, with commas: 4,16,64'
            )
        numbers.append(number)
    return tuple(dict.fromkeys(numbers))


@click.command(short_help="Measure what agreement costs, beside the closed forms.")
@click.option(
    "--replicas",
    callback=_numbers,
    default="4,16,64",
    show_default=True,
    metavar="N,N...",
    help="How many replicas.",
)
@click.option("--protocol", metavar="NAME", help="One protocol only.")
@json_option
@quiet_option
def costs(replicas: tuple[int, ...], protocol: str | None, as_json: bool, quiet: bool) -> None:
    """Measure what agreement on a block costs, by really running each protocol: messages by kind, message delays, and
    computing apart from them, beside the closed forms of the papers. A figure that differs is marked with ≠ and the
    closed form; among fewer than four replicas some do.

    \b
    Examples:
      lastbit costs
      lastbit costs --replicas 4,7,100 --protocol icp
      lastbit costs --json > costs.json
    """
    from lastbit.costing import measure
    from lastbit.costing.figures import CostsMeasured
    from lastbit.costing.report import render
    from lastbit.protocols import PROTOCOLS

    if protocol is not None and protocol not in PROTOCOLS:
        raise click.UsageError(f'--protocol "{protocol}" is no protocol; {did_you_mean(protocol, list(PROTOCOLS))}')
    runs = [(name, n) for name in PROTOCOLS if protocol in (None, name) for n in replicas]
    found = []
    with progress_bar("costs", quiet=quiet) as progress:
        for name, n in runs:
            found.append(measure(name, n))
            if progress is not None:
                progress(len(found), len(runs))
    give(CostsMeasured(costs=tuple(found)).to_json() if as_json else render(found))
