"""Feedback: an output of the model becomes an input of the next request, so that answers build on answers.

The first request brings the input itself. A replica whose output once differed in some bit feeds that bit on, even
where the form that is voted on hides it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from replicas.engine import EngineError
from replicas.replica import BlockAnswer, Replica, Requests, block_of

Tensor = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Feedback:
    """Which output is fed into which input of the next request."""

    input: str
    output: str

    def check(self, replica: Replica) -> None:
        """Try it on the first request.

        Raises:
            EngineError: no such input or output, a shape or dtype that does not fit, or requests computed in batches.
        """
        _, tensors = replica.requests.tensors(0)
        if self.input not in tensors:
            raise EngineError(f'state.input: the model has no input "{self.input}"; {", ".join(sorted(tensors))}')
        if len(replica.workload.together(0)) > 1:
            raise EngineError("state.input: requests that are computed in batches have no order to be fed in")
        outputs = replica.run_apart(0)
        if self.output not in outputs.names:
            raise EngineError(f'state.output: the model has no output "{self.output}"; {", ".join(outputs.names)}')
        found, wanted = outputs[self.output], tensors[self.input]
        if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            what = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else "no tensor"
            raise EngineError(
                f'state.output: "{self.output}" gives {what}, and "{self.input}" takes {wanted.dtype} '
                f"{list(wanted.shape)}"
            )

    def answer_block(
        self, replica: Replica, requests: tuple[int, ...], attempt: int, state: Tensor | None
    ) -> tuple[BlockAnswer, Tensor | None]:
        """Answer the requests of a block one after another, each fed with what the one before gave.

        Args:
            replica: who answers.
            requests: of the block; none leave the state as it is.
            attempt: at the block.
            state: what the block before gave; None before the first.

        Returns:
            The answer, and what is fed to the next block.
        """
        parts = []
        for request in requests:
            fed = replica if state is None else replace(replica, requests=_Fed(replica.requests, self.input, state))
            said = fed.speak(request, attempt)
            parts.append(said)
            value = said.outputs[self.output]
            assert isinstance(value, np.ndarray), "checked before the run"
            state = value
        return block_of(parts), state


@dataclass(frozen=True, slots=True)
class _Fed:
    """The requests of a replica with one tensor in the place of their own."""

    requests: Requests
    input: str
    tensor: Tensor

    def tensors(self, request_id: int) -> tuple[Hashable, Mapping[str, Tensor]]:
        key, tensors = self.requests.tensors(request_id)
        return (key, self.input, self.tensor.tobytes()), {**tensors, self.input: self.tensor}

    def describe(self) -> str:
        return self.requests.describe()
