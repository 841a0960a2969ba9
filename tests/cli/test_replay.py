"""`lastbit replay`, as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import own_models
from support.commands import Typed
from support.forged import forge, in_header


@pytest.fixture
def trace(typed: Typed) -> Path:
    """The trace of a run, in the folder where the user types."""
    typed("run", "shared-answers", "--blocks", 8, "--trace", "run.jsonl")
    return Path("run.jsonl")


def test_the_same_run_again_exits_with_0(typed: Typed, trace: Path) -> None:
    code, out, err = typed("replay", trace)

    assert (code, err) == (0, "")
    assert out.startswith("run.jsonl: the same again: 9 records")


def test_a_trace_with_every_event_replays_too(typed: Typed) -> None:
    typed("run", "byzantine-leader", "--blocks", 6, "--trace", "run.jsonl", "--trace-events")

    assert typed("replay", "run.jsonl")[0] == 0


@pytest.mark.parametrize(("line", "figure"), [(1, b'"seed":'), (3, b'"height":'), (9, b'"weight":')])
def test_a_changed_figure_is_damage_and_named_by_its_line(typed: Typed, trace: Path, line: int, figure: bytes) -> None:
    lines = trace.read_bytes().splitlines(keepends=True)
    before, after = lines[line - 1].split(figure, 1)
    lines[line - 1] = before + figure + b"9" + after
    trace.write_bytes(b"".join(lines))
    code, out, err = typed("replay", trace)

    assert (code, out) == (2, "")
    assert err.startswith(f"run.jsonl, line {line}: ")


@pytest.mark.parametrize("missing", [1, 4, 10])
def test_a_line_that_is_missing_is_noticed(typed: Typed, trace: Path, missing: int) -> None:
    lines = trace.read_bytes().splitlines(keepends=True)
    del lines[missing]
    trace.write_bytes(b"".join(lines))

    assert typed("replay", trace)[0] == 2


def test_a_trace_cut_off_without_a_trailer_is_no_whole_trace(typed: Typed, trace: Path) -> None:
    trace.write_bytes(trace.read_bytes()[:-30])
    code, _, err = typed("replay", trace)

    assert code == 2
    assert "line 11" in err


@pytest.mark.parametrize("content", [b"", b"\n", b"no trace\n", b"\x00\xff" * 100, b"{}\n"])
def test_what_is_no_trace_is_refused(typed: Typed, content: bytes) -> None:
    Path("run.jsonl").write_bytes(content)
    code, out, err = typed("replay", "run.jsonl")

    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_a_trace_that_is_not_there_is_refused(typed: Typed) -> None:
    code, _, err = typed("replay", "nowhere.jsonl")

    assert code == 2
    assert err == "nowhere.jsonl: cannot be read: No such file or directory\n"


def test_a_difference_exits_with_6_and_shows_the_first(typed: Typed, trace: Path) -> None:
    forge(trace, trace, in_header(scenario__network__latency__ms=11.0))
    code, out, _ = typed("replay", trace)

    assert code == 6
    assert "DIFFERS at line 2, the first record that does (height)" in out


def test_other_versions_are_told_and_are_no_difference_by_themselves(typed: Typed, trace: Path) -> None:
    forge(trace, trace, in_header(environment__versions__onnxruntime="1.0"))
    code, out, _ = typed("replay", trace)

    assert code == 0
    assert "versions or processor differ from those of the trace:\n  onnxruntime 1.0 then" in out


def test_other_versions_are_told_beside_a_difference(typed: Typed, trace: Path) -> None:
    change = in_header(environment__versions__onnxruntime="1.0", scenario__network__latency__ms=11.0)
    forge(trace, trace, change)
    code, out, _ = typed("replay", trace)

    assert code == 6
    assert "onnxruntime 1.0 then" in out


def test_the_replay_that_a_run_offers_names_a_model_of_ones_own(typed: Typed) -> None:
    model = own_models.tokens(Path("mine.onnx"))
    code, out, _ = typed(
        "run", "all-equal", "--model", model, "--dim", "length=3", "--blocks", 3, "--trace", "run.jsonl"
    )
    assert code == 0
    (offered,) = (line.split("replay:")[1].split() for line in out.splitlines() if "replay:" in line)

    assert typed(*offered[1:])[0] == 0


def test_a_model_and_inputs_of_ones_own_are_asked_for_and_taken(typed: Typed) -> None:
    model = own_models.tokens(Path("mine.onnx"))
    typed("run", "all-equal", "--model", model, "--dim", "length=3", "--blocks", 3, "--trace", "run.jsonl")
    without, _, err = typed("replay", "run.jsonl")

    assert without == 2
    assert "--model" in err
    assert typed("replay", "run.jsonl", "--model", model)[0] == 0
    assert typed("replay", "run.jsonl", "--model", own_models.dense(Path("other.onnx")))[0] == 2
    assert typed("replay", "run.jsonl", "--model", "digits-mlp")[0] == 2
