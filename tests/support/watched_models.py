"""Small models whose inner tensors are watched, and what they are run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from support.own_models import TYPES, from_array

from replicas.divergence import Watch, Watched
from replicas.model import Model
from replicas.profile import KSplit, NumericProfile

Array = np.ndarray[Any, Any]
Values = Mapping[str, tuple[str, Sequence[int | str | None] | None]]
node = helper.make_node


def numbers(*shape: int, seed: int = 0) -> Array:
    """Floats with no structure, the same each time; their sums are rounded."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(*shape: int, seed: int = 0) -> Array:
    """Whole numbers so small that their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def graph(
    nodes: Sequence[onnx.NodeProto], inputs: Values, outputs: Values, weights: Mapping[str, Any] | None = None
) -> onnx.GraphProto:
    def infos(values: Values) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, (dtype, shape) in values.items()]

    tensors = [from_array(name, value) for name, value in (weights or {}).items()]
    return helper.make_graph(list(nodes), "graph", infos(inputs), infos(outputs), tensors)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Values,
    outputs: Values,
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
) -> Model:
    made = helper.make_model(
        graph(nodes, inputs, outputs, weights), opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )
    return Model.from_bytes(made.SerializeToString(), name="small")


def reversed_split(watched: Model, inputs: Mapping[str, Array], *, slices: int = 8) -> Watched:
    """Watch a run whose products are split and added from the last slice to the first."""
    watch = Watch(watched, NumericProfile(summation=KSplit(slices=slices)))
    rows, _ = watch.order_shape
    return watch.run(inputs, np.tile(np.arange(slices)[::-1], (rows, 1)))


def one_inexact_among_many() -> Model:
    """A chain of ten products: whole numbers, but for the sixth, which multiplies by fractions."""
    nodes, weights, tensor = [], {}, "x"
    for layer in range(10):
        weights[f"w{layer}"] = numbers(64, 64) if layer == 5 else np.sign(whole(64, 64, seed=layer))
        nodes.append(node("MatMul", [tensor, f"w{layer}"], [f"m{layer}"]))
        tensor = f"m{layer}"
        if layer < 5:  # keeps the numbers whole and small
            nodes.append(node("Sign", [tensor], [f"s{layer}"]))
            tensor = f"s{layer}"
    return model(nodes, {"x": ("float32", (1, 64))}, {tensor: ("float32", (1, 64))}, weights)


def convolutions() -> Model:
    """Convolutions with all that the runtime fuses into them; 20 channels fill no whole number of blocks."""
    shapes = {"w1": (20, 3, 3, 3), "b1": (20,), "w2": (20, 20, 3, 3), "w3": (36, 20, 1, 1), "w4": (8, 36, 3, 3)}
    weights = {name: numbers(*shape) * np.float32(0.2) for name, shape in shapes.items()}
    weights |= {name: numbers(36, seed=seed) for seed, name in enumerate(("scale", "shift", "mean"))}
    weights |= {"variance": np.abs(numbers(36)) + np.float32(1), "dense": numbers(8 * 16, 10)}
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        node("Add", ["c2", "r1"], ["sum"]),
        node("Relu", ["sum"], ["r2"]),
        node("Conv", ["r2", "w3"], ["c3"]),
        node("BatchNormalization", ["c3", "scale", "shift", "mean", "variance"], ["normal"]),
        node("HardSigmoid", ["normal"], ["gate"]),
        node("Mul", ["normal", "gate"], ["gated"]),
        node("Conv", ["gated", "w4"], ["c4"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["c4"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pooled"], ["flat"]),
        node("Gemm", ["flat", "dense"], ["y"]),
    ]
    return model(nodes, {"x": ("float32", (1, 3, 8, 8))}, {"y": ("float32", (1, 10))}, weights, opset=13)


def gelu(before: str, after: str) -> list[onnx.NodeProto]:
    """The five nodes that the runtime fuses into one Gelu; they read the constants of `GELU`."""
    return [
        node("Div", [before, "root"], ["divided"]),
        node("Erf", ["divided"], ["erf"]),
        node("Add", ["erf", "one"], ["raised"]),
        node("Mul", [before, "raised"], ["product"]),
        node("Mul", ["product", "half"], [after]),
    ]


GELU = {"root": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}


def feed_forward() -> Model:
    """Exact nodes, a Gelu in the middle, and a product behind it."""
    nodes = [node("Neg", ["x"], ["n"]), *gelu("n", "g"), node("MatMul", ["g", "w"], ["y"])]
    weights = GELU | {"w": numbers(256, 8)}
    return model(nodes, {"x": ("float32", (1, 256))}, {"y": ("float32", (1, 8))}, weights)


def reshaped_by_its_own_size() -> Model:
    """A Reshape whose shape the graph puts together, as exporters do, and a Gelu behind it."""
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "first"], ["rows"]),
        node("Unsqueeze", ["rows", "axis"], ["leading"]),
        node("Concat", ["leading", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["flat"]),
        *gelu("flat", "y"),
    ]
    weights = GELU | {"first": np.int64(0), "axis": np.int64([0]), "rest": np.int64([-1])}
    return model(nodes, {"x": ("float32", ("n", 16, 16))}, {"y": ("float32", None)}, weights)


def gelu_in_a_branch(*, opset: int = 17) -> Model:
    """An If whose one branch has a Gelu, and whose other has exact nodes alone."""
    then = graph([node("Neg", ["x"], ["n"]), *gelu("n", "g")], {}, {"g": ("float32", (1, 256))})
    other = graph(
        [node("Cast", ["x"], ["whole"], to=TYPES["int64"]), node("Cast", ["whole"], ["back"], to=TYPES["float32"])],
        {},
        {"back": ("float32", (1, 256))},
    )
    return model(
        [node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        {"c": ("bool", ()), "x": ("float32", (1, 256))},
        {"y": ("float32", (1, 256))},
        GELU,
        opset=opset,
    )


def gelu_in_a_loop(*, opset: int = 17) -> Model:
    """A Loop that runs a Gelu over and over, and hands out what it makes."""
    body = graph(
        [*gelu("before", "after"), node("Identity", ["going"], ["on"]), node("Neg", ["after"], ["seen"])],
        {"i": ("int64", ()), "going": ("bool", ()), "before": ("float32", (1, 256))},
        {"on": ("bool", ()), "after": ("float32", (1, 256)), "seen": ("float32", (1, 256))},
    )
    return model(
        [node("Loop", ["times", "", "x"], ["y", "all"], body=body)],
        {"times": ("int64", ()), "x": ("float32", (1, 256))},
        {"y": ("float32", (1, 256)), "all": ("float32", (None, 1, 256))},
        GELU,
        opset=opset,
    )
