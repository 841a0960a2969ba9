"""Rebuild every bundled model, its card and its input set, here or in the folder named on the command line."""

from __future__ import annotations

import recipe  # first: it fixes BLAS before NumPy loads

# isort: split
import sys
from pathlib import Path

import build_digits_forest
import build_digits_images
import build_digits_mlp


def build(folder: Path) -> None:
    """Write all files into `folder`: the images first, since both models are trained on them."""
    build_digits_images.build(folder)
    build_digits_mlp.build(folder)
    build_digits_forest.build(folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else recipe.MODELS)
