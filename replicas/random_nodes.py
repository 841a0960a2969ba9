"""Which nodes draw random numbers, so that one model gives two answers to one input.

A seed attribute does not help: onnxruntime gives new values on each run all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import numpy_helper

from replicas.graph_walk import standard_domain

ALWAYS_RANDOM = {
    "": frozenset(
        {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
    ),
    "com.microsoft": frozenset({"Sampling"}),
}
# (domain, operator): at which input the ratio and the training flag stand.
DROPOUTS = {
    ("", "Dropout"): (1, 2),
    ("com.microsoft", "BitmaskDropout"): (1, 2),
    ("com.microsoft", "BiasDropout"): (3, 4),
    ("com.microsoft", "BitmaskBiasDropout"): (3, 4),
}
DROPOUT_RATIO_DEFAULT = 0.5


def draws_random_numbers(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], opset_versions: Mapping[str, int]
) -> str | None:
    """Say why a node is random, or None where it is not.

    Args:
        node: the node.
        constants: tensors that are known without running the graph, by name.
        opset_versions: by domain; before version 7 Dropout said in an attribute whether it trains.
    """
    domain = standard_domain(node.domain)
    if node.op_type in ALWAYS_RANDOM.get(domain, frozenset()):
        return node.op_type
    if (domain, node.op_type) not in DROPOUTS:
        return None
    if domain == "" and opset_versions.get("", 1) < 7:
        return None if _attribute(node, "is_test") else "Dropout in training mode"
    ratio_at, training_at = DROPOUTS[domain, node.op_type]
    if _is_given(node, training_at) and _constant(node, training_at, constants) is None:
        return f'{node.op_type} whose training mode is computed ("{node.input[training_at]}")'
    if not _constant(node, training_at, constants):
        return None
    ratio = _constant(node, ratio_at, constants) if _is_given(node, ratio_at) else DROPOUT_RATIO_DEFAULT
    return None if ratio == 0 else f"{node.op_type} in training mode"


def _is_given(node: onnx.NodeProto, index: int) -> bool:
    return len(node.input) > index and node.input[index] != ""


def _constant(node: onnx.NodeProto, index: int, constants: Mapping[str, onnx.TensorProto]) -> float | None:
    if not _is_given(node, index) or node.input[index] not in constants:
        return None
    values = numpy_helper.to_array(constants[node.input[index]])
    return float(values.reshape(-1)[0]) if values.size else None


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)
