"""`lastbit run`, as a user types it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import own_models

import lastbit
from lastbit.cli import exit_code_of, run_command
from simcore.trace_reader import read_trace

Typed = Callable[..., "Said"]


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """What --json printed."""
        told: dict[str, Any] = json.loads(self.out)
        return told


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `lastbit run ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        code = exit_code_of(["run", *map(str, words)])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


def scenario_file(text: str, *, chain: str = "") -> Path:
    """A scenario of the user's own."""
    path = Path("mine.toml")
    path.write_text(f'[chain]\nreplicas = 4\nblocks = 20\n{chain}\n[model]\nname = "digits-mlp"\n{text}')
    return path


# --- what a user sees -----------------------------------------------------------------------------------------


def test_the_report_says_what_was_run_what_came_of_it_and_how_to_repeat_it(typed: Typed) -> None:
    said = typed("one-in-ten-thousand", "--seed", 132)

    assert said.code == 0
    assert said.err == ""
    for words in (
        "one-in-ten-thousand   4 replicas · PBFT, quorum 3 of 4, f = 1, halt · digits-mlp",
        "STALLED for good at height 6, as expected",
        "committed            5 heights, all unanimous",
        "1 in 6 first attempts",
        "closed form 1.0e-4",
        "24 asked, 6 run",
        "no quorum, and none possible: 4 voters, 4 answers",
        "first difference: request",
        "again:   lastbit run one-in-ten-thousand --seed 132",
    ):
        assert words in said.out


def test_data_goes_to_stdout_alone_and_json_is_one_object(typed: Typed) -> None:
    said = typed("all-equal", "--blocks", 5, "--json")

    assert said.err == ""
    assert said.out.count("\n") == 1
    assert said.result["scenario"] == "all-equal"


def test_the_command_that_is_printed_repeats_the_run(typed: Typed) -> None:
    model = own_models.tokens(Path("my tokens.onnx"))
    first = typed("all-equal", "--blocks", 4, "--model", model, "--dim", "length=5", "--range", "ids=0:3", "--json")
    program, *words = shlex.split(first.result["command"])
    again = typed(*words[1:], "--json")

    assert (program, words[0]) == ("lastbit", "run")
    assert again.result["trace_digest"] == first.result["trace_digest"]


def test_the_command_that_is_printed_repeats_the_run_of_a_file_too(typed: Typed) -> None:
    first = typed(scenario_file(""), "--json")
    words = shlex.split(first.result["command"])

    assert typed(*words[2:], "--json").result["trace_digest"] == first.result["trace_digest"]


KEYS = {
    "format": str,
    "scenario": str,
    "seed": int,
    "outcome": str,
    "as_expected": bool,
    "interrupted": bool,
    "protocol": str,
    "policy": str,
    "n": int,
    "f": int,
    "quorum": int,
    "model_sha256": str,
    "heights": dict,
    "agreement_failures": int,
    "retries": int,
    "view_changes": int,
    "first_failure_height": int,
    "failures": list,
    "natural_divergence": int,
    "injected": int,
    "forks": list,
    "prediction": dict,
    "rate": dict,
    "stalls": list,
    "simulated_ns": int,
    "events": int,
    "messages": int,
    "inferences": dict,
    "replicas": list,
    "environment": dict,
    "trace_digest": str,
}


def test_json_has_every_key_that_was_promised(typed: Typed) -> None:
    told = typed("one-in-ten-thousand", "--seed", 132, "--json").result

    assert {key: type(told[key]) for key in KEYS} == KEYS
    assert set(told["heights"]) >= {"committed", "unanimous", "with_dissent", "skipped"}
    assert set(told["prediction"]) == {"agreement_failure_probability", "dissent_probability"}
    assert set(told["rate"]) == {"failures", "trials", "estimate", "low", "high"}
    assert set(told["inferences"]) == {"asked", "run"}
    (stall,), (failure,) = told["stalls"], told["failures"]
    assert set(failure) >= {"height", "attempt", "at_ns", "block", "ballot", "silent"}
    assert set(stall) >= {"height", "from_ns", "until_ns", "permanent", "cause_code", "cause", "ballot", "silent"}
    assert stall["until_ns"] is None
    assert set(stall["ballot"][0]) == {"digest", "weight", "replicas"}
    assert [len(told[key]) for key in ("model_sha256", "trace_digest")] == [64, 64]


def test_a_prediction_that_does_not_hold_is_null_and_says_why(typed: Typed) -> None:
    told = typed("byzantine-leader", "--blocks", 5, "--json").result

    assert told["prediction"] is None
    assert told["reason"] == "a replica equivocates"


def test_a_ballot_goes_by_falling_weight_and_names_the_silent(typed: Typed) -> None:
    file = scenario_file(
        '[divergence]\nrate = 1.0\nscope = "replica"\n[[replica]]\nid = 3\nbehaviour = "silent"\n',
        chain="weights = [1, 2, 3, 1]",
    )
    (failure, *_) = typed(file, "--json").result["failures"]

    assert [line["weight"] for line in failure["ballot"]] == [3, 2, 1]
    assert failure["silent"] == [3]


def test_a_hundred_failures_are_listed_and_all_are_counted(typed: Typed) -> None:
    file = scenario_file("[divergence]\nrate = 1.0\n", chain='policy = "skip"')
    told = typed(file, "--blocks", 120, "--json").result

    assert (len(told["failures"]), told["agreement_failures"]) == (100, 120)


# --- how it ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain", "rest", "outcome", "code"),
    [
        ("", "", "completed", 0),
        ("", 'expect = { outcome = "completed" }', "completed", 0),
        ("", 'expect = { outcome = "stalled" }', "completed", 6),
        ('policy = "halt"', "DIAL", "stalled", 3),
        ('policy = "halt"', 'DIAL expect = { outcome = "stalled" }', "stalled", 0),
        ("until_s = 0.1", "", "inconclusive", 5),
        ("max_events = 50", "", "inconclusive", 5),
        ("max_events = 50", 'expect = { outcome = "completed" }', "inconclusive", 5),
        ("max_events = 50", 'expect = { outcome = "inconclusive" }', "inconclusive", 0),
    ],
)
def test_the_exit_code_says_how_it_ended(typed: Typed, chain: str, rest: str, outcome: str, code: int) -> None:
    file = scenario_file("[divergence]\nrate = 1.0\n" if "DIAL" in rest else "", chain=chain)
    file.write_text(rest.replace("DIAL ", "").replace("DIAL", "") + "\n" + file.read_text())
    said = typed(file, "--json")

    assert (said.result["outcome"], said.code) == (outcome, code)


def test_a_limit_of_events_is_kept_and_its_trace_replays(typed: Typed) -> None:
    told = typed(scenario_file("", chain="max_events = 50"), "--trace", "run.jsonl", "--json").result

    assert 40 < told["events"] <= 50
    assert not told["interrupted"]
    assert exit_code_of(["replay", "run.jsonl"]) == 0


def test_simulated_time_ends_where_it_was_told_to(typed: Typed) -> None:
    assert typed(scenario_file("", chain="until_s = 0.1"), "--json").result["simulated_ns"] == 100_000_000


def test_patience_ends_a_stall_when_it_was_told_to(typed: Typed) -> None:
    file = scenario_file("[divergence]\nrate = 1.0\n", chain="stall_after_ms = 100\ngive_up_after_ms = 250")
    told = typed(file, "--json").result

    assert told["simulated_ns"] == 250_000_000
    assert told["stalls"][0]["from_ns"] == 0


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have somebody press Ctrl-C once three heights are there."""

    @contextmanager
    def watched(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
        def press(done: int, _target: int) -> None:
            if done == 3:
                signal.raise_signal(signal.SIGINT)

        yield press

    monkeypatch.setattr(run_command, "progress_bar", watched)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_reports_what_was_done_and_the_trace_replays_up_to_there(
    typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    said = typed("all-equal", "--trace", "run.jsonl")

    assert said.code == 5
    assert "interrupted, this is what was done so far" in said.out
    assert "interrupted: the result covers what was done so far" in said.err
    assert "committed            3 heights" in said.out
    assert read_trace(Path("run.jsonl")).cut
    assert exit_code_of(["replay", "run.jsonl"]) == 0
    assert "the run was cut there" in capsys.readouterr().out


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_run_is_never_as_expected(typed: Typed) -> None:
    file = scenario_file("")
    file.write_text('expect = { outcome = "inconclusive" }\n' + file.read_text())
    said = typed(file, "--json")

    assert said.code == 5
    assert (said.result["interrupted"], said.result["as_expected"]) == (True, False)
    assert said.result["outcome"] == "inconclusive"


# --- how many replicas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("replicas", "quorum"), [(2, 2), (3, 2), (5, 4)])
def test_few_replicas_run(typed: Typed, replicas: int, quorum: int) -> None:
    file = scenario_file("")
    file.write_text(file.read_text().replace("replicas = 4", f"replicas = {replicas}"))
    told = typed(file, "--json").result

    assert (told["outcome"], told["quorum"], told["heights"]["unanimous"]) == ("completed", quorum, 20)


def test_one_replica_alone_is_refused(typed: Typed) -> None:
    file = scenario_file("")
    file.write_text(file.read_text().replace("replicas = 4", "replicas = 1"))
    said = typed(file)

    assert said.code == 2
    assert "chain.replicas" in said.err
    assert "Traceback" not in said.err


def test_replicas_of_unequal_weight_run(typed: Typed) -> None:
    told = typed(scenario_file("", chain="weights = [5, 1, 1, 1]"), "--json").result

    assert (told["outcome"], told["f"], told["quorum"]) == ("completed", 2, 6)
    assert [replica["weight"] for replica in told["replicas"]] == [5, 1, 1, 1]


# --- a model of one's own -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        own_models.dense,
        own_models.tokens,
        own_models.several,
        own_models.strings,
        own_models.scalar,
        own_models.mask,
        own_models.branches,
    ],
)
def test_a_model_of_ones_own_runs_on_inputs_made_for_it(typed: Typed, make: Callable[[Path], Path]) -> None:
    told = typed("all-equal", "--model", make(Path("mine.onnx")), "--blocks", 4, "--json").result

    assert (told["outcome"], told["heights"]["unanimous"], told["model"]) == ("completed", 4, "mine")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_half_and_double_precision_run(typed: Typed, dtype: str) -> None:
    model = own_models.dense(Path("mine.onnx"), dtype=dtype)

    assert typed("all-equal", "--model", model, "--blocks", 4).code == 0


def test_the_dial_works_on_a_model_of_ones_own(typed: Typed) -> None:
    told = typed("one-in-ten-thousand", "--seed", 132, "--model", own_models.dense(Path("mine.onnx")), "--json").result

    assert told["stalls"][0]["height"] == 6


def test_votes_on_a_label_of_ones_own(typed: Typed) -> None:
    model = own_models.several(Path("mine.onnx"))
    told = {
        output: typed("gpu-order-top1", "--model", "digits-mlp", "--blocks", 3, "--json").result
        if output is None
        else typed("forest-threads-top1", "--model", model, "--output", output, "--blocks", 3, "--json").result
        for output in (None, "label", "sum")
    }

    assert {result["form"] for result in told.values()} == {"top1"}
    assert all(result["outcome"] == "completed" for result in told.values())


def test_dimensions_ranges_and_values_are_taken(typed: Typed) -> None:
    model = own_models.tokens(Path("mine.onnx"))
    digests = {
        words: typed("all-equal", "--model", model, "--blocks", 4, "--json", *words).result["trace_digest"]
        for words in ((), ("--dim", "length=3"), ("--range", "ids=0:2"), ("--value", "ids=4"))
    }
    constant = typed("all-equal", "--model", model, "--blocks", 4, "--value", "ids=4", "--json").result

    assert len(set(digests.values())) == 4
    assert constant["inferences"]["run"] == 1


def test_inputs_from_an_archive_are_taken(typed: Typed) -> None:
    model = own_models.dense(Path("mine.onnx"))
    np.savez("mine.npz", x=own_models.weights(2, 1, 8))
    told = typed("all-equal", "--model", model, "--inputs", "mine.npz", "--blocks", 40, "--json").result

    assert told["inferences"] == {"asked": 160, "run": 2}


def broken(name: str) -> Path:
    """A model that cannot be run."""
    path = Path("broken.onnx")
    whole = own_models.dense(Path("whole.onnx")).read_bytes()
    match name:
        case "missing":
            return path
        case "folder":
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("this is no model\n" * 50)
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "random":
            own_models.random(path)
        case "weights above":
            own_models.external(path, "../weights.bin")
        case "weights elsewhere":
            own_models.external(path, "/etc/hostname")
        case "weights missing":
            own_models.external(path, "weights.bin")
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "no ONNX model"),
        ("truncated", "cut off"),
        ("random", "draws random numbers"),
        ("weights above", "lies outside the folder"),
        ("weights elsewhere", "lies outside the folder"),
        ("weights missing", "is missing"),
    ],
)
def test_a_model_that_cannot_be_run_is_refused_in_one_clear_message(typed: Typed, name: str, words: str) -> None:
    model = broken(name)
    said = typed("all-equal", "--model", model, "--trace", "run.jsonl")

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("broken.onnx: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not list(Path().glob("run.jsonl*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dim", "lenght=3"], 'did you mean "length"?'),
        (["--range", "ids=0:30"], "cannot run on the inputs made for it"),
        (["--range", "ids=3:0"], "3 is above 0"),
        (["--value", "ids=x"], "ids"),
        (["--output", "nope"], 'no output "nope"'),
        (["--inputs", "nope.npz"], "cannot be read"),
        (["--seed", "-1"], "not a seed"),
        (["--blocks", "0"], "not a number of blocks"),
        (["--trace", "no/such/folder.jsonl"], "there is no folder"),
        (["--trace-events"], "--trace"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(typed: Typed, options: list[str], words: str) -> None:
    said = typed("all-equal", "--model", own_models.tokens(Path("mine.onnx")), "--blocks", 3, *options)

    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert "Traceback" not in said.err


def test_a_model_without_products_has_no_order_to_draw(typed: Typed) -> None:
    said = typed("gpu-order", "--model", own_models.strings(Path("mine.onnx")), "--blocks", 3)

    assert said.code == 2
    assert "ksplit finds no product" in said.err


def test_a_dial_that_the_outputs_have_no_room_for_is_refused(typed: Typed) -> None:
    said = typed("one-in-ten-thousand", "--model", own_models.mask(Path("mine.onnx")), "--blocks", 3)

    assert said.code == 2
    assert "no finite floating-point number to change" in said.err


# --- from Python ----------------------------------------------------------------------------------------------


def test_python_and_the_command_line_give_the_same_result(typed: Typed) -> None:
    told = typed("shared-answers", "--blocks", 10, "--json").result

    assert lastbit.run("shared-answers", blocks=10).trace_digest == told["trace_digest"]


def test_lastbit_run_is_a_function_whatever_was_imported_before() -> None:
    program = "import lastbit.replay, lastbit.running, lastbit\nprint(lastbit.run('all-equal', blocks=2).outcome)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert said.stdout == "completed\n"
