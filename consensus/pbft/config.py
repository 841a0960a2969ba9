"""What all replicas of a PBFT chain have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from consensus.pbft.new_view import Policy
from consensus.quorum import QuorumSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreConfig:
    """What all replicas of a chain have in common, whatever their votes name.

    Args:
        quorum: who votes with which weight, and what decides.
        pipeline: heights that may be in flight at once (W).
        checkpoint_interval: heights between checkpoints (C&L: K).
        watermark_window: heights above the last stable checkpoint that are taken part in (C&L: L).
        timeout_ns: how long a replica waits for progress before it asks for the next view.
        timeout_max_ns: the cap of that time, which doubles with each view that brings no progress.
    """

    quorum: QuorumSystem
    pipeline: int = 1
    checkpoint_interval: int = 16
    watermark_window: int = 32
    timeout_ns: int = 1_000_000_000
    timeout_max_ns: int = 64_000_000_000

    def __post_init__(self) -> None:
        for name in ("pipeline", "checkpoint_interval", "timeout_ns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1")
        if self.watermark_window < max(self.pipeline, self.checkpoint_interval):
            raise ValueError(
                f"watermark_window is {self.watermark_window}; at least the pipeline of {self.pipeline} and the "
                f"checkpoint interval of {self.checkpoint_interval}, or no checkpoint could free it"
            )
        if self.timeout_max_ns < self.timeout_ns:
            raise ValueError(f"timeout_max_ns is {self.timeout_max_ns}; at least timeout_ns, {self.timeout_ns}")

    def leader(self, view: int) -> int:
        """Who leads a view: the replicas in turn."""
        return view % self.quorum.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class PbftConfig(CoreConfig):
    """What all replicas of a chain have in common; see `CoreConfig` for the rest.

    Args:
        policy: what follows a failed attempt: `retry` the same block, `skip` it for an empty one, or `halt`.
        outvoted: what a replica does whose output is not the decided one: fetch that and `stay` with its own state, or
            take the state of others over (`resync`).
    """

    policy: Policy = "retry"
    outvoted: Literal["stay", "resync"] = "stay"
