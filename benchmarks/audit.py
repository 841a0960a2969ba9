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
from replicas.batching import Tensors
from replicas.engine import OnnxRuntimeEngine
from replicas.library import named_profiles
from replicas.replica import Order, Replica

SAMPLES = 100
REPEATED = 3
LAYERS = 4
TARGET = 1.3


def main() -> None:
    """Print the ratio, for a model of at least 2 ms."""
    import lastbit

    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        path = Path(folder) / "large.onnx"
        onnx.save(large_model(LAYERS, batch="n"), path)
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
    """Time the same sessions and runs, batches among them, and nothing else."""
    subject = Subject.load(path, None, None, None, None, None, 0)
    replicas = list(subject.measuring(named_profiles(), turns_knobs=True).distinct())
    profiles = {replica.engine.identity: replica.profile for replica in replicas}
    runs = [run for request in range(SAMPLES) for replica in replicas for run in needed(replica, request)]
    started = time.perf_counter()
    engines = {identity: OnnxRuntimeEngine(subject.material.model, each) for identity, each in profiles.items()}
    for identity, tensors, order in runs:
        engines[identity].run(tensors, order)
    return time.perf_counter() - started


def needed(replica: Replica, request: int) -> list[tuple[str, Tensors, Order | None]]:
    """The runs that a request needs: none where the batch that it is in has been run for the one before it."""
    run = replica.run_of(request, attempt=0)
    if run.place:
        return []
    tensors = replica.workload.feeds(run.inputs, run.place, subject=replica.engine)
    repeats = REPEATS if request < REPEATED_INPUTS_MAX else 1
    return [(replica.engine.identity, tensors, run.order)] * repeats


if __name__ == "__main__":
    main()
