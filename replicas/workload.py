"""Workloads: how a request becomes an output.

An engine runs a graph once; a workload decides how often and on what: one run of the model on the request alone, or
on a batch that it is part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from replicas.batching import BatchedRun, Tensors
from replicas.model import Model
from replicas.outputs import Outputs
from replicas.profile import NumericProfile

__all__ = ["SingleRun", "Workload", "workload_of"]


class Workload(Protocol):
    """Says what an engine is run on for a request, and which part of what it gives is the answer.

    Equal workloads compare and hash equal.
    """

    def together(self, request: int) -> tuple[int, ...]:
        """The requests that are computed together with this one, itself among them, in their order."""

    def feeds(self, inputs: Sequence[Tensors], place: int, *, subject: object) -> Tensors:
        """What the engine is run on.

        Args:
            inputs: for each request of `together`, its tensors by name.
            place: which of them is to be answered.
            subject: what messages are about.

        Raises:
            EngineError: the requests do not fit together.
        """

    def own(self, outputs: Outputs, inputs: Sequence[Tensors], place: int, *, subject: object) -> Outputs:
        """The part of what the engine gave that answers the request; arguments as for `feeds`.

        Raises:
            EngineError: there is no such part.
        """


@dataclass(frozen=True, slots=True)
class SingleRun:
    """One run of the model on the request alone: what it gives is the answer."""

    def together(self, request: int) -> tuple[int, ...]:
        """See `Workload`."""
        return (request,)

    def feeds(self, inputs: Sequence[Tensors], place: int, *, subject: object) -> Tensors:  # noqa: ARG002
        """See `Workload`."""
        return inputs[place]

    def own(self, outputs: Outputs, inputs: Sequence[Tensors], place: int, *, subject: object) -> Outputs:  # noqa: ARG002
        """See `Workload`."""
        return outputs


def workload_of(profile: NumericProfile, model: Model) -> Workload:
    """How a replica of that profile computes a request.

    Raises:
        ProfileError: the model has no axis for the batch or the padding that the profile asks for.
    """
    if profile.batch_size == 1 and not profile.padding:
        return SingleRun()
    return BatchedRun.of(model, size=profile.batch_size, mates=profile.batch_mates, padding=profile.padding)
