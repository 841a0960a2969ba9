"""Round a tensor to the fewer bits of a partial precision, with operators that the processor runs.

bf16 and fp16 are a Cast there and back, which rounds to nearest even and survives the runtime's optimiser. tf32 (8 bits
of exponent, 10 of mantissa) has no element type in ONNX: it is rounded by Veltkamp's split, p = 8193 x and
x' = p - (p - x), which gives the nearest even for each of the 2^23 mantissas.
"""

from __future__ import annotations

import numpy as np
import onnx

from replicas.ksplit.nodes import NodeWriter
from replicas.profile import PartialPrecision, ProfileError

# fp32 keeps 23 bits of mantissa and tf32 10: Veltkamp's factor is 2^(23 - 10) + 1.
TF32_FACTOR = np.float32(2**13 + 1)
ELEMENTS: dict[PartialPrecision, int] = {
    "fp32": onnx.TensorProto.FLOAT,
    "tf32": onnx.TensorProto.FLOAT,
    "bf16": onnx.TensorProto.BFLOAT16,
    "fp16": onnx.TensorProto.FLOAT16,
    "fp64": onnx.TensorProto.DOUBLE,
}
# From which version of the operator set on: Cast takes bfloat16; there are IsNaN and Where.
NEEDED_OPSETS: dict[PartialPrecision, int] = {"bf16": 13, "tf32": 9}


def check_opset(opset: int, partials: PartialPrecision) -> None:
    """Refuse a partial precision that a model's operator set cannot express.

    Raises:
        ProfileError: the operator set is too old.
    """
    needed = NEEDED_OPSETS.get(partials, 1)
    if opset < needed:
        work = " and ".join(each for each in ELEMENTS if NEEDED_OPSETS.get(each, 1) <= opset)
        fault = f"{partials} needs operator set {needed}, and the model has {opset}; {work} work"
        raise ProfileError((f"summation.partials: {fault}",))


class Rounder:
    """Writes the rounding of tensors to one partial precision.

    Args:
        writer: where the nodes go.
        partials: what is rounded to.
    """

    def __init__(self, writer: NodeWriter, partials: PartialPrecision) -> None:
        self._writer = writer
        self._partials = partials
        self._factor = ""

    def element_of_sums(self, element: int) -> int:
        """The element type in which sides of that type are multiplied and added: DOUBLE for fp64, else their own."""
        return onnx.TensorProto.DOUBLE if self._partials == "fp64" else element

    def round(self, tensor: str, element: int) -> str:
        """Round a tensor to nearest even, and return the name of the result, which has the same element type.

        A float64 tensor goes by way of float32 to tf32. Infinities and NaN stay as they are, and so do, under tf32,
        numbers from 2^114 on that would overflow on the way. A tf32 number below 2^-126 keeps 11 significant bits.

        Args:
            tensor: name of a tensor of floats.
            element: its element type, FLOAT or DOUBLE.
        """
        narrow = ELEMENTS[self._partials]
        if narrow != element:
            tensor = self._writer.add("Cast", [tensor], to=narrow)
        if self._partials == "tf32":
            tensor = self._to_tf32(tensor)
        return tensor if narrow == element else self._writer.add("Cast", [tensor], to=element)

    def _to_tf32(self, tensor: str) -> str:
        writer = self._writer
        if not self._factor:
            self._factor = writer.constant(np.array(TF32_FACTOR), "factor")
        product = writer.add("Mul", [tensor, self._factor])
        rounded = writer.add("Sub", [product, writer.add("Sub", [product, tensor])])
        # What overflowed is infinity less infinity now.
        return writer.add("Where", [writer.add("IsNaN", [rounded]), tensor, rounded])
