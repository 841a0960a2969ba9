"""PBFT with votes on outputs: `Pbft` is one replica, `PbftConfig` what all have in common, `messages` what they say."""

from consensus.pbft.config import PbftConfig
from consensus.pbft.replica import Pbft

__all__ = ["Pbft", "PbftConfig"]
