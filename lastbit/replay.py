"""Replay: run what a trace records once more, and compare every record.

A trace may come from a stranger. It is checked against its own digests first, its scenario is judged as any other,
and no path in it is opened: models and inputs are known by their sha256, and are bundled ones or given by the user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
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
from lastbit.wording import counted
from simcore.trace import TraceWriter
from simcore.trace_reader import Trace, TraceError, TraceRecord, read_trace

SHOWN_CHARACTERS_MAX = 300
EVENTS_MAX = 1 << 62

Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: whether every record is the same, and a text for people."""

    same: bool
    report: str


class _Header(msgspec.Struct):
    scenario: dict[str, Any]
    model_sha256: Sha256
    inputs_sha256: Sha256
    environment: Environment


class _Differs(Exception):  # noqa: N818 - a way out of the run, not an error
    def __init__(self, recorded: TraceRecord | None, now: bytes) -> None:
        super().__init__()
        self.recorded = recorded
        self.now = now


def replay(
    path: Path,
    *,
    model: str | None = None,
    inputs: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Run a trace again. A run that was cut is replayed up to there.

    Args:
        path: the trace.
        model: a file or bundled name; needed where no bundled model has the sha256 that the trace names.
        inputs: a NumPy archive; needed where the trace names one that is not bundled.
        progress: as for `lastbit.run`.

    Raises:
        TraceError: the file is damaged or is no trace; names the line.
        ValueError: its scenario, model or inputs cannot be run, or are not those of the trace.
        KeyboardInterrupt: the user cut the replay short, so that it says nothing.
    """
    trace = read_trace(path)
    try:
        header = msgspec.convert(trace.run, _Header)
    except msgspec.ValidationError as error:
        raise TraceError(path, 1, f"the header does not say what was run: {error}") from None
    prepared = Prepared(_scenario(header, path, model, inputs))
    _check_same_material(prepared, header, path)
    recorded, events_max = trace.records(), _events_max(trace)
    try:
        with TraceWriter(None, prepared.header(), watch=lambda line: _compare(recorded, line)) as writer:
            prepared.run(writer, command="", progress=progress, events_max=events_max)
    except _Differs as difference:
        if prepared.was_interrupted(events_max):
            raise KeyboardInterrupt from None
        return Replayed(False, _difference_report(path, difference, header.environment))
    left = next(recorded, None)
    if left is not None:
        return Replayed(False, _difference_report(path, _Differs(left, b""), header.environment))
    return Replayed(True, _sameness_report(path, trace, header.environment))


def _compare(recorded: Iterator[TraceRecord], now: bytes) -> None:
    then = next(recorded, None)
    if then is None or then.encoded != now:
        raise _Differs(then, now)


def _events_max(trace: Trace) -> int | None:
    """Where a run was cut, in events of the world."""
    if not trace.cut:
        return None
    cut_after = None
    for record in trace.records():
        cut_after = record.fields.get("cut_after")
    if type(cut_after) is not int or not 0 <= cut_after < EVENTS_MAX:
        raise TraceError(trace.path, None, "the run was cut, and the trace does not say after how many events")
    return cut_after


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


def _sameness_report(path: Path, trace: Trace, then: Environment) -> str:
    cut = "; the run was cut there" if trace.cut else ""
    much = f"{counted(trace.records_total, 'record')}, {counted(trace.events_total, 'event')}"
    lines = [f"{path}: the same again: {much}{cut}", f"trace {trace.trace_digest}"]
    return "\n".join(lines + _environment_lines(then))


def _difference_report(path: Path, difference: _Differs, then: Environment) -> str:
    recorded, now = difference.recorded, difference.now
    if recorded is None:
        lines = [f"{path}: DIFFERS: the trace has no more records, the run goes on with", f"  {_shown(now)}"]
    elif not now:
        lines = [
            f"{path}: DIFFERS at line {recorded.line}: the run has no more records, the trace goes on with",
            f"  {_shown(recorded.encoded)}",
        ]
    else:
        name = _printable(recorded.name)
        lines = [f"{path}: DIFFERS at line {recorded.line}, the first record that does ({name})"]
        lines += _field_lines(msgspec.json.decode(recorded.encoded), msgspec.json.decode(now))
    return "\n".join(lines + _environment_lines(then))


def _field_lines(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    lines = []
    for key in [*then, *(key for key in now if key not in then)]:
        if then.get(key) != now.get(key):
            lines += [f"  {_printable(key)}", f"    then  {_shown(then.get(key))}", f"    now   {_shown(now.get(key))}"]
    return lines


def _environment_lines(then: Environment) -> list[str]:
    """How the versions and the processor differ from those of the trace."""
    here = current_environment()
    lines = [
        _printable(f"  {name} {then.versions.get(name, 'none')} then, {here.versions.get(name, 'none')} now")
        for name in sorted({*then.versions, *here.versions})
        if then.versions.get(name) != here.versions.get(name)
    ]
    if then.processor != here.processor:
        lines.append(_printable(f"  processor {then.processor} then, {here.processor} now"))
    gone, new = _difference_of(then.processor_features, here.processor_features)
    if gone or new:
        only_then, only_now = ", ".join(gone) or "none", ", ".join(new) or "none"
        lines.append(_printable(f"  processor features: {only_then} only then, {only_now} only now"))
    return ["versions or processor differ from those of the trace:", *lines] if lines else []


def _difference_of(then: tuple[str, ...], here: tuple[str, ...]) -> tuple[list[str], list[str]]:
    return [each for each in then if each not in here], [each for each in here if each not in then]


def _shown(value: object) -> str:
    return _printable(value.decode() if isinstance(value, bytes) else msgspec.json.encode(value).decode())


def _printable(text: str) -> str:
    """Short, and without what could steer a terminal: a trace may come from a stranger."""
    shown = text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"
    return "".join(character if character.isprintable() else "?" for character in shown)
