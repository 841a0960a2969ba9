"""Intervals cover the true rate at least as often as they promise."""

from __future__ import annotations

import math

import pytest

from lastbit.intervals import binomial_rate, first_failure_rate


def test_no_trials_say_nothing() -> None:
    rate = binomial_rate(0, 0)
    assert (rate.estimate, rate.low, rate.high) == (None, 0.0, 1.0)


def test_the_exact_interval_of_a_known_case() -> None:
    rate = binomial_rate(3, 20)  # as R's binom.test(3, 20) prints it
    assert (rate.low, rate.high) == pytest.approx((0.03207094, 0.37892683), abs=1e-7)
    assert rate.estimate == 0.15


def test_no_failures_and_nothing_but_failures_mirror_each_other() -> None:
    none, all_of_them = binomial_rate(0, 50), binomial_rate(50, 50)
    assert (none.low, all_of_them.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 50))
    assert all_of_them.low == pytest.approx(1 - none.high)


def test_the_exact_interval_covers_every_rate_at_least_95_times_in_100() -> None:
    trials = 25
    rates = [binomial_rate(failures, trials) for failures in range(trials + 1)]
    for true in (0.01, 0.07, 0.2, 0.5, 0.83):
        covered = math.fsum(
            math.comb(trials, k) * true**k * (1 - true) ** (trials - k)
            for k, rate in enumerate(rates)
            if rate.low <= true <= rate.high
        )
        assert covered >= 0.95


def test_a_run_that_stops_at_its_first_failure_covers_every_rate_95_times_in_100() -> None:
    for true in (1e-3, 0.01, 0.03):
        rates = [first_failure_rate(trials) for trials in range(1, int(30 / true))]
        covered = math.fsum((1 - true) ** (rate.trials - 1) * true for rate in rates if rate.low <= true <= rate.high)
        assert covered == pytest.approx(0.95, abs=0.03)


def test_the_interval_of_the_first_failure_is_that_of_the_page() -> None:
    rate = first_failure_rate(8_113)
    assert rate.low == pytest.approx(1 - 0.975 ** (1 / 8_113), rel=1e-9)
    assert rate.high == pytest.approx(1 - 0.025 ** (1 / 8_113), rel=1e-9)
    assert rate.estimate == 1 / 8_113


def test_a_first_failure_needs_a_trial_and_failures_no_more_than_trials() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        first_failure_rate(0)
    with pytest.raises(ValueError, match="3 failures in 2 trials"):
        binomial_rate(3, 2)
