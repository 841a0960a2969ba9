"""Does the simulation do what the closed forms say?

In two steps: every attempt is judged as the marks of the dial say it must be, exactly; and over many more blocks than
are worth running, the marks fall as the closed form says, with tails below 1e-9.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from scipy.stats import binom
from support.scenarios import scenario

import lastbit
from lastbit.closed_forms import predict_scenario
from lastbit.result import Prediction, Result
from lastbit.scenario import Scenario
from replicas.dial import Dial, Marks
from simcore.streams import Streams

TAIL = 1e-9
BLOCKS_JUDGED = 8_000
DIALS = [(scope, answers) for scope in ("prompt", "replica") for answers in ("distinct", "shared")]
CHAINS: dict[str, dict[str, Any]] = {
    "n=4": {"chain": {"replicas": 4, "blocks": 150}, "rate": 0.2},
    "n=4, k=3": {"chain": {"replicas": 4, "blocks": 100, "requests_per_block": 3}, "rate": 0.1},
    "n=6": {"chain": {"replicas": 6, "blocks": 80}, "rate": 0.3},
    "n=7, k=3": {"chain": {"replicas": 7, "blocks": 60, "requests_per_block": 3}, "rate": 0.1},
    "weights": {"chain": {"replicas": 5, "weights": [4, 3, 2, 1, 1], "blocks": 100}, "rate": 0.25},
    "one silent": {"chain": {"replicas": 4, "blocks": 80}, "rate": 0.15, "silent": [3]},
    "two silent of seven": {"chain": {"replicas": 7, "blocks": 50}, "rate": 0.15, "silent": [5, 6]},
}


def story(name: str, scope: str, answers: str) -> Scenario:
    chosen = CHAINS[name]
    return scenario(
        chosen["chain"] | {"policy": "skip"},
        divergence={"rate": chosen["rate"], "scope": scope, "answers": answers},
        replica=[{"id": each, "behaviour": "silent"} for each in chosen.get("silent", ())],
        seed=5,
    )


def judged_by_the_marks(chosen: Scenario, *, blocks: int | None = None) -> tuple[list[int], int]:
    """Heights that must fail, and how many must be committed with dissent: counted from the dial alone."""
    dial = chosen.divergence
    assert dial is not None
    marks = Marks(
        Dial(rate=dial.rate, scope=dial.scope, answers=dial.answers, duration=dial.duration),
        Streams(chosen.seed),
        replicas=chosen.chain.replicas,
    )
    voting = [spec for spec in chosen.replicas() if spec.behaviour == "honest"]
    size, threshold = chosen.chain.requests_per_block, chosen.quorum_system().threshold
    failing, dissenting = [], 0
    for height in range(1, (blocks or chosen.chain.blocks) + 1):
        requests = range((height - 1) * size, height * size)
        said: Counter[tuple[int | None, ...]] = Counter()
        for spec in voting:
            said[tuple(marks.wrong_answer_index(request, spec.id, 0) for request in requests)] += spec.weight
        if max(said.values()) < threshold:
            failing.append(height)
        elif len(said) > 1:
            dissenting += 1
    return failing, dissenting


def check_tails(count: int, trials: int, probability: float) -> None:
    assert binom.cdf(count, trials, probability) > TAIL
    assert binom.sf(count - 1, trials, probability) > TAIL


@pytest.mark.parametrize(("scope", "answers"), DIALS)
@pytest.mark.parametrize("name", CHAINS)
def test_a_dial_does_to_a_chain_what_its_marks_say(name: str, scope: str, answers: str) -> None:
    chosen = story(name, scope, answers)
    result: Result = lastbit.run(chosen)
    failing, dissenting = judged_by_the_marks(chosen)

    assert result.outcome == "completed"
    assert [failure.height for failure in result.failures] == failing[:100]
    assert result.agreement_failures == result.heights.skipped == len(failing)
    assert result.heights.with_dissent == dissenting

    assert result.rate.trials == chosen.chain.blocks


@pytest.mark.parametrize(("scope", "answers"), DIALS)
@pytest.mark.parametrize("name", CHAINS)
def test_the_marks_fall_as_the_closed_form_says(name: str, scope: str, answers: str) -> None:
    chosen = story(name, scope, answers)
    prediction = predict_scenario(chosen)
    failing, dissenting = judged_by_the_marks(chosen, blocks=BLOCKS_JUDGED)

    assert isinstance(prediction, Prediction)
    check_tails(len(failing), BLOCKS_JUDGED, prediction.agreement_failure_probability)
    check_tails(dissenting, BLOCKS_JUDGED, prediction.dissent_probability)


def test_a_formula_that_is_a_fifth_off_would_be_noticed() -> None:
    chosen = story("n=4", "prompt", "distinct")
    failing, _ = judged_by_the_marks(chosen, blocks=BLOCKS_JUDGED)

    with pytest.raises(AssertionError):
        check_tails(len(failing), BLOCKS_JUDGED, 0.8 * 0.2)


def test_where_honest_replicas_differ_by_themselves_no_formula_is_claimed() -> None:
    chosen = scenario({"policy": "skip"}, replica=[{"id": 1, "profile": {"precision": "fp64"}}])
    result = lastbit.run(chosen)

    assert result.prediction is None
    assert result.reason


def test_transient_marks_are_judged_by_first_attempts_alone() -> None:
    chosen = scenario({"blocks": 300}, divergence={"rate": 0.2, "duration": "transient"}, seed=5)
    result = lastbit.run(chosen)
    failing, _ = judged_by_the_marks(chosen)

    assert result.rate.trials == 300
    assert result.outcome == "completed"
    assert result.retries >= result.agreement_failures
    assert result.prediction is not None
    check_tails(result.agreement_failures, 300, result.prediction.agreement_failure_probability)
    assert len(failing) > 0
