"""Tendermint: `rules` of one height."""
