"""State that carries over in whole runs: what one dissenter becomes, what it costs to take a state over, who comes back
from a crash, and answers that are fed with those before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from onnx import helper
from support.own_models import weights, write
from support.scenarios import scenario

import lastbit
from lastbit.cli import exit_code_of
from lastbit.explaining import NothingToExplain, explain
from lastbit.replay import replay
from lastbit.result import Result
from lastbit.scenario import Scenario

PROTOCOLS = ("pbft", "pbft-classic", "tendermint", "icp")
BLOCKS = 40
DIAL = {"rate": 0.006, "scope": "replica", "answers": "distinct", "duration": "persistent"}
SEED = 12
DRIFTS, AT = 2, 11
"""With that seed the dial marks one answer: that of replica 2 at height 11."""


def chain(protocol: str, **keys: Any) -> dict[str, Any]:
    policy = "retry" if protocol == "tendermint" else "halt"
    return {"protocol": protocol, "policy": policy, "blocks": BLOCKS} | keys


def one_drifts(protocol: str, outvoted: str, **keys: Any) -> Scenario:
    return scenario(chain(protocol, outvoted=outvoted, **keys), state={}, divergence=DIAL, seed=SEED)


def recorded(chosen: Scenario, tmp_path: Path) -> tuple[Result, list[dict[str, Any]]]:
    """A run and the records of its heights."""
    trace = tmp_path / "run.jsonl"
    result = lastbit.run(chosen, trace=trace)
    records = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert result.violations == ()
    return result, [each for each in records if each["record"] == "height"]


def unlike(heights: list[dict[str, Any]], replica: int) -> list[int]:
    """The heights after which a replica's state was another than that of the first line of the ballot."""
    lines = [(each["height"], each["attempts"][-1]["ballot"]) for each in heights if each["attempts"]]
    return [height for height, ballot in lines if any(replica in line["replicas"] for line in ballot[1:])]


def heard(heights: list[dict[str, Any]], replica: int, height: int) -> bool:
    """Did a replica execute a height?"""
    ballots = {each["height"]: each["attempts"][-1]["ballot"] for each in heights if each["attempts"]}
    return any(replica in line["replicas"] for line in ballots[height])


# --- one of four drifts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "outvoted", "last", "dissent"),
    [
        ("pbft", "stay", 40, 30),
        ("pbft", "resync", AT, 1),
        ("pbft-classic", "stay", 40, 22),  # up to the last checkpoint, at 32
        ("pbft-classic", "resync", 16, 6),  # the checkpoint that tells
        ("pbft-classic", "halt", 16, 6),
        ("tendermint", "halt", AT, 1),
        ("tendermint", "resync", AT, 1),
        ("icp", "stay", 40, 30),
        ("icp", "resync", AT, 1),
    ],
)
def test_one_that_drifts_dissents_until_it_takes_the_state_of_others_over_or_halts(
    protocol: str, outvoted: str, last: int, dissent: int, tmp_path: Path
) -> None:
    result, heights = recorded(one_drifts(protocol, outvoted), tmp_path)

    assert (result.outcome, result.injected, result.heights.committed) == ("completed", 1, BLOCKS)
    assert unlike(heights, DRIFTS) == list(range(AT, last + 1))
    assert result.heights.with_dissent == dissent
    assert result.resyncs == (outvoted == "resync")
    assert result.halted_themselves == ((DRIFTS,) if outvoted == "halt" else ())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_its_vote_is_needed_a_chain_waits_for_who_takes_the_state_over(protocol: str) -> None:
    """Replica 0 is down once the drift is told, and the other three are a quorum."""
    told_ms = {"pbft-classic": 560, "icp": 300}.get(protocol, 420)
    policy = {"policy": "retry"} if protocol == "pbft" else {}  # or a timeout would halt it
    crash = {"crash": [{"replica": 0, "from_ms": told_ms}]}
    at_end_ns = []
    for resync_ms in (50, 2_000):
        chosen = one_drifts(protocol, "resync", resync_ms=resync_ms, **policy)
        result = lastbit.run(Scenario.from_mapping(chosen.model_dump(mode="json") | crash))
        assert (result.outcome, result.resyncs, result.violations) == ("completed", 1, ())
        at_end_ns.append(result.simulated_ns)

    assert at_end_ns[1] - at_end_ns[0] > 1_000_000_000


# --- back from a crash --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["kept", "lost"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("from_ms", [245, 250.01, 259.5])  # between two blocks, as one is computed, as votes go round
def test_who_comes_back_from_a_crash_has_the_state_of_the_others_again(
    protocol: str, memory: str, from_ms: float, tmp_path: Path
) -> None:
    crash = [{"replica": 3, "from_ms": from_ms, "until_ms": 700, "memory": memory}]
    keys = {} if protocol in ("tendermint", "icp") else {"checkpoint_interval": 8}
    chosen = scenario(chain(protocol, **keys) | {"blocks": 80}, state={}, crash=crash)
    result, heights = recorded(chosen, tmp_path)

    assert (result.outcome, result.heights.committed) == ("completed", 80)
    assert result.heights.with_dissent == 0
    assert unlike(heights, 3) == []
    assert not heard(heights, 3, 15 if protocol == "icp" else 11)
    assert heard(heights, 3, 70)  # it takes part again


def test_a_skipped_height_moves_the_state_of_all_alike(tmp_path: Path) -> None:
    dial = {"rate": 0.1, "scope": "prompt", "answers": "distinct", "duration": "persistent"}
    chosen = scenario({"policy": "skip", "blocks": 30}, state={}, divergence=dial, seed=1)
    result, heights = recorded(chosen, tmp_path)

    assert result.heights.skipped > 0
    assert result.heights.skipped + result.heights.unanimous == 30
    assert [unlike(heights, replica) for replica in range(4)] == [[]] * 4


# --- answers that are fed with those before -----------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A step of a recurrent network, and its label."""
    return write(
        tmp_path / "step.onnx",
        [
            helper.make_node("MatMul", ["h", "w"], ["p"]),
            helper.make_node("Add", ["p", "x"], ["q"]),
            helper.make_node("Tanh", ["q"], ["next"]),
        ],
        {"x": ("float32", (1, 8)), "h": ("float32", (1, 8))},
        {"next": ("float32", (1, 8))},
        {"w": weights(8, 8) * 0.5},
    )


def fed(model: Path, protocol: str = "pbft", *, form: str = "bytes", other: int = 1, **keys: Any) -> Scenario:
    exact = [{"id": 3 - each, "profile": {"precision": "fp64"}} for each in range(other)]
    return Scenario.from_mapping(
        {
            "chain": {"replicas": 4, **chain(protocol, **keys), "blocks": 12},
            "model": {"file": model.name, "form": form, "output": "next"},
            "state": {"input": "h", "output": "next"},
            "replica": exact,
        },
        folder=model.parent,
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_profiles_that_differ_in_bits_part_for_good_though_votes_name_labels(model: Path, protocol: str) -> None:
    labels = lastbit.run(fed(model, protocol, form="top1"))

    assert (labels.outcome, labels.heights.committed, labels.violations) == ("completed", 12, ())
    assert labels.natural_divergence == labels.inferences.asked // 4
    assert labels.natural_divergence_voted == 0
    assert labels.inferences.run == 2 * labels.natural_divergence


@pytest.mark.parametrize(("outvoted", "last"), [("stay", BLOCKS), ("resync", AT)])
def test_who_takes_a_state_over_is_fed_with_what_the_others_had(
    model: Path, outvoted: str, last: int, tmp_path: Path
) -> None:
    plain = fed(model, other=0, outvoted=outvoted).model_dump(mode="json")
    plain |= {"divergence": DIAL, "seed": SEED}
    plain["chain"]["blocks"] = BLOCKS
    result, heights = recorded(Scenario.from_mapping(plain, folder=model.parent), tmp_path)
    answers = [each["attempts"][0]["answers"] for each in heights]
    answered_otherwise = [height for height, lines in enumerate(answers, start=1) if len(lines) > 1]

    assert result.injected == 1
    assert unlike(heights, DRIFTS) == list(range(AT, last + 1))
    assert answered_otherwise[0] == AT
    assert (len(answered_otherwise) > 1) == (outvoted == "stay")  # the next is fed with it, if nobody took over


def test_of_answers_that_were_fed_nothing_is_computed_again(model: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    result = lastbit.run(fed(model, other=2), trace=trace)

    assert result.outcome == "stalled"
    assert len(result.stalls[-1].ballot) == 2
    assert result.stalls[-1].first_difference is None
    assert replay(trace, model=str(model)).same
    with pytest.raises(NothingToExplain, match=r"only a run without state\.input can be explained"):
        explain(trace, 1, model=str(model))


def test_what_cannot_be_fed_is_bad_input_and_nothing_runs(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "loop.toml"
    file.write_text(
        '[chain]\nreplicas = 4\nblocks = 3\n[model]\nfile = "step.onnx"\n[state]\ninput = "g"\noutput = "next"\n',
        encoding="utf-8",
    )
    assert exit_code_of(["run", str(file)]) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert 'state.input: the model has no input "g"; h, x' in told.err


# --- the same again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_run_gives_the_same_trace(protocol: str) -> None:
    assert lastbit.run(one_drifts(protocol, "resync")) == lastbit.run(one_drifts(protocol, "resync"))


def test_no_state_depends_on_the_order_of_hashes(model: Path) -> None:
    program = (
        "import sys, lastbit\nfrom pathlib import Path\nfrom lastbit.scenario import Scenario\nimport json\n"
        "found = Scenario.from_mapping(json.load(sys.stdin), folder=Path(sys.argv[1]))\n"
        "print(lastbit.run(found).trace_digest)"
    )
    chosen = fed(model, "icp", form="top1", outvoted="resync")
    digests = []
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program, str(model.parent)],
            input=json.dumps(chosen.model_dump(mode="json")),
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(told.stdout.strip())

    assert digests == [lastbit.run(chosen).trace_digest] * 2
