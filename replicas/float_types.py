"""Types of floats, NumPy's own and the short ones of ml_dtypes (bfloat16, float8): their bits, places and spacing.

NumPy knows of the short ones only that they are not its own: it neither calls all of them floats nor tells their
limits, so that what is needed is read off their values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import frexp
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_OF_ML_DTYPES = 2
"""What NumPy's `isbuiltin` says of a type that another package registered."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether the elements are floats, of any package.

    Example:
        >>> import ml_dtypes
        >>> [is_float(np.dtype(each)) for each in ("float32", ml_dtypes.bfloat16, ml_dtypes.int4, "int8")]
        [True, True, False, False]
    """
    return dtype.kind == "f" or (dtype.isbuiltin == _OF_ML_DTYPES and dtype.name.startswith(("bfloat", "float")))


@dataclass(frozen=True, slots=True)
class FloatType:
    """A type of floats.

    Attributes:
        dtype: NumPy's.
        wide: a type of NumPy's own that holds all of its values exactly.
        sign: the bit of the sign; 0 where it has none, as powers of two for scales have not.
        fraction_bits: of the significand, behind the point.
        power_min: of two, of the smallest normal number.
    """

    dtype: np.dtype[Any]
    wide: np.dtype[Any]
    sign: int
    fraction_bits: int
    power_min: int

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> FloatType:
        """The type of such elements.

        Example:
            >>> import ml_dtypes
            >>> found = FloatType.of(np.dtype(ml_dtypes.float8_e4m3fn))
            >>> hex(found.sign), found.fraction_bits, found.power_min
            ('0x80', 3, -6)
        """
        return _read(dtype)

    def bits(self, array: Array) -> Array:
        """The elements as unsigned integers."""
        return np.ascontiguousarray(array).view(_UNSIGNED[self.dtype.itemsize])

    def places(self, bits: Array) -> npt.NDArray[np.int64]:
        """The place of each float in the order of all of its type, from its bits; both zeros are 0."""
        sign = bits.dtype.type(self.sign)
        magnitude = (bits & ~sign).astype(np.int64)
        places: npt.NDArray[np.int64] = np.where(bits & sign, -magnitude, magnitude)
        return places

    def spacing_power(self, magnitude: float) -> int:
        """The power of two by which floats of that magnitude are spaced; of 0, as the smallest ones are."""
        # By the exponent: a next float above the largest of all there is not.
        power = frexp(magnitude)[1] - 1 if magnitude else self.power_min
        return max(power, self.power_min) - self.fraction_bits


@cache
def _read(dtype: np.dtype[Any]) -> FloatType:
    bits = _UNSIGNED[dtype.itemsize]
    if dtype.isbuiltin != _OF_ML_DTYPES:
        info = np.finfo(dtype)
        return FloatType(dtype, dtype, 1 << (8 * dtype.itemsize - 1), int(info.nmant), int(info.minexp))
    wide = np.dtype(np.float32)
    one, minus_one = np.ones(1, dtype), -np.ones(1, wide)
    is_signed = minus_one.astype(dtype).astype(wide) == minus_one
    sign = (one.view(bits) ^ minus_one.astype(dtype).view(bits)).item() if is_signed else 0
    after_one = (one.view(bits) + bits(1)).view(dtype).astype(wide).item()
    smallest = np.array([1], bits).view(dtype).astype(wide).item()
    fraction_bits = 1 - frexp(after_one - 1)[1]
    return FloatType(dtype, wide, sign, fraction_bits, frexp(smallest)[1] - 1 + fraction_bits)
