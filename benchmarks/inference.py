"""What a run costs beside the model itself.

python -m benchmarks.inference
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.runs import scenario, timed
from lastbit.running import Prepared

WIDTH = 2_048
LAYERS = 3
BLOCKS = 150
REPEATS = 5
TARGET = 1.15


def main() -> None:
    """Print the ratio for a large model, and the microseconds added for the bundled ones."""
    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        path = Path(folder) / "large.onnx"
        onnx.save(large_model(), path)
        ratios, milliseconds = [], 0.0
        for _ in range(REPEATS):
            run_s, bare_s = run_and_bare(Prepared(scenario(replicas=4, blocks=BLOCKS, model=path)))
            ratios.append(run_s / bare_s)
            milliseconds = bare_s / BLOCKS * 1e3
        print(
            f"a run on a model of {milliseconds:.1f} ms: {statistics.median(ratios):.3f} of bare session.run calls; "
            f"to reach: at most {TARGET}"
        )
    for name in ("digits-mlp", "digits-forest"):
        added = []
        for _ in range(REPEATS):
            run_s, bare_s = run_and_bare(Prepared(scenario(replicas=4, blocks=1_000, name=name)))
            added.append((run_s - bare_s) / 1_000 * 1e6)
        block_us = statistics.median(added)
        print(
            f"{name}: {block_us / 4:.0f} microseconds added to each inference that is asked, {block_us:.0f} to a block"
        )


def run_and_bare(prepared: Prepared) -> tuple[float, float]:
    """Seconds of a run, and of bare `session.run` calls on the same inputs with the same session."""
    blocks = prepared.scenario.chain.blocks
    feeds = [dict(prepared.material.inputs.tensors(request).tensors) for request in range(blocks)]
    session = prepared.replicas[0].engine._session  # type: ignore[attr-defined]
    run_s = timed(prepared).seconds
    started = time.perf_counter()
    for feed in feeds:
        session.run(None, feed)
    return run_s, time.perf_counter() - started


def large_model() -> onnx.ModelProto:
    """A perceptron of a few milliseconds."""
    rng = np.random.default_rng(1)
    nodes, weights, last = [], [], "x"
    for layer in range(LAYERS):
        weight = (rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], [f"y{layer}"]))
        last = f"y{layer}"
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, WIDTH])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


if __name__ == "__main__":
    main()
