"""The element type of every tensor of a main graph, as onnxruntime itself sees it.

onnx infers nothing through operators that it does not define (com.microsoft); onnxruntime knows them all, and states
the type of an output that a file leaves open. So every inner tensor is made an output of a session that never runs.
"""

from __future__ import annotations

import onnx
import onnxruntime as ort

from replicas.profile import ProfileError

# onnxruntime names element types as ONNX does, in small letters.
ELEMENT_NAMES = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
ELEMENTS = {f"tensor({name})": number for number, name in ELEMENT_NAMES.items()}


def runtime_types(proto: onnx.ModelProto) -> dict[str, str]:
    """The type of each tensor by name, in onnxruntime's words: "tensor(float)", "seq(tensor(int64))".

    Args:
        proto: the model, functions put in place; not changed.

    Raises:
        ProfileError: the runtime cannot load the model at all.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(proto)
    stated = {value.name for value in opened.graph.output}
    inner = dict.fromkeys(name for node in opened.graph.node for name in node.output if name and name not in stated)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    try:
        session = plain_session(bytes(opened.SerializeToString()))
    except Exception as error:  # onnxruntime's own exceptions share no other base class
        raise ProfileError((f"precision: the runtime cannot load this model: {error}",)) from error
    types = {value.name: value.type for value in (*session.get_outputs(), *session.get_inputs())}
    for tensor in opened.graph.initializer:
        types[tensor.name] = f"tensor({ELEMENT_NAMES.get(tensor.data_type, 'unknown')})"
    return types


def plain_session(content: bytes) -> ort.InferenceSession:
    """A session for looking at a graph: one thread, nothing optimised, nothing logged."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_reuse = False  # planning it takes long on a large graph, for a session that seldom runs
    # Without the fallback's prints on stdout: a graph that cannot run is an answer here.
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
