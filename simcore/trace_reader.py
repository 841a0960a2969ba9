"""Reads a trace and believes nothing: every line is checked before what it says is used.

The file is read line by line and not kept, so a trace of any length costs little memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from simcore.running_digest import KIND_END, REPLICA_BITS, REPLICAS_MAX, RunningDigest, arrival_of, cause_of
from simcore.trace import (
    CHECK_BEGINS,
    CHECK_DIGITS,
    CHECK_ENDS,
    EVENT_BEGINS,
    FORMAT,
    LINE_BYTES_MAX,
    VERSION,
)

DecodedT = TypeVar("DecodedT")

_CHECK_BYTES = len(CHECK_BEGINS) + CHECK_DIGITS + len(CHECK_ENDS)


class TraceError(ValueError):
    """A trace that cannot be used: which file, in which line (from 1; None: the file as a whole), and what is wrong."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        place = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{place}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One record: where it stands, what it is called, what it says, and the bytes that the trace digest covers."""

    line: int
    name: str
    fields: Mapping[str, Any]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace that was found to be whole.

    Args:
        path: the file.
        run: what the header says was run.
        trace_digest: 64 hex digits.
        cut: whether the run was interrupted.
        records_total: how many records there are.
        events_total: how many events they cover.
        trace_events: whether every event is in the file.
    """

    path: Path
    run: Mapping[str, Any]
    trace_digest: str
    cut: bool
    records_total: int
    events_total: int
    trace_events: bool

    def records(self) -> Iterator[TraceRecord]:
        """Read the records again, one by one.

        Raises:
            TraceError: the file was changed meanwhile.
        """
        for number, line in _checked_lines(self.path):
            if number > 1 and not line.startswith(EVENT_BEGINS):
                record = _record(self.path, number, line)
                if record.name != "trailer":
                    yield record


def read_trace(path: Path) -> Trace:
    """Read a whole trace and check it against itself: each line, the order of lines, events, and both digests.

    Raises:
        TraceError: the file cannot be read, is no trace, or is damaged; with the first line that is.
    """
    reading = _Reading(path)
    for number, line in _checked_lines(path):
        reading.take(number, line)
    return reading.finish()


class _Header(msgspec.Struct):
    format: str
    version: int
    run: dict[str, Any]
    trace_events: bool


class _Event(msgspec.Struct):
    order: int
    at_ns: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
    sent_ns: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
    replica: Annotated[int, msgspec.Meta(ge=0, lt=REPLICAS_MAX)]
    kind: Annotated[int, msgspec.Meta(ge=0, lt=KIND_END)]
    content: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class _Covered(msgspec.Struct):
    events: int
    running_digest: str


class _Trailer(msgspec.Struct):
    cut: bool
    events: int
    records: int
    trace_digest: str


class _Reading:
    """What has been read so far of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header: _Header | None = None
        self._trailer: _Trailer | None = None
        self._lines = 0
        self._records = 0
        self._events = 0
        self._trace_hash = hashlib.sha256()
        self._event_lines = 0
        self._events_digest = RunningDigest()

    def take(self, number: int, line: bytes) -> None:
        self._lines = number
        if self._header is None:
            self._header = self._take_header(line)
        elif self._trailer is not None:
            raise self._wrong("there is more after the trailer")
        elif line.startswith(EVENT_BEGINS):
            self._take_event(self._header, _decode(self._path, number, line, _Event))
        else:
            record = _record(self._path, number, line)
            if record.name == "trailer":
                self._trailer = self._take_trailer(line)
            else:
                self._take_record(self._header, line)

    def finish(self) -> Trace:
        if self._header is None:
            raise TraceError(self._path, 1, "the file is empty; a trace begins with a header")
        if self._trailer is None:
            raise TraceError(
                self._path,
                self._lines + 1,
                "the trace ends without a trailer; its end is missing, or the run was killed",
            )
        return Trace(
            path=self._path,
            run=self._header.run,
            trace_digest=self._trailer.trace_digest,
            cut=self._trailer.cut,
            records_total=self._records,
            events_total=self._events,
            trace_events=self._header.trace_events,
        )

    def _take_header(self, line: bytes) -> _Header:
        if _record(self._path, 1, line).name != "header":
            raise self._wrong("a trace begins with a header, and this line is none")
        header = _decode(self._path, 1, line, _Header)
        if header.format != FORMAT:
            raise self._wrong(f'format "{header.format}"; this program reads "{FORMAT}"')
        if header.version != VERSION:
            raise self._wrong(f"version {header.version} of the format; this program reads version {VERSION}")
        return header

    def _take_event(self, header: _Header, event: _Event) -> None:
        if not header.trace_events:
            raise self._wrong("an event, and the header says that there are none")
        if event.order != self._event_lines:
            raise self._wrong(f"event {event.order}; the next is {self._event_lines}")
        delay_ns = event.at_ns - event.sent_ns
        if not 0 <= delay_ns < 1 << (64 - REPLICA_BITS):
            raise self._wrong(f"at_ns {event.at_ns} does not follow from sent_ns {event.sent_ns}")
        cause = cause_of(event.sent_ns, event.kind, bytes.fromhex(event.content))
        self._events_digest.append(cause + arrival_of(delay_ns, event.replica))
        self._events_digest.fold_when_full()
        self._event_lines += 1

    def _take_record(self, header: _Header, line: bytes) -> None:
        covered = _decode(self._path, self._lines, line, _Covered)
        if covered.events < self._events:
            raise self._wrong(f"the record covers {covered.events} events, the one before {self._events}")
        if header.trace_events:
            if covered.events != self._event_lines:
                raise self._wrong(f"the record covers {covered.events} events; {self._event_lines} came before")
            if covered.running_digest != self._events_digest.hexdigest():
                raise self._wrong("running_digest is not that of the events before")
        self._events = covered.events
        self._records += 1
        self._trace_hash.update(line + b"\n")

    def _take_trailer(self, line: bytes) -> _Trailer:
        trailer = _decode(self._path, self._lines, line, _Trailer)
        if trailer.records != self._records:
            raise self._wrong(f"the trailer counts {trailer.records} records; there are {self._records}")
        if trailer.events != self._events or (self._event_lines not in (0, self._events)):
            raise self._wrong(f"the trailer counts {trailer.events} events; the records cover {self._events}")
        if trailer.trace_digest != self._trace_hash.hexdigest():
            raise self._wrong("trace_digest is not that of the records")
        return trailer

    def _wrong(self, problem: str) -> TraceError:
        return TraceError(self._path, self._lines, problem)


def _checked_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give the lines without their checks, each after it was checked."""
    lines_hash = hashlib.sha256()
    try:
        with path.open("rb") as file:
            number = 0
            while whole := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                yield number, _checked(path, number, whole, lines_hash)
    except OSError as error:
        raise TraceError(path, None, f"cannot be read: {error.strerror}") from error


def _checked(path: Path, number: int, whole: bytes, lines_hash: hashlib._Hash) -> bytes:
    if len(whole) > LINE_BYTES_MAX:
        raise TraceError(path, number, f"longer than {LINE_BYTES_MAX} bytes")
    line, check = whole[:-_CHECK_BYTES] + b"}", whole[-_CHECK_BYTES:]
    if not (check.startswith(CHECK_BEGINS) and check.endswith(CHECK_ENDS)):
        problem = "damaged, or no line of a trace: it does not end in a check"
        raise TraceError(path, number, problem if whole.endswith(b"\n") else "the line is cut off")
    lines_hash.update(line + b"\n")
    if check != CHECK_BEGINS + lines_hash.hexdigest()[:CHECK_DIGITS].encode() + CHECK_ENDS:
        raise TraceError(path, number, "damaged, or a line before it is missing: its check does not fit")
    return line


def _record(path: Path, number: int, line: bytes) -> TraceRecord:
    fields = _decode(path, number, line, dict[str, Any])
    name = fields.pop("record", None)
    if not isinstance(name, str):
        raise TraceError(path, number, 'the line has no "record" that names it')
    return TraceRecord(number, name, fields, line)


def _decode(path: Path, number: int, line: bytes, type_: type[DecodedT]) -> DecodedT:
    try:
        return msgspec.json.decode(line, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TraceError(path, number, f"not what a trace has here: {error}") from error
