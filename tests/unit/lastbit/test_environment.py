from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from lastbit import environment, resources


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for cached in (environment.current_environment, environment.untested_versions):
        cached.cache_clear()
    yield
    for cached in (environment.current_environment, environment.untested_versions):
        cached.cache_clear()


def test_the_versions_that_decide_bits_and_draws_are_named() -> None:
    versions = environment.current_environment().versions

    assert versions["onnxruntime"] == onnxruntime.__version__
    assert versions["numpy"] == np.__version__
    assert set(versions) >= {"python", "lastbit", "onnx", "simpy"}


def test_a_processor_with_nothing_beyond_what_numpy_was_built_for_has_no_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show_config(mode: str) -> dict[str, Any]:
        return {"SIMD Extensions": {"baseline": ["NEON"]}}  # NumPy leaves empty entries out

    monkeypatch.setattr(np, "show_config", show_config)

    assert environment.current_environment().processor_features == ()


def test_a_package_that_was_not_tested_is_named_with_both_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"numpy==1.0.0\nonnxruntime=={onnxruntime.__version__}\n")
    monkeypatch.setattr(resources, "constraints_path", lambda: constraints)

    assert environment.untested_versions() == (f"numpy {np.__version__} (tested with 1.0.0)",)
