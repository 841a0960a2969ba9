"""One run tried before all others, so that inputs which a model cannot take are met here and not at some block."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx

from lastbit.inputs.input_set import Array, InputsError
from replicas.graph_walk import subgraphs
from replicas.model import Model

WORDS_MAX = 240

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE = re.compile(r"\S+\.(cc|h):\d+ ([^()]*\([^()]*\) (const )?|\w+ )?(\[with [^]]*\] )?")
_PREAMBLE = re.compile(r"Status Message: |Non-zero status code returned while ")
_NODE = re.compile(r"running (\w+) node\. Name:'([^']*)'")


def run_once(model: Model, tensors: Mapping[str, Array]) -> str:
    """Run the model once with plain settings and give onnxruntime's own words where it fails, else an empty text.

    Raises:
        InputsError: onnxruntime refuses the model itself, whatever its inputs.
    """
    import onnxruntime  # here: reading options and files needs no runtime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it would print to stderr what it raises as well
    # onnxruntime's exceptions have no common class below Exception.
    try:
        session = onnxruntime.InferenceSession(
            model.content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:
        raise InputsError(f"{model.name}: onnxruntime refuses the model: {shortened(str(error))}") from error
    try:
        session.run(None, dict(tensors))
    except Exception as error:
        return str(error)
    return ""


def shortened(words: str) -> str:
    """onnxruntime's message without its codes and source lines, and cut where it goes on.

    Example:
        >>> shortened("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid rank for input: x Got: 1 Expected: 2")
        'Invalid rank for input: x Got: 1 Expected: 2'
    """
    text = " ".join(words.split())
    for clutter in (_CODE, _PREAMBLE, _SOURCE):
        text = clutter.sub("", text)
    return text if len(text) <= WORDS_MAX else text[: WORDS_MAX - 3] + "..."


def blamed_inputs(model: Model, words: str) -> tuple[str, ...]:
    """The inputs that a failure is about: named in it, else those that the failing node depends on, else all."""
    names = tuple(spec.name for spec in model.inputs)
    named = tuple(name for name in names if re.search(rf"(input|feed)[^:]*: *{re.escape(name)}(\W|$)", words))
    if named:
        return named
    failing = _NODE.search(words)
    ancestors = _ancestors(model.proto().graph, failing.group(1), failing.group(2)) if failing else set()
    return tuple(name for name in names if name in ancestors) or names


def _ancestors(graph: onnx.GraphProto, operator: str, node_name: str) -> set[str]:
    """Every value that the nodes of that operator and name depend on; a name may be empty, and then shared."""
    nodes = _nodes(graph)
    makers = {output: node for node in nodes for output in node.output}
    failing = (node for node in nodes if (node.op_type, node.name) == (operator, node_name))
    waiting = [name for node in failing for name in node.input]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(makers[name].input if name in makers else ())
    return found


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    nodes = list(graph.node)
    for node in graph.node:
        for subgraph in subgraphs(node):
            nodes.extend(_nodes(subgraph))
    return nodes
