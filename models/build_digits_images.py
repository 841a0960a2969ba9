"""Rebuild `digits-images.npz`: scikit-learn's 1,797 handwritten digits, and which quarter of them is held out.

`image` uint8 [1797, 64], pixels 0..16 row by row · `label` uint8 [1797] · `held_out` bool [1797].
"""

from __future__ import annotations

import recipe  # first: it fixes BLAS before NumPy loads

# isort: split
import sys
from pathlib import Path

import numpy as np

SEED = 20_261
HELD_OUT_SHARE = 0.25


def build(folder: Path) -> None:
    """Write the images into `folder`."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    count = len(digits.target)
    # `random` is a fixed function of Philox's counter; `permutation` and `choice` may change between versions of NumPy.
    order = np.argsort(np.random.Generator(np.random.Philox(SEED)).random(count), kind="stable")
    held_out = np.zeros(count, dtype=np.bool_)
    held_out[order[: int(HELD_OUT_SHARE * count)]] = True
    arrays = {"image": digits.data.astype(np.uint8), "label": digits.target.astype(np.uint8), "held_out": held_out}
    recipe.write_npz(folder / recipe.IMAGES, arrays)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else recipe.MODELS)
