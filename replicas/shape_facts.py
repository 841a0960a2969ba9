"""What is known of a tensor without running its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import onnx

Shape: TypeAlias = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class TensorFact:
    """What is known of a tensor: its ONNX element type (0: unknown) and its shape (None: not even the rank)."""

    element: int
    shape: Shape | None

    @property
    def elements(self) -> int | None:
        """How many elements, or None where a dimension is unknown."""
        if self.shape is None:
            return None
        product = 1
        for dimension in self.shape:
            if dimension is None:
                return None
            product *= dimension
        return product


def fact_of(value: onnx.TypeProto.Tensor) -> TensorFact:
    """The fact that a type states. Some files say -1 for a dimension that they leave open."""
    if not value.HasField("shape"):
        return TensorFact(value.elem_type, None)
    told = [each.dim_value if each.HasField("dim_value") else -1 for each in value.shape.dim]
    return TensorFact(value.elem_type, tuple(None if each < 0 else each for each in told))
