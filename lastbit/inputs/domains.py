"""Which values a generated input draws from: the user's word first, then what the graph allows, then a default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit.inputs.bounds import Bound, Categories
from lastbit.inputs.input_set import Array, InputsError
from lastbit.inputs.options import Bounds
from replicas.model import TensorSpec

DIGITS = (0, 9)
REALS = (-1.0, 1.0)
WORDS = ("alpha", "beta", "gamma", "delta", "one two", "three four five", "")
TRUE = {"true": True, "1": True, "false": False, "0": False}
NUMERIC_KINDS = "iuf"
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


@dataclass(frozen=True, slots=True)
class Integers:
    """Whole numbers, both ends included, in whatever dtype the input has."""

    low: int
    high: int
    reason: str = ""

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Uniform draws."""
        wide = np.uint64 if self.high > np.iinfo(np.int64).max else np.int64
        return generator.integers(self.low, self.high, size=shape, dtype=wide, endpoint=True).astype(dtype)

    def ends(self) -> tuple[int, int]:
        """The least and the greatest value."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.low}:{self.high}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Reals:
    """Real numbers from low to high."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Uniform draws, made of sums and products of single elements alone: the same on every processor."""
        drawn = generator.random(shape, dtype=np.float64 if dtype == np.float64 else np.float32)
        # Halves, since the width of a range may overflow where its ends do not.
        drawn *= self.high / 2 - self.low / 2
        drawn += self.low / 2
        drawn *= 2
        return np.clip(drawn, self.low, self.high, out=drawn).astype(dtype, copy=False)

    def ends(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"


@dataclass(frozen=True, slots=True)
class Choices:
    """One of some values, each as likely; a single one is a constant."""

    values: tuple[Any, ...]
    reason: str = ""

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Uniform draws; a constant draws nothing."""
        values = np.array(self.values, dtype=dtype)
        if len(values) == 1:
            return np.full(shape, values[0], dtype=dtype)
        picked: Array = values[generator.integers(0, len(values), size=shape)]
        return np.asarray(picked, dtype=dtype)

    def ends(self) -> tuple[Any, Any]:
        """The first and the last value."""
        return self.values[0], self.values[-1]

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"all {self.values[0]!r}"
        return f"one of {len(self.values)} values" + (f" ({self.reason})" if self.reason else "")


Domain = Integers | Reals | Choices


def element_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """The NumPy dtype of an input; object for strings.

    Raises:
        InputsError: inputs of that type cannot be made.
    """
    if spec.dtype == "string":
        return np.dtype(object)
    if spec.dtype not in DTYPES:
        raise InputsError(f'input "{spec.name}" is {spec.dtype}; tensors can be made of {", ".join(DTYPES)} and string')
    return np.dtype(spec.dtype)


def choose_domain(
    spec: TensorSpec, *, given_range: Bounds | None, given_value: str | None, bound: Bound | Categories | None
) -> Domain:
    """The values that an input draws from.

    Args:
        spec: the input.
        given_range: the user's, or None.
        given_value: the user's constant, as typed, or None.
        bound: what the graph allows, or None.

    Raises:
        InputsError: the user's word does not fit the input, or its dtype cannot be made.
    """
    dtype = element_dtype(spec)
    if given_value is not None and given_range is not None:
        raise InputsError(f'input "{spec.name}": give it either a --range or a --value, not both')
    if given_value is not None:
        return Choices((_constant(spec, dtype, given_value),))
    if given_range is not None:
        return _ranged(spec, dtype, given_range)
    if isinstance(bound, Categories) and (dtype.kind == "O") == isinstance(bound.values[0], str):
        return Choices(bound.values, bound.reason)
    if isinstance(bound, Bound) and dtype.kind in NUMERIC_KINDS and bound.low <= bound.high:
        return _within(dtype, bound)
    return _default(spec, dtype)


def _constant(spec: TensorSpec, dtype: np.dtype[Any], text: str) -> Any:
    option = f"--value {spec.name}={text}"
    if dtype.kind == "O":
        return text
    if dtype.kind == "b":
        if text.lower() not in TRUE:
            raise InputsError(f"{option}: the input is bool; true or false")
        return TRUE[text.lower()]
    if dtype.kind in "iu":
        try:
            number = int(text)
        except ValueError:
            raise InputsError(f"{option}: the input is {spec.dtype}; an integer") from None
        _check_fits(option, dtype, number)
        return number
    try:
        real = float(text)
    except ValueError:
        raise InputsError(f"{option}: the input is {spec.dtype}; a number") from None
    _check_fits(option, dtype, real)
    return real


def _ranged(spec: TensorSpec, dtype: np.dtype[Any], given: Bounds) -> Domain:
    low, high = given
    option = f"--range {spec.name}={low}:{high}"
    if dtype.kind not in NUMERIC_KINDS:
        raise InputsError(f"{option}: the input is {spec.dtype}, which has no range; use --value {spec.name}=V")
    _check_fits(option, dtype, low)
    _check_fits(option, dtype, high)
    if dtype.kind == "f":
        return Reals(float(low), float(high))
    if not (isinstance(low, int) and isinstance(high, int)):
        raise InputsError(f"{option}: the input is {spec.dtype}; both ends must be integers")
    return Integers(low, high)


def _check_fits(option: str, dtype: np.dtype[Any], number: float) -> None:
    if isinstance(number, float) and not math.isfinite(number):
        return  # only --value can say so, and then it is meant
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    low, high = (int if dtype.kind in "iu" else float)(limits.min), (int if dtype.kind in "iu" else float)(limits.max)
    if not low <= number <= high:
        raise InputsError(f"{option}: {number} does not fit {dtype.name}, which holds {low} to {high}")


def _within(dtype: np.dtype[Any], bound: Bound) -> Integers:
    if dtype.kind == "f":
        # Whole numbers beyond the mantissa would round, maybe past the end of the table.
        exact = 1 << (np.finfo(dtype).nmant + 1)
        return Integers(max(bound.low, -exact), min(bound.high, exact), bound.reason)
    limits = np.iinfo(dtype)
    return Integers(max(bound.low, int(limits.min)), min(bound.high, int(limits.max)), bound.reason)


def _default(spec: TensorSpec, dtype: np.dtype[Any]) -> Domain:
    if dtype.kind == "O":
        return Choices(WORDS)
    if dtype.kind == "b":
        return Choices((False, True))
    if dtype.kind == "f":
        return Reals(*REALS)
    if "mask" in spec.name.lower():
        return Choices((1,))  # by convention 1 lets a token be seen; were all hidden, attention would be NaN
    if dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return Integers(int(limits.min), int(limits.max))  # bytes of an image, or quantised values
    return Integers(*DIGITS)
