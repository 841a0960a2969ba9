"""How often the best class will flip between two profiles, also where it never did among the inputs tried.

A flip needs an input whose leading scores lie closer together than the noise between the profiles moves them. So the
chance of a flip is the mean, over inputs, of the chance that noise exceeds the input's margin. Noise is taken from the
inputs whose margins are most like this one's, since it may depend on the margin: in a forest both grow with the number
of trees that agree, and noise from all inputs would tell one flip where there are eight. Where a third or fourth score
overtakes the leader, that is a flip, too: their margins and noises are taken along.

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

_ALIKE_SHARE = 10
_ALIKE_MIN = 20
_ALIKE_MAX = 200
"""Noise is taken from a tenth of the rows, so many at least and at most: those whose margins are most alike."""

RIVALS = 3
"""So many scores behind the leading one are watched."""


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
    """The leading score of each row of an answer, and by how much the next ones lie behind it.

    Attributes:
        apart: [rows, RIVALS], from the second score on; infinite where a row has fewer scores.
    """

    __slots__ = ("_output", "_ranked", "_shape", "apart")

    def __init__(self, output: str, rows: Floats) -> None:
        self._output = output
        self._shape = rows.shape
        # Stable, so that of equal scores the first leads, as in the form.
        self._ranked = np.argsort(-rows, axis=1, kind="stable")[:, : 1 + RIVALS]
        self.apart = _with_all_rivals(self._behind(rows), fill=np.inf)

    @classmethod
    def of(cls, outputs: Outputs, form: Top1Form) -> Margins | None:
        """The margins of an answer; None where it has no finite scores in rows of two or more."""
        rows = _rows(outputs, form.output)
        return None if rows is None else cls(form.output, rows)

    def noise(self, other: Outputs) -> Floats | None:
        """How much farther the same scores lie behind the same one in another profile's answer; [rows, RIVALS]."""
        rows = _rows(other, self._output)
        if rows is None or rows.shape != self._shape:
            return None
        behind = self._behind(rows)
        return _with_all_rivals(behind - self.apart[:, : behind.shape[1]], fill=0.0)

    def _behind(self, rows: Floats) -> Floats:
        scores = np.take_along_axis(rows, self._ranked, axis=1)
        behind: Floats = scores[:, :1] - scores[:, 1:]
        return behind


def _with_all_rivals(values: Floats, *, fill: float) -> Floats:
    return np.pad(values, ((0, 0), (0, RIVALS - values.shape[1])), constant_values=fill)


def forecast(margins: Sequence[Floats], noises: Sequence[Floats]) -> FlipForecast | None:
    """Forecast from the margins in each input's rows and the noise in them, [rows, rivals]; None without inputs.

    Example:
        >>> margins, noises = [np.array([[0.0]]), np.array([[1.0]])], [np.array([[-1e-7]]), np.array([[1e-7]])]
        >>> found = forecast(margins, noises)
        >>> found.expected, found.method, found.ties
        (2500.0, 'counted', 1)
    """
    if not margins:
        return None
    rows = _Rows.of(margins, noises)
    ties = sum(bool((each[:, 0] == 0).any()) for each in margins)
    counted, extrapolated = _counted(rows), _extrapolated(rows)
    # A count that rests on few inputs says less than the density of all margins does, where that says more.
    is_sure = counted.shape >= _INPUTS_SURE or counted.rate >= extrapolated.rate
    method: Method = "counted" if is_sure and counted.rate else "extrapolated"
    low, high = (counted if method == "counted" else extrapolated).interval(len(margins))
    rate = counted.rate if method == "counted" else extrapolated.rate
    return FlipForecast(
        expected=rate * PER, low=low * PER, high=high * PER, method=method, ties=ties, inputs=len(margins)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The rows of all inputs, those first whose two leading scores lie closest together.

    Attributes:
        margins, noises: [rows, rivals].
        inputs: which input each row is of.
        input_count: how many there are.
        alike: from how many rows of like margins noise is taken.
    """

    margins: Floats
    noises: Floats
    inputs: npt.NDArray[np.int64]
    input_count: int
    alike: int

    @classmethod
    def of(cls, margins: Sequence[Floats], noises: Sequence[Floats]) -> _Rows:
        all_margins, all_noises = np.concatenate(margins), np.concatenate(noises)
        order = np.argsort(all_margins[:, 0], kind="stable")
        inputs = np.repeat(np.arange(len(margins)), [len(each) for each in margins])
        alike = min(len(order), max(len(order) // _ALIKE_SHARE, _ALIKE_MIN), _ALIKE_MAX)
        return cls(all_margins[order], all_noises[order], inputs[order], len(margins), alike)

    @property
    def per_input(self) -> float:
        return len(self.margins) / self.input_count


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


def _counted(rows: _Rows) -> _Estimate:
    """The mean over inputs of the share of noises that exceed the margin; its variance is that of a U-statistic."""
    count = len(rows.margins)
    may_flip = int(np.searchsorted(rows.margins[:, 0], (-rows.noises).max()))  # no noise exceeds a larger margin
    first = np.clip(np.arange(may_flip) - rows.alike // 2, 0, count - rows.alike)  # of the rows of like margins
    flips, reached = np.zeros(count), np.zeros(count)
    for place in range(rows.alike):
        flip = (rows.noises[first + place] < -rows.margins[:may_flip]).any(axis=1)
        flips[:may_flip] += flip
        reached += np.bincount(first + place, weights=flip, minlength=count)
    # Rows of an input are taken as independent.
    stays = np.ones(rows.input_count)
    np.multiply.at(stays, rows.inputs, 1 - flips / rows.alike)
    by_input = 1 - stays
    rate = float(by_input.mean())
    of_noise = float((reached / rows.alike).var()) / count * rows.per_input**2
    variance = float(by_input.var()) / rows.input_count + of_noise
    return _Estimate(rate, rate**2 / variance if variance else float(rows.input_count))


def _extrapolated(rows: _Rows) -> _Estimate:
    """The density of margins near zero times the mean noise towards it. Exact ties have none: they are counted."""
    margins = rows.margins[:, 0]
    apart = margins[margins > 0]
    closest = apart[: max(min(_SMALLEST_MAX, apart.size // 10), 1)]
    if not closest.size:
        return _Estimate(0.0, 1.0)
    density = closest.size / (margins.size * float(closest[-1]))
    towards_zero = np.maximum(-rows.noises[: rows.alike, 0], 0)
    rate = min(density * float(towards_zero.mean()) * rows.per_input, 1.0)
    # That margins are spread evenly is a guess: the interval is as wide as a fifth of those inputs would make it.
    return _Estimate(rate, max(closest.size / 5, 1.0))


def _rows(outputs: Outputs, output: str) -> Floats | None:
    value: Any = outputs[output]
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim == 0 or value.shape[-1] < 2:
        return None
    rows: Floats = value.reshape(-1, value.shape[-1]).astype(np.float64)
    return rows if np.isfinite(rows).all() else None
