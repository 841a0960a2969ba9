"""`lastbit run` with the run itself replaced: what the command does before it and after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import lastbit
from lastbit.cli import exit_code_of
from lastbit.intervals import first_failure_rate
from lastbit.result import Environment, Heights, Inferences, Result
from lastbit.scenario import Scenario

RESULT = Result(
    scenario="all-equal",
    title="",
    seed=1,
    outcome="stalled",
    expected=None,
    as_expected=None,
    interrupted=False,
    protocol="pbft",
    policy="halt",
    outvoted="stay",
    n=4,
    f=1,
    quorum=3,
    weight=4,
    model="digits-mlp",
    model_sha256="c" * 64,
    form="bytes",
    divergence=None,
    heights=Heights(target=9, committed=2, unanimous=2, with_dissent=0, skipped=0, ordered=2, certified=2),
    agreement_failures=1,
    retries=0,
    view_changes=0,
    first_failure_height=3,
    failures=(),
    natural_divergence=0,
    natural_divergence_voted=0,
    injected=0,
    injected_changed=0,
    forks=(),
    prediction=None,
    reason="none",
    rate=first_failure_rate(3),
    stalls=(),
    simulated_ns=9,
    moved_ns=9,
    events=1,
    messages=1,
    inferences=Inferences(asked=4, run=1),
    replicas=(),
    environment=Environment(versions={}, processor="p", processor_features=()),
    trace_digest="e" * 64,
    command="lastbit run all-equal",
)


class Calls(list[dict[str, Any]]):
    """What `lastbit.run` was called with; gives `result`, or raises it."""

    result: Result | BaseException = RESULT

    def __call__(self, scenario: Scenario, **arguments: Any) -> Result:
        self.append({"scenario": scenario} | arguments)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setitem(vars(lastbit), "run", calls)  # by item: asking for the attribute would load the room
    return calls


def test_options_reach_the_run_as_values(calls: Calls, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    code = exit_code_of(
        [
            *("run", "all-equal", "--seed", "7", "--blocks", "12", "--model", "my.onnx", "--inputs", "my.npz"),
            *("--dim", "batch=4", "--range", "ids=0:9", "--value", "flag=true", "--output", "scores"),
            *("--trace", str(trace), "--trace-events"),
        ]
    )
    assert code == 3
    (call,) = calls
    assert call.pop("scenario") == "all-equal"
    assert call == {
        "seed": 7,
        "blocks": 12,
        "model": "my.onnx",
        "inputs": Path("my.npz"),
        "dims": {"batch": 4},
        "ranges": {"ids": (0, 9)},
        "values": {"flag": "true"},
        "output": "scores",
        "trace": trace,
        "trace_events": True,
        "progress": None,
    }


def test_the_report_is_on_stdout_and_plain_when_piped(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["run", "all-equal"]) == 3
    printed = capsys.readouterr()
    assert printed.out.startswith("all-equal   4 replicas")
    assert "\x1b" not in printed.out
    assert printed.err == ""
    assert len(calls) == 1


def test_json_is_one_object_and_nothing_else(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    calls.result = msgspec.structs.replace(RESULT, outcome="completed", as_expected=True)
    assert exit_code_of(["run", "all-equal", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "completed"


def test_an_interrupted_run_reports_and_says_so(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    calls.result = msgspec.structs.replace(RESULT, outcome="inconclusive", interrupted=True)
    assert exit_code_of(["run", "all-equal", "--json"]) == 5
    printed = capsys.readouterr()
    assert json.loads(printed.out)["interrupted"] is True
    assert printed.err == "interrupted: the result covers what was done so far\n"
    assert exit_code_of(["run", "all-equal", "--json", "--quiet"]) == 5
    assert capsys.readouterr().err == ""


def test_a_trace_that_cannot_be_written_is_refused_before_anything_runs(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for trace, why in ((tmp_path, "is a folder"), (tmp_path / "no" / "run.jsonl", "there is no folder")):
        assert exit_code_of(["run", "all-equal", "--trace", str(trace)]) == 2
        assert why in capsys.readouterr().err
    assert calls == []


def test_a_trace_never_overwrites_the_scenario_it_is_of(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[chain]\nreplicas = 4\nblocks = 1\n[model]\nname = "digits-mlp"\n')
    assert exit_code_of(["run", str(path), "--trace", str(path)]) == 2
    assert "would overwrite it" in capsys.readouterr().err
    assert calls == []
    assert path.read_text().startswith("[chain]")


@pytest.mark.parametrize("option", [["--dim", "batch"], ["--range", "ids=9:0"], ["--value", "flag"]])
def test_a_malformed_option_is_refused(calls: Calls, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["run", "all-equal", *option]) == 2
    assert option[0] in capsys.readouterr().err
    assert calls == []


def test_an_error_with_a_name_of_this_house_is_bad_input(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    class ModelError(ValueError):
        __module__ = "replicas.model"

    calls.result = ModelError("my.onnx: is empty")
    assert exit_code_of(["run", "all-equal"]) == 2
    assert capsys.readouterr().err == "my.onnx: is empty\n"


class OurBugError(RuntimeError):
    """An error of this house that is no refusal."""

    __module__ = "replicas.engine"


@pytest.mark.parametrize("error", [ValueError("shapes"), KeyError("x"), AssertionError("equal bits"), OurBugError()])
def test_any_other_error_is_internal_and_shows_where(
    calls: Calls, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    calls.result = error
    assert exit_code_of(["run", "all-equal"]) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert f"internal error: {type(error).__name__}" in printed


def test_ctrl_c_before_there_is_anything_to_report(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    calls.result = KeyboardInterrupt()
    assert exit_code_of(["run", "all-equal"]) == 5
    assert capsys.readouterr().err.strip() == "interrupted"
