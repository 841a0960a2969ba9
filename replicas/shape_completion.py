"""Shapes that ONNX's inference leaves open, found node by node with the numbers that shapes are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from replicas.graph_walk import is_plain_constant, standard_domain, subgraphs
from replicas.shape_facts import Shape, TensorFact, fact_of
from replicas.shape_values import Numbers, numbers_made, numbers_of, shape_made


def complete_shapes(
    graph: onnx.GraphProto,
    facts: dict[str, TensorFact],
    around: Mapping[str, TensorFact],
    numbers_around: Mapping[str, Numbers],
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> dict[str, Numbers]:
    """Fill in the shapes of a graph's tensors; what is known already stays.

    Args:
        graph: not changed.
        facts: of its tensors; filled in.
        around: facts of the graphs around it.
        numbers_around: what is known of whole numbers there.
        opsets: of the model.

    Returns:
        The whole numbers that are known, those of the graphs around among them.
    """
    numbers = {**numbers_around, **_held(graph)}
    versions = {standard_domain(each.domain): each.version for each in opsets}
    for node in graph.node:
        if standard_domain(node.domain) != "" or any(True for _ in subgraphs(node)):
            continue
        scope = {**around, **facts} if around else facts
        if any(_is_open(facts.get(name)) for name in node.output if name):
            _fill_in(node, scope, facts, numbers, versions.get("", 1), opsets)
        made = numbers_made(node, numbers, scope)
        if made is not None and node.output[0] not in numbers:
            numbers[node.output[0]] = made
    return numbers


def _held(graph: onnx.GraphProto) -> dict[str, Numbers]:
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    tensors += [(node.output[0], node.attribute[0].t) for node in graph.node if is_plain_constant(node)]
    found = {name: numbers_of(tensor) for name, tensor in tensors}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def _is_open(fact: TensorFact | None) -> bool:
    return fact is None or fact.shape is None or None in fact.shape


def _fill_in(
    node: onnx.NodeProto,
    scope: Mapping[str, TensorFact],
    facts: dict[str, TensorFact],
    numbers: Mapping[str, Numbers],
    version: int,
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> None:
    shape = shape_made(node, numbers, scope)
    if shape is not None:
        source = scope.get(node.input[0], TensorFact(onnx.TensorProto.UNDEFINED, None))
        known = facts.get(node.output[0]) or TensorFact(source.element, None)
        facts[node.output[0]] = _merged(known, shape)
        return
    for name, fact in _inferred(node, scope, numbers, version, opsets):
        known = facts.get(name) or TensorFact(fact.element, None)
        facts[name] = _merged(known, fact.shape)


_GIVES_UP = (
    onnx.defs.SchemaError,
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    RuntimeError,
    ValueError,
    KeyError,  # an element type that NumPy has no name for
    OverflowError,  # a number that the element type cannot hold
)


def _inferred(
    node: onnx.NodeProto,
    scope: Mapping[str, TensorFact],
    numbers: Mapping[str, Numbers],
    version: int,
    opsets: Sequence[onnx.OperatorSetIdProto],
) -> Iterable[tuple[str, TensorFact]]:
    """What ONNX infers of one node, from types and numbers that its inference of the whole graph did not have."""
    types = {name: scope[name] for name in node.input if name in scope}
    if any(name and (name not in types or not types[name].element) for name in node.input):
        return []
    try:
        data = {name: _tensor(numbers[name], types[name], name) for name in node.input if name in numbers}
        found = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, version, ""),
            node,
            {name: helper.make_tensor_type_proto(fact.element, fact.shape) for name, fact in types.items()},
            {name: tensor for name, tensor in data.items() if tensor is not None},
            opset_imports=list(opsets),
        )
    except _GIVES_UP:
        return []  # a node that inference does not know, or gives up on
    return [(name, fact_of(value.tensor_type)) for name, value in found.items() if value.HasField("tensor_type")]


def _tensor(numbers: Numbers, fact: TensorFact, name: str) -> onnx.TensorProto | None:
    if None in numbers.values:
        return None
    dtype = helper.tensor_dtype_to_np_dtype(fact.element)
    values = np.array(numbers.values, dtype)
    return numpy_helper.from_array(values.reshape(()) if numbers.is_scalar else values, name)


def _merged(known: TensorFact, found: Shape | None) -> TensorFact:
    if known.shape is None or found is None or len(known.shape) != len(found):
        return TensorFact(known.element, found if known.shape is None else known.shape)
    pairs = zip(known.shape, found, strict=True)
    return TensorFact(known.element, tuple(new if old is None else old for old, new in pairs))
