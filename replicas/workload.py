"""Workloads: how a request becomes an output.

An engine runs a graph once; a workload decides how often and on what. `SingleRun` is one run of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from replicas.engine import Engine
from replicas.outputs import Outputs

__all__ = ["SingleRun", "Workload"]


class Workload(Protocol):
    """Turns a request into an output by calling an engine."""

    def answer(
        self, engine: Engine, inputs: Mapping[str, npt.NDArray[Any]], order: npt.NDArray[Any] | None = None
    ) -> Outputs:
        """Answer one request.

        Args:
            engine: of one model under one profile.
            inputs: the request's tensors by name.
            order: of summation, where the engine's `order_shape` asks for one.

        Raises:
            EngineError: the inputs do not fit the model.
        """


@dataclass(frozen=True, slots=True)
class SingleRun:
    """One run of the model: what it gives is the answer."""

    def answer(
        self, engine: Engine, inputs: Mapping[str, npt.NDArray[Any]], order: npt.NDArray[Any] | None = None
    ) -> Outputs:
        """See `Workload`."""
        return engine.run(inputs, order)
