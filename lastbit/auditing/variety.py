"""Do the outputs depend on the inputs? The reference is asked again, and one input is changed at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lastbit.inputs import InputSet
from replicas.outputs import Outputs, outputs_digest
from replicas.replica import Replica

LOOKED_AT_MAX = 20
SWAPS_MAX = 5


def unchanging_outputs(reference: Replica, inputs: InputSet, *, done: int) -> tuple[tuple[str, ...], int]:
    """The outputs that were equal on all inputs looked at, and how many these were.

    Args:
        reference: whose answers are looked at.
        inputs: of the audit.
        done: how many of them it took.
    """
    looked_at = min(done, LOOKED_AT_MAX)
    seen: dict[str, set[bytes]] = {}
    for request in range(looked_at):
        answer = _answer(reference, inputs, request)
        for name, value in answer.items():
            seen.setdefault(name, set()).add(outputs_digest(Outputs.of({name: value})))
    return tuple(name for name, digests in seen.items() if len(digests) == 1), looked_at


def idle_inputs(reference: Replica, inputs: InputSet, *, done: int) -> Iterator[tuple[str, int]]:
    """The inputs of several that change no bit of the output when they alone are changed, and how often that was tried.

    What has the same value in every request is left out: nothing can be said of it.
    """
    first = inputs.tensors(0).tensors
    if len(first) < 2:
        return
    order = reference.order(0, 0)
    plain = outputs_digest(_answer(reference, inputs, 0))
    for name, tensor in first.items():
        others = (inputs.tensors(request).tensors[name] for request in range(1, done))
        tried = [other for other in others if not np.array_equal(other, tensor)][:SWAPS_MAX]
        answers = (reference.engine.run({**first, name: other}, order) for other in tried)
        if tried and all(outputs_digest(answer) == plain for answer in answers):
            yield name, len(tried)


def _answer(reference: Replica, inputs: InputSet, request: int) -> Outputs:
    return reference.engine.run(inputs.tensors(request).tensors, reference.order(0, 0))
