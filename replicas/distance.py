"""How far apart two answers are: by value, by representable numbers, and where no number says it.

`scaled_ulp` asks how much the difference weighs in the tensor: |a-b| over the spacing of floats at the tensor's
largest magnitude. `ulp` asks how many representable numbers lie between the two values, which is large near zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from replicas.float_types import FloatType, is_float
from replicas.outputs import Outputs, Value, canonical

Array = npt.NDArray[Any]

_MAXIMA = ("absolute", "relative", "scaled_ulp", "ulp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far one answer lies from another, or the worst over many. The neutral element is `Distance()`.

    Attributes:
        elements: how many were compared.
        changed: of these, how many differ in some bit.
        absolute: the largest |a-b| between finite numbers.
        relative: the largest |a-b| / |a|, where the reference a is not 0.
        scaled_ulp: the largest |a-b| over the spacing of the reference's dtype at its tensor's largest magnitude.
        ulp: the most representable numbers from one value to the other; both zeros are one place. For integers and
            booleans the plain difference.
        signs_of_zero: elements that are 0 in both, of opposite sign.
        nan_against_number: elements that are NaN in one alone.
        nan_payloads: elements that are NaN in both, with other bits.
        infinities: elements that are infinite in one alone, or of opposite sign.
        unlike: values that have no distance: other shapes, texts, structures, or dtypes without an exact common one.
    """

    elements: int = 0
    changed: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    scaled_ulp: float = 0.0
    ulp: int = 0
    signs_of_zero: int = 0
    nan_against_number: int = 0
    nan_payloads: int = 0
    infinities: int = 0
    unlike: int = 0

    def __add__(self, other: Distance) -> Distance:
        """The two together: counts are added, and of distances the larger stays."""
        return Distance(
            **{
                each.name: max(mine, theirs) if each.name in _MAXIMA else mine + theirs
                for each in fields(self)
                for mine, theirs in [(getattr(self, each.name), getattr(other, each.name))]
            }
        )


def distance(reference: Outputs, other: Outputs) -> Distance:
    """The distance of one run's outputs from those of a reference.

    Example:
        >>> one = Outputs.of({"y": np.array([1.0, 8.0], dtype=np.float32)})
        >>> two = Outputs.of({"y": np.array([np.nextafter(np.float32(1), np.float32(2)), 8.0], dtype=np.float32)})
        >>> found = distance(one, two)
        >>> found.ulp, found.scaled_ulp, found.changed
        (1, 0.125, 1)
    """
    total = Distance()
    for name in reference.names:
        total += _between(reference[name], other[name])
    return total


def _between(reference: Value, other: Value) -> Distance:
    if isinstance(reference, list) and isinstance(other, list) and len(reference) == len(other):
        total = Distance()
        for one, two in zip(reference, other, strict=True):
            total += _between(one, two)
        return total
    if isinstance(reference, Mapping) and isinstance(other, Mapping) and reference.keys() == other.keys():
        return _between([reference[key] for key in reference], [other[key] for key in reference])
    if isinstance(reference, float) and isinstance(other, float):
        return _between(np.array(reference), np.array(other))
    if not isinstance(reference, np.ndarray) or not isinstance(other, np.ndarray):
        return _whole(canonical(reference) == canonical(other))
    if reference.shape != other.shape:
        return _whole(False)
    return _between_arrays(np.atleast_1d(reference), np.atleast_1d(other))


def _whole(is_equal: bool) -> Distance:
    return Distance(elements=1) if is_equal else Distance(elements=1, changed=1, unlike=1)


def _between_arrays(reference: Array, other: Array) -> Distance:
    if reference.dtype == other.dtype and _same_bits(reference, other):
        return Distance(elements=reference.size)
    kinds = {reference.dtype.kind, other.dtype.kind}
    if kinds <= set("iub"):
        return _between_integers(reference, other)
    if is_float(reference.dtype) and is_float(other.dtype):
        return _between_floats(reference, other)
    if kinds <= set("OUT"):
        unlike = sum(str(one) != str(two) for one, two in zip(reference.flat, other.flat, strict=True))
        return Distance(elements=reference.size, changed=unlike, unlike=unlike)
    return Distance(elements=reference.size, changed=reference.size, unlike=reference.size)


def _same_bits(reference: Array, other: Array) -> bool:
    if reference.dtype.hasobject:
        return False
    return reference.tobytes() == other.tobytes()


def _between_integers(reference: Array, other: Array) -> Distance:
    apart = [abs(int(one) - int(two)) for one, two in zip(reference.flat, other.flat, strict=True) if one != two]
    if not apart:
        return Distance(elements=reference.size)
    largest = max(apart)
    return Distance(elements=reference.size, changed=len(apart), absolute=float(largest), ulp=largest)


def _between_floats(reference: Array, other: Array) -> Distance:
    float_type = FloatType.of(reference.dtype)
    if reference.dtype == other.dtype:
        bits_a, bits_b = float_type.bits(reference), float_type.bits(other)
        steps_in = float_type
    else:
        # Widening is exact; distances in representable numbers are then counted in the wider type.
        steps_in = FloatType.of(np.promote_types(float_type.wide, FloatType.of(other.dtype).wide))
        bits_a, bits_b = (steps_in.bits(each.astype(steps_in.dtype)) for each in (reference, other))
    reference, other = reference.astype(steps_in.wide), other.astype(steps_in.wide)
    differs = bits_a != bits_b
    nan_a, nan_b = np.isnan(reference), np.isnan(other)
    infinite = (np.isinf(reference) | np.isinf(other)) & ~(nan_a | nan_b) & differs
    apart = differs & np.isfinite(reference) & np.isfinite(other)
    values_a, values_b = reference[apart], other[apart]
    gaps = _gaps(values_a, values_b)
    return Distance(
        elements=reference.size,
        changed=int(differs.sum()),
        absolute=float(gaps.max(initial=0.0)),
        relative=_largest_ratio(gaps, np.abs(values_a.astype(gaps.dtype))),
        scaled_ulp=_scaled(gaps, reference, float_type),
        ulp=_most_steps(steps_in.places(bits_a[apart]), steps_in.places(bits_b[apart])),
        signs_of_zero=int(((values_a == 0) & (values_b == 0)).sum()),
        nan_against_number=int((nan_a != nan_b).sum()),
        nan_payloads=int((nan_a & nan_b & differs).sum()),
        infinities=int(infinite.sum()),
    )


def _gaps(one: Array, two: Array) -> npt.NDArray[np.longdouble]:
    # In a wider type the difference of two finite numbers is finite and, for fp16 and fp32, nearly exact.
    return np.abs(one.astype(np.longdouble) - two.astype(np.longdouble))


def _largest_ratio(gaps: Array, magnitudes: Array) -> float:
    is_told = magnitudes > 0
    return float((gaps[is_told] / magnitudes[is_told]).max(initial=0.0))


def _scaled(gaps: Array, reference: Array, float_type: FloatType) -> float:
    largest_gap = gaps.max(initial=0.0)
    if largest_gap == 0:
        return 0.0
    magnitude = np.abs(reference[np.isfinite(reference)]).max(initial=0.0)
    return float(largest_gap / np.ldexp(np.longdouble(1), float_type.spacing_power(float(magnitude))))


def _most_steps(places_a: npt.NDArray[np.int64], places_b: npt.NDArray[np.int64]) -> int:
    """The most representable numbers between two finite floats, from their places."""
    # Unsigned, since the greatest distance does not fit into a signed word; the smaller is taken from the larger.
    high, low = np.maximum(places_a, places_b), np.minimum(places_a, places_b)
    return int((high.astype(np.uint64) - low.astype(np.uint64)).max(initial=0))
