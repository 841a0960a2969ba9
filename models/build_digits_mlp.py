"""Rebuild `digits-mlp.onnx`: a perceptron 64-128-64-10 trained by the loop below, and its card.

The bytes must not follow the machine. So nothing here rounds in an order that a library may choose: both sides of every
matrix product are put on a grid so coarse that the product is exact in float64 (`exact_product`), the loss is a squared
hinge (no exp, whose last bit follows the processor), and all else is +, -, *, / and sqrt of single elements, which
IEEE 754 fixes. BLAS's core type and threads are fixed as well, and the script asserts that no product was rounded.
"""

from __future__ import annotations

import recipe  # first: it fixes BLAS before NumPy loads

# isort: split
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float64]

NAME = "digits-mlp"
SEED = 1
WIDTHS = (recipe.PIXELS, 128, 64, recipe.CLASSES)
EPOCHS = 60
BATCH = 32
NOISE = 2  # clipped integer noise on each pixel, as the noisy input set has it
STEP, MEAN_DECAY, SQUARE_DECAY, TINY = 2e-3, 0.9, 0.999, 1e-8  # Kingma and Ba, "Adam", 2015

GRID_BITS = 20  # both sides of a product are multiples of 2**-20
EXACT_BITS = 53  # of a float64


def exact_product(left: Array, right: Array) -> Array:
    """The product of two matrices, both first rounded to the grid: exact, so the same in any order of summation."""
    left, right = on_grid(left), on_grid(right)
    bound = np.abs(left) @ np.abs(right) if left.size else np.zeros(1)
    if bound.max() * 2.0 ** (2 * GRID_BITS) >= 2.0**EXACT_BITS:
        raise ArithmeticError(f"a product of magnitude {bound.max():g} is not exact on a grid of 2**-{GRID_BITS}")
    product: Array = left @ right
    return product


def on_grid(values: Array) -> Array:
    """`values` rounded to the nearest multiple of the grid."""
    rounded: Array = np.rint(values * 2.0**GRID_BITS) * 2.0**-GRID_BITS
    return rounded


@dataclass
class Adam:
    """One parameter under Adam, with its running moments."""

    value: Array

    def __post_init__(self) -> None:
        self.mean = np.zeros_like(self.value)
        self.square = np.zeros_like(self.value)
        self.mean_left = self.square_left = 1.0

    def step(self, gradient: Array) -> None:
        """Move against the gradient."""
        self.mean_left *= MEAN_DECAY
        self.square_left *= SQUARE_DECAY
        self.mean = MEAN_DECAY * self.mean + (1 - MEAN_DECAY) * gradient
        self.square = SQUARE_DECAY * self.square + (1 - SQUARE_DECAY) * (gradient * gradient)
        scale = np.sqrt(self.square / (1 - self.square_left)) + TINY
        self.value = self.value - STEP * (self.mean / (1 - self.mean_left)) / scale


@dataclass
class Layer:
    """One affine layer."""

    weight: Adam
    bias: Adam

    @classmethod
    def drawn(cls, generator: np.random.Generator, inputs: int, outputs: int) -> Layer:
        """A layer with uniform weights of the variance that keeps the scale of rectified signals (He et al., 2015)."""
        weight = (2 * generator.random((inputs, outputs)) - 1) * np.sqrt(6.0 / inputs)
        return cls(Adam(weight), Adam(np.zeros((1, outputs))))

    def forward(self, signal: Array) -> Array:
        """The layer applied to a batch."""
        result: Array = exact_product(signal, self.weight.value) + self.bias.value
        return result

    def backward(self, signal: Array, slope: Array) -> Array:
        """Take one step, and give the slope of the loss by the layer's input."""
        below = exact_product(slope, self.weight.value.T)
        self.weight.step(exact_product(signal.T, slope))
        self.bias.step(exact_product(np.ones((1, len(slope))), slope))
        return below


def train(digits: recipe.Digits) -> list[Layer]:
    """Train on the images that are not held out."""
    generator = np.random.Generator(np.random.Philox(SEED))
    layers = [Layer.drawn(generator, *widths) for widths in itertools.pairwise(WIDTHS)]
    for images, labels in batches(digits, generator):
        signals = [images]
        for layer in layers[:-1]:
            signals.append(np.maximum(layer.forward(signals[-1]), 0.0))
        slope = hinge_slope(layers[-1].forward(signals[-1]), labels)
        for layer, signal in zip(reversed(layers), reversed(signals), strict=True):
            slope = layer.backward(signal, slope) * (signal > 0)
    return layers


def batches(digits: recipe.Digits, generator: np.random.Generator) -> Iterator[tuple[Array, npt.NDArray[np.int64]]]:
    """Noisy training images scaled to 0..1 with their labels, in a new order for each epoch."""
    images, labels = digits.images[~digits.held_out], digits.labels[~digits.held_out]
    for _ in range(EPOCHS):
        order = np.argsort(generator.random(len(images)), kind="stable")
        noise = np.floor(generator.random(images.shape) * (2 * NOISE + 1)) - NOISE
        noisy = np.clip(images + noise, 0, recipe.PIXEL_MAX) / recipe.PIXEL_MAX
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield noisy[chosen], labels[chosen]


def hinge_slope(scores: Array, labels: npt.NDArray[np.int64]) -> Array:
    """Slope, by the scores, of the mean squared hinge loss: each class should score above 1 or below -1."""
    sign = np.where(np.arange(recipe.CLASSES) == labels[:, None], 1.0, -1.0)
    slope: Array = -sign * np.maximum(1.0 - sign * scores, 0.0) / len(scores)
    return slope


def write(path: Path, layers: list[Layer]) -> None:
    """Write one Gemm for each layer, Relu between; the input's scale of 1/16 goes into the first weights, exactly."""
    nodes, tensors, signal = [], [], "image"
    for index, layer in enumerate(layers):
        last = index == len(layers) - 1
        scale = 1 / recipe.PIXEL_MAX if index == 0 else 1.0
        weight = (layer.weight.value * scale).astype(np.float32)
        tensors.append(numpy_helper.from_array(weight, f"weight{index}"))
        tensors.append(numpy_helper.from_array(layer.bias.value[0].astype(np.float32), f"bias{index}"))
        output = "scores" if last else f"sum{index}"
        gemm = helper.make_node("Gemm", [signal, f"weight{index}", f"bias{index}"], [output], name=f"layer{index}")
        nodes.append(gemm)
        if not last:
            signal = f"signal{index}"
            nodes.append(helper.make_node("Relu", [output], [signal], name=f"relu{index}"))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", recipe.CLASSES])
    recipe.write_model(path, helper.make_graph(nodes, NAME, [recipe.image_input()], [scores], tensors))


def build(folder: Path) -> None:
    """Train on `folder`'s images and write the model and its card there."""
    digits = recipe.read_digits(folder)
    path = folder / f"{NAME}.onnx"
    write(path, train(digits))
    facts = {
        "title": "A perceptron that reads handwritten digits",
        "task": "Classify an 8x8 image of a handwritten digit; scores are raw, the highest is the answer.",
        "data": "scikit-learn's bundled digits (UCI), 1,797 images; three quarters trained on, with noise -2..2.",
        "architecture": "64-128-64-10, Gemm and Relu, float32",
        "score_output": "scores",
        "outputs": [{"name": "scores", "dtype": "float32", "shape": ["batch", recipe.CLASSES]}],
    }
    accuracy = recipe.held_out_accuracy(path, digits, "scores")
    recipe.write_card(folder, NAME, facts, accuracy=accuracy, packages=("numpy", "onnx", "onnxruntime"))


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else recipe.MODELS)
