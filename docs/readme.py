"""Runs every command that the README and `costs.md` show and puts what it prints below it: `make readme`.

A block that begins with `$ lastbit ...` is a command and what it printed. A test renders both and finds them
unchanged, so that no block can rot. Where the processor is another than the one recorded, digests and last bits are
others too: there the test compares everything else.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
COSTS = Path(__file__).resolve().parent / "costs.md"

_BLOCK = re.compile(r"```console\n\$ (lastbit [^\n]*)\n(.*?)```", re.DOTALL)
_BITS = re.compile(
    r"-?0x[0-9a-f.]+p[+-]\d+|[0-9a-f]{6,64}…|\d+ steps? apart|request [\d,]+|element [\d,]+"
    r"|by up to \S+ = \S+ ulp of the largest = \S+ steps|\S+ expected \(95 %: \S+ to [^)]+\)"
)
_TIMES = re.compile(r"\d+\.\d\d times the time")


def rendered(text: str, folder: Path) -> str:
    """The text with the output of each command as it is now. Commands run in `folder`, one after another."""

    def run(block: re.Match[str]) -> str:
        command = shlex.split(block[1])
        done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)
        return f"```console\n$ {block[1]}\n{done.stdout}{done.stderr}```"

    return _BLOCK.sub(run, text)


def without_bits(text: str) -> str:
    """The text with everything taken out that depends on the processor: digests, exact values, distances."""
    return _BITS.sub("*", text)


def without_times(text: str) -> str:
    """The text without what a clock told: it is another on each run."""
    return _TIMES.sub("* times the time", text)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as empty:
        for page in (README, COSTS):
            page.write_text(rendered(page.read_text(encoding="utf-8"), Path(empty)), encoding="utf-8")
