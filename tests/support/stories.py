"""The bundled stories, shortened so that all of them run in seconds, and the class of machine they run on.

Run as a program, it writes the digests of this machine's class into `golden.toml`:

    PYTHONPATH=. python tests/support/stories.py
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

import lastbit
from lastbit.environment import current_environment
from lastbit.result import Result

GOLDEN = Path(__file__).parent.parent / "scenarios" / "golden.toml"

# Name: heights to reach, and a seed where the event of the story comes later than that with the story's own.
SHORTENED: dict[str, tuple[int, int | None]] = {
    "all-equal": (100, None),
    "byzantine-leader": (60, None),
    "certification-behind": (60, None),
    "client-conflict": (200, None),
    "drift-without-resync": (600, None),
    "forest-threads": (150, None),
    "forest-threads-top1": (800, None),
    "gpu-order": (60, None),
    "gpu-order-top1": (60, None),
    "halted-minority": (120, None),
    "minority-leader": (120, None),
    "one-drifts-icp": (200, None),
    "one-drifts-pbft": (200, None),
    "one-drifts-pbft-classic": (200, None),
    "one-drifts-tendermint": (200, None),
    "one-in-ten-thousand": (320, 49),
    "one-in-ten-thousand-retry": (320, 49),
    "one-in-ten-thousand-retry-persistent": (320, 49),
    "partitioned": (100, None),
    "per-replica": (100, None),
    "resync-too-slow": (100, None),
    "several-requests": (50, 49),
    "shared-answers": (300, None),
    "timeouts-too-short": (100, None),
    "too-many-silent": (100, None),
    "two-against-two-icp": (200, None),
    "two-against-two-pbft": (200, None),
    "two-against-two-pbft-classic": (200, None),
    "two-against-two-tendermint": (200, None),
    "two-of-seven-icp": (200, None),
    "two-of-seven-pbft": (200, None),
    "two-of-seven-pbft-classic": (200, None),
    "two-of-seven-tendermint": (200, None),
}


@cache
def told(name: str) -> Result:
    """The result of a shortened story."""
    blocks, seed = SHORTENED[name]
    return lastbit.run(name, blocks=blocks, seed=seed)


def machine_class() -> dict[str, Any]:
    """What bits depend on: the processor, and the versions whose arithmetic or random numbers reach a result."""
    here = current_environment()
    deciding = ("numpy", "onnx", "onnxruntime")
    return {
        "processor": here.processor,
        "processor_features": list(here.processor_features),
        "versions": {name: here.versions[name] for name in deciding},
    }


def recorded() -> list[dict[str, Any]]:
    """Every class whose digests are known."""
    found: list[dict[str, Any]] = tomllib.loads(GOLDEN.read_text(encoding="utf-8")).get("class", [])
    return found


def golden_digests() -> dict[str, str] | None:
    """Trace digests by story, as recorded on this class of machine; None where it was never met."""
    here = machine_class()
    for known in recorded():
        if all(known[key] == value for key, value in here.items()):
            digests: dict[str, str] = known["digests"]
            return digests
    return None


def _record() -> None:
    here = machine_class()
    others = [known for known in recorded() if any(known[key] != value for key, value in here.items())]
    mine = here | {"digests": {name: told(name).trace_digest for name in SHORTENED}}
    title = "# Trace digests of the shortened stories, by class of machine. Written by stories.py.\n\n"
    GOLDEN.write_text(title + tomli_w.dumps({"class": [*others, mine]}), encoding="utf-8")


if __name__ == "__main__":
    _record()
