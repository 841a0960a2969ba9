"""Is a fork found, and is nothing else called one?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.scenarios import scenario

import lastbit
from lastbit.cli import exit_code_of
from lastbit.scenario import Scenario
from simcore.trace_reader import read_trace


def with_liars(count: int, behaviour: str = "equivocating-voter", *, replicas: int, **tables: Any) -> Scenario:
    liars = [{"id": each, "behaviour": behaviour} for each in range(count)]
    return scenario({"replicas": replicas, "blocks": 5, "policy": "retry"}, replica=liars, **tables)


def with_a_heavy_liar(**tables: Any) -> Scenario:
    """Replica 0 weighs a quorum by itself, and says one thing to replica 1 and another to replica 2."""
    liar = [{"id": 0, "behaviour": "equivocating-voter"}]
    return scenario({"replicas": 3, "weights": [5, 1, 1], "blocks": 5, "policy": "retry"}, replica=liar, **tables)


def test_a_liar_that_weighs_a_quorum_makes_two_honest_replicas_decide_two_outputs() -> None:
    result = lastbit.run(with_a_heavy_liar())
    fork = result.forks[0]

    assert (result.outcome, result.exit_code) == ("forked", 4)
    assert (fork.height, fork.kind) == (1, "two-decisions")
    assert sorted(side.replicas for side in fork.sides) == [(1,), (2,)]
    assert result.agreement_failures == 0


def test_a_fork_outranks_what_was_expected() -> None:
    forked = lastbit.run(with_a_heavy_liar(expect={"outcome": "completed"}))
    awaited = lastbit.run(with_a_heavy_liar(expect={"outcome": "forked"}))

    assert (forked.as_expected, forked.exit_code) == (False, 4)
    assert (awaited.as_expected, awaited.exit_code) == (True, 0)


def test_the_command_line_says_so_and_exits_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fork.toml"
    chain = "[chain]\nreplicas = 3\nweights = [5, 1, 1]\nblocks = 5\n"
    liar = '[[replica]]\nid = 0\nbehaviour = "equivocating-voter"\n'
    file.write_text(f'{chain}[model]\nname = "digits-mlp"\n{liar}')

    assert exit_code_of(["run", str(file)]) == 4
    assert "FORKED at height 1" in capsys.readouterr().out


def test_a_trace_of_a_fork_names_both_sides(tmp_path: Path) -> None:
    trace = tmp_path / "fork.jsonl"
    result = lastbit.run(with_a_heavy_liar(), trace=trace)
    told = [record.fields for record in read_trace(trace).records() if record.name == "fork"]

    assert [fork["height"] for fork in told] == [fork.height for fork in result.forks]
    assert [side["replicas"] for side in told[0]["sides"]] == [list(side.replicas) for side in result.forks[0].sides]


@pytest.mark.parametrize("behaviour", ["equivocating-voter", "equivocating-leader", "silent"])
@pytest.mark.parametrize(("replicas", "faulty"), [(4, 1), (7, 2)])
def test_as_many_faulty_as_are_tolerated_fork_nothing_and_stop_nothing(
    behaviour: str, replicas: int, faulty: int
) -> None:
    result = lastbit.run(with_liars(faulty, behaviour, replicas=replicas))

    assert result.forks == ()
    assert (result.outcome, result.heights.committed) == ("completed", 5)


@pytest.mark.parametrize("policy", ["halt", "retry", "skip"])
@pytest.mark.parametrize("duration", ["persistent", "transient"])
def test_liars_and_split_answers_together_fork_nothing(policy: str, duration: str) -> None:
    story = scenario(
        {"replicas": 4, "blocks": 60, "policy": policy},
        replica=[{"id": 3, "behaviour": "equivocating-voter"}],
        divergence={"rate": 0.3, "answers": "shared", "duration": duration},
    )

    assert lastbit.run(story).forks == ()
