"""How many channels the tensors of a model have, in branches and bodies too.

A tensor in blocked layout is filled up to whole blocks, and only the model tells where it really ends. Shape inference
looks at the main graph alone, and may give up; what the runtime lays out in blocks begins with a Conv, whose weight
tells, and goes on through nodes that keep the channels of what they read.
"""

from __future__ import annotations

import onnx

from replicas.graph_walk import LocatedNode, nodes_at_any_depth
from replicas.shapes import infer_shapes

_CHANNEL_AXIS = 1


def channels_by_name(model: onnx.ModelProto) -> dict[str, int]:
    """The length of axis 1 by tensor name; only meant for tensors that the runtime lays out in blocks.

    Args:
        model: as built, functions put in place.
    """
    known: dict[str, int] = {}
    for name, fact in infer_shapes(model).items():
        if fact.shape is not None and len(fact.shape) > _CHANNEL_AXIS:
            length = fact.shape[_CHANNEL_AXIS]
            if length is not None:
                known[name] = length
    for located in nodes_at_any_depth(model):
        made = _channels_made(located, known)
        if made is not None:
            for name in located.node.output:
                known.setdefault(name, made)
    return known


def _channels_made(located: LocatedNode, known: dict[str, int]) -> int | None:
    node = located.node
    if node.op_type == "Conv":
        weight = located.constants.get(node.input[1])
        return None if weight is None else weight.dims[0]
    read = [known.get(name) for name in node.input]
    if node.op_type == "Concat":
        return None if None in read else sum(each for each in read if each is not None)
    return next((each for each in read if each is not None), None)
