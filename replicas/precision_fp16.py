"""Weights rounded to fp16, as a model file in fp16 has them; the processor computes in fp32 all the same.

onnxruntime's CPU provider has almost no fp16 kernels: it casts an fp16 model's tensors to fp32 and computes there. So
the weights are rounded to the nearest fp16 (ties to even) and stored as fp32 again, and the graph stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from replicas.graph_walk import weights_at_any_depth


@dataclass(frozen=True, slots=True)
class Fp16Result:
    """A model whose weights are fp16 numbers.

    Args:
        proto: the model.
        values_rounded: how many fp32 values were looked at and are fp16 numbers now.
        values_kept: by tensor name, how many do not fit into fp16 and stayed fp32: they would turn to infinity or to 0.
    """

    proto: onnx.ModelProto
    values_rounded: int
    values_kept: tuple[tuple[str, int], ...]


def round_weights_to_fp16(proto: onnx.ModelProto) -> Fp16Result:
    """Round every fp32 initializer and Constant, in subgraphs and functions too, to fp16 numbers stored as fp32.

    A value beyond 65,504 and a value so small that it would become 0 stay as they are, and are counted. Infinities and
    NaN are kept bit for bit. Thresholds and votes of tree ensembles are attributes, no weights, and are not touched.

    Args:
        proto: the model; not changed.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    rounded_total = 0
    kept: dict[str, int] = {}
    for name, tensor in weights_at_any_depth(model):
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore", under="ignore"):
            rounded = values.astype(np.float16).astype(np.float32)
        lost = np.isfinite(values) & (~np.isfinite(rounded) | ((rounded == 0) & (values != 0)))
        whole = np.where(lost | ~np.isfinite(values), values, rounded)
        tensor.CopyFrom(numpy_helper.from_array(whole, tensor.name))
        count = int(np.count_nonzero(lost))
        rounded_total += values.size - count
        if count:
            kept[name] = kept.get(name, 0) + count
    return Fp16Result(model, rounded_total, tuple(kept.items()))
