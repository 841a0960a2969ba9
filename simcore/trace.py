"""The trace of a run: a file of JSON Lines that tells what happened, and by which a run can be repeated and compared.

    {"record":"header", ... ,"check":"..."}      what is run: format, version, and all that a replay needs
    {"record":"event", ... ,"check":"..."}       one event, only where events were asked for
    {"record":"block", ... ,"check":"..."}       any number of records, of whatever names the writer gives them
    {"record":"trailer", ... ,"check":"..."}     how much there is, whether the run was cut, and the trace digest

Every line ends in a check: the first 16 hex digits of the SHA-256 over all lines down to this one, each without its
check and with a line feed. So the first damaged line of a file is known, and so is a line that is missing. The *trace
digest* is another thing: the SHA-256 of the records alone (again without checks), so it names the run and not the file,
and is the same whether or not events are written. Each record holds the number of events so far and their running
digest, see `running_digest`; the last one covers them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

from simcore.running_digest import ARRIVAL, CAUSE, REPLICA_BITS, REPLICAS_MAX, RunningDigest

FORMAT = "lastbit-trace"
VERSION = 1
LINE_BYTES_MAX = 1 << 26
"""64 MiB. A longer line is refused by the writer, and the reader reads no further into one."""

CHECK_DIGITS = 16
CHECK_BEGINS = b',"check":"'
CHECK_ENDS = b'"}\n'
EVENT_BEGINS = b'{"record":"event",'

RESERVED_NAMES = frozenset({"header", "event", "trailer"})
RESERVED_FIELDS = frozenset({"record", "events", "running_digest", "check"})

_ENCODER = msgspec.json.Encoder(order="deterministic")
_EVENT = Struct(CAUSE.format + ARRIVAL.format.removeprefix("<"))


class TraceWriter:
    """Writes the trace of one run, and computes its digests, which it does without a file as well.

    The file grows under the name FILE.partial and gets its own at `close`: what ends otherwise leaves no file that
    could be taken for whole. Left by an exception, the context removes it.

    Args:
        path: where the trace goes; what stood there is replaced at `close`. None: nowhere.
        header: what is run, in values that JSON has (no NaN).
        events: whether to write a line for each event.
        watch: is given every record as it is written, in the bytes that the trace digest covers.

    Raises:
        OSError: the file cannot be written, or is something else than a file.

    Example:
        >>> with TraceWriter(None, {"seed": 42}) as trace:
        ...     trace.write("block", {"height": 1})
        ...     trace.close()[:8]
        '9b9b8c91'
    """

    def __init__(
        self,
        path: Path | None,
        header: Mapping[str, Any],
        *,
        events: bool = False,
        watch: Callable[[bytes], None] | None = None,
    ) -> None:
        self.digest = RunningDigest(self._write_events if events and path is not None else None)
        """Where the run's events go."""
        self._watch = watch
        self._records = 0
        self._events_covered = 0
        self._trace_hash = hashlib.sha256()
        self._lines_hash = hashlib.sha256()
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._closed = False
        if path is not None:
            self._path = _writable(path)
            self._file = _partial(self._path).open("wb")
        self._write_line(
            encode_line("header", {"format": FORMAT, "version": VERSION, "trace_events": events, "run": dict(header)})
        )

    def write(self, name: str, fields: Mapping[str, Any]) -> None:
        """Write a record that covers all events so far.

        Raises:
            ValueError: a name or field that the trace keeps for itself, the trace is closed, or the record is longer
                than 64 MiB.
        """
        if self._closed:
            raise ValueError(f'record "{name}": the trace is closed')
        if name in RESERVED_NAMES:
            raise ValueError(f'record "{name}": the trace keeps this name for itself')
        if taken := RESERVED_FIELDS & fields.keys():
            raise ValueError(f'record "{name}": the trace keeps the fields {sorted(taken)} for itself')
        running_digest = self.digest.hexdigest()  # first: it writes the events that this record covers
        line = encode_line(name, {**fields, "events": self.digest.events, "running_digest": running_digest})
        self._records += 1
        self._events_covered = self.digest.events
        self._trace_hash.update(line + b"\n")
        if self._watch is not None:
            self._watch(line)
        self._write_line(line)

    def close(self, *, cut: bool = False) -> str:
        """Write the trailer, give the file its name, and return the trace digest in hex.

        Args:
            cut: whether the run was interrupted.

        Raises:
            ValueError: events happened after the last record, or the trace is closed.
        """
        if self._closed:
            raise ValueError("the trace is closed already")
        if self.digest.events != self._events_covered:
            uncovered = self.digest.events - self._events_covered
            raise ValueError(f"{uncovered} events after the last record; write a record that covers them")
        trace_digest = self._trace_hash.hexdigest()
        trailer = {"cut": cut, "events": self._events_covered, "records": self._records, "trace_digest": trace_digest}
        self._write_line(encode_line("trailer", trailer))
        self._closed = True
        if self._file is not None and self._path is not None:
            self._file.close()
            _partial(self._path).replace(self._path)
        return trace_digest

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing behind of a trace that was not closed."""
        if not self._closed and self._file is not None and self._path is not None:
            self._file.close()
            _partial(self._path).unlink(missing_ok=True)
        self._closed = True

    def _write_events(self, records: bytes) -> None:
        order = self.digest.events - len(records) // _EVENT.size
        for sent_ns, kind, content, arrival in _EVENT.iter_unpack(records):
            event = {
                "order": order,
                "at_ns": sent_ns + (arrival >> REPLICA_BITS),
                "sent_ns": sent_ns,
                "replica": arrival & (REPLICAS_MAX - 1),
                "kind": kind,
                "content": content.hex(),
            }
            self._write_line(encode_line("event", event))
            order += 1

    def _write_line(self, line: bytes) -> None:
        if self._file is None:
            return
        self._lines_hash.update(line + b"\n")
        check = self._lines_hash.hexdigest()[:CHECK_DIGITS].encode()
        whole = line[:-1] + CHECK_BEGINS + check + CHECK_ENDS
        if len(whole) > LINE_BYTES_MAX:
            raise ValueError(f"a line of {len(whole)} bytes; at most {LINE_BYTES_MAX}")
        self._file.write(whole)


def encode_line(name: str, fields: Mapping[str, Any]) -> bytes:
    """Encode a line without its check: the name first, then the fields by key.

    Example:
        >>> encode_line("block", {"height": 1, "at_ns": 5})
        b'{"record":"block","at_ns":5,"height":1}'
    """
    return b'{"record":' + _ENCODER.encode(name) + b"," + _ENCODER.encode(fields)[1:]


def _writable(path: Path) -> Path:
    whole = path.resolve()  # a link stays a link
    if whole.exists() and not whole.is_file():
        raise OSError(f"{path} exists and is no plain file; a trace would replace it")
    return whole


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
