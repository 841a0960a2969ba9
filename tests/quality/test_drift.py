"""Does a chain whose replicas drift last as long as the closed form says? "Drift without resync" in CLOSED-FORMS."""

from __future__ import annotations

import math
import statistics
from itertools import product

import pytest

import lastbit
from lastbit.drift import blocks_until_stop, still_going
from lastbit.scenario import Scenario

RATE = 0.05


def last_blocks(protocol: str, *, replicas: int, outvoted: str, runs: int) -> list[int]:
    """The first block without a quorum, in so many runs."""
    found = []
    for seed in range(runs):
        scenario = Scenario.from_mapping(
            {
                "seed": seed,
                "chain": {"replicas": replicas, "blocks": 200, "protocol": protocol, "outvoted": outvoted}
                | ({"certified_gap_slow": 1, "certified_gap_max": 2} if protocol == "icp" else {}),
                "model": {"name": "digits-mlp"},
                "divergence": {"rate": RATE, "scope": "replica"},
                "state": {},
            }
        )
        result = lastbit.run(scenario)
        assert result.stalls[-1].cause_code == "split-ballot"
        found.append(result.heights.certified + 1)
    return found


@pytest.mark.parametrize(
    ("protocol", "replicas", "quorum", "outvoted", "runs"),
    [
        ("pbft", 4, 3, "stay", 120),
        ("pbft", 6, 4, "stay", 120),
        ("pbft", 7, 5, "stay", 80),
        ("tendermint", 6, 5, "halt", 60),
        ("icp", 4, 3, "stay", 60),
    ],
)
def test_a_chain_that_drifts_lasts_as_long_as_the_closed_form_says(
    protocol: str, replicas: int, quorum: int, outvoted: str, runs: int
) -> None:
    weights = [1] * replicas
    lasted = last_blocks(protocol, replicas=replicas, outvoted=outvoted, runs=runs)
    expected = blocks_until_stop(weights=weights, quorum=quorum, wrong=RATE)
    error = statistics.stdev(lasted) / math.sqrt(runs)

    assert abs(statistics.mean(lasted) - expected) < 3.5 * error
    for blocks in range(1, 60):
        share = sum(last > blocks for last in lasted) / runs
        going = still_going(weights=weights, quorum=quorum, wrong=RATE, blocks=blocks)
        assert abs(share - going) < 1.63 / math.sqrt(runs)  # Kolmogorov, one per cent


@pytest.mark.parametrize(("replicas", "quorum", "blocks"), [(4, 3, 5_833), (7, 5, 5_095), (6, 4, 6_167)])
def test_the_expected_blocks_are_those_of_the_published_figures(replicas: int, quorum: int, blocks: int) -> None:
    found = blocks_until_stop(weights=[1] * replicas, quorum=quorum, wrong=1e-4)

    assert found == pytest.approx(blocks, rel=2e-4)


@pytest.mark.parametrize("wrong", [0.05, 1e-3])
@pytest.mark.parametrize(("weights", "quorum"), [((1,) * 4, 3), ((1,) * 6, 4), ((4, 2, 2, 1), 7), ((5, 1, 1, 1, 1), 7)])
def test_the_expectation_is_the_sum_of_the_chances_to_go_on(
    weights: tuple[int, ...], quorum: int, wrong: float
) -> None:
    total, blocks, chance = 0.0, 0, 1.0
    while chance > 1e-9:
        chance = still_going(weights=weights, quorum=quorum, wrong=wrong, blocks=blocks)
        total, blocks = total + chance, blocks + 1

    assert blocks_until_stop(weights=weights, quorum=quorum, wrong=wrong) == pytest.approx(total, rel=2e-3)


def test_the_chance_to_go_on_is_that_of_all_ways_to_drift() -> None:
    weights, quorum, wrong, blocks = (4, 2, 2, 1), 7, 0.03, 11
    drifted = 1 - (1 - wrong) ** blocks
    bearable = sum(weights) - quorum
    chances = 0.0
    for ways in product((False, True), repeat=len(weights)):
        weight = sum(each for each, is_drifted in zip(weights, ways, strict=True) if is_drifted)
        if weight <= bearable:
            chances += math.prod(drifted if each else 1 - drifted for each in ways)

    assert still_going(weights=weights, quorum=quorum, wrong=wrong, blocks=blocks) == pytest.approx(chances)
