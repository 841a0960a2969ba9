"""Replay: run what a trace records once more, and compare every record.

A trace may come from a stranger; `lastbit.recorded` says what of it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lastbit.recorded import environment_lines, load_recorded, printable
from lastbit.result import Environment
from lastbit.wording import counted
from simcore.trace import TraceWriter
from simcore.trace_reader import Trace, TraceError, TraceRecord

EVENTS_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: whether every record is the same, and a text for people."""

    same: bool
    report: str


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
    found = load_recorded(path, model=model, inputs=inputs)
    trace, prepared, then = found.trace, found.prepared, found.environment
    recorded, events_max = trace.records(), _events_max(trace)
    try:
        with TraceWriter(None, prepared.header(), watch=lambda line: _compare(recorded, line)) as writer:
            prepared.run(writer, command="", progress=progress, events_max=events_max)
    except _Differs as difference:
        if prepared.was_interrupted(events_max):
            raise KeyboardInterrupt from None
        return Replayed(False, _difference_report(path, difference, then))
    left = next(recorded, None)
    if left is not None:
        return Replayed(False, _difference_report(path, _Differs(left, b""), then))
    return Replayed(True, _sameness_report(path, trace, then))


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


def _sameness_report(path: Path, trace: Trace, then: Environment) -> str:
    cut = "; the run was cut there" if trace.cut else ""
    much = f"{counted(trace.records_total, 'record')}, {counted(trace.events_total, 'event')}"
    lines = [f"{path}: the same again: {much}{cut}", f"trace {trace.trace_digest}"]
    return "\n".join(lines + environment_lines(then))


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
        name = printable(recorded.name)
        lines = [f"{path}: DIFFERS at line {recorded.line}, the first record that does ({name})"]
        lines += _field_lines(msgspec.json.decode(recorded.encoded), msgspec.json.decode(now))
    return "\n".join(lines + environment_lines(then))


def _field_lines(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    lines = []
    for key in [*then, *(key for key in now if key not in then)]:
        if then.get(key) != now.get(key):
            lines += [f"  {printable(key)}", f"    then  {_shown(then.get(key))}", f"    now   {_shown(now.get(key))}"]
    return lines


def _shown(value: object) -> str:
    return printable(value.decode() if isinstance(value, bytes) else msgspec.json.encode(value).decode())
