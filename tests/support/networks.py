"""Networks of the shapes that people bring, with small widths, as exporters write them at old and new operator sets.

Weights have no structure. Every network takes one input and gives "y"; the axes that are a name are left open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from replicas.model import Model

Axis = int | str
NETWORKS: dict[str, Callable[[int, bool], Model]] = {}
KINDS: Mapping[str, Sequence[str]] = {
    "cnn": ("resnet", "mobilenet", "lenet"),
    "transformer": ("bert", "gpt"),
    "recurrent": ("lstm-classifier", "crnn"),
}
LENGTH, VOCABULARY = 12, 50


class Network:
    """A graph as it is written, node by node.

    Args:
        opset: version of the standard operator set.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._rng = np.random.default_rng(0)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; give the name of its output, or of its outputs."""
        names = [f"{operator.lower()}_{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, name=f"/{names[0]}", **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def weight(self, *shape: int) -> str:
        """Weights that keep what goes through them at about its size."""
        fan_in = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        return self.tensor((self._rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))

    def positive(self, *shape: int) -> str:
        """Numbers from 0.5 to 1.5."""
        return self.tensor(self._rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def tensor(self, value: NDArray[Any]) -> str:
        """An initializer."""
        self._weights.append(numpy_helper.from_array(value, f"w{len(self._weights)}"))
        return str(self._weights[-1].name)

    def integers(self, *values: int) -> str:
        """A vector of whole numbers."""
        return self.tensor(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """A number."""
        return self.tensor(np.array(value, np.float32))

    def squeeze(self, x: str, axis: int) -> str:
        """Take an axis of 1 away."""
        if self.opset < 13:
            return str(self.add("Squeeze", x, axes=[axis]))
        return str(self.add("Squeeze", x, self.integers(axis)))

    def split(self, x: str, parts: int, axis: int) -> tuple[str, ...]:
        """Cut into equal parts."""
        counted = {"num_outputs": parts} if self.opset >= 18 else {}
        return tuple(self.add("Split", x, outputs=parts, axis=axis, **counted))

    def model(self, name: str, element: int, shape: Sequence[Axis], y: str) -> Model:
        """The network as a model, whose input has that type and shape."""
        self._nodes.append(helper.make_node("Identity", [y], ["y"]))
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("x", element, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            self._weights,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return Model.from_bytes(proto.SerializeToString(), name=name)


def _network(name: str) -> Callable[[Callable[[int, bool], Model]], Callable[[int, bool], Model]]:
    def register(build: Callable[[int, bool], Model]) -> Callable[[int, bool], Model]:
        NETWORKS[name] = build
        return build

    return register


def _conv(net: Network, x: str, channels: int, outputs: int, kernel: int, stride: int = 1, *, group: int = 1) -> str:
    """A convolution with batch normalisation behind it."""
    pads = [kernel // 2] * 4
    weight = net.weight(outputs, channels // group, kernel, kernel)
    y = net.add("Conv", x, weight, pads=pads, strides=[stride] * 2, group=group, kernel_shape=[kernel] * 2)
    return str(
        net.add(
            "BatchNormalization",
            y,
            net.positive(outputs),
            net.weight(outputs),
            net.weight(outputs),
            net.positive(outputs),
        )
    )


@_network("resnet")
def resnet(opset: int, is_open: bool) -> Model:
    """ResNet-18 at a quarter of its width: a 7x7 layer that reads colours, four stages of two blocks, a head."""
    net = Network(opset)
    x = net.add("Relu", _conv(net, "x", 3, 16, 7, 2))
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 16
    for outputs in (16, 32, 64, 128):
        for block in range(2):
            stride = 2 if block == 0 and outputs > 16 else 1
            y = net.add("Relu", _conv(net, x, width, outputs, 3, stride))
            y = _conv(net, y, outputs, outputs, 3)
            x = x if width == outputs else _conv(net, x, width, outputs, 1, stride)
            x, width = net.add("Relu", net.add("Add", y, x)), outputs
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    y = net.add("Gemm", x, net.weight(100, width), net.weight(100), transB=1)
    return net.model("resnet", TensorProto.FLOAT, ["batch" if is_open else 1, 3, 64, 64], y)


@_network("mobilenet")
def mobilenet(opset: int, is_open: bool) -> Model:
    """MobileNetV2 at a half of its width: blocks that widen, filter each channel apart, and narrow again."""
    net = Network(opset)

    def relu6(x: str) -> str:
        return str(net.add("Clip", x, net.scalar(0), net.scalar(6)))

    x, width = relu6(_conv(net, "x", 3, 16, 3, 2)), 16
    for expansion, outputs, repeats, stride in (
        (1, 8, 1, 1),
        (6, 12, 2, 2),
        (6, 16, 3, 2),
        (6, 32, 4, 2),
        (6, 48, 3, 1),
    ):
        for index in range(repeats):
            wide = width * expansion
            y = x if expansion == 1 else relu6(_conv(net, x, width, wide, 1))
            y = relu6(_conv(net, y, wide, wide, 3, stride if index == 0 else 1, group=wide))
            y = _conv(net, y, wide, outputs, 1)
            is_residual = width == outputs and (stride == 1 or index > 0)
            x, width = (net.add("Add", x, y) if is_residual else y), outputs
    x = relu6(_conv(net, x, width, 160, 1))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    y = net.add("Gemm", x, net.weight(100, 160), net.weight(100), transB=1)
    return net.model("mobilenet", TensorProto.FLOAT, ["batch" if is_open else 1, 3, 64, 64], y)


@_network("lenet")
def lenet(opset: int, is_open: bool) -> Model:
    """LeNet-5: one channel, 5x5 kernels, three layers behind them."""
    net = Network(opset)
    x = net.add("Relu", net.add("Conv", "x", net.weight(6, 1, 5, 5), net.weight(6), pads=[2] * 4))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Relu", net.add("Conv", x, net.weight(16, 6, 5, 5), net.weight(16)))
    x = net.add("Flatten", net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    for inputs, outputs in ((400, 120), (120, 84)):
        x = net.add("Relu", net.add("Gemm", x, net.weight(outputs, inputs), net.weight(outputs), transB=1))
    y = net.add("Gemm", x, net.weight(10, 84), net.weight(10), transB=1)
    return net.model("lenet", TensorProto.FLOAT, ["batch" if is_open else 1, 1, 28, 28], y)


def _layer_norm(net: Network, x: str, width: int) -> str:
    if net.opset >= 17:
        return str(net.add("LayerNormalization", x, net.positive(width), net.weight(width)))
    centred = net.add("Sub", x, net.add("ReduceMean", x, axes=[-1]))
    variance = net.add("ReduceMean", net.add("Pow", centred, net.scalar(2)), axes=[-1])
    scale = net.add("Sqrt", net.add("Add", variance, net.scalar(1e-5)))
    return str(net.add("Add", net.add("Mul", net.add("Div", centred, scale), net.positive(width)), net.weight(width)))


def _lengths(net: Network, x: str, *last: int) -> str:
    """The first two axes of a tensor, and others behind: how exporters write a view."""
    first_two = net.add("Gather", net.add("Shape", x), net.integers(0, 1), axis=0)
    return str(net.add("Concat", first_two, net.integers(*last), axis=0))


def _attention(net: Network, q: str, k: str, v: str, heads: int, width: int, mask: str = "") -> str:
    q, k, v = (net.add("Reshape", each, _lengths(net, each, heads, width // heads)) for each in (q, k, v))
    q, v = (net.add("Transpose", each, perm=[0, 2, 1, 3]) for each in (q, v))
    scores = net.add("MatMul", q, net.add("Transpose", k, perm=[0, 2, 3, 1]))
    scores = net.add("Div", scores, net.scalar((width // heads) ** 0.5))
    if mask:
        scores = net.add("Add", scores, mask)
    mixed = net.add("Transpose", net.add("MatMul", net.add("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    return str(net.add("Reshape", mixed, _lengths(net, mixed, width)))


def _gelu(net: Network, x: str) -> str:
    half = net.add("Mul", x, net.scalar(0.5))
    return str(
        net.add("Mul", half, net.add("Add", net.add("Erf", net.add("Div", x, net.scalar(2**0.5))), net.scalar(1)))
    )


@_network("bert")
def bert(opset: int, is_open: bool) -> Model:
    """Two layers of a BERT encoder of width 96 and 6 heads, a pooled token and a head."""
    net, width, heads = Network(opset), 96, 6

    def dense(x: str, inputs: int, outputs: int) -> str:
        return str(net.add("Add", net.add("MatMul", x, net.weight(inputs, outputs)), net.weight(outputs)))

    x = net.add("Gather", net.weight(VOCABULARY, width), "x")
    for _ in range(2):
        q, k, v = (dense(x, width, width) for _ in range(3))
        x = _layer_norm(net, net.add("Add", x, dense(_attention(net, q, k, v, heads, width), width, width)), width)
        hidden = _gelu(net, dense(x, width, 4 * width))
        x = _layer_norm(net, net.add("Add", x, dense(hidden, 4 * width, width)), width)
    first = net.add("Gather", x, net.tensor(np.array(0)), axis=1)
    pooled = net.add("Tanh", net.add("Gemm", first, net.weight(width, width), net.weight(width), transB=1))
    y = net.add("Gemm", pooled, net.weight(3, width), net.weight(3), transB=1)
    shape = ["batch", "length"] if is_open else [1, LENGTH]
    return net.model("bert", TensorProto.INT64, shape, y)


@_network("gpt")
def gpt(opset: int, is_open: bool) -> Model:
    """Two layers of a GPT-2 decoder of width 96: one product for queries, keys and values, a causal mask, and a head
    that is the table of tokens transposed."""
    net, width, heads = Network(opset), 96, 6
    table = net.weight(VOCABULARY, width)
    later = net.tensor(np.triu(np.full((1, 1, 64, 64), -1e4, np.float32), k=1))
    length = net.add("Gather", net.add("Shape", "x"), net.integers(1), axis=0)
    mask = later
    for axis in (2, 3):
        mask = net.add("Slice", mask, net.integers(0), length, net.integers(axis))

    def conv1d(x: str, inputs: int, outputs: int) -> str:
        flat = net.add("Reshape", x, net.integers(-1, inputs))
        y = net.add("Gemm", flat, net.weight(inputs, outputs), net.weight(outputs))
        return str(net.add("Reshape", y, _lengths(net, x, outputs)))

    x = net.add("Gather", table, "x")
    for _ in range(2):
        q, k, v = net.split(conv1d(_layer_norm(net, x, width), width, 3 * width), 3, axis=2)
        x = net.add("Add", x, conv1d(_attention(net, q, k, v, heads, width, mask), width, width))
        hidden = _gelu(net, conv1d(_layer_norm(net, x, width), width, 4 * width))
        x = net.add("Add", x, conv1d(hidden, 4 * width, width))
    y = net.add("MatMul", _layer_norm(net, x, width), net.add("Transpose", table, perm=[1, 0]))
    shape = ["batch", "length"] if is_open else [1, LENGTH]
    return net.model("gpt", TensorProto.INT64, shape, y)


def _recurrent(net: Network, operator: str, x: str, inputs: int, hidden: int) -> str:
    """A bidirectional layer over length x batch x inputs; both directions side by side."""
    rows = {"LSTM": 4, "GRU": 3}[operator] * hidden
    weights = [net.weight(2, rows, inputs), net.weight(2, rows, hidden), net.weight(2, 2 * rows)]
    attributes = {"linear_before_reset": 1} if operator == "GRU" else {}
    y = net.add(operator, x, *weights, hidden_size=hidden, direction="bidirectional", **attributes)
    y = net.add("Transpose", y, perm=[0, 2, 1, 3])
    return str(net.add("Reshape", y, net.integers(0, 0, -1)))


@_network("lstm-classifier")
def lstm_classifier(opset: int, is_open: bool) -> Model:
    """A table of tokens, two bidirectional LSTMs, and a head that reads the last step."""
    net = Network(opset)
    x = net.add("Transpose", net.add("Gather", net.weight(VOCABULARY, 32), "x"), perm=[1, 0, 2])
    x = _recurrent(net, "LSTM", x, 32, 24)
    x = _recurrent(net, "LSTM", x, 48, 24)
    last = net.add("Gather", x, net.tensor(np.array(-1)), axis=0)
    y = net.add("Gemm", last, net.weight(5, 48), net.weight(5), transB=1)
    shape = ["batch", "length"] if is_open else [1, LENGTH]
    return net.model("lstm-classifier", TensorProto.INT64, shape, y)


@_network("crnn")
def crnn(opset: int, is_open: bool) -> Model:
    """Reading a line of text: convolutions over a grey image, its columns as steps of a GRU and an LSTM, letters."""
    net = Network(opset)
    x, width = "x", 1
    for outputs, pool in ((16, [2, 2]), (32, [2, 2]), (48, [2, 1]), (48, [2, 1])):
        x = net.add("Relu", _conv(net, x, width, outputs, 3))
        x, width = net.add("MaxPool", x, kernel_shape=pool, strides=pool), outputs
    x = net.add("Relu", net.add("Conv", x, net.weight(48, 48, 2, 2), net.weight(48)))
    x = net.add("Transpose", net.squeeze(x, 2), perm=[2, 0, 1])
    x = _recurrent(net, "GRU", x, 48, 24)
    x = _recurrent(net, "LSTM", x, 48, 24)
    y = net.add("MatMul", x, net.weight(48, 30))
    return net.model("crnn", TensorProto.FLOAT, ["batch" if is_open else 1, 1, 32, 64], y)


def input_of(model: Model) -> dict[str, NDArray[Any]]:
    """One input; open axes have a batch of 1 and a length of `LENGTH`."""
    (spec,) = model.inputs
    lengths = {"batch": 1, "length": LENGTH}
    shape = [lengths[each] if isinstance(each, str) else int(each or 1) for each in spec.shape]
    rng = np.random.default_rng(3)
    if spec.dtype == "int64":
        return {"x": rng.integers(0, VOCABULARY, shape)}
    return {"x": rng.standard_normal(shape).astype(np.float32)}
