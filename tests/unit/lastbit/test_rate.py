"""The rate of agreement failures, and what its trials are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lastbit.conclusion import _rate
from lastbit.intervals import Rate, binomial_rate, first_failure_rate
from lastbit.observation import Tally

FAILED_AT = 9


def rate(*, told_by: int | None, is_open: bool, failures: int = 1) -> Rate:
    """Of a run that saw 12 first attempts, the first failure at the ninth; `told_by` is where the stall's ballot is."""
    verdict = None if told_by is None else SimpleNamespace(block=SimpleNamespace(height=told_by))
    stalls: Any = SimpleNamespace(is_open=is_open, stalls=[SimpleNamespace(verdict=verdict)])
    tally = Tally(
        trials=12,
        first_attempt_failures=failures,
        first_failure_height=FAILED_AT if failures else None,
        trials_to_first_failure=8 if failures else 0,
    )
    return _rate(SimpleNamespace(stalls=stalls), tally)  # type: ignore[arg-type]


def test_where_the_first_failure_ended_the_run_the_trials_are_what_was_drawn() -> None:
    assert rate(told_by=FAILED_AT, is_open=True) == first_failure_rate(8)


@pytest.mark.parametrize(
    "seen",
    [
        {"told_by": FAILED_AT, "is_open": False},
        {"told_by": FAILED_AT + 2, "is_open": True},
        {"told_by": None, "is_open": True},
    ],
)
def test_where_something_else_ended_it_failures_are_counted_among_all_trials(seen: dict[str, Any]) -> None:
    assert rate(**seen) == binomial_rate(1, 12)


def test_where_nothing_failed_all_trials_count() -> None:
    assert rate(told_by=None, is_open=True, failures=0) == binomial_rate(0, 12)
