"""How often the best class will flip between two profiles, also where it never did among the inputs tried.

A flip needs an input whose two leading scores lie closer together than the noise between the profiles moves them. So
the chance of a flip is the mean, over inputs, of the chance that noise exceeds the input's margin. Noise is taken from
all inputs together, since its size hardly depends on which input it is.

Where no noise seen exceeds any margin seen, the chance is extrapolated: margins are taken to be spread evenly near
zero, as many to a unit as the smallest ones are, and the rate is that density times the mean noise that would flip.
What the sample cannot exclude, a mass of inputs that lie exactly at a tie, widens the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from replicas.forms import Top1Form
from replicas.outputs import Outputs

Floats = npt.NDArray[np.float64]

PER = 10_000
Method: TypeAlias = Literal["counted", "extrapolated"]

_TAIL = 0.025
_INPUTS_SURE = 5
"""A count that rests on so many inputs is believed."""

_SMALLEST_MAX = 50
"""So many of the smallest margins say how dense margins are near zero."""


class FlipForecast(msgspec.Struct, frozen=True, kw_only=True):
    """Flips to be expected in 10,000 requests.

    Attributes:
        expected: flips in 10,000 requests.
        low, high: a 95 % interval for the rate, in 10,000 too.
        method: "counted" from inputs whose margin the noise seen exceeds, or "extrapolated" from all margins.
        ties: inputs whose two leading scores are equal under the first profile.
        inputs: how many it was made from.
    """

    expected: float
    low: float
    high: float
    method: Method
    ties: int
    inputs: int


class Margins:
    """The two leading scores of each row of an answer, and by how much they lie apart."""

    __slots__ = ("_leaders", "_output", "_shape", "apart")

    def __init__(self, output: str, shape: tuple[int, ...], leaders: npt.NDArray[np.int64], apart: Floats) -> None:
        self._output = output
        self._shape = shape
        self._leaders = leaders
        self.apart = apart

    @classmethod
    def of(cls, outputs: Outputs, form: Top1Form) -> Margins | None:
        """The margins of an answer; None where it has no finite scores in rows of two or more."""
        rows = _rows(outputs, form.output)
        if rows is None:
            return None
        # Stable, so that of equal scores the first leads, as in the form.
        leaders = np.argsort(-rows, axis=1, kind="stable")[:, :2]
        scores = np.take_along_axis(rows, leaders, axis=1)
        return cls(form.output, rows.shape, leaders, scores[:, 0] - scores[:, 1])

    def noise(self, other: Outputs) -> Floats | None:
        """How much farther apart the same two scores lie in another profile's answer, row by row."""
        rows = _rows(other, self._output)
        if rows is None or rows.shape != self._shape:
            return None
        scores = np.take_along_axis(rows, self._leaders, axis=1)
        noise: Floats = scores[:, 0] - scores[:, 1] - self.apart
        return noise


def forecast(margins: Sequence[Floats], noises: Sequence[Floats]) -> FlipForecast | None:
    """Forecast from the margins of each input's rows and the noise in them; None without inputs.

    Example:
        >>> margins, noises = [np.array([0.0]), np.array([1.0])], [np.array([-1e-7]), np.array([1e-7])]
        >>> found = forecast(margins, noises)
        >>> found.expected, found.method, found.ties
        (2500.0, 'counted', 1)
    """
    if not margins:
        return None
    all_margins, all_noises = np.concatenate(margins), np.sort(np.concatenate(noises))
    ties = sum(bool((each == 0).any()) for each in margins)
    counted = _counted(margins, all_margins, all_noises)
    extrapolated = _extrapolated(all_margins, all_noises, rows_each=all_margins.size / len(margins))
    # A count that rests on few inputs says less than the density of all margins does, where that says more.
    is_sure = counted.shape >= _INPUTS_SURE or counted.rate >= extrapolated.rate
    method: Method = "counted" if is_sure and counted.rate else "extrapolated"
    low, high = (counted if method == "counted" else extrapolated).interval(len(margins))
    rate = counted.rate if method == "counted" else extrapolated.rate
    return FlipForecast(
        expected=rate * PER, low=low * PER, high=high * PER, method=method, ties=ties, inputs=len(margins)
    )


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A rate of flips, and on how many inputs it rests: the shape of the Gamma distribution that it may have."""

    rate: float
    shape: float

    def interval(self, inputs: int) -> tuple[float, float]:
        """95 % of the distribution, wider by what so many inputs cannot exclude.

        Added is the upper end for a count of none (Jeffreys), 2.51 in as many inputs: a tie that no input hit.
        """
        from scipy.special import gammaincinv

        unseen = float(gammaincinv(0.5, 1 - _TAIL)) / inputs
        if not self.rate:
            return 0.0, min(unseen, 1.0)
        low, high = (self.rate / self.shape * float(gammaincinv(self.shape, tail)) for tail in (_TAIL, 1 - _TAIL))
        return low, min(high + unseen, 1.0)


def _counted(margins: Sequence[Floats], all_margins: Floats, all_noises: Floats) -> _Estimate:
    """The mean over inputs of the share of noises that exceed the margin; its variance is that of a U-statistic."""
    flips = np.searchsorted(all_noises, -all_margins, side="left") / all_noises.size
    by_input = _any_of(flips, [each.size for each in margins])
    rate = float(by_input.mean())
    reached = np.searchsorted(np.sort(all_margins), -all_noises, side="left") / all_margins.size
    rows_each = all_margins.size / len(margins)
    variance = float(by_input.var()) / len(margins) + float(reached.var()) / all_noises.size * rows_each**2
    return _Estimate(rate, rate**2 / variance if variance else float(len(margins)))


def _extrapolated(all_margins: Floats, all_noises: Floats, *, rows_each: float) -> _Estimate:
    """The density of margins near zero times the mean noise towards it. Exact ties have none: they are counted."""
    apart = np.sort(all_margins[all_margins > 0])
    closest = apart[: max(min(_SMALLEST_MAX, apart.size // 10), 1)]
    if not closest.size:
        return _Estimate(0.0, 1.0)
    density = closest.size / (all_margins.size * float(closest[-1]))
    rate = min(density * float(np.maximum(-all_noises, 0).mean()) * rows_each, 1.0)
    # That margins are spread evenly is a guess: the interval is as wide as a fifth of those inputs would make it.
    return _Estimate(rate, max(closest.size / 5, 1.0))


def _rows(outputs: Outputs, output: str) -> Floats | None:
    value: Any = outputs[output]
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim == 0 or value.shape[-1] < 2:
        return None
    rows: Floats = value.reshape(-1, value.shape[-1]).astype(np.float64)
    return rows if np.isfinite(rows).all() else None


def _any_of(chances: Floats, sizes: Sequence[int]) -> Floats:
    """The chance that any row of an input flips, from those of its rows, taken as independent."""
    starts = np.cumsum([0, *sizes[:-1]])
    by_input: Floats = 1 - np.multiply.reduceat(1 - chances, starts)
    return by_input
