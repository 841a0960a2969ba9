"""Every closed form against the figures of CLOSED-FORMS and against a Monte Carlo that knows nothing of formulas."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import sqrt

import numpy as np
import numpy.typing as npt
import pytest

from lastbit.closed_forms import (
    NoClosedForm,
    k_split_results_max,
    per_prompt_distinct,
    per_prompt_shared,
    per_replica_distinct,
    per_replica_shared,
    predict,
    predict_scenario,
    some_request_marked,
    weight_distribution,
    wrong_answer_committed,
)
from lastbit.result import Prediction
from lastbit.scenario import Scenario, load_scenario

FOUR = [1, 1, 1, 1]
TRIALS = 40_000


def answers_drawn(
    rng: np.random.Generator, scope: str, answers: str, replicas: int, requests: int, rate: float
) -> npt.NDArray[np.int64]:
    """Each replica's answer to each request, [trial, replica, request]: 0 the true one, others wrong ones."""
    shape = (TRIALS, replicas, requests)
    if scope == "prompt":
        wrong = np.broadcast_to(rng.random((TRIALS, 1, requests)) < rate, shape)
        if answers == "shared":
            wrong = wrong & (rng.random(shape) < 0.5)
    else:
        wrong = rng.random(shape) < rate
    own = np.arange(1, replicas + 1).reshape(1, -1, 1) if answers == "distinct" else 1
    return (wrong * own).astype(np.int64)


def counted(drawn: npt.NDArray[np.int64], weights: list[int], quorum: int) -> tuple[int, int, int]:
    """How many blocks failed, were committed with dissent, were committed with a wrong answer."""
    failures = dissents = wrong = 0
    blocks, times = np.unique(drawn.reshape(len(drawn), -1), axis=0, return_counts=True)
    for block, count in zip(blocks.reshape(-1, *drawn.shape[1:]), times.tolist(), strict=True):
        weight_of: dict[bytes, int] = defaultdict(int)
        for replica, weight in enumerate(weights):
            weight_of[block[replica].tobytes()] += weight
        decided = [answer for answer, weight in weight_of.items() if weight >= quorum]
        failures += 0 if decided else count
        dissents += count if decided and len(weight_of) > 1 else 0
        wrong += count if decided and any(decided[0]) else 0
    return failures, dissents, wrong


@pytest.mark.parametrize("scope", ["prompt", "replica"])
@pytest.mark.parametrize("answers", ["distinct", "shared"])
@pytest.mark.parametrize(
    ("weights", "quorum", "requests", "rate"),
    [
        ([1, 1, 1, 1], 3, 1, 0.3),
        ([1, 1, 1, 1], 3, 3, 0.15),
        ([1] * 7, 5, 2, 0.2),
        ([1] * 6, 4, 1, 0.5),
        ([3, 2, 1, 1, 1], 6, 2, 0.2),
        ([5, 1, 1], 4, 2, 0.3),
        ([1], 1, 2, 0.3),
        ([1, 1], 2, 1, 1.0),
        ([1, 1, 1, 1], 3, 2, 0.0),
    ],
)
def test_the_formula_agrees_with_blocks_drawn_one_by_one(
    scope: str, answers: str, weights: list[int], quorum: int, requests: int, rate: float
) -> None:
    prediction = predict(weights=weights, quorum=quorum, rate=rate, scope=scope, answers=answers, requests=requests)
    assert isinstance(prediction, Prediction)
    rng = np.random.Generator(np.random.Philox(20_260))
    drawn = answers_drawn(rng, scope, answers, len(weights), requests, rate)
    failures, dissents, wrong = counted(drawn, weights, quorum)
    assert_plausible(failures, prediction.agreement_failure_probability)
    assert_plausible(dissents, prediction.dissent_probability)
    if (scope, answers) == ("replica", "shared"):
        chance = wrong_answer_committed(weights=weights, quorum=quorum, rate=rate, requests=requests)
        assert_plausible(wrong, chance)


def assert_plausible(count: int, probability: float) -> None:
    """Within 5 standard deviations; the seed is fixed, so this does not depend on luck."""
    deviation = sqrt(TRIALS * probability * (1 - probability))
    assert abs(count - TRIALS * probability) <= 5 * deviation + 1e-6


def test_the_figures_of_the_page() -> None:
    assert per_prompt_distinct(weights=FOUR, quorum=3, rate=1e-4).agreement_failure_probability == pytest.approx(1e-4)
    assert per_prompt_shared(weights=FOUR, quorum=3, rate=1e-4).agreement_failure_probability == pytest.approx(
        0.375e-4, rel=1e-12
    )
    alone = per_replica_distinct(weights=FOUR, quorum=3, rate=1e-4)
    assert alone.agreement_failure_probability == pytest.approx(5.999e-8, rel=1e-4)
    assert alone.dissent_probability == pytest.approx(3.999e-4, rel=1e-4)
    together = per_replica_shared(weights=FOUR, quorum=3, rate=1e-4).agreement_failure_probability
    assert together == pytest.approx(6 * 1e-8 * (1 - 1e-4) ** 2, rel=1e-9)
    assert wrong_answer_committed(weights=FOUR, quorum=3, rate=1e-4) == pytest.approx(4e-12, rel=1e-3)
    assert [k_split_results_max(slices) for slices in (2, 3, 4, 5)] == [1, 3, 12, 60]


def test_several_requests_multiply_a_small_rate() -> None:
    eight = per_prompt_distinct(weights=FOUR, quorum=3, rate=1e-4, requests=8).agreement_failure_probability
    assert eight == pytest.approx(1 - (1 - 1e-4) ** 8, rel=1e-10)
    assert some_request_marked(1e-18, 8) == 8e-18


def test_small_rates_keep_their_digits() -> None:
    prediction = per_replica_distinct(weights=FOUR, quorum=3, rate=1e-12)
    assert prediction.agreement_failure_probability == pytest.approx(6e-24, rel=1e-9)


def test_silent_replicas_leave_and_the_quorum_stays() -> None:
    left = predict(weights=FOUR, quorum=3, rate=1e-4, scope="replica", silent=[3])
    assert left == per_replica_distinct(weights=[1, 1, 1], quorum=3, rate=1e-4)
    assert isinstance(predict(weights=FOUR, quorum=3, rate=1e-4, silent=[2, 3]), NoClosedForm)


def test_a_thousand_requests_and_replicas_are_still_counted() -> None:
    for answers in ("distinct", "shared"):
        for scope in ("prompt", "replica"):
            prediction = predict(weights=[1] * 31, quorum=21, rate=1e-4, scope=scope, answers=answers, requests=1_000)
            assert isinstance(prediction, Prediction)
            assert 0 < prediction.agreement_failure_probability < 1
    assert isinstance(predict(weights=FOUR, quorum=3, rate=1e-4, requests=1_001), NoClosedForm)


def test_weights_that_add_up_in_too_many_ways_have_no_closed_form() -> None:
    weights = [2**i for i in range(20)]
    found = predict(weights=weights, quorum=sum(weights) // 2 + 1, rate=0.1, scope="replica")
    assert isinstance(found, NoClosedForm)
    assert "add up in more than" in found.reason


def test_the_distribution_of_weight_is_one() -> None:
    distribution = weight_distribution([3, 1, 4, 1, 5], 0.3)
    assert sum(distribution.values()) == pytest.approx(1)
    assert all(before < after for before, after in pairwise(distribution))


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"network": {"loss": 0.1}}, "messages are lost"),
        ({"crash": [{"replica": 0, "from_ms": 0}]}, "messages are lost or late, or replicas are away"),
        ({"replica": [{"id": 1, "behaviour": "equivocating-voter"}]}, "equivocates"),
        ({"replica": [{"id": 1, "profile": {"intra_op_threads": 2}}]}, "different numeric profiles"),
        ({"fleet": {"profile": {"summation": {"kind": "ksplit", "slices": 4}}}}, "different orders"),
        ({"replica": [{"id": i, "behaviour": "silent"} for i in (1, 2)]}, "too few"),
    ],
)
def test_where_no_formula_holds_the_reason_is_told(tables: dict[str, object], reason: str) -> None:
    scenario = Scenario.from_mapping({"chain": {"replicas": 4, "blocks": 1}, "model": {"name": "m"}} | tables)
    found = predict_scenario(scenario)
    assert isinstance(found, NoClosedForm)
    assert reason in found.reason


def test_two_slices_never_differ_so_a_formula_holds() -> None:
    drawn = {"kind": "ksplit", "slices": 2, "order": "drawn"}
    scenario = Scenario.from_mapping(
        {
            "chain": {"replicas": 4, "blocks": 1},
            "model": {"name": "m"},
            "fleet": {"profile": {"summation": drawn}},
        }
    )
    assert predict_scenario(scenario) == Prediction(agreement_failure_probability=0.0, dissent_probability=0.0)


def test_a_scenario_is_predicted_by_its_own_dial() -> None:
    found = predict_scenario(load_scenario("several-requests"))
    assert found == per_prompt_distinct(weights=FOUR, quorum=3, rate=1e-4, requests=8)
