"""What a scenario can ask of each protocol, what it gets by default, and that a run of each replays."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.scenarios import scenario

import lastbit
from lastbit.cli import exit_code_of
from lastbit.protocols import PROTOCOLS
from lastbit.replay import replay
from lastbit.scenario import Scenario, ScenarioError

NAMES = ("pbft", "pbft-classic", "tendermint", "icp")

OWN_KEYS: dict[str, dict[str, Any]] = {
    "pbft": {
        "policy": "skip",
        "outvoted": "resync",
        "pipeline": 3,
        "checkpoint_interval": 4,
        "watermark_window": 9,
    },
    "pbft-classic": {"outvoted": "halt", "pipeline": 3, "checkpoint_interval": 4, "watermark_window": 9},
    "tendermint": {"outvoted": "resync", "digest": "proposal"},
    "icp": {
        "outvoted": "stay",
        "delta_bound_ms": 20.0,
        "epsilon_ms": 1.0,
        "certified_gap_slow": 2,
        "certified_gap_max": 5,
        "cup_gap_max": 9,
        "cup_interval": 4,
    },
}
"""Every key that some protocols read and others do not, at another value than its default; resync_ms all read."""


def chain(protocol: str, **keys: Any) -> Scenario:
    """As a file would have it: nothing is said of the policy unless a test does."""
    whole = {"replicas": 4, "blocks": 10, "protocol": protocol} | keys
    return Scenario.from_mapping({"chain": whole, "model": {"name": "digits-mlp"}})


def faults(protocol: str, **keys: Any) -> dict[str, str]:
    with pytest.raises(ScenarioError) as refused:
        chain(protocol, **keys)
    return {fault.place: fault.message for fault in refused.value.faults}


def test_the_protocols_are_those_that_a_scenario_can_name() -> None:
    assert tuple(PROTOCOLS) == NAMES
    assert [kind.title for kind in PROTOCOLS.values()] == ["PBFT", "classic PBFT", "Tendermint", "ICP"]


@pytest.mark.parametrize(
    ("protocol", "policy", "outvoted"),
    [
        ("pbft", "halt", "stay"),
        ("pbft-classic", "halt", "resync"),
        ("tendermint", "retry", "halt"),
        ("icp", "halt", "resync"),
    ],
)
def test_what_a_file_leaves_out_is_what_the_protocol_does(protocol: str, policy: str, outvoted: str) -> None:
    found = chain(protocol).chain

    assert (found.policy, found.outvoted) == (policy, outvoted)


@pytest.mark.parametrize(
    ("protocol", "keys", "message"),
    [
        ("pbft", {"outvoted": "halt"}, 'pbft bears no "halt"; "stay" or "resync"'),
        ("pbft-classic", {"policy": "retry"}, 'pbft-classic bears no "retry"; "halt"'),
        ("pbft-classic", {"policy": "skip"}, 'pbft-classic bears no "skip"; "halt"'),
        ("tendermint", {"policy": "halt"}, 'tendermint bears no "halt"; "retry"'),
        ("tendermint", {"policy": "skip"}, 'tendermint bears no "skip"; "retry"'),
        ("tendermint", {"outvoted": "stay"}, 'tendermint bears no "stay"; "halt" or "resync"'),
        ("icp", {"policy": "retry"}, 'icp bears no "retry"; "halt"'),
        ("icp", {"policy": "skip"}, 'icp bears no "skip"; "halt"'),
        ("icp", {"outvoted": "halt"}, 'icp bears no "halt"; "resync" or "stay"'),
    ],
)
def test_what_a_protocol_does_not_bear_is_refused(protocol: str, keys: dict[str, str], message: str) -> None:
    (key,) = keys

    assert faults(protocol, **keys) == {f"chain.{key}": message}


@pytest.mark.parametrize("protocol", NAMES)
def test_whatever_else_a_protocol_bears_is_taken(protocol: str) -> None:
    kind = PROTOCOLS[protocol]
    for policy in kind.policies:
        for outvoted in kind.outvoted:
            assert chain(protocol, policy=policy, outvoted=outvoted).chain.outvoted == outvoted


READERS = {
    "pipeline": "pbft and pbft-classic",
    "checkpoint_interval": "pbft and pbft-classic",
    "watermark_window": "pbft and pbft-classic",
    "digest": "tendermint",
    "delta_bound_ms": "icp",
    "epsilon_ms": "icp",
    "certified_gap_slow": "icp",
    "certified_gap_max": "icp",
    "cup_gap_max": "icp",
    "cup_interval": "icp",
}
VALUES: dict[str, Any] = {key: value for keys in OWN_KEYS.values() for key, value in keys.items()}


@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize("key", READERS)
def test_a_key_of_another_protocol_is_refused_with_the_names_of_those_that_read_it(protocol: str, key: str) -> None:
    kind = PROTOCOLS[protocol]
    given = {"watermark_window": 40} if key == "watermark_window" else {key: VALUES[key]}
    if key in kind.keys:
        assert getattr(chain(protocol, **given).chain, key) == given[key]
        return

    found = faults(protocol, **given)
    assert found[f"chain.{key}"] == f"is read by {READERS[key]} alone, and this chain runs {kind.name}"


@pytest.mark.parametrize("protocol", NAMES)
def test_a_key_of_another_protocol_at_its_default_is_no_fault(protocol: str) -> None:
    chain(protocol, pipeline=1, digest="next-header", cup_interval=500)


def test_blocks_that_would_stop_before_they_slow_down_are_refused() -> None:
    found = faults("icp", certified_gap_slow=70)

    assert found == {
        "chain.certified_gap_slow": ("70 is not below certified_gap_max, 70: blocks would stop before they slow down")
    }


@pytest.mark.parametrize(
    ("protocol", "equal", "weighed"),
    [
        ("pbft", [3, 4, 5], 8),
        ("pbft-classic", [3, 4, 5], 8),
        ("tendermint", [3, 5, 5], 9),  # more than two thirds
        ("icp", [3, 5, 5], 9),  # n - f
    ],
)
def test_each_protocol_has_a_quorum_of_its_own(protocol: str, equal: list[int], weighed: int) -> None:
    weights = [4, 3, 2, 1, 1, 1]

    assert [chain(protocol, replicas=n).quorum_system().threshold for n in (4, 6, 7)] == equal
    assert chain(protocol, replicas=6, weights=weights).quorum_system().threshold == weighed


@pytest.mark.parametrize("protocol", NAMES)
def test_a_protocol_names_every_kind_of_its_messages_once(protocol: str) -> None:
    module = importlib.import_module(f"consensus.{protocol.replace('-', '_')}.messages")
    declared = {
        found.kind
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, msgspec.Struct) and hasattr(found, "kind")
    }
    kinds = PROTOCOLS[protocol].messages

    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == declared


@pytest.mark.parametrize("protocol", NAMES)
def test_what_was_resolved_reads_back_as_the_same_scenario(protocol: str) -> None:
    keys = OWN_KEYS[protocol] | {"resync_ms": 7.0}
    assert set(OWN_KEYS[protocol]) - {"policy", "outvoted"} == PROTOCOLS[protocol].keys
    resolved = chain(protocol, **keys).resolved()
    again = Scenario.from_resolved(json.loads(json.dumps(resolved)))

    assert again.resolved() == resolved
    assert {key: resolved["chain"][key] for key in keys} == keys
    assert again.chain.kind.name == protocol


@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize("own", [False, True])
def test_a_run_of_each_protocol_replays(protocol: str, own: bool, tmp_path: Path) -> None:
    keys = OWN_KEYS[protocol] if own else {}
    state = {} if own and protocol == "pbft" else {"state": {}}  # several heights in flight
    chosen = Scenario.from_mapping(chain(protocol, **keys).model_dump(mode="json") | state)
    trace = tmp_path / "run.jsonl"
    result = lastbit.run(chosen, trace=trace)

    assert (result.outcome, result.heights.committed, result.violations) == ("completed", 10, ())
    assert replay(trace).same


def test_the_schema_names_what_protocols_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["schema"]) == 0
    tables = json.loads(capsys.readouterr().out)["$defs"]

    assert tables["Chain"]["properties"]["protocol"]["enum"] == list(NAMES)
    assert set(READERS) | {"outvoted", "resync_ms"} <= set(tables["Chain"]["properties"])
    assert set(tables["State"]["properties"]) == {"carries", "input", "output"}


# --- state that carries over, and heights in flight ---------------------------------------------------------------


def test_where_votes_name_outputs_several_heights_in_flight_cannot_carry_state() -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario({"pipeline": 2}, state={})
    assert [(fault.place, fault.message) for fault in refused.value.faults] == [
        ("chain.pipeline", "several heights in flight, and state carries over from each to the next; 1")
    ]


def test_where_blocks_are_ordered_first_several_in_flight_lead_to_the_same_states(tmp_path: Path) -> None:
    assert answers(tmp_path / "four.jsonl", pipeline=4) == answers(tmp_path / "one.jsonl", pipeline=1)


def answers(trace: Path, *, pipeline: int) -> list[tuple[Any, ...]]:
    """For each height the states that replicas came to, and who did."""
    chosen = scenario(
        {"protocol": "pbft-classic", "policy": "halt", "pipeline": pipeline, "blocks": 32},
        state={},
        replica=[{"id": 2, "profile": {"precision": "fp64"}}],
    )
    lastbit.run(chosen, trace=trace)
    records = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    found = [(each["height"], each["attempts"][0]["ballot"]) for each in records if each["record"] == "height"]
    assert len(found) == 32
    return found[:16]  # beyond which replica 2 has resynced, at another height in either
