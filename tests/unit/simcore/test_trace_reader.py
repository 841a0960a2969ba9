"""A trace that is damaged is refused, with the line; also one whose checks somebody made fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcore import trace_reader
from simcore.running_digest import TIMER, content_of
from simcore.trace import TraceWriter
from simcore.trace_reader import TraceError, read_trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Header, then for each of two blocks an event and a record, then the trailer: six lines."""
    path = tmp_path / "run.jsonl"
    with TraceWriter(path, {"seed": 42}, events=True) as writer:
        for height in (1, 2):
            writer.digest.record(height, replica=0, kind=TIMER, content=content_of(b"a"))
            writer.write("block", {"height": height})
        writer.close()
    return path


def refused(path: Path) -> TraceError:
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    return caught.value


def with_checks(lines: list[bytes]) -> bytes:
    """Put fitting checks to lines, as somebody would who wants a changed trace to pass."""
    whole, hashed = b"", hashlib.sha256()
    for line in lines:
        hashed.update(line + b"\n")
        whole += line[:-1] + b',"check":"' + hashed.hexdigest()[:16].encode() + b'"}\n'
    return whole


def plain(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["check"]
    return lines


def rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_bytes(with_checks([json.dumps(line, separators=(",", ":")).encode() for line in lines]))


def test_the_forger_of_these_tests_makes_traces_that_pass_where_nothing_is_changed(path: Path) -> None:
    rewrite(path, plain(path))
    assert read_trace(path).records_total == 2


@pytest.mark.parametrize("line", range(1, 7))
def test_a_changed_figure_is_found_in_its_line(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    place = max(i for i, byte in enumerate(lines[line - 1][:-30]) if chr(byte).isdigit())
    changed = bytearray(lines[line - 1])
    changed[place] = ord("1") if changed[place] != ord("1") else ord("2")
    path.write_bytes(b"".join([*lines[: line - 1], bytes(changed), *lines[line:]]))
    error = refused(path)
    assert (error.line, error.path) == (line, path)
    assert str(error) == f"{path}, line {line}: damaged, or a line before it is missing: its check does not fit"


@pytest.mark.parametrize("line", range(1, 6))
def test_a_missing_line_is_found_where_it_should_stand(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[: line - 1], *lines[line:]]))
    assert refused(path).line == line


def test_a_trace_without_its_end_is_told_from_a_damaged_one(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert (refused(path).line, "ends without a trailer" in refused(path).problem) == (6, True)
    path.write_bytes(b"".join(lines)[:-1])
    assert (refused(path).line, refused(path).problem) == (6, "the line is cut off")


def test_anything_after_the_trailer_is_refused(path: Path) -> None:
    lines = plain(path)
    path.write_bytes(path.read_bytes() + b"\n")
    assert refused(path).line == 7
    rewrite(path, [*lines, lines[-1]])
    assert (refused(path).line, refused(path).problem) == (7, "there is more after the trailer")


@pytest.mark.parametrize(
    "whole", [b"", b"\n", b"hello\n", b"{}\n", b"\xff\xfe\x00\n", b"[" * 100_000 + b"\n", b"\0" * 99]
)
def test_what_is_no_trace_is_refused_in_its_first_line(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    assert refused(path).line == 1


def test_a_line_without_end_is_not_read_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_reader, "LINE_BYTES_MAX", 1000)
    path.write_bytes(path.read_bytes() + b"x" * 5000)
    assert (refused(path).line, refused(path).problem) == (7, "longer than 1000 bytes")


def test_a_file_that_cannot_be_read_is_refused_as_a_whole(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent").line is None
    assert "cannot be read: No such file" in str(refused(tmp_path / "absent"))
    assert refused(tmp_path).line is None


CHANGES: list[tuple[str, Callable[[list[dict[str, Any]]], object], int]] = [
    ("format", lambda lines: lines[0].update(format="other"), 1),
    ("version", lambda lines: lines[0].update(version=2), 1),
    ("not what a trace has here", lambda lines: lines[0].pop("run"), 1),
    ("begins with a header", lambda lines: lines.pop(0), 1),
    ('no "record"', lambda lines: lines[2].pop("record"), 3),
    ("the header says that there are none", lambda lines: lines[0].update(trace_events=False), 2),
    ("event 5; the next is 0", lambda lines: lines[1].update(order=5), 2),
    ("does not follow from sent_ns", lambda lines: lines[1].update(at_ns=0), 2),
    ("does not follow from sent_ns", lambda lines: lines[1].update(at_ns=1 << 60), 2),
    ("not what a trace has here", lambda lines: lines[1].update(replica=1 << 16), 2),
    ("not what a trace has here", lambda lines: lines[1].update(content="ABC"), 2),
    ("not what a trace has here", lambda lines: lines[1].update(at_ns=-1), 2),
    ("running_digest is not that", lambda lines: lines[1].update(replica=9), 3),
    ("running_digest is not that", lambda lines: lines[2].update(running_digest="00"), 3),
    ("covers 7 events; 1 came before", lambda lines: lines[2].update(events=7), 3),
    ("covers 1 events; 0 came before", lambda lines: lines.pop(1), 2),
    ("not what a trace has here", lambda lines: lines[2].update(events="1"), 3),
    ("trace_digest is not that", lambda lines: lines[2].update(height=9), 6),
    ("counts 3 records", lambda lines: lines[5].update(records=3), 6),
    ("counts 9 events", lambda lines: lines[5].update(events=9), 6),
    ("not what a trace has here", lambda lines: lines[5].pop("cut"), 6),
]


@pytest.mark.parametrize(
    ("problem", "change", "line"), CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_change_whose_checks_fit_is_found_all_the_same(
    path: Path, problem: str, change: Callable[[list[dict[str, Any]]], object], line: int
) -> None:
    lines = plain(path)
    change(lines)
    rewrite(path, lines)
    error = refused(path)
    assert error.line == line
    assert problem in error.problem


def test_events_after_the_last_record_are_refused(path: Path) -> None:
    lines = plain(path)
    rewrite(path, [*lines[:5], lines[3] | {"order": 2}, lines[5]])
    assert (refused(path).line, "events" in refused(path).problem) == (7, True)


def test_fewer_events_than_before_are_refused_without_event_lines_too(path: Path) -> None:
    header, _, first, _, second, trailer = plain(path)
    rewrite(path, [header | {"trace_events": False}, second, first, trailer])
    assert (refused(path).line, refused(path).problem) == (3, "the record covers 1 events, the one before 2")


def test_json_nested_too_deeply_is_refused(path: Path) -> None:
    path.write_bytes(with_checks([b'{"record":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]))
    assert refused(path).line == 1


@pytest.mark.parametrize("number", [b"9" * 5000, b"1e999", b"-0", b"9" * 30])
def test_no_number_in_a_line_ends_otherwise(path: Path, number: bytes) -> None:
    path.write_bytes(with_checks([b'{"record":"header","format":"lastbit-trace","version":' + number + b"}"]))
    assert refused(path).line == 1


def test_text_that_is_no_utf8_is_refused(path: Path) -> None:
    path.write_bytes(with_checks([b'{"record":"head\xffer"}']))
    assert refused(path).line == 1
