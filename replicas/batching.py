"""A request computed among others, or padded: what a server does with it, and what must not change its answer.

Which axis counts requests is read from the model's own signature: the first axis of the first input that leaves it
open; in other inputs and in the outputs the axis of that name, or where axes bear no names, the first that is open.
Which axis counts positions is told by the mask: the other open axis of an input whose name says that it is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from replicas.engine import EngineError
from replicas.model import Model, TensorSpec
from replicas.outputs import Outputs, Value
from replicas.profile import BatchMates, ProfileError

Array: TypeAlias = npt.NDArray[Any]
Tensors: TypeAlias = Mapping[str, Array]
Dimension: TypeAlias = int | str | None
STEPS = ("seq", "time", "length", "frame", "step", "token")

Axes: TypeAlias = tuple[tuple[str, int], ...]
"""Tensors by name, each with one of its axes."""
Candidates: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]
"""Tensors by name, each with the axes of which it may be one: the first that is as long as a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchedRun:
    """One run of the model on a batch of requests: what it gives for one of them is the answer.

    Args:
        size: how many requests there are in the batch.
        mates: the others: the neighbours of the request, or empty ones of zeros.
        padding: positions added behind the last one; zeros in every input, and so in the mask.
        rows_in, rows_out: the inputs with an axis that counts requests, and the outputs that may have one.
        positions_in, positions_out: those with an axis that counts positions, likewise.
    """

    size: int
    mates: BatchMates
    padding: int
    rows_in: Axes
    rows_out: Candidates
    positions_in: Axes
    positions_out: Candidates

    @classmethod
    def of(cls, model: Model, *, size: int, mates: BatchMates, padding: int) -> BatchedRun:
        """Read from a model's signature which axes count requests and positions.

        Raises:
            ProfileError: none does.
        """
        rows_in: Axes = ()
        rows_out: Candidates = ()
        positions_in: Axes = ()
        positions_out: Candidates = ()
        if size > 1:
            row = _row_dimension(model)
            rows_in, rows_out = _named(model.inputs, row), _named_or_open(model.outputs, row, axis_min=0)
        if padding:
            position = _position_dimension(model)
            positions_in = _named(model.inputs, position)
            positions_out = _named_or_open(model.outputs, position, axis_min=1)
        without = [f'"{each.name}"' for each in model.outputs if size > 1 and each.name not in dict(rows_out)]
        if without:
            fault = f"output {' and '.join(without)} has no open axis that counts the requests of a batch"
            raise ProfileError((f"batch_size: {fault}; use 1",))
        return cls(
            size=size,
            mates=mates,
            padding=padding,
            rows_in=rows_in,
            rows_out=rows_out,
            positions_in=positions_in,
            positions_out=positions_out,
        )

    def together(self, request: int) -> tuple[int, ...]:
        """See `Workload`: of batches of eight, requests 0 to 7 are one and 8 to 15 the next."""
        if self.mates == "zeros":
            return (request,)
        first = request - request % self.size
        return tuple(range(first, first + self.size))

    def feeds(self, inputs: Sequence[Tensors], place: int, *, subject: object) -> Tensors:
        """See `Workload`."""
        batch = [self._padded(each) for each in inputs]
        if self.mates == "zeros":
            batch += [{name: np.zeros_like(value) for name, value in batch[0].items()}] * (self.size - 1)
        return self._joined(batch, place, subject)

    def own(self, outputs: Outputs, inputs: Sequence[Tensors], place: int, *, subject: object) -> Outputs:
        """See `Workload`."""
        cut = (self._cut(name, value, inputs[place], place, subject) for name, value in outputs.items())
        return Outputs(outputs.names, tuple(cut))

    def _padded(self, tensors: Tensors) -> Tensors:
        longer = dict(tensors)
        for name, axis in self.positions_in:
            width = [(0, self.padding if each == axis else 0) for each in range(tensors[name].ndim)]
            longer[name] = np.pad(tensors[name], width)
        return longer

    def _joined(self, batch: Sequence[Tensors], place: int, subject: object) -> Tensors:
        """The tensors of a batch; an input without an axis for requests is that of the request itself."""
        joined = dict(batch[place])
        for name, axis in self.rows_in:
            parts = [each[name] for each in batch]
            shapes = sorted({str(list(part.shape)) for part in parts})
            if len(shapes) > 1:
                raise EngineError(f'{subject}: input "{name}" has the shapes {" and ".join(shapes)} in one batch')
            joined[name] = np.concatenate(parts, axis=axis)
        return joined

    def _cut(self, name: str, value: Value, own: Tensors, place: int, subject: object) -> Value:
        """The part of an output that is the request's, without what was added behind it."""
        of = f'{subject}: output "{name}"'
        if name in (axes := dict(self.rows_out)):
            rows = _size(own, self.rows_in)
            value = _part(value, axes[name], rows * place, rows, whole=rows * self.size, of=of)
        if name in (axes := dict(self.positions_out)):
            length = _size(own, self.positions_in)
            value = _part(value, axes[name], 0, length, whole=length + self.padding, of=of)
        return value


def _size(tensors: Tensors, axes: Axes) -> int:
    name, axis = axes[0]
    return int(tensors[name].shape[axis])


def _part(value: Value, axes: Sequence[int], first: int, length: int, *, whole: int, of: str) -> Value:
    if isinstance(value, list) and 0 in axes and len(value) == whole:
        return value[first : first + length]
    shape = value.shape if isinstance(value, np.ndarray) else ()
    axis = next((each for each in axes if each < len(shape) and shape[each] == whole), None)
    if not isinstance(value, np.ndarray) or axis is None:
        found = list(shape) if isinstance(value, np.ndarray) else type(value).__name__
        which = " or ".join(map(str, axes))
        raise EngineError(f"{of} is {found}, and axis {which} should count {whole} as the batch does")
    part = np.ascontiguousarray(value.take(range(first, first + length), axis=axis))
    part.setflags(write=False)
    return part


def _row_dimension(model: Model) -> Dimension:
    """The name of the axis that counts requests; None where it bears none."""
    for spec in model.inputs:
        if spec.shape and not isinstance(spec.shape[0], int):
            if _counts_steps(spec.shape[0]):
                raise ProfileError((f'batch_size: the first axis of "{spec.name}" counts {spec.shape[0]}; use 1',))
            return spec.shape[0]
    raise ProfileError(("batch_size: no input of this model leaves its first axis open for a batch; use 1",))


def _counts_steps(dimension: str | None) -> bool:
    """Whether an axis bears the name of steps in time: what is put behind them changes the function itself."""
    return dimension is not None and any(word in dimension.lower() for word in STEPS)


def _position_dimension(model: Model) -> str:
    """The name of the axis that counts positions."""
    for spec in model.inputs:
        names = [each for each in spec.shape[1:] if isinstance(each, str)]
        if "mask" in spec.name.lower() and names:
            return names[-1]
    missing = 'no input of this model is a mask ("mask" in its name, and an open, named axis that counts positions)'
    raise ProfileError((f"padding: {missing}; use 0",))


def _named(specs: Iterable[TensorSpec], dimension: Dimension) -> Axes:
    """The first axis of that name in each tensor that has one."""
    return tuple((spec.name, spec.shape.index(dimension)) for spec in specs if dimension in spec.shape)


def _named_or_open(specs: Iterable[TensorSpec], dimension: Dimension, *, axis_min: int) -> Candidates:
    """The same; exporters lose names on the way to an output, and then it is one of the open axes from one on."""
    named = dict(_named(specs, dimension)) if dimension is not None else {}
    axes: dict[str, tuple[int, ...]] = {name: (axis,) for name, axis in named.items()}
    for spec in specs:
        opened = tuple(axis for axis, each in enumerate(spec.shape) if axis >= axis_min and not isinstance(each, int))
        if spec.name not in axes and (opened or (axis_min == 0 and not spec.rank_known)):
            axes[spec.name] = opened or (0,)
    return tuple(axes.items())
