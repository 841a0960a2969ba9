"""Same scenario, seed, versions and processor: the same trace. Anything else: another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import noisy, scenario

import lastbit
from lastbit.cli import exit_code_of
from lastbit.scenario import Scenario

# Everything at once that could depend on an order: losses, a liar, a crash, a partition, marks, natural divergence.
EVENTFUL: dict[str, Any] = {
    "chain": {"replicas": 7, "blocks": 40, "policy": "skip", "pipeline": 3, "requests_per_block": 2},
    "inputs": noisy(),
    "network": {
        "loss": 0.02,
        "latency": {"kind": "lognormal", "median_ms": 10, "sigma": 0.5},
        "partition": [{"groups": [[0, 1]], "from_ms": 500, "until_ms": 800}],
    },
    "crash": [{"replica": 6, "from_ms": 300, "until_ms": 900}],
    "replica": [{"id": 2, "behaviour": "equivocating-voter"}, {"id": 3, "profile": {"precision": "fp64"}}],
    "divergence": {"rate": 0.1, "answers": "shared", "duration": "transient"},
}


def eventful() -> Scenario:
    return scenario(**EVENTFUL)


def digest(chosen: Scenario, **options: Any) -> str:
    return lastbit.run(chosen, **options).trace_digest


def test_the_same_scenario_gives_the_same_trace_and_result() -> None:
    assert lastbit.run(eventful()) == lastbit.run(eventful())


def test_another_seed_gives_another_run() -> None:
    assert len({digest(eventful(), seed=seed) for seed in range(4)}) == 4


def test_no_result_depends_on_the_order_of_hashes() -> None:
    program = "import json, sys, lastbit\nfrom lastbit.result import to_json\nfrom lastbit.scenario import Scenario\n"
    program += "print(to_json(lastbit.run(Scenario.from_mapping(json.load(sys.stdin)))).decode())"
    found = []
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps({"model": {"name": "digits-mlp"}} | EVENTFUL),
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(told.stdout)

    assert found[0] == found[1]
    assert json.loads(found[0])["trace_digest"] == digest(eventful())


def test_schedules_with_equal_outcomes_have_different_traces() -> None:
    runs = [
        lastbit.run(scenario(network={"latency": latency}))
        for latency in (
            {"kind": "constant", "ms": 10},
            {"kind": "constant", "ms": 10.000001},
            {"kind": "uniform", "low_ms": 9, "high_ms": 11},
            {"kind": "uniform", "low_ms": 9, "high_ms": 11.5},
        )
    ]

    assert len({run.heights for run in runs}) == 1
    assert len({run.trace_digest for run in runs}) == 4


def test_writing_a_trace_or_its_events_changes_no_digest(tmp_path: Path) -> None:
    plain = digest(eventful())

    assert digest(eventful(), trace=tmp_path / "a.jsonl") == plain
    assert digest(eventful(), trace=tmp_path / "b.jsonl", trace_events=True) == plain
    assert digest(eventful(), progress=lambda done, target: None) == plain


@pytest.mark.parametrize("flags", [["--quiet"], ["--trace", "run.jsonl"], ["--trace", "run.jsonl", "--trace-events"]])
def test_flags_change_no_digest(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["run", "shared-answers", "--blocks", "20", "--json", *flags]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["trace_digest"] == lastbit.run("shared-answers", blocks=20).trace_digest


def test_the_order_in_which_a_file_names_replicas_and_crashes_changes_nothing() -> None:
    crashes = [{"replica": 1, "from_ms": 300, "until_ms": 400}, {"replica": 1, "from_ms": 100, "until_ms": 300}]
    fast = [{"id": each, "operations_per_second": 10**9 + each} for each in (2, 0)]

    def outcome(turned: int) -> tuple[Any, ...]:
        told = lastbit.run(scenario(crash=crashes[::turned], replica=fast[::turned]))
        return told.trace_digest, told.heights, told.stalls

    assert outcome(1) == outcome(-1)
