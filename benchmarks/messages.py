"""Delivered messages a second, PBFT at n = 16 with all its logic and the running digest, against the bare SimPy loop.

The figure is of whole runs, observers and trace included. The model's answers are in the store beforehand: another
benchmark says what inference costs.

python -m benchmarks.messages
"""

from __future__ import annotations

import statistics

from benchmarks import simpy_loop
from benchmarks.runs import scenario, timed
from lastbit.running import Prepared

REPLICAS = 16
BLOCKS = 40
REPEATS = 40
TARGET = 0.45

LATENCIES = {
    "constant": {"kind": "constant", "ms": 10},
    "uniform": {"kind": "uniform", "low_ms": 5, "high_ms": 15},
}


def main() -> None:
    """Print the ratio for each latency: the loops take turns, so that all meet the same machine."""
    ratios: dict[str, list[float]] = {name: [] for name in LATENCIES}
    for name, latency in LATENCIES.items():
        prepared = Prepared(scenario(replicas=REPLICAS, blocks=BLOCKS, network={"latency": latency}))
        timed(prepared)
        for _ in range(REPEATS):
            ours = timed(prepared)
            ratios[name].append(simpy_loop.seconds(ours.messages) / ours.seconds)
    for name, found in ratios.items():
        print(
            f"messages a second, n = {REPLICAS}, {name} delays: {statistics.median(found):.2f} of the bare SimPy loop "
            f"({min(found):.2f} .. {max(found):.2f} in {REPEATS} pairs); to reach: {TARGET}"
        )


if __name__ == "__main__":
    main()
