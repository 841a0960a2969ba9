"""No damage to a trace goes unnoticed, and none ends otherwise than in a TraceError that names the line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcore.running_digest import content_of
from simcore.trace import TraceWriter
from simcore.trace_reader import TraceError, read_trace


def whole_trace(*, events: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        with TraceWriter(path, {"seed": 42, "name": "größer"}, events=events) as writer:
            for height in range(1, 4):
                writer.digest.record(height, replica=0, kind=1, content=content_of(b"a"))
                writer.write("block", {"height": height, "ballot": [{"digest": "00", "weight": 3}]})
            writer.write("end", {"outcome": "completed"})
            writer.close()
        return path.read_bytes()


WHOLE = {events: whole_trace(events=events) for events in (False, True)}


def check_refused(whole: bytes, line: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        path.write_bytes(whole)
        with pytest.raises(TraceError) as caught:
            read_trace(path)
    assert caught.value.line == line


def line_at(whole: bytes, place: int) -> int:
    return whole.count(b"\n", 0, place) + 1


@given(st.booleans(), st.data())
def test_a_changed_byte_is_found_in_its_line(events: bool, data: st.DataObject) -> None:
    whole = WHOLE[events]
    place = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    byte = data.draw(st.integers(min_value=0, max_value=255).filter(lambda byte: byte != whole[place]))
    check_refused(whole[:place] + bytes([byte]) + whole[place + 1 :], line_at(whole, place))


@given(st.booleans(), st.data())
def test_missing_bytes_are_found_in_the_first_line_that_lacks_one(events: bool, data: st.DataObject) -> None:
    whole = WHOLE[events]
    begin = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    end = data.draw(st.integers(min_value=begin + 1, max_value=len(whole)))
    # Where bytes repeat, the same file comes of deleting further on: the first byte that differs is what counts.
    changed = whole[:begin] + whole[end:]
    first = next((i for i, (a, b) in enumerate(zip(whole, changed, strict=False)) if a != b), len(changed))
    check_refused(changed, line_at(whole, first))


@given(st.booleans(), st.data(), st.binary(min_size=1, max_size=8))
def test_inserted_bytes_are_found(events: bool, data: st.DataObject, inserted: bytes) -> None:
    whole = WHOLE[events]
    place = data.draw(st.integers(min_value=0, max_value=len(whole)))
    changed = whole[:place] + inserted + whole[place:]
    first = next((i for i, (a, b) in enumerate(zip(whole, changed, strict=False)) if a != b), len(whole))
    check_refused(changed, line_at(whole, first))


@given(st.binary(max_size=300))
def test_any_other_file_is_refused_in_its_first_line(whole: bytes) -> None:
    check_refused(whole, 1)
