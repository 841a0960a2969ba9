"""How sure a rate is: 95 % intervals for failures counted in a run."""

from __future__ import annotations

from math import expm1, log

import msgspec

CONFIDENCE = 0.95


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Failures among trials, with a 95 % interval.

    Args:
        failures: how many trials failed.
        trials: how many there were.
        estimate: failures over trials; None where there were no trials.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    failures: int
    trials: int
    estimate: float | None
    low: float
    high: float


def binomial_rate(failures: int, trials: int) -> Rate:
    """The exact (Clopper and Pearson 1934) interval for a number of trials that was fixed beforehand.

    Raises:
        ValueError: not 0 <= failures <= trials.

    Example:
        >>> rate = binomial_rate(0, 30_000)
        >>> rate.low, round(rate.high * 30_000, 2)
        (0.0, 3.69)
        >>> binomial_rate(0, 0)
        Rate(failures=0, trials=0, estimate=None, low=0.0, high=1.0)
    """
    if not 0 <= failures <= trials:
        raise ValueError(f"{failures} failures in {trials} trials; from 0 to as many failures as trials")
    if trials == 0:
        return Rate(failures=0, trials=0, estimate=None, low=0.0, high=1.0)
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if failures == 0 else float(betaincinv(failures, trials - failures + 1, tail))
    high = 1.0 if failures == trials else float(betaincinv(failures + 1, trials - failures, 1 - tail))
    return Rate(failures=failures, trials=trials, estimate=failures / trials, low=low, high=high)


def first_failure_rate(trials: int) -> Rate:
    """The interval for a run that stops at its first failure, which was at its last trial.

    Here the number of trials is what was drawn (`CLOSED-FORMS`, "A run that stops at the first failure"):
    1 - 0.975^(1/N) to 1 - 0.025^(1/N). The estimate 1/N is the likeliest rate, and too high on average.

    Raises:
        ValueError: fewer than 1 trial.

    Example:
        >>> rate = first_failure_rate(8_113)
        >>> f"{rate.estimate:.1e} ({rate.low:.1e} .. {rate.high:.1e})"
        '1.2e-04 (3.1e-06 .. 4.5e-04)'
    """
    if trials < 1:
        raise ValueError(f"{trials} trials hold no first failure; at least 1")
    tail = (1 - CONFIDENCE) / 2
    return Rate(
        failures=1,
        trials=trials,
        estimate=1 / trials,
        low=-expm1(log(1 - tail) / trials),
        high=-expm1(log(tail) / trials),
    )
