"""The forecast of flips, against populations whose rate is known."""

from __future__ import annotations

import numpy as np
import pytest

from lastbit.auditing.prediction import PER, Margins, forecast
from replicas.forms import Top1Form
from replicas.outputs import Outputs

SCORE = Top1Form("y")


def scores(*values: float) -> Outputs:
    return Outputs.of({"y": np.array([values], dtype=np.float32)})


def sample(rng: np.random.Generator, inputs: int, *, noise: float, tie_rate: float = 0.0) -> tuple[list, list]:
    """Margins spread evenly over 0 to 1, some of them exactly 0, and normal noise."""
    margins = rng.random(inputs) * (rng.random(inputs) >= tie_rate)
    return [np.array([[margin]]) for margin in margins], [np.array([[each]]) for each in rng.normal(0, noise, inputs)]


@pytest.mark.parametrize("noise", [1e-6, 1e-3, 0.05, 0.5])
def test_the_interval_holds_the_true_rate_for_small_and_for_large_noise(noise: float) -> None:
    misses = 0
    for seed in range(40):
        found = forecast(*sample(np.random.default_rng(seed), 1_000, noise=noise))
        draws = np.random.default_rng(999)
        true_rate = float((draws.random(2_000_000) + draws.normal(0, noise, 2_000_000) < 0).mean())
        if noise <= 1e-3:  # too rare to be drawn: density 1 times the mean of the noise below zero
            true_rate = noise / np.sqrt(2 * np.pi)
        assert found is not None
        misses += not found.low <= true_rate * PER <= found.high
    assert misses <= 4  # 2 of 40 on average; five or more once in 20, were the intervals exact, and they are wider


def test_ties_are_counted_and_no_density_is_made_of_them() -> None:
    margins, noises = sample(np.random.default_rng(1), 1_000, noise=1e-6, tie_rate=0.02)
    found = forecast(margins, noises)
    ties = sum(float(margin[0, 0]) == 0 for margin in margins)
    assert found is not None
    assert (found.ties, found.method) == (ties, "counted")
    assert found.expected == pytest.approx(ties / 1_000 / 2 * PER, rel=0.2)  # half of the noise flips a tie


def test_noise_that_grows_with_the_margin_breaks_as_many_ties_as_it_does_at_a_tie() -> None:
    """As in a forest: half of the noise at a tie points towards it, and hardly any elsewhere."""
    rng = np.random.default_rng(3)
    margins, noises = sample(rng, 1_000, noise=1e-8, tie_rate=0.02)
    noises = [noise + 2e-8 * margin for margin, noise in zip(margins, noises, strict=True)]
    ties = sum(float(margin[0, 0]) == 0 for margin in margins)
    assert float(np.mean([noise < 0 for noise in noises])) < 0.25
    found = forecast(margins, noises)
    assert found is not None
    assert found.expected == pytest.approx(ties / 1_000 / 2 * PER, rel=0.2)


def test_a_third_score_that_overtakes_both_leaders_is_a_flip() -> None:
    rng = np.random.default_rng(4)
    margins = [np.array([[0.1, 0.1, np.inf]])] * 1_000
    noises = [np.array([[0.0, noise, 0.0]]) for noise in rng.normal(0, 0.2, 1_000)]
    found = forecast(margins, noises)
    assert found is not None
    assert found.expected == pytest.approx(0.3085 * PER, rel=0.1)


def test_a_tie_that_no_input_hit_is_not_excluded() -> None:
    found = forecast(*sample(np.random.default_rng(1), 500, noise=1e-9))
    assert found is not None
    assert found.method == "extrapolated"
    assert found.high >= 2.5 / 500 * PER


def test_an_input_flips_if_any_of_its_rows_does() -> None:
    found = forecast([np.array([[0.0], [0.0]])], [np.array([[-1.0], [1.0]])])
    assert found is not None
    assert found.expected == pytest.approx(0.75 * PER)


def test_without_inputs_there_is_no_forecast() -> None:
    assert forecast([], []) is None


def test_margins_and_noise_are_those_of_the_scores_that_lead_in_the_reference() -> None:
    margins = Margins.of(scores(0.25, 2.0, 1.5), SCORE)
    assert margins is not None
    assert margins.apart.tolist() == [[0.5, 1.75, np.inf]]
    noise = margins.noise(scores(9.0, 1.0, 1.75))
    assert noise is not None
    assert noise.tolist() == [[-1.25, -9.75, 0.0]]


@pytest.mark.parametrize(
    "outputs", [scores(1.0), scores(float("nan"), 1.0), Outputs.of({"y": np.array([1, 2], dtype=np.int64)})]
)
def test_where_no_scores_lead_there_are_no_margins(outputs: Outputs) -> None:
    assert Margins.of(outputs, SCORE) is None
