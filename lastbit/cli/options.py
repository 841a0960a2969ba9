"""Options that several commands share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

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


def as_typed(context: click.Context, *, without: Iterable[str]) -> str:
    """The command with the options that were given, for a shell; `without` those parameters, by name."""
    words = context.command_path.split()
    for parameter in context.command.params:
        name = parameter.name or ""
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not is_given or name in without:
            continue
        value = context.params[name]
        flag = max(parameter.opts, key=len)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(parameter, click.Argument):
                words.append(str(each))
            else:
                words += [flag] if each is True else [flag, str(each)]
    return shlex.join(words)


def refuse_unwritable(file: Path, *, option: str, read_by_the_run: Iterable[Path]) -> None:
    """Refuse, before anything runs, a file that could not be written or would overwrite what the run reads.

    Raises:
        click.UsageError: it cannot be written.
    """
    message = _why_unwritable(file)
    if message is None and any(_is_same(file, other) for other in read_by_the_run):
        message = "is read by this run, which would overwrite it"
    if message is not None:
        raise click.UsageError(f"{option} {click.format_filename(file)}: {message}")


def _why_unwritable(file: Path) -> str | None:
    try:
        if file.is_dir():
            return "is a folder; the name of a file"
        if file.exists() and not file.is_file():
            return "is no plain file; what is written grows beside that name and is moved there when it is whole"
        if file.exists():
            return None if os.access(file, os.W_OK) else "must not be written"
        if not file.parent.is_dir():
            return f"there is no folder {click.format_filename(file.parent)}"
        return None if os.access(file.parent, os.W_OK) else "nothing may be written in that folder"
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte in it
        return f"cannot be the name of a file: {error}"


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
