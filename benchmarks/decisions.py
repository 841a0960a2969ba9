"""The time of a decision among many replicas, against the bare SimPy loop's time for as many events.

python -m benchmarks.decisions
"""

from __future__ import annotations

import statistics

from benchmarks import simpy_loop
from benchmarks.runs import scenario, timed
from lastbit.protocols import PROTOCOLS
from lastbit.running import Prepared

BLOCKS = {128: 6, 512: 1}
REPEATS = 3
TARGET = 2.5


def main() -> None:
    """Print the ratio for each protocol: the loops take turns, so that all meet the same machine."""
    for n, blocks in BLOCKS.items():
        runs = {name: Prepared(scenario(replicas=n, blocks=blocks, protocol=name)) for name in PROTOCOLS}
        ratios: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(REPEATS):
            for name, prepared in runs.items():
                ours = timed(prepared)
                ratios[name].append(ours.cpu_s / simpy_loop.seconds(ours.messages))
        for name, found in ratios.items():
            print(
                f"a decision, {name}, n = {n}: {statistics.median(found):.2f} times the bare SimPy loop for as many "
                f"events ({min(found):.2f} .. {max(found):.2f} in {REPEATS} pairs); to reach: at most {TARGET}"
            )


if __name__ == "__main__":
    main()
