"""What a trace says was run, made ready to run again.

A trace may come from a stranger. It is checked against its own digests first, its scenario is judged as any other,
and no path in it is opened: models and inputs are known by their sha256, and are bundled ones or given by the user.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec

from lastbit import resources
from lastbit.cards import find_model_by_sha256
from lastbit.environment import current_environment
from lastbit.inputs import InputsError
from lastbit.result import Environment
from lastbit.running import Prepared
from lastbit.scenario import Scenario
from lastbit.scenario.tables import FileInputs
from simcore.trace_reader import Trace, TraceError, read_trace

SHOWN_CHARACTERS_MAX = 300

Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A whole trace, and what it ran.

    Attributes:
        trace: the trace, checked.
        prepared: its scenario with the model and inputs that it names by sha256.
        environment: where it was made.
    """

    trace: Trace
    prepared: Prepared
    environment: Environment


class _Header(msgspec.Struct):
    scenario: dict[str, Any]
    model_sha256: Sha256
    inputs_sha256: Sha256
    environment: Environment


def load_recorded(path: Path, *, model: str | None = None, inputs: Path | None = None) -> Recorded:
    """Check a trace and make ready what it ran.

    Args:
        path: the trace.
        model: a file or bundled name; needed where no bundled model has the sha256 that the trace names.
        inputs: a NumPy archive; needed where the trace names one that is not bundled.

    Raises:
        TraceError: the file is damaged or is no trace; names the line.
        ValueError: its scenario, model or inputs cannot be run, or are not those of the trace.
    """
    trace = read_trace(path)
    try:
        header = msgspec.convert(trace.run, _Header)
    except msgspec.ValidationError as error:
        raise TraceError(path, 1, f"the header does not say what was run: {error}") from None
    prepared = Prepared(_scenario(header, path, model, inputs))
    _check_same_material(prepared, header, path)
    return Recorded(trace, prepared, header.environment)


def _scenario(header: _Header, path: Path, model: str | None, inputs: Path | None) -> Scenario:
    scenario = Scenario.from_resolved(header.scenario, source=f"{path}, line 1")
    chosen: str | Path | None = model
    if chosen is None and scenario.model.file is not None:
        chosen = find_model_by_sha256(header.model_sha256)
        if chosen is None:
            raise InputsError(
                f"{path}: ran a model of sha256 {header.model_sha256}, which did not come with lastbit; give it "
                f"with --model (it was called {scenario.model.file})"
            )
    archive = inputs
    if archive is None and isinstance(scenario.inputs, FileInputs):
        archive = _bundled_archive(header.inputs_sha256)
        if archive is None:
            raise InputsError(
                f"{path}: ran on inputs of sha256 {header.inputs_sha256}; give them with --inputs (they were called "
                f"{scenario.inputs.file})"
            )
    if chosen is None and archive is None:
        return scenario
    return scenario.with_overrides(model=chosen, inputs=archive, output=scenario.model.output)


def _bundled_archive(sha256: str) -> Path | None:
    for path in sorted(resources.models_folder().glob("*.npz")):
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    return None


def _check_same_material(prepared: Prepared, header: _Header, path: Path) -> None:
    found = prepared.header()
    for what, option in (("model", "--model"), ("inputs", "--inputs")):
        then, now = getattr(header, f"{what}_sha256"), found[f"{what}_sha256"]
        if then != now:
            raise InputsError(f"{path}: ran {what} of sha256 {then}; found {now}: give the same ones with {option}")


def environment_lines(then: Environment) -> list[str]:
    """How the versions and the processor differ from those of the trace."""
    here = current_environment()
    lines = [
        printable(f"  {name} {then.versions.get(name, 'none')} then, {here.versions.get(name, 'none')} now")
        for name in sorted({*then.versions, *here.versions})
        if then.versions.get(name) != here.versions.get(name)
    ]
    if then.processor != here.processor:
        lines.append(printable(f"  processor {then.processor} then, {here.processor} now"))
    gone, new = _difference_of(then.processor_features, here.processor_features)
    if gone or new:
        only_then, only_now = ", ".join(gone) or "none", ", ".join(new) or "none"
        lines.append(printable(f"  processor features: {only_then} only then, {only_now} only now"))
    return ["versions or processor differ from those of the trace:", *lines] if lines else []


def _difference_of(then: tuple[str, ...], here: tuple[str, ...]) -> tuple[list[str], list[str]]:
    return [each for each in then if each not in here], [each for each in here if each not in then]


def printable(text: str) -> str:
    """Short, and without what could steer a terminal: a trace may come from a stranger."""
    shown = text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"
    return "".join(character if character.isprintable() else "?" for character in shown)
