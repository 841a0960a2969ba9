"""How long chains last whose replicas stay wrong once they were: closed form, exact sums and runs agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from support.scenarios import scenario

import lastbit
from lastbit.closed_forms import NoClosedForm
from lastbit.drift import blocks_until_stop, predict_drift, still_going

RATE = 0.05
SEEDS = 160

SIZES: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "pbft of 4": ("pbft", 4, 3, {"outvoted": "stay", "policy": "halt"}),
    "pbft of 6": ("pbft", 6, 4, {"outvoted": "stay", "policy": "halt"}),
    "pbft of 7": ("pbft", 7, 5, {"outvoted": "stay", "policy": "halt"}),
    "tendermint of 6": ("tendermint", 6, 5, {"outvoted": "halt", "policy": "retry"}),
    "icp of 4": (
        "icp",
        4,
        3,
        {"outvoted": "stay", "policy": "halt", "certified_gap_slow": 1, "certified_gap_max": 2},
    ),
}


@cache
def stops(name: str) -> tuple[int, ...]:
    """For each seed, the first height at which no quorum answered alike."""
    protocol, replicas, quorum, keys = SIZES[name]
    chain = {"protocol": protocol, "replicas": replicas, "blocks": 1_000, **keys}
    found = []
    for seed in range(SEEDS):
        chosen = scenario(
            chain | {"stall_after_ms": 1_000, "give_up_after_ms": 1_000},
            state={},
            divergence={"rate": RATE, "scope": "replica", "answers": "distinct", "duration": "persistent"},
            seed=seed,
        )
        result = lastbit.run(chosen)
        assert (result.outcome, result.quorum, result.violations) == ("stalled", quorum, ())
        assert result.stalls[-1].cause_code == "split-ballot"
        found.append(result.heights.certified + 1)
    return tuple(found)


@pytest.mark.parametrize("name", SIZES)
def test_chains_stop_when_the_closed_form_says_on_average(name: str) -> None:
    _, replicas, quorum, _ = SIZES[name]
    heights = stops(name)
    mean = sum(heights) / SEEDS
    deviation = math.sqrt(sum((height - mean) ** 2 for height in heights) / (SEEDS - 1))
    expected = blocks_until_stop(weights=[1] * replicas, quorum=quorum, wrong=RATE)

    assert abs(mean - expected) < 3.5 * deviation / math.sqrt(SEEDS)


@pytest.mark.parametrize("name", SIZES)
def test_chains_last_as_long_as_the_closed_form_says_and_no_other_time(name: str) -> None:
    _, replicas, quorum, _ = SIZES[name]
    heights = stops(name)
    apart = max(
        abs(
            sum(height > blocks for height in heights) / SEEDS
            - still_going(weights=[1] * replicas, quorum=quorum, wrong=RATE, blocks=blocks)
        )
        for blocks in range(max(heights) + 1)
    )

    assert apart < 1.628 / math.sqrt(SEEDS)  # Kolmogorov's bound, which one sample in a hundred exceeds


@pytest.mark.parametrize("wrong", [0.05, 1e-3])
@pytest.mark.parametrize(
    ("weights", "quorum"), [([1] * 4, 3), ([1] * 6, 4), ([1] * 7, 5), ([3, 2, 1, 1], 5), ([5, 1, 1], 5)]
)
def test_the_expectation_is_the_sum_of_all_chances_to_last(wrong: float, weights: list[int], quorum: int) -> None:
    total, blocks = 0.0, 0
    while (chance := still_going(weights=weights, quorum=quorum, wrong=wrong, blocks=blocks)) > 1e-12:
        total += chance
        blocks += 1

    # Euler and Maclaurin leave out P'(0) / 12 and what is smaller.
    assert blocks_until_stop(weights=weights, quorum=quorum, wrong=wrong) == pytest.approx(total, abs=wrong)


@pytest.mark.parametrize(
    ("weights", "quorum"), [((1, 1, 1, 1), 3), ((3, 2, 1, 1), 5), ((5, 1, 1), 5), ((4, 3, 2, 1, 1), 8)]
)
def test_unequal_weights_are_what_an_enumeration_of_all_cases_gives(weights: Sequence[int], quorum: int) -> None:
    for blocks in (0, 1, 7, 40):
        right = (1 - RATE) ** blocks
        expected = math.fsum(
            math.prod(right if stands else 1 - right for stands in case)
            for case in itertools.product((False, True), repeat=len(weights))
            if sum(itertools.compress(weights, case)) >= quorum
        )

        assert still_going(weights=weights, quorum=quorum, wrong=RATE, blocks=blocks) == pytest.approx(expected)


@pytest.mark.parametrize(("replicas", "quorum", "blocks"), [(4, 3, 5_833), (7, 5, 5_095), (6, 4, 6_167)])
def test_the_three_figures_of_the_closed_forms(replicas: int, quorum: int, blocks: int) -> None:
    found = blocks_until_stop(weights=[1] * replicas, quorum=quorum, wrong=1e-4)

    assert found == pytest.approx(blocks, rel=2e-4)


DIAL = {"rate": 0.01, "scope": "replica", "answers": "distinct", "duration": "persistent"}


def predicted(chain: dict[str, Any] | None = None, **tables: Any) -> object:
    return predict_drift(scenario(chain, **({"state": {}, "divergence": DIAL} | tables)))


@pytest.mark.parametrize(
    ("chain", "tables", "reason"),
    [
        ({}, {"state": None}, "no state carries over"),
        ({"outvoted": "resync"}, {}, "whoever drifts takes the state of others over"),
        ({}, {"divergence": None}, "persistent dial per replica with distinct answers"),
        ({}, {"divergence": DIAL | {"scope": "prompt"}}, "persistent dial per replica with distinct answers"),
        ({}, {"divergence": DIAL | {"answers": "shared"}}, "persistent dial per replica with distinct answers"),
        ({}, {"divergence": DIAL | {"duration": "transient"}}, "persistent dial per replica with distinct answers"),
        ({}, {"divergence": DIAL | {"rate": 0.0}}, "marks nothing, or everything"),
        ({}, {"divergence": DIAL | {"rate": 1.0}}, "marks nothing, or everything"),
        ({}, {"replica": [{"id": 1, "behaviour": "equivocating-voter"}]}, "equivocates"),
        ({}, {"replica": [{"id": 1, "profile": {"precision": "fp64"}}]}, "diverge by their arithmetic"),
        ({}, {"replica": [{"id": id_, "behaviour": "silent"} for id_ in (0, 1)]}, "too few vote"),
        ({"replicas": 201}, {}, "more than 200"),
    ],
)
def test_where_the_formula_does_not_hold_the_reason_is_told(
    chain: dict[str, Any], tables: dict[str, Any], reason: str
) -> None:
    found = predicted(chain, **tables)

    assert isinstance(found, NoClosedForm)
    assert reason in found.reason


def test_silent_replicas_do_not_count_and_requests_of_a_block_add_up() -> None:
    one = predicted({"requests_per_block": 3}, replica=[{"id": 2, "behaviour": "silent"}])
    assert not isinstance(one, NoClosedForm)

    wrong = 1 - 0.99**3
    assert one.expected_blocks == pytest.approx(blocks_until_stop(weights=[1] * 3, quorum=3, wrong=wrong))  # type: ignore[attr-defined]
    assert one.chance_to_finish == pytest.approx(0.99 ** (3 * 3 * 20))  # type: ignore[attr-defined]
