"""What an audit costs beside the runs and the sessions that it needs.

python -m benchmarks.audit
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import onnx

from benchmarks.inference import large_model
from lastbit.auditing.auditing import Subject
from lastbit.auditing.measuring import REPEATED_INPUTS_MAX, REPEATS
from replicas.engine import OnnxRuntimeEngine
from replicas.library import named_profiles

SAMPLES = 100
REPEATED = 3
LAYERS = 4
TARGET = 1.3


def main() -> None:
    """Print the ratio, for a model of at least 2 ms."""
    import lastbit

    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        path = Path(folder) / "large.onnx"
        onnx.save(large_model(LAYERS), path)
        ratios = []
        for _ in range(REPEATED):
            started = time.perf_counter()
            lastbit.audit(path, samples=SAMPLES)
            audit_s = time.perf_counter() - started
            ratios.append(audit_s / bare_seconds(path))
        print(
            f"an audit of {SAMPLES} inputs: {statistics.median(ratios):.2f} of the bare runs and sessions that "
            f"it needs; to reach: at most {TARGET}"
        )


def bare_seconds(path: Path) -> float:
    """Time the same sessions and runs, and nothing else."""
    subject = Subject.load(path, None, None, None, None, None, 0)
    measuring = subject.measuring(named_profiles(), turns_knobs=True)
    replicas = list(measuring.engines())
    orders = [replica.order(0, 0) for replica in replicas]
    feeds = [subject.material.inputs.tensors(request).tensors for request in range(SAMPLES)]
    started = time.perf_counter()
    engines = [OnnxRuntimeEngine(subject.material.model, replica.profile) for replica in replicas]
    for number, feed in enumerate(feeds):
        for engine, order in zip(engines, orders, strict=True):
            for _ in range(REPEATS if number < REPEATED_INPUTS_MAX else 1):
                engine.run(feed, order)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
