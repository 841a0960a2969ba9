"""State that carries over: what a replica answers becomes part of its state, and the next answer is named with it.

The state after a height is a hash chain over the replica's own answers, so one that answered otherwise once differs at
every later height, until it takes the state of others over. With a feedback an output of the model is also an input of
the next request, and the difference is one of arithmetic, too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy.typing as npt

from consensus.protocol import Block, Decide
from replicas.feedback import Feedback
from replicas.replica import BlockAnswer, Replica

GENESIS_STATE = bytes(32)
STATES_KEPT = 1_024
"""Heights whose states are remembered: further back nothing is executed again."""


class State(NamedTuple):
    """The state after a height: the hash chain, and the tensor that the next request is fed with, if any is."""

    digest: bytes
    tensor: npt.NDArray[Any] | None = None


class StateArchive:
    """The tensors behind states, for those who take one over: they come from whoever had that state first."""

    def __init__(self) -> None:
        self._tensors: dict[bytes, npt.NDArray[Any]] = {}
        self._decided: dict[int, bytes] = {}

    def note_decided(self, height: int, digest: bytes) -> None:
        """Note the state that a quorum named when it decided a height."""
        self._decided[height] = digest
        self._decided.pop(height - STATES_KEPT, None)

    def decided(self, height: int) -> bytes | None:
        """The state that a quorum named at a height; None where votes name no output, or that is long past."""
        return self._decided.get(height)

    def keep(self, state: State) -> None:
        """Note a state that a replica came to."""
        if state.tensor is not None and state.digest not in self._tensors:
            self._tensors[state.digest] = state.tensor
            if len(self._tensors) > STATES_KEPT:
                del self._tensors[next(iter(self._tensors))]

    def state(self, digest: bytes) -> State:
        """A state by its digest."""
        return State(digest, self._tensors.get(digest))


@lru_cache(maxsize=1024)  # replicas that agree extend equal states by equal answers, and share the object
def extended(state: bytes, answer: BlockAnswer) -> BlockAnswer:
    """An answer that names the state that it leads to."""
    return replace(answer, state=sha256(b"lastbit state\0" + state + answer.digest).digest())


class CarriedState:
    """The states of one replica, by height.

    A block may be executed before it is decided, and several times. Its state is then that of the attempt that decides,
    or of the last one at the decided block; what is executed after it was decided counts as it is.

    Args:
        replica: whose.
        archive: the states of all replicas of a run.
        feedback: which output is fed into which input; None: none is.
    """

    def __init__(self, replica: Replica, archive: StateArchive, feedback: Feedback | None) -> None:
        self._replica = replica
        self._archive = archive
        self._feedback = feedback
        self._states = {0: State(GENESIS_STATE)}
        self._tried: dict[int, dict[tuple[bytes, int], State]] = {}
        self._decided = 0

    def after(self, height: int) -> bytes | None:
        """The digest of the state after a height; None where it is not known yet."""
        state = self._states.get(height)
        return None if state is None else state.digest

    def answer(self, block: Block, view: int) -> BlockAnswer:
        """Execute a block from the state before it, which must be known. The answer names the state after it."""
        before = self._states[block.height - 1]
        if self._feedback is None:
            answer, tensor = self._replica.answer_block(block.requests, view), None
        else:
            answer, tensor = self._feedback.answer_block(self._replica, block.requests, view, before.tensor)
        carried = extended(before.digest, answer)
        state = State(carried.named, tensor)
        self._archive.keep(state)
        if block.height <= self._decided:
            self._set(block.height, state)
        else:
            self._tried.setdefault(block.height, {})[block.digest, view] = state
        return carried

    def decide(self, decide: Decide) -> None:
        """A height is decided. Who executed nothing there takes the state over with what it missed."""
        height, block = decide.block.height, decide.block.digest
        self._decided = height
        if decide.output:
            self._archive.note_decided(height, decide.output)
        tried = self._tried.pop(height, {})
        at_last = [state for (tried_block, _), state in tried.items() if tried_block == block]
        own = tried.get((block, decide.view)) or (at_last[-1] if at_last else None)
        if own is None and decide.output:
            own = self._archive.state(decide.output)
        if own is not None:
            self._set(height, own)

    def adopt(self, height: int) -> None:
        """All up to a height came from others, and its state with it, where votes name outputs."""
        digest = self._archive.decided(height)
        if digest is not None:
            self.take_over(height, digest)

    def take_over(self, height: int, digest: bytes) -> None:
        """Drop the own states for one of others."""
        self._states = {height: self._archive.state(digest)}
        self._tried.clear()  # it started from the own states
        self._decided = max(self._decided, height)

    def _set(self, height: int, state: State) -> None:
        self._states[height] = state
        self._states.pop(height - STATES_KEPT, None)
