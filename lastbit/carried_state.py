"""State that carries over: what a replica answers becomes part of its state, and the next answer is named with it.

The state after a height is a hash chain over the replica's own answers, so one that answered otherwise once differs at
every later height, until it takes the state of others over.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from consensus.protocol import Block, Decide
from replicas.replica import BlockAnswer

GENESIS_STATE = bytes(32)
STATES_KEPT = 1_024
"""Heights whose states are remembered: further back nothing is executed again."""


@lru_cache(maxsize=1024)  # replicas that agree extend equal states by equal answers, and share the object
def extended(state: bytes, answer: BlockAnswer) -> BlockAnswer:
    """An answer that names the state that it leads to."""
    return replace(answer, digest=sha256(b"lastbit state\0" + state + answer.digest).digest())


class CarriedState:
    """The states of one replica, by height.

    A block may be executed before it is decided, and several times. Its state is then that of the attempt that decides,
    or of the last one at the decided block; what is executed after it was decided counts as it is.

    Example:
        >>> carried, block = CarriedState(), Block(1, (0,))
        >>> answer = carried.extend(block, 0, BlockAnswer(b"answer", (), (), (), 0))
        >>> carried.after(1) is None
        True
        >>> carried.decide(Decide(block, b"", 0, (0, 1, 2), b""))
        >>> carried.after(1) == answer.digest
        True
    """

    def __init__(self) -> None:
        self._states = {0: GENESIS_STATE}
        self._tried: dict[int, dict[tuple[bytes, int], bytes]] = {}
        self._decided = 0

    def after(self, height: int) -> bytes | None:
        """The state after a height; None where it is not known yet."""
        return self._states.get(height)

    def extend(self, block: Block, view: int, answer: BlockAnswer) -> BlockAnswer:
        """Execute a block from the state before it, which must be known. The answer names the state after it."""
        carried = extended(self._states[block.height - 1], answer)
        if block.height <= self._decided:
            self._set(block.height, carried.digest)
        else:
            self._tried.setdefault(block.height, {})[block.digest, view] = carried.digest
        return carried

    def decide(self, decide: Decide) -> None:
        """A height is decided. Who executed nothing there takes the state over with what it missed."""
        height, block = decide.block.height, decide.block.digest
        self._decided = height
        tried = self._tried.pop(height, {})
        at_last = [state for (tried_block, _), state in tried.items() if tried_block == block]
        own = tried.get((block, decide.view)) or (at_last[-1] if at_last else decide.output)
        if own:
            self._set(height, own)

    def take_over(self, height: int, state: bytes) -> None:
        """Drop the own states for one of others."""
        self._states = {height: state}
        self._tried = {at: tried for at, tried in self._tried.items() if at > height + 1}
        self._decided = max(self._decided, height)

    def _set(self, height: int, state: bytes) -> None:
        self._states[height] = state
        self._states.pop(height - STATES_KEPT, None)
