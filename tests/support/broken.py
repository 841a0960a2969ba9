"""Whole runs of protocols that break their own rules: replicas whose effects, inputs or clients' blocks are bent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.scenarios import scenario

from consensus.protocol import Block, Effect, Effects
from lastbit.scenario import Scenario

CLASSES = {
    "pbft": "lastbit.protocols.pbft.Pbft",
    "pbft-classic": "lastbit.protocols.pbft_classic.PbftClassic",
    "tendermint": "lastbit.protocols.tendermint.Tendermint",
    "icp": "lastbit.protocols.icp.Icp",
}
ASKED_FOR_IN = ("consensus.pbft.core", "consensus.tendermint.voting", "consensus.icp.ordering")

Bend = Callable[[Any, Effect], Iterator[Effect]]


def story(protocol: str, chain: dict[str, Any] | None = None, **tables: Any) -> Scenario:
    """A short chain of four replicas."""
    intervals = {"checkpoint_interval": 2} if protocol.startswith("pbft") else {}
    policy = {"tendermint": "retry", "pbft": "retry"}.get(protocol, "halt")
    whole = {"protocol": protocol, "policy": policy, "blocks": 6} | intervals | (chain or {})
    return scenario(whole, **tables)


def bend_effects(monkeypatch: pytest.MonkeyPatch, protocol: str, bend: Bend) -> None:
    """Every replica does something else in the place of each effect."""
    sound = _class_of(protocol)

    class Broken(sound):  # type: ignore[misc, valid-type]
        def _drain(self) -> Effects:
            return tuple(bent for effect in super()._drain() for bent in bend(self, effect))

    monkeypatch.setattr(CLASSES[protocol], Broken)


def bend_outputs(monkeypatch: pytest.MonkeyPatch, protocol: str, bend: Callable[[bytes], bytes]) -> None:
    """Every replica takes another output than its own for what it computed."""
    sound = _class_of(protocol)

    class Broken(sound):  # type: ignore[misc, valid-type]
        def executed(self, block: Block, view: int, output: bytes) -> Effects:
            effects: Effects = super().executed(block, view, bend(output))
            return effects

    monkeypatch.setattr(CLASSES[protocol], Broken)


def bend_blocks(monkeypatch: pytest.MonkeyPatch, protocol: str, bend: Callable[[Block], Block]) -> None:
    """Every replica has the clients ask for something else, and checks nothing."""
    sound = _class_of(protocol)

    class Broken(sound):  # type: ignore[misc, valid-type]
        def __init__(self, replica: int, config: Any, source: Callable[[int], Block | None]) -> None:
            super().__init__(replica, config, lambda height: (block := source(height)) and bend(block))

    monkeypatch.setattr(CLASSES[protocol], Broken)
    for module in ASKED_FOR_IN:
        monkeypatch.setattr(f"{module}.is_asked_for", lambda block, source: True)


def _class_of(protocol: str) -> type:
    module, _, name = CLASSES[protocol].rpartition(".")
    found: type = getattr(__import__(module, fromlist=[name]), name)
    return found
