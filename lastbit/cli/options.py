"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress and no remarks on stderr.")


model_option = click.option(
    "--model", metavar="FILE.onnx", help="A model of your own, or the name of one that came with lastbit."
)
inputs_option = click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Inputs for the model: one array for each, its first axis counting requests.",
)


def generated_inputs_options(command: CommandT) -> CommandT:
    """--dim, --range and --value: what is said of inputs that are made for a model."""
    for option in (
        click.option("--value", "values", multiple=True, metavar="NAME=V", help="The one value of a generated input."),
        click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help="Range of a generated input."),
        click.option(
            "--dim", "dims", multiple=True, metavar="NAME=4", help="Size of a free dimension. May be repeated."
        ),
    ):
        command = option(command)
    return command


def refuse_unwritable(trace: Path, *, read_by_the_run: Iterable[Path]) -> None:
    """Refuse, before anything runs, a trace that could not be written or would overwrite what the run reads.

    Raises:
        click.UsageError: it cannot be written.
    """
    message = _why_unwritable(trace)
    if message is None and any(_is_same(trace, other) for other in read_by_the_run):
        message = "is read by this run, and the trace would overwrite it"
    if message is not None:
        raise click.UsageError(f"--trace {click.format_filename(trace)}: {message}")


def _why_unwritable(trace: Path) -> str | None:
    try:
        if trace.is_dir():
            return "is a folder; the name of a file"
        if trace.exists() and not trace.is_file():
            return "is no plain file; a trace is written beside its name and moved there when it is whole"
        if trace.exists():
            return None if os.access(trace, os.W_OK) else "must not be written"
        if not trace.parent.is_dir():
            return f"there is no folder {click.format_filename(trace.parent)}"
        return None if os.access(trace.parent, os.W_OK) else "nothing may be written in that folder"
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte in it
        return f"cannot be the name of a file: {error}"


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
