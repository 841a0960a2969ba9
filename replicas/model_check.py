"""Is it ONNX, is it whole, and does it give the same answer twice? Checks on a model file that nobody vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import inliner, numpy_helper

from replicas.graph_walk import graphs_at_any_depth, nodes_at_any_depth, opset_versions, tensors_at_any_depth
from replicas.random_nodes import draws_random_numbers

MESSAGE_CHARACTERS_MAX = 300
NAME_BYTES_SHOWN = 40
IR_OF_FREE_INITIALIZERS = 4


class ModelError(ValueError):
    """A model file that is refused: the message says what, where and what is allowed."""


def refuse(where: str, fault: str) -> NoReturn:
    """Raise the one message of a refused model.

    Raises:
        ModelError: always.
    """
    raise ModelError(f"{where}: {fault}")


def read_proto(content: bytes, where: str) -> onnx.ModelProto:
    """Parse, and see that the bytes really hold a model: protobuf takes much garbage for an empty message.

    Raises:
        ModelError: empty, truncated or no ONNX.
    """
    if not content:
        refuse(where, "is empty; an ONNX model is needed")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError:
        refuse(where, "is no ONNX model, or is cut off: its bytes cannot be parsed")
    missing = _missing_parts(proto)
    if missing:
        refuse(where, f"is no ONNX model: it has no {missing}")
    return proto


def _missing_parts(proto: onnx.ModelProto) -> str:
    parts = {
        "IR version": proto.ir_version > 0,
        "operator set": len(proto.opset_import) > 0,
        "graph": proto.HasField("graph"),
        "outputs": len(proto.graph.output) > 0,
    }
    return ", no ".join(part for part, present in parts.items() if not present)


def check_proto(proto: onnx.ModelProto, content: bytes, where: str) -> None:
    """See that a parsed model is valid ONNX.

    Args:
        proto: the model, weights inside.
        content: the same, serialised.
        where: what a message calls it.

    Raises:
        ModelError: it is not.
    """
    _check_validity(proto, content, where)
    _check_tensors(proto, where)
    _check_text(proto, where)
    _check_types(proto, where)
    _check_functions(proto, where)


def reason_of_randomness(proto: onnx.ModelProto) -> str | None:
    """Which node of a model draws random numbers, at any depth; None where none does."""
    versions = opset_versions(proto)
    for located in nodes_at_any_depth(proto):
        reason = draws_random_numbers(located.node, located.constants, versions)
        if reason:
            return f"{reason} in {located.place}"
    return None


def _check_validity(proto: onnx.ModelProto, content: bytes, where: str) -> None:
    try:
        onnx.checker.check_model(_as_runtimes_take_it(proto, content))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        refuse(where, f"is no valid ONNX model: {reason[:MESSAGE_CHARACTERS_MAX] or 'the checker gives no reason'}")


def _check_tensors(proto: onnx.ModelProto, where: str) -> None:
    """See that each tensor holds what its type and shape promise: the checker looks at neither closely."""
    for tensor in tensors_at_any_depth(proto):
        try:
            numpy_helper.to_array(tensor)
        except (KeyError, TypeError, ValueError) as error:
            refuse(where, f"holds a tensor that cannot be read: {tensor.name!a}, {error}")


def _check_text(proto: onnx.ModelProto, where: str) -> None:
    """See that every name is text: protobuf takes other bytes too, and hands them out as bytes."""
    broken = next((name for name in _names(proto) if isinstance(name, bytes)), None)
    if broken is not None:
        refuse(where, f"holds a name that is no UTF-8 text: {broken[:NAME_BYTES_SHOWN]!r}")


def _names(proto: onnx.ModelProto) -> Iterator[str | bytes]:
    for opset in proto.opset_import:
        yield opset.domain
    for graph in graphs_at_any_depth(proto):
        yield graph.name
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)
        yield from (tensor.name for tensor in graph.initializer)
    for function in proto.functions:
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
        yield from (opset.domain for opset in function.opset_import)
    for located in nodes_at_any_depth(proto):
        node = located.node
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (text for attribute in node.attribute for text in (attribute.name, attribute.ref_attr_name))


def _check_types(proto: onnx.ModelProto, where: str) -> None:
    """See that element types exist; UNDEFINED does, and says that inference is to find out."""
    for graph in graphs_at_any_depth(proto):
        for value in (*graph.input, *graph.output, *graph.value_info):
            element = value.type.tensor_type.elem_type  # 0, which is UNDEFINED, for what is no tensor
            if element not in onnx.TensorProto.DataType.values():
                refuse(where, f'"{value.name}" has element type {element}, which ONNX does not define')


def _check_functions(proto: onnx.ModelProto, where: str) -> None:
    """See that functions can be put in the place of the nodes that call them."""
    if not proto.functions:
        return
    try:
        inliner.inline_local_functions(proto)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:MESSAGE_CHARACTERS_MAX]
        refuse(where, f"calls a function otherwise than the function is defined: {reason}")


def _as_runtimes_take_it(proto: onnx.ModelProto, content: bytes) -> bytes:
    """The model without what the checker minds and runtimes do not.

    The checker asks for a shape on every input and output, and of files before IR version 4 that each initializer is
    an input as well.
    """
    given = {value.name for value in proto.graph.input}
    is_strict = proto.ir_version < IR_OF_FREE_INITIALIZERS and any(
        tensor.name not in given for tensor in proto.graph.initializer
    )
    if not is_strict and all(_has_rank(value) for value in (*proto.graph.input, *proto.graph.output)):
        return content
    taken = onnx.ModelProto()
    taken.CopyFrom(proto)
    if is_strict:
        taken.ir_version = IR_OF_FREE_INITIALIZERS
    for value in (*taken.graph.input, *taken.graph.output):
        if not _has_rank(value):
            value.type.tensor_type.shape.SetInParent()
    return bytes(taken.SerializeToString())


def _has_rank(value: onnx.ValueInfoProto) -> bool:
    return value.type.WhichOneof("value") != "tensor_type" or bool(value.type.tensor_type.HasField("shape"))
