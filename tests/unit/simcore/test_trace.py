"""The trace: what stands in the file, what the digest covers, and what is left when a run ends badly."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simcore import running_digest, trace
from simcore.latency import Constant
from simcore.network import Network
from simcore.running_digest import TIMER, content_of
from simcore.streams import Streams
from simcore.trace import TraceWriter
from simcore.trace_reader import read_trace
from simcore.world import World

HEADER = {"seed": 42, "scenario": {"name": "all-equal"}}


def write(path: Path | None, *, events: bool = False, cut: bool = False, blocks: int = 3, **arguments: Any) -> str:
    with TraceWriter(path, HEADER, events=events, **arguments) as writer:
        for height in range(1, blocks + 1):
            writer.digest.record(height, replica=height, kind=TIMER, content=content_of(b"a"))
            writer.digest.record(height, replica=0, kind=TIMER, content=content_of(b"b"))
            writer.write("block", {"height": height, "ballot": {"b": 1, "a": [2.5, None]}})
        writer.write("end", {"outcome": "completed"})
        return writer.close(cut=cut)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_trace_is_a_header_records_and_a_trailer(tmp_path: Path) -> None:
    trace_digest = write(tmp_path / "run.jsonl")
    header, *records, trailer = lines_of(tmp_path / "run.jsonl")
    assert header["run"] == HEADER
    assert [record["record"] for record in records] == ["block", "block", "block", "end"]
    assert [record["events"] for record in records] == [2, 4, 6, 6]
    assert (trailer["trace_digest"], trailer["records"], trailer["events"], trailer["cut"]) == (
        trace_digest,
        4,
        6,
        False,
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "run.jsonl"]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    trace_digest = write(tmp_path / "run.jsonl", events=True, cut=True)
    found = read_trace(tmp_path / "run.jsonl")
    assert (found.run, found.trace_digest, found.cut) == (HEADER, trace_digest, True)
    assert (found.records_total, found.events_total, found.trace_events) == (4, 6, True)
    records = list(found.records())
    assert [record.name for record in records] == ["block", "block", "block", "end"]
    assert [record.line for record in records] == [4, 7, 10, 11]
    assert records[1].fields["height"] == 2


def test_the_trace_digest_is_the_hash_of_the_records_in_the_bytes_that_a_watcher_sees(tmp_path: Path) -> None:
    seen: list[bytes] = []
    trace_digest = write(tmp_path / "run.jsonl", watch=seen.append)
    assert hashlib.sha256(b"".join(record + b"\n" for record in seen)).hexdigest() == trace_digest
    assert [record.encoded for record in read_trace(tmp_path / "run.jsonl").records()] == seen


def test_neither_a_file_nor_its_events_change_the_digest(tmp_path: Path) -> None:
    assert write(None) == write(tmp_path / "a") == write(tmp_path / "b", events=True) == write(None, events=True)
    assert write(None) != write(None, blocks=2)


def test_another_history_with_the_same_records_has_another_digest() -> None:
    def digest(replica: int) -> str:
        with TraceWriter(None, HEADER) as writer:
            writer.digest.record(5, replica=replica, kind=TIMER, content=content_of(b"a"))
            writer.write("end", {})
            return writer.close()

    assert digest(1) != digest(2)


def test_events_stand_before_the_record_that_covers_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_digest, "GATHERED_MAX", 1)  # hashed as they come: the lines are the same
    write(tmp_path / "a", events=True)
    monkeypatch.undo()
    write(tmp_path / "b", events=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    lines = lines_of(tmp_path / "a")
    assert [line["record"] for line in lines[1:4]] == ["event", "event", "block"]
    assert [line["order"] for line in lines if line["record"] == "event"] == [0, 1, 2, 3, 4, 5]
    event = {name: lines[4][name] for name in ("at_ns", "sent_ns", "replica", "kind", "content")}
    assert event == {"at_ns": 2, "sent_ns": 2, "replica": 2, "kind": TIMER, "content": content_of(b"a").hex()}


def test_an_event_line_tells_when_a_copy_arrived_and_when_it_was_sent(tmp_path: Path) -> None:
    world = World()
    with TraceWriter(tmp_path / "run.jsonl", HEADER, events=True) as writer:
        network: Network[str, None] = Network(
            world, Streams(1), writer.digest, [lambda _message: None] * 2, replicas=2, kinds=8, latency=Constant(5)
        )
        world.call_at(3, lambda: network.broadcast(0, "m", content_of(b"m"), (1, 0), 7))
        world.run()
        writer.write("end", {})
        writer.close()
    _, event, _, _ = lines_of(tmp_path / "run.jsonl")
    assert {name: event[name] for name in ("at_ns", "sent_ns", "replica", "kind")} == {
        "at_ns": 8, "sent_ns": 3, "replica": 1, "kind": 7
    }  # fmt: skip
    assert read_trace(tmp_path / "run.jsonl").events_total == 1


def test_keys_are_ordered_whatever_their_order_was_and_sets_too(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from sys import argv
from simcore.trace import TraceWriter
with TraceWriter(Path({str(tmp_path)!r}, argv[1]), {{"b": 1, "a": {{"x", "y", "z"}}}}) as writer:
    writer.write("end", {{name: 1 for name in {{"x", "y", "z"}}}})
    writer.close()
"""
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(
            [sys.executable, "-c", program, seed], env=environment, cwd=Path(trace.__file__).parents[1], check=True
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_run_that_fails_leaves_no_file_and_what_stood_there_stays(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("older")

    def fail() -> None:
        with TraceWriter(tmp_path / "run.jsonl", HEADER) as writer:
            writer.write("block", {})
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


def test_a_trace_under_way_does_not_have_its_name_yet(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "run.jsonl", HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl.partial"]
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_trace_goes_where_a_link_points(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert read_trace(tmp_path / "real").records_total == 4


def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match="no plain file"):
            TraceWriter(path, HEADER)


def test_the_trace_keeps_its_own_names() -> None:
    with TraceWriter(None, HEADER) as writer:
        with pytest.raises(ValueError, match='"trailer": the trace keeps this name'):
            writer.write("trailer", {})
        with pytest.raises(ValueError, match=r"keeps the fields \['check', 'events'\]"):
            writer.write("block", {"events": 1, "check": 2})


def test_events_after_the_last_record_are_refused_and_so_is_all_after_the_end() -> None:
    with TraceWriter(None, HEADER) as writer:
        writer.digest.record(1, replica=0, kind=TIMER, content=content_of(b""))
        with pytest.raises(ValueError, match="1 events after the last record"):
            writer.close()
        writer.write("end", {})
        writer.close()
        with pytest.raises(ValueError, match="closed"):
            writer.write("end", {})
        with pytest.raises(ValueError, match="closed already"):
            writer.close()


def test_a_line_too_long_to_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "LINE_BYTES_MAX", 300)
    with (
        pytest.raises(ValueError, match="at most 300"),
        TraceWriter(tmp_path / "run.jsonl", HEADER) as writer,
    ):
        writer.write("block", {"text": "x" * 300})
    assert not list(tmp_path.iterdir())
