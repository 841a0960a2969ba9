"""Hand the tensors inside a branch or a body out, as further outputs of the If or Loop that holds it.

The branches of an If must have equally many outputs: each gets an empty one for every tensor of the other. What a Loop
makes is gathered in sequences, one tensor an iteration, so that shapes may change from one to the next. Up to operator
set 12, which has no sequences there, in a Loop inside another and in a Scan it is gathered in scan outputs, whose
shapes may not.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

from replicas.graph_names import fresh_name
from replicas.runtime_types import ELEMENTS

PREFIX = "lastbit.watched"
SEQUENCES_IN_LOOPS_SINCE = 13
_COUNTERS = 2

HeldBy = Mapping[str, str]
"""For each output added to a branch or body, the output of the node around it in which it leaves."""


def from_branches(
    node: onnx.NodeProto, branches: list[tuple[onnx.GraphProto, HeldBy]], types: Mapping[str, str], taken: set[str]
) -> None:
    """Hand out what the branches of an If make; a branch's own tensors are outputs of it already.

    Args:
        node: changed in place.
        branches: each with its added outputs, which stand last.
        types: of the node's new outputs, in the runtime's words.
        taken: names in use.
    """
    given = len(branches[0][0].output) - len(branches[0][1])
    for graph, own in branches:
        outputs = list(graph.output)[:given]
        for _, held_by in branches:
            for inner, outer in held_by.items():
                name = inner if held_by is own else _empty(graph, types[outer], taken)
                outputs.append(onnx.ValueInfoProto(name=name))
        del graph.output[:]
        graph.output.extend(outputs)
    node.output.extend(outer for _, held_by in branches for outer in held_by.values())


def as_scan_outputs(node: onnx.NodeProto, held_by: HeldBy) -> None:
    """Hand out what a body makes, stacked along a new first axis in the order of iterations.

    Args:
        node: the Loop or Scan, changed in place.
        held_by: outputs of the body already, by the node's new output.
    """
    node.output.extend(held_by.values())
    for each in node.attribute:
        if each.name in ("scan_output_axes", "scan_output_directions"):  # of a Scan: one number for each
            each.ints.extend([0] * len(held_by))


def as_sequences(
    node: onnx.NodeProto,
    around: onnx.GraphProto,
    body: onnx.GraphProto,
    held_by: HeldBy,
    types: Mapping[str, str],
    taken: set[str],
) -> None:
    """Hand out what a Loop's body makes, one tensor an iteration, in sequences that the Loop carries.

    Args:
        node: the Loop, changed in place.
        around: the graph that holds it; gets the empty sequences that it begins with.
        body: its body, whose added outputs stand last.
        held_by: these, by the node's new output.
        types: of the added outputs, in the runtime's words: tensors.
        taken: names in use.
    """
    carried = len(node.input) - _COUNTERS
    given = list(body.output)[: len(body.output) - len(held_by)]
    longer = []
    for inner in held_by:
        element = ELEMENTS[types[inner]]
        empty, before, after = (fresh_name(PREFIX, taken) for _ in range(3))
        around.node.insert(0, helper.make_node("SequenceEmpty", [], [empty], dtype=element))
        node.input.append(empty)
        body.input.append(helper.make_tensor_sequence_value_info(before, element, None))
        body.node.append(helper.make_node("SequenceInsert", [before, inner], [after]))
        longer.append(onnx.ValueInfoProto(name=after))
    del body.output[:]
    body.output.extend([*given[: carried + 1], *longer, *given[carried + 1 :]])  # the first says whether to go on
    outputs = list(node.output)
    del node.output[:]
    node.output.extend([*outputs[:carried], *held_by.values(), *outputs[carried:]])


def sequence_of(kind: str) -> str:
    """The runtime's words for a sequence of tensors.

    Example:
        >>> sequence_of("tensor(float)")
        'seq(tensor(float))'
    """
    return f"seq({kind})"


def _empty(graph: onnx.GraphProto, kind: str, taken: set[str]) -> str:
    name = fresh_name(PREFIX, taken)
    if kind in ELEMENTS:
        nothing = helper.make_tensor(name, ELEMENTS[kind], [0], [])
        graph.node.append(helper.make_node("Constant", [], [name], value=nothing))
    else:
        element = ELEMENTS[kind.removeprefix("seq(").removesuffix(")")]
        graph.node.append(helper.make_node("SequenceEmpty", [], [name], dtype=element))
    return name
