"""Constant nodes may hold a number, numbers or a tensor: one form, the tensor, saves all who read them the others."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from replicas.graph_walk import nodes_at_any_depth


def hold_tensors(proto: onnx.ModelProto) -> None:
    """Rewrite Constant nodes of numbers, at any depth, to hold the same numbers as a tensor.

    Args:
        proto: changed in place.
    """
    for located in nodes_at_any_depth(proto):
        if located.node.op_type == "Constant" and len(located.node.attribute) == 1:
            tensor = _tensor(located.node.attribute[0])
            if tensor is not None:
                located.node.attribute[0].CopyFrom(helper.make_attribute("value", tensor))


def _tensor(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    match attribute.name:
        case "value_float":
            return numpy_helper.from_array(np.array(attribute.f, np.float32))
        case "value_floats":
            return numpy_helper.from_array(np.array(attribute.floats, np.float32))
        case "value_int":
            return numpy_helper.from_array(np.array(attribute.i, np.int64))
        case "value_ints":
            return numpy_helper.from_array(np.array(attribute.ints, np.int64))
        case _:
            return None  # a tensor already, or text
