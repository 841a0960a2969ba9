"""What all replicas of a chain have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from consensus.pbft.config import CoreConfig

WhenOutvoted: TypeAlias = Literal["resync", "stay", "halt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PbftClassicConfig(CoreConfig):
    """What all replicas of a chain have in common; see `CoreConfig` for the rest.

    Args:
        outvoted: what a replica does whose own state is another than that of a stable checkpoint: take the certified
            one over and execute anew from there (`resync`), go on with its own (`stay`), or take no further part
            (`halt`).
    """

    outvoted: WhenOutvoted = "resync"
