"""One run tried before all others, so that inputs which a model cannot take are met here and not at some block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import onnx

from lastbit.inputs.index_uses import INDEX_USES
from lastbit.inputs.input_set import Array, InputsError
from replicas.graph_names import used_names
from replicas.graph_walk import nodes_at_any_depth, standard_domain
from replicas.model import Model

WORDS_MAX = 240

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE = re.compile(r"\S+\.(cc|h):\d+ ([^()]*\([^()]*\) (const )?|\w+ )?(\[with [^]]*\] )?")
_PREAMBLE = re.compile(r"Status Message: |Non-zero status code returned while ")
_NODE = re.compile(r"running (\w+) node\. Name:'([^']*)'")
_ALLOWED = re.compile(r"must be within the inclusive range \[-?\d+, *(\d+)\]")


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
    """The inputs that a failure is about: named in it, else those that the failing node depends on, else all.

    A node inside a branch or a body fails together with the nodes around it, which stand before it in the words.
    """
    names = tuple(spec.name for spec in model.inputs)
    named = tuple(name for name in names if re.search(rf"(input|feed)[^:]*: *{re.escape(name)}(\W|$)", words))
    if named:
        return named
    nodes = [located.node for located in nodes_at_any_depth(model.proto())]
    for operator, node_name in reversed(_NODE.findall(words)):
        failing = [node for node in nodes if (node.op_type, node.name) == (operator, node_name)]  # names may be empty
        ancestors = _ancestors(nodes, (name for node in failing for name in _at_fault(node, words)))
        blamed = tuple(name for name in names if name in ancestors)
        if blamed:
            return blamed
    return names


def allowed_indices(words: str) -> tuple[int, int] | None:
    """The least and the greatest index that would have been taken, where onnxruntime says so; none counts from the end.

    Example:
        >>> allowed_indices("indices element out of data bounds, idx=9 must be within the inclusive range [-7,6]")
        (0, 6)
    """
    told = _ALLOWED.search(words)
    return (0, int(told.group(1))) if told else None


def _at_fault(node: onnx.NodeProto, words: str) -> tuple[str, ...]:
    """What a failing node reads: of one that picks rows, the rows to pick, where these are out of bounds."""
    read = tuple(sorted(used_names([node])))
    if allowed_indices(words) is None:
        return read
    domain = standard_domain(node.domain)
    indices = tuple(
        name for place, name in enumerate(node.input) if (domain, node.op_type, place) in INDEX_USES and name
    )
    return indices or read


def _ancestors(nodes: Iterable[onnx.NodeProto], names: Iterable[str]) -> set[str]:
    """Every value that some values depend on, these among them."""
    makers = {output: node for node in nodes for output in node.output}
    waiting = list(names)
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(used_names([makers[name]]) if name in makers else ())
    return found
