"""The protocols that a scenario can name, and what a run must know of each beside its replicas."""

from __future__ import annotations

from lastbit.protocols.icp import ICP
from lastbit.protocols.kind import ProtocolKind, Setup
from lastbit.protocols.pbft import PBFT
from lastbit.protocols.pbft_classic import PBFT_CLASSIC
from lastbit.protocols.tendermint import TENDERMINT

PROTOCOLS: dict[str, ProtocolKind] = {kind.name: kind for kind in (PBFT, PBFT_CLASSIC, TENDERMINT, ICP)}
"""By the name that a scenario gives them."""

__all__ = ["PROTOCOLS", "ProtocolKind", "Setup"]
