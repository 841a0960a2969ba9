"""PBFT as it is in the field, order first and execute after: `PbftClassic` is one replica, `PbftClassicConfig` what all
have in common, `messages` what they say."""

from consensus.pbft_classic.config import PbftClassicConfig
from consensus.pbft_classic.replica import PbftClassic

__all__ = ["PbftClassic", "PbftClassicConfig"]
