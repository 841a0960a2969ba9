"""What bits depend on besides the scenario: package versions, and what the processor can do."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from lastbit import resources
from lastbit.result import Environment

# Those whose arithmetic, or whose random numbers, reach a result.
_DECIDING = ("lastbit", "numpy", "onnx", "onnxruntime", "simpy")


@cache
def current_environment() -> Environment:
    """The versions and the processor of this process."""
    return Environment(
        versions={"python": platform.python_version(), **{name: _version(name) for name in _DECIDING}},
        processor=platform.machine(),
        processor_features=_processor_features(),
    )


@cache
def untested_versions() -> tuple[str, ...]:
    """The packages, with their versions, that are others than those lastbit was tested with.

    Raises:
        ResourceError: the installation lacks the file of tested versions.
    """
    lines = resources.constraints_path().read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==", 1) for line in lines if "==" in line)
    found = current_environment().versions
    return tuple(
        f"{name} {found[name]} (tested with {tested[name]})"
        for name in _DECIDING
        if name in tested and found[name] != tested[name]
    )


def _processor_features() -> tuple[str, ...]:
    """What the processor can do beyond what NumPy was built for; NumPy leaves the entry out where that is nothing."""
    return tuple(np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", ()))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that was never installed
        return "not installed"
