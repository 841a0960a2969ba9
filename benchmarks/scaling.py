"""Time per decided block from n = 4 to n = 64: does it grow faster than the number of messages?

python -m benchmarks.scaling
"""

from __future__ import annotations

import statistics

from benchmarks.runs import scenario, timed
from lastbit.running import Prepared

BLOCKS = {4: 1_200, 16: 120, 64: 12}
REPEATS = 5
TARGET = 1.3


def main() -> None:
    """Print the time per message at each n, as a ratio to that at n = 4."""
    per_message: dict[int, list[float]] = {n: [] for n in BLOCKS}
    for _ in range(REPEATS):
        for n, blocks in BLOCKS.items():
            run = timed(Prepared(scenario(replicas=n, blocks=blocks)))
            per_message[n].append(run.cpu_s / run.messages)
    base = statistics.median(per_message[4])
    for n, found in per_message.items():
        ratio = statistics.median(found) / base
        print(f"time per message, n = {n}: {ratio:.2f} of that at n = 4; to reach: at most {TARGET}")


if __name__ == "__main__":
    main()
