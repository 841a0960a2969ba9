"""Small scenarios for tests: four replicas of the bundled classifier, and whatever a test changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastbit.scenario import Scenario


def scenario(chain: Mapping[str, Any] | None = None, **tables: Any) -> Scenario:
    """A scenario of 20 blocks under `retry`; `chain` and whole tables replace what it says."""
    whole = {"replicas": 4, "blocks": 20, "policy": "retry"} | dict(chain or {})
    return Scenario.from_mapping({"chain": whole, "model": {"name": "digits-mlp"}} | tables)


def noisy(images: str = "held-out") -> dict[str, Any]:
    """Inputs that hardly repeat."""
    return {"kind": "card", "images": images, "noise": 2}
