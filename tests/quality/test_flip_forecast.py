"""Does a forecast from 1,000 inputs, none of which need have flipped, hold for 20,000 others?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from lastbit.auditing.auditing import Subject
from lastbit.auditing.prediction import PER, FlipForecast, Margins, forecast
from replicas.library import named_profiles

SAMPLE, OTHERS = 1_000, 20_000


def forecast_and_flips(model: str, profile: str) -> tuple[FlipForecast, int]:
    """What is forecast from the first inputs, and how many of those after them flip."""
    subject = Subject.load(model, None, None, None, None, None, 0)
    assert subject.score is not None
    chosen = {name: named_profiles()[name] for name in ("ref", profile)}
    measuring = subject.measuring(chosen, turns_knobs=False)
    ref, other = measuring.replica("ref"), measuring.replica(profile)
    margins, noises, flips = [], [], 0
    for request in range(SAMPLE + OTHERS):
        one, two = ref.run_apart(request), other.run_apart(request)
        if request >= SAMPLE:
            flips += subject.score.digest(one) != subject.score.digest(two)
            continue
        found = Margins.of(one, subject.score)
        assert found is not None
        noise = found.noise(two)
        assert noise is not None
        margins.append(found.apart)
        noises.append(noise)
    forecasted = forecast(margins, noises)
    assert forecasted is not None
    return forecasted, flips


@pytest.mark.parametrize(
    ("model", "profile"),
    [("digits-mlp", "int8-s8"), ("digits-mlp", "noprepack"), ("digits-forest", "threads4")],
    ids=["int8", "last bits, without a flip", "ties of a forest"],
)
def test_the_flips_of_other_inputs_lie_in_the_interval(model: str, profile: str) -> None:
    forecasted, flips = forecast_and_flips(model, profile)

    fewest = poisson.ppf(1e-4, forecasted.low / PER * OTHERS)
    most = poisson.ppf(1 - 1e-4, forecasted.high / PER * OTHERS)
    print(f"{model} {profile}: {forecasted}; {flips} of {OTHERS} flipped")  # shown by pytest -s
    assert max(fewest, 0) <= flips <= most
    assert forecasted.high < 100  # an interval that holds everything would say nothing


def test_where_all_flip_the_forecast_says_so() -> None:
    margins = [np.array([0.1])] * 50
    found = forecast(margins, [np.array([-1.0])] * 50)
    assert found is not None
    assert found.expected == PER
