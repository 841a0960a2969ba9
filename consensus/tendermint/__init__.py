"""Tendermint: `Tendermint` is one replica, `TendermintConfig` what all have in common, `rules` those of one height."""

from consensus.tendermint.config import TendermintConfig
from consensus.tendermint.replica import Tendermint

__all__ = ["Tendermint", "TendermintConfig"]
