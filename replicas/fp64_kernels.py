"""Which nodes onnxruntime's CPU provider can run in fp64: found by trying, a session for each kind of node.

A trial is a model of that one node with float64 in place of float32. It is remembered by its bytes, so that the many
equal nodes of a graph cost one trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import onnx
from onnx import numpy_helper

from replicas.graph_walk import standard_domain, subgraphs
from replicas.runtime_types import ELEMENTS, plain_session

FLOAT, DOUBLE = "tensor(float)", "tensor(double)"
# A session with these in fp64 can be made, and still they must stay fp32: LSTM and GRU give up when they run; Attention
# has no fp64 kernel and is put together of others, which masks and empty rows show; BitCast is about the bits.
NEVER = frozenset({("", "LSTM"), ("", "GRU"), ("", "Attention"), ("", "BitCast")})
# Attributes that name the element type of the output.
TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_datatype"})
# A trial's file version: old enough for every runtime in range, new enough for every operator set.
TRIAL_IR_VERSION = 8


def node_in_fp64(
    node: onnx.NodeProto, types: Mapping[str, str], opsets: Sequence[tuple[str, int]]
) -> onnx.NodeProto | None:
    """The node with attributes for float64, or None where no fp64 kernel takes all of its float32 tensors as float64.

    Args:
        node: a node that takes or makes float32 tensors; not changed.
        types: of the tensors that it takes and makes, in onnxruntime's words.
        opsets: the operator sets of the model, as pairs of domain and version.
    """
    values = [types.get(name, "") for name in (*node.input, *node.output) if name]
    if (standard_domain(node.domain), node.op_type) in NEVER or any(True for _ in subgraphs(node)):
        return None
    if any(value not in ELEMENTS for value in values):
        return None  # sequences, maps and optionals hold what they hold
    converted = _with_double_attributes(node)
    expected = tuple(in_fp64(types[name]) for name in node.output if name)
    return converted if _output_types(_trial(converted, types, opsets)) == expected else None


def _with_double_attributes(node: onnx.NodeProto) -> onnx.NodeProto:
    converted = onnx.NodeProto()
    converted.CopyFrom(node)
    if node.op_type == "ConstantOfShape" and not node.attribute:
        converted.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(np.zeros(1))))
    for attribute in converted.attribute:
        if attribute.name in TYPE_ATTRIBUTES and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.DOUBLE
        if node.op_type == "ConstantOfShape" and attribute.t.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(attribute.t).astype(np.float64)
            attribute.t.CopyFrom(numpy_helper.from_array(values))
    return converted


def in_fp64(value: str) -> str:
    """The type that a tensor has when all of float32 is float64."""
    return DOUBLE if value == FLOAT else value


def _trial(node: onnx.NodeProto, types: Mapping[str, str], opsets: Sequence[tuple[str, int]]) -> bytes:
    """A serialised model of the node alone. Names are numbers, so that equal nodes make equal bytes."""
    trial = onnx.ModelProto(ir_version=TRIAL_IR_VERSION)
    trial.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in opsets)
    graph = trial.graph
    graph.name = "trial"
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    del alone.input[:], alone.output[:]
    alone.name = alone.doc_string = ""
    for index, name in enumerate(node.input):
        alone.input.append(f"i{index}" if name else "")
        if name:
            element = ELEMENTS[in_fp64(types[name])]
            graph.input.append(onnx.helper.make_tensor_value_info(f"i{index}", element, None))
    for index, name in enumerate(node.output):
        alone.output.append(f"o{index}" if name else "")
        if name:
            graph.output.append(onnx.ValueInfoProto(name=f"o{index}"))
    graph.node.append(alone)
    return bytes(trial.SerializeToString(deterministic=True))


@lru_cache(maxsize=4096)
def _output_types(trial: bytes) -> tuple[str, ...] | None:
    try:
        return tuple(value.type for value in plain_session(trial).get_outputs())
    except Exception:  # onnxruntime's own share no other base class; no kernel is the answer looked for here
        return None
