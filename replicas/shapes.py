"""Shapes and element types of a graph's tensors, as far as they are known without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from replicas.graph_walk import graphs_at_any_depth, is_plain_constant, subgraphs
from replicas.shape_completion import complete_shapes
from replicas.shape_facts import TensorFact, fact_of
from replicas.shape_values import Numbers

# Shape inference reads the values of small tensors (the target of a Reshape); larger ones only cost time to copy.
READ_ELEMENTS_MAX = 1024


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What is known of the tensors of one graph, and of the graphs inside its nodes.

    Args:
        tensors: its own, by name; those of the graphs around it are not among them.
        inner: by the outputs of the node that holds graphs, one for each of these.
    """

    tensors: Mapping[str, TensorFact]
    inner: Mapping[tuple[str, ...], tuple[GraphFacts, ...]]

    def inside(self, node: onnx.NodeProto) -> tuple[GraphFacts, ...]:
        """The facts of the graphs that a node holds, in the order of `subgraphs`."""
        return self.inner[tuple(node.output)]


def infer_shapes(
    proto: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, TensorFact]:
    """Infer shapes and types of the main graph's tensors. See `infer_shapes_at_any_depth`."""
    return dict(infer_shapes_at_any_depth(proto, input_shapes).tensors)


def infer_shapes_at_any_depth(
    proto: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> GraphFacts:
    """Infer shapes and types of the tensors of the main graph and of the graphs inside its nodes.

    Args:
        proto: the model; it is not changed.
        input_shapes: concrete shapes of graph inputs, by name; the graph's own for those left out.

    Returns:
        A fact for each tensor of which anything is known. Where inference gives up on a graph, that is what the file
        itself states.
    """
    skeleton = _skeleton(proto, input_shapes or {})
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = skeleton.graph
    held = {tensor.name: tensor_fact(tensor) for tensor in proto.graph.initializer}
    held |= {node.output[0]: tensor_fact(node.attribute[0].t) for node in constants_of(proto.graph)}
    return _graph_facts(inferred, {}, {}, proto.opset_import, held)


def _graph_facts(
    graph: onnx.GraphProto,
    around: Mapping[str, TensorFact],
    numbers_around: Mapping[str, Numbers],
    opsets: Sequence[onnx.OperatorSetIdProto],
    held: Mapping[str, TensorFact],
) -> GraphFacts:
    """The facts that a graph states after inference, completed. `held` are those of tensors taken out for that."""
    tensors: dict[str, TensorFact] = {}
    for value in (*graph.value_info, *graph.output, *graph.input):
        if value.type.WhichOneof("value") == "tensor_type":
            tensors[value.name] = fact_of(value.type.tensor_type)
    tensors.update((tensor.name, tensor_fact(tensor)) for tensor in graph.initializer)
    tensors.update((node.output[0], tensor_fact(node.attribute[0].t)) for node in constants_of(graph))
    tensors.update(held)
    numbers = complete_shapes(graph, tensors, around, numbers_around, opsets)
    scope = {**around, **tensors}
    inner = {
        tuple(node.output): tuple(_graph_facts(each, scope, numbers, opsets, {}) for each in subgraphs(node))
        for node in graph.node
    }
    return GraphFacts(tensors, {outputs: graphs for outputs, graphs in inner.items() if graphs})


def constants_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The Constant nodes of a graph that hold a tensor."""
    return [node for node in graph.node if is_plain_constant(node)]


def tensor_fact(tensor: onnx.TensorProto) -> TensorFact:
    """Type and shape of a tensor that is at hand."""
    return TensorFact(tensor.data_type, tuple(tensor.dims))


def _skeleton(proto: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """The model without its large tensors, each replaced by an input of the same type and shape."""
    skeleton = onnx.ModelProto(ir_version=proto.ir_version)
    skeleton.opset_import.extend(proto.opset_import)
    skeleton.functions.extend(proto.functions)
    graph = skeleton.graph
    graph.name = proto.graph.name
    large = [tensor for tensor in proto.graph.initializer if _is_large(tensor)]
    graph.initializer.extend(tensor for tensor in proto.graph.initializer if not _is_large(tensor))
    for node in proto.graph.node:
        if is_plain_constant(node) and _is_large(node.attribute[0].t):
            graph.input.append(_value_info(node.output[0], node.attribute[0].t))
        else:
            graph.node.append(node)
    listed = {each.name for each in proto.graph.input}
    graph.input.extend(_value_info(tensor.name, tensor) for tensor in large if tensor.name not in listed)
    graph.input.extend(_with_shape(each, input_shapes.get(each.name)) for each in proto.graph.input)
    # Stated shapes of inner tensors may be those of another input; they are inferred anew where shapes are given.
    if not input_shapes:
        graph.value_info.extend(proto.graph.value_info)
    else:
        for each in graphs_at_any_depth(skeleton):
            del each.value_info[:]
    for output in proto.graph.output:
        graph.output.append(_without_shape(output) if input_shapes else output)
    return skeleton


def _is_large(tensor: onnx.TensorProto) -> bool:
    return (tensor_fact(tensor).elements or 0) > READ_ELEMENTS_MAX


def _value_info(name: str, tensor: onnx.TensorProto) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))


def _with_shape(value: onnx.ValueInfoProto, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    if shape is None or value.type.WhichOneof("value") != "tensor_type":
        return value
    return onnx.helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, list(shape))


def _without_shape(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    bare = onnx.ValueInfoProto()
    bare.CopyFrom(value)
    if bare.type.WhichOneof("value") == "tensor_type":
        bare.type.tensor_type.ClearField("shape")
    return bare
