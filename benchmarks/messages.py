"""Delivered messages a second of every protocol at n = 16, with all its logic and the running digest, against the bare
SimPy loop.

The figure is of whole runs, observers and trace included. The model's answers are in the store beforehand: another
benchmark says what inference costs.

python -m benchmarks.messages
"""

from __future__ import annotations

import statistics
from itertools import product

from benchmarks import simpy_loop
from benchmarks.runs import scenario, timed
from lastbit.protocols import PROTOCOLS
from lastbit.running import Prepared

REPLICAS = 16
BLOCKS = 40
REPEATS = 20
TARGET = 0.45

LATENCIES = {
    "constant": {"kind": "constant", "ms": 10},
    "uniform": {"kind": "uniform", "low_ms": 5, "high_ms": 15},
}


def main() -> None:
    """Print the ratio for each protocol and latency: the loops take turns, so that all meet the same machine."""
    runs = {
        (protocol, latency): Prepared(
            scenario(replicas=REPLICAS, blocks=BLOCKS, protocol=protocol, network={"latency": LATENCIES[latency]})
        )
        for protocol, latency in product(PROTOCOLS, LATENCIES)
    }
    for prepared in runs.values():
        timed(prepared)
    ratios: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    for _ in range(REPEATS):
        for run, prepared in runs.items():
            ours = timed(prepared)
            ratios[run].append(simpy_loop.seconds(ours.messages) / ours.cpu_s)
    for (protocol, latency), found in ratios.items():
        print(
            f"messages a second, {protocol}, n = {REPLICAS}, {latency} delays: {statistics.median(found):.2f} of the "
            f"bare SimPy loop ({min(found):.2f} .. {max(found):.2f} in {REPEATS} pairs); to reach: {TARGET}"
        )


if __name__ == "__main__":
    main()
