"""Where answers first differ: the output, the element, each value to the last bit, and how many steps apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from replicas.outputs import Outputs, canonical

Array = npt.NDArray[Any]

_SIGNED = {2: "int16", 4: "int32", 8: "int64"}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first element in which answers differ.

    Attributes:
        output: its name.
        element: index in row-major order; 0 for what is no tensor.
        values: one for each answer: floats exactly, as hex.
        steps: representable floats between the least and the greatest; None where they are no finite floats.
    """

    output: str
    element: int
    values: tuple[str, ...]
    steps: int | None


def first_difference(answers: Sequence[Outputs]) -> Difference | None:
    """Compare answers to one request, output by output in graph order; None where they are equal to the last bit.

    Example:
        >>> one, two = np.float32([1.0]), np.nextafter(np.float32([1.0]), np.float32(2.0))
        >>> first_difference([Outputs.of({"y": one}), Outputs.of({"y": two})])
        Difference(output='y', element=0, values=('0x1p+0', '0x1.000002p+0'), steps=1)
    """
    for name in answers[0].names:
        values = [answer[name] for answer in answers]
        if len({canonical(value) for value in values}) > 1:
            return _in_output(name, values)
    return None


def _in_output(name: str, values: Sequence[Any]) -> Difference:
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if len(arrays) < len(values):
        return Difference(name, 0, tuple(repr(value)[:80] for value in values), None)
    if len({(array.dtype, array.shape) for array in arrays}) > 1:
        return Difference(name, 0, tuple(f"{array.dtype}{list(array.shape)}" for array in arrays), None)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    element = min(_first_unlike(flat[0], other) for other in flat[1:])
    found = [array[element] for array in flat]
    return Difference(name, element, tuple(_exactly(value) for value in found), _steps(found))


def _first_unlike(array: Array, other: Array) -> int:
    """Index of the first element whose bits differ, or the length."""
    if array.dtype == object:
        unlike = np.array([mine != theirs for mine, theirs in zip(array, other, strict=True)], dtype=bool)
    else:
        width = array.dtype.itemsize
        unlike = (array.view(np.uint8).reshape(-1, width) != other.view(np.uint8).reshape(-1, width)).any(axis=1)
    return int(unlike.argmax()) if unlike.any() else len(array)


def _exactly(value: Any) -> str:
    if not isinstance(value, np.floating):
        return str(value)[:80]
    text = float(value).hex()
    mantissa, p, exponent = text.partition("p")
    return f"{mantissa.rstrip('0').rstrip('.')}{p}{exponent}" if p else text


def _steps(values: Sequence[Any]) -> int | None:
    if not all(isinstance(value, np.floating) and np.isfinite(value) for value in values):
        return None
    ordinals = [_ordinal(value) for value in values]
    return max(ordinals) - min(ordinals)


def _ordinal(value: np.floating[Any]) -> int:
    """The place of a float in the order of all floats of its type; both zeros are 0."""
    size = value.dtype.itemsize
    bits = int(value.view(_SIGNED[size]))
    return bits if bits >= 0 else -(1 << (8 * size - 1)) - bits
