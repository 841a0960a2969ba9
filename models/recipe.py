"""What the recipes of the bundled models share: fixed numerics, the digits, and files with no clock in them.

A recipe imports this file first, because BLAS reads its settings when NumPy loads.
"""

from __future__ import annotations

import os
import sys

if "numpy" in sys.modules:
    raise ImportError("import recipe before numpy: BLAS reads its core type and its threads when NumPy loads")
# Set whatever the environment says. Haswell's kernels run wherever AVX2 does; builds for others ignore the name.
os.environ.update(OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import hashlib
import io
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tomli_w
from onnx import TensorProto, helper

MODELS = Path(__file__).resolve().parent
IMAGES = "digits-images.npz"
PIXELS = 64
PIXEL_MAX = 16
CLASSES = 10

# Written into the files instead of what the library would choose, so that a newer onnx gives the same bytes.
IR_VERSION = 8
OPSET = 17
ML_OPSET = 3


@dataclass(frozen=True)
class Digits:
    """The images as float64 in 0..16, shape [images, 64], their labels, and which of them no model was trained on."""

    images: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]


def read_digits(folder: Path) -> Digits:
    """Read the bundled images from `folder`."""
    with np.load(folder / IMAGES, allow_pickle=False) as arrays:
        return Digits(arrays["image"].astype(np.float64), arrays["label"].astype(np.int64), arrays["held_out"])


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an .npz whose bytes follow from its arrays alone: no time of day, no compression (zlib's varies)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # else it follows the operating system
            archive.writestr(entry, content.getvalue())


def write_model(path: Path, graph: onnx.GraphProto) -> None:
    """Check a graph and write it as an ONNX file whose bytes follow from the graph alone."""
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def image_input() -> onnx.ValueInfoProto:
    """The input of both models: pixels 0..16, row by row."""
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", PIXELS])


def held_out_accuracy(path: Path, digits: Digits, output: str) -> float:
    """Share of the held-out images whose label is the argmax of `output`, each run alone."""
    import onnxruntime  # here, since a rebuild of the model alone does not need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = digits.images[digits.held_out].astype(np.float32)
    scores = [session.run([output], {"image": images[i : i + 1]})[0] for i in range(len(images))]
    right = np.concatenate(scores).argmax(axis=1) == digits.labels[digits.held_out]
    return round(float(right.mean()), 4)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(
    folder: Path, name: str, facts: Mapping[str, object], *, accuracy: float, packages: tuple[str, ...]
) -> None:
    """Write the card of `folder/name.onnx`: `facts` as told by the recipe, and what was measured."""
    versions = {package: metadata.version(package) for package in packages}
    card: dict[str, object] = {
        "name": name,
        **facts,
        "accuracy_held_out": accuracy,
        "sha256": sha256(folder / f"{name}.onnx"),
        "licence": "Apache-2.0",
        "recipe": f"build_{name.replace('-', '_')}.py",
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["batch", PIXELS]}],
        "input_set": {
            "file": IMAGES,
            "sha256": sha256(folder / IMAGES),
            "input": "image",
            "low": 0,
            "high": PIXEL_MAX,
            "licence": "CC BY 4.0: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
        },
        "built_on": {
            "machine": platform.machine(),
            "processor_features": processor_features(),
            "python": platform.python_version(),
            **versions,
        },
    }
    (folder / f"{name}.toml").write_text(tomli_w.dumps(card), encoding="utf-8", newline="\n")


def processor_features() -> list[str]:
    """The features of this processor beyond the build's baseline, as NumPy names them (X86_V3 has AVX2 and FMA)."""
    found: list[str] = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return found
