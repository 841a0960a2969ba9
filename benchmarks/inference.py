"""What a run costs beside the model itself.

A block costs about the same whatever the model, so the ratio is that of one block's work to its inferences: two models,
and two fleets, whose blocks take four inferences or one. Where a model is heavy a run
computes the next block ahead in threads, so the ratio falls below one where a processor is free: the bare loop has one
thread.

python -m benchmarks.inference
"""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.runs import scenario, timed
from lastbit.running import Prepared

LEVELS = ("off", "basic", "extended", "all")
WIDTH = 64
LAYERS = (4, 8)
PIXELS = 32
BLOCKS = 150
REPEATS = 5
TARGET = 1.15


def main() -> None:
    """Print the ratios for a large model, and the microseconds added for the bundled ones."""
    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        fleets: dict[str, dict[str, Any]] = {
            "four profiles": {
                "replica": [{"id": i, "profile": {"optimization": each}} for i, each in enumerate(LEVELS)]
            },
            "one profile": {},
        }
        for layers, (name, tables) in product(LAYERS, fleets.items()):
            path = Path(folder) / f"{layers}.onnx"
            onnx.save(large_model(layers), path)
            chosen = scenario(replicas=4, blocks=BLOCKS, model=path, **tables)
            runs = [run_and_bare(Prepared(chosen), blocks=BLOCKS) for _ in range(REPEATS)]
            ratio = statistics.median(run_s / bare_s for run_s, bare_s, _ in runs)
            milliseconds = statistics.median(bare_s / calls for _, bare_s, calls in runs) * 1e3
            block_us = statistics.median(run_s - bare_s for run_s, bare_s, _ in runs) / BLOCKS * 1e6
            print(
                f"a run of 4 replicas, {name}, on a model of {milliseconds:.1f} ms: {ratio:.3f} of bare session.run "
                f"calls, {block_us:.0f} microseconds added to a block; to reach: at most {TARGET}"
            )
    for name in ("digits-mlp", "digits-forest"):
        chosen = scenario(replicas=4, blocks=1_000, name=name)
        runs = [run_and_bare(Prepared(chosen), blocks=1_000) for _ in range(REPEATS)]
        block_us = statistics.median(run_s - bare_s for run_s, bare_s, _ in runs) / 1_000 * 1e6
        print(f"{name}: {block_us / 4:.0f} microseconds added to each inference asked, {block_us:.0f} to a block")


def run_and_bare(prepared: Prepared, *, blocks: int) -> tuple[float, float, int]:
    """Seconds of a run, seconds of bare `session.run` calls on its inputs with its sessions, and how many those are."""
    feeds = [dict(prepared.material.inputs.tensors(request).tensors) for request in range(blocks)]
    sessions = {id(replica.engine): replica.engine._session for replica in prepared.replicas}  # type: ignore[attr-defined]
    run_s = timed(prepared).seconds
    started = time.perf_counter()
    for feed in feeds:
        for session in sessions.values():
            session.run(None, feed)
    return run_s, time.perf_counter() - started, len(feeds) * len(sessions)


def large_model(layers: int, *, batch: int | str = 1) -> onnx.ModelProto:
    """A convolutional network of a few milliseconds: bound by arithmetic, as image classifiers are."""
    rng = np.random.default_rng(1)
    nodes, weights, last, channels = [], [], "x", 3
    for layer in range(layers):
        weight = rng.standard_normal((WIDTH, channels, 3, 3)) / (9 * channels) ** 0.5
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"y{layer}"]))
        last, channels = f"y{layer}", WIDTH
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["y"]))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, PIXELS, PIXELS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, WIDTH, 1, 1])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


if __name__ == "__main__":
    main()
