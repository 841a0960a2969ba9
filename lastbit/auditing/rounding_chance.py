"""How often another order shows in a sum that is added in double precision and rounded once.

Never "they agree" from none in a sample: two orders give two sums that lie a few last bits of double precision apart,
and round to different floats where the middle between two floats lies between them. Both are measured, how near sums
lie to such a middle and how far apart the two orders put them, and the chance follows: the density of sums next to a
middle, times how much of it the difference covers.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from lastbit.inputs import InputSet
from replicas.model import Model
from replicas.profile import Precision
from replicas.rounded_once import SumsRoundedOnce, room_to_round
from simcore.streams import Streams

Floats = npt.NDArray[np.float64]

INPUTS_MAX = 100
SUMS_MAX = 300_000
"""So many tell enough: no further input is run."""

STREAM = "audit.rounding"

_TAIL = 0.01
_TAIL_MIN = 10
"""The nearest hundredth of the sums tells the density next to a middle, the hundredth farthest apart is smoothed; of so
many sums at least."""
_LAW = 0.01
"""That rare distances follow a law is a guess, good to a tenth: so much of a variance."""


class RoundingChance(msgspec.Struct, frozen=True, kw_only=True):
    """How often two orders of summation round a sum in double precision to different floats.

    Attributes:
        inputs: how many were tried, each under two orders.
        sums: how many sums one answer holds.
        rounded_otherwise: how many sums of all these inputs the second order really rounded otherwise.
        per_answer: the chance that it rounds some sum of an answer otherwise; an estimate.
        low, high: a 95 % interval for it.
    """

    inputs: int
    sums: float
    rounded_otherwise: int
    per_answer: float
    low: float
    high: float


def rounding_chance(
    model: Model, precision: Precision, inputs: InputSet, streams: Streams, *, requests: int
) -> RoundingChance | None:
    """Run a model under two orders on some inputs, and estimate; None where it gave no finite sum.

    Args:
        model: what is run, products split in eight and added in double precision.
        precision: of the profile in question.
        inputs: where requests come from.
        streams: where orders are drawn.
        requests: how many there are to choose from; the first are run.

    Raises:
        ProfileError, EngineError: the model cannot be run so.
    """
    added = SumsRoundedOnce(model, precision)
    rows, columns = added.order_shape
    in_order = np.broadcast_to(np.arange(columns, dtype=np.int64), (rows, columns))
    found: list[tuple[Floats, Floats]] = []
    for request in range(min(requests, INPUTS_MAX)):
        if sum(one.size for one, _ in found) >= SUMS_MAX:
            break
        tensors = inputs.tensors(request).tensors
        orders = [streams.generator(STREAM, request, each).permuted(in_order, axis=1) for each in (0, 1)]
        one, other = (added.of(tensors, order) for order in orders)
        is_finite = np.isfinite(one) & np.isfinite(other) & (np.abs(one) < float(np.finfo(np.float32).max))
        found.append((one[is_finite], other[is_finite]))
    return chance_of(found)


def chance_of(found: Iterable[tuple[Floats, Floats]], narrow: npt.DTypeLike = np.float32) -> RoundingChance | None:
    """Estimate from the sums of each input under two orders; None without a sum.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> sums = [1 + rng.random(100_000) for _ in range(3)]
        >>> estimate = chance_of((each, each + 1e-13 * rng.standard_normal(each.size)) for each in sums)
        >>> round(estimate.per_answer, 1), estimate.rounded_otherwise
        (0.1, 0)
    """
    pairs = [(one, other) for one, other in found if one.size]
    if not pairs:
        return None
    one, other = (np.concatenate(each) for each in zip(*pairs, strict=True))
    far, spacing = room_to_round(one, narrow)
    density, near = _density_next_to_a_middle(far / spacing)
    apart = _smoothed(np.abs(one - other) / spacing)
    by_input = np.add.reduceat(apart, np.cumsum([0, *(each.size for each, _ in pairs[:-1])]))
    sums = one.size / len(pairs)
    # A middle lies between two sums if it is no farther than they are apart, and on that side: half of the density.
    per_sum = density / 2 * float(apart.mean())
    low, high = (per_sum * factor for factor in _interval(near, by_input))
    return RoundingChance(
        inputs=len(pairs),
        sums=sums,
        rounded_otherwise=int((one.astype(narrow) != other.astype(narrow)).sum()),
        per_answer=_of_any(per_sum, sums),
        low=_of_any(low, sums),
        high=_of_any(high, sums),
    )


def _tail_of(count: int) -> int:
    return min(max(int(count * _TAIL), _TAIL_MIN), count)


def _density_next_to_a_middle(far: Floats) -> tuple[float, int]:
    """How many sums to a spacing lie next to a middle, on both sides of it, and on how many sums that rests."""
    count = _tail_of(far.size)
    widest = float(np.partition(far, count - 1)[count - 1])
    return (count / far.size / widest if widest else 2.0), count


def _smoothed(apart: Floats) -> Floats:
    """How far apart two orders put each sum, in spacings, and at most 1; the farthest each as all of them on average.

    A sum near zero has small spacings, and lies many of them apart. Sums are spread evenly about zero, so that what
    lies y apart or more is as rare as 1/y: from the share beyond the edge of the tail its mean follows, also of what is
    so rare that no sum of the sample shows it.
    """
    count = _tail_of(apart.size)
    edge = float(np.partition(apart, apart.size - count)[apart.size - count])
    if not 0 < edge < 1:
        return np.minimum(apart, 1)
    return np.where(apart <= edge, apart, edge * (1 - np.log(edge)))


def _interval(near: int, by_input: Floats) -> tuple[float, float]:
    """95 % of a Gamma distribution with the mean 1: the variance of a count, and that between inputs, whose sums share
    an order."""
    from scipy.special import gammaincinv

    mean = float(by_input.mean())
    between = float(by_input.var(ddof=1)) / by_input.size / mean**2 if by_input.size > 1 and mean else 0.0
    shape = 1 / (1 / near + between + _LAW)
    low, high = (float(gammaincinv(shape, tail)) / shape for tail in (0.025, 0.975))
    return low, high


def _of_any(chance: float, count: float) -> float:
    return float(-np.expm1(count * np.log1p(-min(chance, 1 - 1e-12))))
