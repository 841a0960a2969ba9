"""What is decided was asked for, and what is certified was computed: nobody makes blocks or outputs up."""

from __future__ import annotations

from collections.abc import Iterable

from consensus.protocol import Block, BlockSource
from lastbit.checking.violations import Violations
from lastbit.protocols.votes import Vote


class ValidBlocks:
    """Compares decided blocks with what the clients ask for at each height; an empty block is always valid.

    Clients ask for each request once, at one height. So what is decided only there, and once in its block, is on the
    chain once.

    Args:
        asked: the clients' block for a height; None past the last one.
        violations: takes down what is found.
    """

    def __init__(self, asked: BlockSource, violations: Violations) -> None:
        self._asked = asked
        self._violations = violations

    def decided(self, replica: int, block: Block) -> None:
        """An honest replica decided a block."""
        asked = self._asked(block.height)
        if block is asked or not block.requests:
            return
        named = set(block.requests)
        invented = named.difference(asked.requests if asked is not None else ())
        if invented:
            what = f"replica {replica} decided request {min(invented):,}, which no client asked for at this height"
            self._violations.add("invalid-block", block.height, (replica,), what)
        if len(named) < len(block.requests):
            what = f"replica {replica} decided a block that names a request twice"
            self._violations.add("invalid-block", block.height, (replica,), what)


class KnownOutputs:
    """Compares outputs that hold with those that were computed.

    Known is what an honest replica computed, or a faulty one voted for: its vote may be a lie, and a quorum may believe
    it where more are faulty than are tolerated.

    Args:
        violations: takes down what is found.
    """

    def __init__(self, violations: Violations) -> None:
        self._violations = violations
        self._computed: dict[int, set[tuple[bytes, bytes]]] = {}
        self._claimed: dict[int, set[bytes]] = {}
        self._forgotten = 0

    def computed(self, block: Block, output: bytes) -> None:
        """An honest replica executed a block."""
        if block.height > self._forgotten:
            self._computed.setdefault(block.height, set()).add((block.digest, output))

    def claimed(self, vote: Vote) -> None:
        """A faulty replica voted."""
        if vote.output is not None and vote.height > self._forgotten:
            self._claimed.setdefault(vote.height, set()).add(vote.output)

    def decided(self, replica: int, block: Block, output: bytes) -> None:
        """An honest replica decided a block and its output."""
        if (block.digest, output) not in self._computed.get(block.height, ()):
            self._check_claims(replica, block.height, output)

    def certified(self, replica: int, height: int, output: bytes) -> None:
        """An honest replica holds an output of the block at a height for certified."""
        if all(output != each for _, each in self._computed.get(height, ())):
            self._check_claims(replica, height, output)

    def _check_claims(self, replica: int, height: int, output: bytes) -> None:
        """A header may state the output of the height before."""
        heights: Iterable[int] = (height, height + 1)
        if height > self._forgotten and not any(output in self._claimed.get(at, ()) for at in heights):
            what = f"replica {replica} holds output {output.hex()[:12]}, which nobody computed"
            self._violations.add("unknown-output", height, (replica,), what)

    def forget(self, height: int) -> None:
        """Nobody asks for this height or those before it any more."""
        while self._forgotten < height:
            self._forgotten += 1
            self._computed.pop(self._forgotten, None)
            self._claimed.pop(self._forgotten, None)
