"""What is decided was asked for, and what is certified was computed: nobody makes blocks or outputs up."""

from __future__ import annotations

from consensus.protocol import Block, BlockSource
from lastbit.checking.violations import Violations
from lastbit.protocols.votes import VotesSeen


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
        if block is asked:
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
        honest: who is.
        seen: the votes.
        violations: takes down what is found.
    """

    def __init__(self, honest: frozenset[int], seen: VotesSeen, violations: Violations) -> None:
        self._honest = honest
        self._seen = seen
        self._violations = violations
        self._computed: dict[int, set[tuple[bytes, bytes]]] = {}
        self._forgotten = 0

    def computed(self, block: Block, output: bytes) -> None:
        """An honest replica executed a block."""
        if block.height > self._forgotten:
            self._computed.setdefault(block.height, set()).add((block.digest, output))

    def decided(self, replica: int, block: Block, output: bytes) -> None:
        """An honest replica decided a block and its output."""
        if (block.digest, output) not in self._computed.get(block.height, ()):
            self._complain(replica, block.height, output)

    def certified(self, replica: int, height: int, output: bytes) -> None:
        """An honest replica holds an output of the block at a height for certified."""
        if all(output != each for _, each in self._computed.get(height, ())):
            self._complain(replica, height, output)

    def _complain(self, replica: int, height: int, output: bytes) -> None:
        if height > self._forgotten and not self._is_claimed(height, output):
            what = f"replica {replica} holds output {output.hex()[:12]}, which nobody computed"
            self._violations.add("unknown-output", height, (replica,), what)

    def _is_claimed(self, height: int, output: bytes) -> bool:
        """Did a faulty replica vote for it? A header may state the output of the height before."""
        groups = (group for at in (height, height + 1) for group in self._seen.groups(at))
        return any(group.first.output == output and not group.voters <= self._honest for group in groups)

    def forget(self, height: int) -> None:
        """Nobody asks for this height or those before it any more."""
        while self._forgotten < height:
            self._forgotten += 1
            self._computed.pop(self._forgotten, None)
