"""What an audit costs beside the runs and the sessions that it makes.

Every run and every session of an audit is written down and made again, bare: the same graphs under the same settings,
on the same tensors, and nothing else.

python -m benchmarks.audit
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import onnxruntime

from benchmarks.inference import large_model

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
            with made_note_of() as calls:
                started = time.perf_counter()
                lastbit.audit(path, samples=SAMPLES)
                audit_s = time.perf_counter() - started
            ratios.append(audit_s / bare_seconds(calls))
        print(
            f"an audit of {SAMPLES} inputs: {statistics.median(ratios):.2f} of its bare runs and sessions; "
            f"to reach: at most {TARGET}"
        )


@contextmanager
def made_note_of() -> Iterator[list[tuple[Any, ...]]]:
    """Every session that is made, and every run: which session, and what it was given."""
    calls: list[tuple[Any, ...]] = []
    numbers = count()

    class Noted(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)  # one that is refused is none
            self.number = next(numbers)
            calls.append(("session", given, named))

        def run(self, names: Any, inputs: Any, *rest: Any) -> Any:
            calls.append(("run", self.number, names, inputs))
            return super().run(names, inputs, *rest)

    with mock.patch.object(onnxruntime, "InferenceSession", Noted):
        yield calls


def bare_seconds(calls: list[tuple[Any, ...]]) -> float:
    """Time the same again."""
    sessions: list[Any] = []
    started = time.perf_counter()
    for call in calls:
        if call[0] == "session":
            call[1][1].optimized_model_filepath = ""  # the folder is gone
            sessions.append(onnxruntime.InferenceSession(*call[1], **call[2]))
        else:
            sessions[call[1]].run(call[2], call[3])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
