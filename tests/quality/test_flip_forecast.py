"""Does a forecast from 1,000 inputs, none of which need have flipped, hold for 200,000 others?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import poisson

from lastbit.auditing.auditing import Subject
from lastbit.auditing.prediction import PER, FlipForecast, Margins, forecast
from replicas.library import named_profiles
from replicas.outputs import Outputs
from replicas.replica import Replica

SAMPLE, OTHERS, BATCH = 1_000, 200_000, 1_000

Array = np.ndarray[Any, Any]


class Answering:
    """One profile of a bundled model: its scores for many requests.

    Many are run in one batch, if that gave the bits of single runs on the whole sample: of int8 and without prepacking
    it does not.
    """

    def __init__(self, replica: Replica, output: str) -> None:
        self._replica = replica
        self._output = output
        self.sample = [replica.run_apart(request) for request in range(SAMPLE)]
        single = np.concatenate([self._scores(outputs) for outputs in self.sample])
        self.takes_batches = single.tobytes() == self._batch(range(SAMPLE)).tobytes()

    def batches(self) -> Iterator[Array]:
        """The scores of all requests behind the sample."""
        for first in range(SAMPLE, SAMPLE + OTHERS, BATCH):
            requests = range(first, first + BATCH)
            if self.takes_batches:
                yield self._batch(requests)
            else:
                yield np.concatenate([self._scores(self._replica.run_apart(request)) for request in requests])

    def _batch(self, requests: range) -> Array:
        given = [self._replica.requests.tensors(request).tensors for request in requests]  # type: ignore[attr-defined]
        together = {name: np.concatenate([each[name] for each in given]) for name in given[0]}
        return self._scores(self._replica.engine.run(together, self._replica.order(0, 0)))

    def _scores(self, outputs: Outputs) -> Array:
        scores = outputs[self._output]
        assert isinstance(scores, np.ndarray)
        return scores


def forecast_and_flips(model: str, profile: str) -> tuple[FlipForecast, int, int]:
    """What is forecast from the first inputs, how many of these flip, and how many of those after them."""
    subject = Subject.load(model, None, None, None, None, None, 0)
    score = subject.score
    assert score is not None
    measuring = subject.measuring({name: named_profiles()[name] for name in ("ref", profile)}, turns_knobs=False)
    ref, other = (Answering(measuring.replica(name), score.output) for name in ("ref", profile))
    margins, noises = [], []
    for one, two in zip(ref.sample, other.sample, strict=True):
        found = Margins.of(one, score)
        assert found is not None
        noise = found.noise(two)
        assert noise is not None
        margins.append(found.apart)
        noises.append(noise)
    forecasted = forecast(margins, noises)
    assert forecasted is not None
    digests = [[score.digest(outputs) for outputs in each.sample] for each in (ref, other)]
    here = sum(one != two for one, two in zip(*digests, strict=True))
    flips = sum(
        int((one.argmax(axis=1) != two.argmax(axis=1)).sum())
        for one, two in zip(ref.batches(), other.batches(), strict=True)
    )
    return forecasted, here, flips


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("digits-mlp", "int8-s8"),
        ("digits-mlp", "int8-u8"),
        ("digits-mlp", "ksplit8-bf16"),
        ("digits-mlp", "fp16-weights"),
        ("digits-mlp", "noprepack"),
        ("digits-forest", "threads4"),
    ],
    ids=["signed int8", "unsigned int8", "coarse sums", "a flip in 50,000", "last bits", "ties of a forest"],
)
def test_the_flips_of_other_inputs_lie_in_the_interval(model: str, profile: str) -> None:
    forecasted, here, flips = forecast_and_flips(model, profile)

    fewest = poisson.ppf(1e-4, forecasted.low / PER * OTHERS)
    most = poisson.ppf(1 - 1e-4, forecasted.high / PER * OTHERS)
    print(f"{model} {profile}: {forecasted}; {here} of {SAMPLE}, {flips / OTHERS * PER:.3g} of 10,000 of {OTHERS}")
    assert max(fewest, 0) <= flips <= most
    assert forecasted.high < 100  # an interval that holds everything would say nothing


def test_where_all_flip_the_forecast_says_so() -> None:
    margins = [np.array([[0.1]])] * 50
    found = forecast(margins, [np.array([[-1.0]])] * 50)
    assert found is not None
    assert found.expected == PER
