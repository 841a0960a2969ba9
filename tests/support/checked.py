"""Checkers fed by hand: what replicas of a protocol say, decide and certify, and which rules that breaks."""

from __future__ import annotations

from typing import Any

from support.observing import digest

from consensus.protocol import Block, Decide
from consensus.quorum import QuorumSystem
from lastbit.checking import Checkers
from lastbit.protocols import PROTOCOLS

BLOCK = Block(1, (0,))
OUTPUT = digest("a")


class Checked:
    """Four replicas, of which those below `honest` are, whose clients ask for one request at each height."""

    def __init__(self, protocol: str = "pbft", *, honest: int = 4) -> None:
        self.checkers = Checkers(
            QuorumSystem.equal(4),
            range(honest),
            rules=PROTOCOLS[protocol].vote_rules,
            asked=lambda height: Block(height, (height - 1,)) if height <= 1_000 else None,
            now_ns=lambda: 7,
        )

    def send(self, *messages: Any) -> None:
        """Each is sent by its own sender."""
        for message in messages:
            self.checkers.sent(message.sender, message)

    @property
    def kinds(self) -> list[str]:
        return [violation.kind for violation in self.checkers.violations.seen]

    @property
    def sentences(self) -> list[str]:
        return [violation.what for violation in self.checkers.violations.seen]


def decision(
    block: Block = BLOCK,
    output: bytes = OUTPUT,
    *,
    view: int = 0,
    voters: tuple[int, ...] = (0, 1, 2),
    state: bytes = b"",
) -> Decide:
    """A decision, by default of the first block."""
    return Decide(block, output, view, voters, state)
