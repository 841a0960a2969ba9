"""`one-in-ten-thousand` without its dial: seconds for 50,000 blocks, and memory against 5,000.

python -m benchmarks.long_run
"""

from __future__ import annotations

import re
import subprocess
import sys

BLOCKS = (5_000, 50_000)
SECONDS_TARGET = 30
MEMORY_TARGET = 1.2

_PROGRAM = """
import resource, sys, time
from benchmarks.runs import timed
from lastbit.running import Prepared
from lastbit.scenario import Scenario, load_scenario
plain = load_scenario("one-in-ten-thousand").resolved() | {"divergence": None, "expect": None}
prepared = Prepared(Scenario.from_resolved(plain).with_overrides(blocks=int(sys.argv[1])))
run = timed(prepared)
print(run.heights, run.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Print both; each run is a process of its own, since peak memory is a process's."""
    kilobytes = {}
    for blocks in BLOCKS:
        found = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(blocks)], check=True, capture_output=True, text=True
        )
        heights, seconds, peak = re.findall(r"[\d.]+", found.stdout)
        kilobytes[blocks] = int(peak)
        print(f"{int(heights):,} heights of one-in-ten-thousand without the dial: {float(seconds):.1f} s", end="")
        print(f"; to reach: under {SECONDS_TARGET} s" if blocks == BLOCKS[-1] else "")
    ratio = kilobytes[BLOCKS[1]] / kilobytes[BLOCKS[0]]
    print(
        f"peak memory at {BLOCKS[1]:,} heights: {ratio:.2f} of that at {BLOCKS[0]:,}; to reach: at most {MEMORY_TARGET}"
    )


if __name__ == "__main__":
    main()
