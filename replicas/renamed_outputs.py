"""A model whose outputs are called and ordered as those of another, so that the two can be compared by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx

from replicas.graph_names import fresh_name, names_in
from replicas.graph_walk import subgraphs
from replicas.model import Model
from replicas.model_check import refuse


def with_outputs_named(model: Model, names: Mapping[str, str]) -> Model:
    """The same model with other names for its outputs; it computes the same. Its sha256 stays that of its file.

    Args:
        model: whose outputs are to be called otherwise.
        names: the new name of each output, by the old one, in the order in which outputs are to stand.

    Raises:
        ModelError: an input would have to be called otherwise, too.

    Example:
        >>> from onnx.parser import parse_model
        >>> text = '<ir_version: 9, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { t = Neg(x) y = Exp(t) }'
        >>> model = Model.from_bytes(parse_model(text).SerializeToString(), name="exp")
        >>> with_outputs_named(model, {"y": "t"}).proto().graph.node[1].output
        ['t']
    """
    specs = {spec.name: spec for spec in model.outputs}
    if list(names.items()) == [(name, name) for name in specs]:
        return model
    proto = model.proto()
    taken = names_in(proto.graph)
    changed = {old: new for old, new in names.items() if old != new}
    # A name that is wanted and stands for something else inside makes way.
    changed |= {new: fresh_name(new, taken) for new in names.values() if new in taken and new not in names}
    for given in proto.graph.input:
        if given.name in changed:
            refuse(model.name, f'cannot be compared by position: its input "{given.name}" is called like an output')
    _rename(proto.graph, changed)
    by_name = {value.name: value for value in proto.graph.output}
    in_order = [by_name[new] for new in names.values()]
    del proto.graph.output[:]
    proto.graph.output.extend(in_order)
    outputs = tuple(replace(specs[old], name=new) for old, new in names.items())
    return replace(model, content=proto.SerializeToString(), outputs=outputs)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for annotation in graph.quantization_annotation:
        annotation.tensor_name = names.get(annotation.tensor_name, annotation.tensor_name)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = names.get(name, name)
        for subgraph in subgraphs(node):
            _rename(subgraph, names)
