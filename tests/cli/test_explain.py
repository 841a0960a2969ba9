"""`lastbit explain`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Typed
from support.forged import Line, forge


@pytest.fixture
def trace(typed: Typed) -> Path:
    """The trace of a run, in the folder where the user types."""
    typed("run", "forest-threads", "--blocks", 3, "--trace", "run.jsonl")
    return Path("run.jsonl")


def test_a_forest_is_explained_by_its_threads(typed: Typed, trace: Path) -> None:
    code, out, err = typed("explain", trace, "--height", 1)

    assert (code, err) == (0, "")
    assert "SPLIT: 4 answers, none with a quorum of 3 of 4" in out
    assert "intra_op_threads 1 -> 2 alone explains it" in out
    assert 'made by ai.onnx.ml.TreeEnsembleClassifier "forest"' in out


def test_a_run_that_stalled_by_the_dial_was_injected(typed: Typed) -> None:
    dial = Path("dial.toml")
    dial.write_text(
        '[chain]\nreplicas = 4\nblocks = 9\npolicy = "halt"\n[model]\nname = "digits-mlp"\n[divergence]\nrate = 0.5\n'
    )
    _, report, _ = typed("run", dial, "--trace", "run.jsonl")
    why = next(line for line in report.splitlines() if line.strip().startswith("why:"))
    code, out, _ = typed(*why.split()[2:])

    assert code == 0
    assert "injected: the dial marked request" in out
    assert "first node" not in out


def test_the_json_is_one_object(typed: Typed, trace: Path) -> None:
    code, out, _ = typed("explain", trace, "--height", 3, "--json", "--quiet")
    found = json.loads(out)

    assert code == 0
    assert [pair["cause"]["settings"][0]["name"] for pair in found["pairs"]] == ["intra_op_threads"] * 3


def test_a_height_on_which_all_agreed_exits_with_0(typed: Typed) -> None:
    typed("run", "all-equal", "--blocks", 3, "--trace", "run.jsonl")
    code, out, _ = typed("explain", "run.jsonl", "--height", 2)

    assert code == 0
    assert "all replicas gave the same answer" in out


def test_a_height_beyond_the_end_is_one_message(typed: Typed, trace: Path) -> None:
    code, out, err = typed("explain", trace, "--height", 4)

    assert (code, out) == (2, "")
    assert err == "run.jsonl: holds no height 4; it holds heights 1 to 3\n"


def test_a_damaged_trace_is_refused_with_the_line(typed: Typed, trace: Path) -> None:
    trace.write_bytes(trace.read_bytes().replace(b'"height":2', b'"height":9'))
    code, out, err = typed("explain", trace, "--height", 1)

    assert (code, out) == (2, "")
    assert err.startswith("run.jsonl, line 3: ")


def test_answers_that_do_not_come_out_again_exit_with_6(typed: Typed, trace: Path) -> None:
    def other(line: Line) -> None:
        if line["record"] == "height":
            line["attempts"][0]["ballot"][0]["digest"] = "00" * 32

    code, out, _ = typed("explain", forge(trace, Path("other.jsonl"), other), "--height", 1)

    assert code == 6
    assert "NOT REPEATED: not explained: computed here, replica 0 answers otherwise" in out
