"""A recipe rebuilds its files byte for byte, whatever the environment says about BLAS."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lastbit import resources

MODELS = resources.models_folder()


def rebuild(script: str, folder: Path) -> None:
    """Run a recipe in a fresh process, with settings of BLAS that it must overrule."""
    hostile = {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(MODELS / script), str(folder)]
    subprocess.run(command, env={**os.environ, **hostile}, check=True, timeout=300)


def test_the_perceptron_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    shutil.copy(MODELS / "digits-images.npz", tmp_path)
    rebuild("build_digits_mlp.py", tmp_path)
    assert (tmp_path / "digits-mlp.onnx").read_bytes() == (MODELS / "digits-mlp.onnx").read_bytes()


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn comes with the group `recipes`")
def test_all_files_are_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    rebuild("build.py", tmp_path)
    for name in ("digits-images.npz", "digits-mlp.onnx", "digits-forest.onnx"):
        assert (tmp_path / name).read_bytes() == (MODELS / name).read_bytes(), name


def test_a_recipe_refuses_to_begin_after_numpy_was_loaded() -> None:
    code = f"import sys; sys.path.insert(0, {str(MODELS)!r}); import numpy, recipe"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "import recipe before numpy" in done.stderr
