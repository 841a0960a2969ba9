"""One run for each fault of network and replicas: the chain gets over it, and the same run comes again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.scenarios import scenario

import lastbit
from lastbit.replay import replay
from lastbit.scenario import Scenario

DOCS = Path(__file__).resolve().parents[2] / "docs"
UNIFORM = {"kind": "uniform", "low_ms": 5, "high_ms": 15}
CUT = {"groups": [[0]], "from_ms": 100, "until_ms": 400}
CRASH = {"replica": 1, "from_ms": 100, "until_ms": 400}

FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "loss": {"network": {"loss": 0.05}},
    "duplication": {"network": {"latency": UNIFORM, "duplication": 0.3}},
    "reordering": {"network": {"latency": UNIFORM, "reordering": 0.3, "reordering_ms": 30}},
    "delay": {"network": {"delay": [{"ms": 50, "from_ms": 100, "until_ms": 300, "senders": [0]}]}},
    "slow": {"network": {"slow": [{"replica": 0, "factor": 4, "from_ms": 100, "until_ms": 300}]}},
    "partition": {"network": {"partition": [CUT]}},
    "one-way partition": {"network": {"partition": [CUT | {"one_way": True}]}},
    "moving partition": {"network": {"partition": [CUT | {"every_ms": 50}]}},
    "before stabilisation": {"network": {"gst_ms": 300, "before_gst": {"loss": 0.3, "extra_ms": 100}}},
    "crash": {"crash": [CRASH]},
    "crash without memory": {"crash": [CRASH | {"memory": "lost"}]},
}


def whole(fault: str, blocks: int = 30) -> Scenario:
    return scenario({"blocks": blocks}, **FAULTS[fault])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_chain_gets_over_each_fault_and_the_same_run_comes_again(fault: str) -> None:
    told = lastbit.run(whole(fault))

    assert told.outcome == "completed"
    assert told.heights.committed == 30
    assert told.forks == ()
    assert lastbit.run(whole(fault)).trace_digest == told.trace_digest


def test_each_fault_makes_another_run() -> None:
    digests = {lastbit.run(whole(fault)).trace_digest for fault in FAULTS}

    assert len(digests) == len(FAULTS)


def example() -> dict[str, Any]:
    """The scenario that the page on the network shows."""
    shown = re.search(r"```toml\n(.*?)```", (DOCS / "network.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    return tomllib.loads(shown[1])


def test_the_example_of_the_docs_runs_with_all_faults_at_once_and_replays(tmp_path: Path) -> None:
    told = lastbit.run(Scenario.from_mapping(example()), trace=tmp_path / "a.jsonl")

    assert (told.outcome, told.heights.committed, told.forks) == ("completed", 60, ())
    assert replay(tmp_path / "a.jsonl").same


def test_no_fault_depends_on_the_order_of_hashes() -> None:
    program = "import json, sys, lastbit\nfrom lastbit.scenario import Scenario\n"
    program += "print(lastbit.run(Scenario.from_mapping(json.load(sys.stdin))).trace_digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(example()),
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }

    assert found == {lastbit.run(Scenario.from_mapping(example())).trace_digest}


def test_the_order_in_which_a_file_names_faults_changes_nothing() -> None:
    def digest(turned: int) -> str:
        network = {
            "slow": [{"replica": 0, "factor": 1.1}, {"replica": 0, "factor": 1.3}, {"replica": 1, "factor": 1.7}],
            "delay": [{"ms": 1.5, "senders": [2, 1][::turned]}, {"ms": 2.5}],
            "partition": [CUT, CUT | {"one_way": True, "groups": [[1], [0]]}],
        }
        return lastbit.run(scenario(network={key: listed[::turned] for key, listed in network.items()})).trace_digest

    assert digest(1) == digest(-1)
