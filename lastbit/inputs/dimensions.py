"""Sizes for the axes that a model leaves open: settled once, before the first request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from lastbit.did_you_mean import did_you_mean
from lastbit.inputs.input_set import InputsError
from replicas.model import TensorSpec

BATCH_SIZE = 1
OTHER_SIZE = 8
IMAGE_SIZE = 32  # five poolings, as a common network has them, leave one pixel
IMAGE_RANK_MIN = 4


@dataclass(frozen=True, slots=True)
class SettledShapes:
    """The shapes that generated inputs have.

    Args:
        shapes: by name of the input.
        open_axes: by name of the input, the name by which `--dim` sets each of its open axes, and its size.
    """

    shapes: Mapping[str, tuple[int, ...]]
    open_axes: Mapping[str, Mapping[str, int]]


def settle_shapes(specs: Sequence[TensorSpec], dims: Mapping[str, int]) -> SettledShapes:
    """Give every open axis a size: the user's, else 1 for a batch, 32 for height and width of an image, 8 for others.

    A batch is what leads an input, or is named so; height and width are the axes from 2 on of floats with 4 or more.
    An axis with a name has one size wherever that name stands; one without is named `INPUT.AXIS`. A name that is a sum
    ("past_length + length", as some exporters write) gets the sum of the sizes of its terms.

    Raises:
        InputsError: `dims` names no open axis, or gives one axis two sizes.

    Example:
        >>> ids = TensorSpec("ids", "int64", ("batch", "length"))
        >>> settle_shapes([ids], {"length": 3}).shapes
        {'ids': (1, 3)}
    """
    given = _given_sizes(specs, dims)
    defaults = _default_sizes(specs)
    shapes: dict[str, tuple[int, ...]] = {}
    open_axes: dict[str, dict[str, int]] = {}
    for spec in specs:
        shape: list[int] = []
        open_axes[spec.name] = {}
        for axis, size in enumerate(spec.shape):
            if _is_fixed(size):
                shape.append(size)
                continue
            label = _label(spec, axis)
            shape.append(_size(label, given, defaults))
            open_axes[spec.name][label] = shape[-1]
        shapes[spec.name] = tuple(shape)
    return SettledShapes(shapes, open_axes)


def _given_sizes(specs: Sequence[TensorSpec], dims: Mapping[str, int]) -> dict[str, int]:
    """The user's sizes, by the label of the open axis that each means."""
    labels = dict(_labels(specs))
    given: dict[str, int] = {}
    for name, size in dims.items():
        option = f"--dim {name}={size}"
        if name not in labels:
            raise InputsError(f'{option}: no open dimension is called "{name}"; {did_you_mean(name, labels)}')
        label = labels[name]
        if given.setdefault(label, size) != size:
            raise InputsError(f'{option}: "{label}" was set to {given[label]} as well')
    return given


def _labels(specs: Sequence[TensorSpec]) -> Iterator[tuple[str, str]]:
    """What `--dim` may name, and the name of the open axis that it means."""
    for spec in specs:
        for axis, size in enumerate(spec.shape):
            if _is_fixed(size):
                continue
            yield f"{spec.name}.{axis}", _label(spec, axis)
    for spec in specs:  # last, so that a dimension's own name wins
        for size in spec.shape:
            if isinstance(size, str):
                yield size, size


def _label(spec: TensorSpec, axis: int) -> str:
    size = spec.shape[axis]
    return size if isinstance(size, str) else f"{spec.name}.{axis}"


def _is_fixed(size: int | str | None) -> TypeGuard[int]:
    return isinstance(size, int) and size >= 0  # some exporters write an open axis as -1


def _default_sizes(specs: Sequence[TensorSpec]) -> dict[str, int]:
    """Sizes of the open axes whose place tells what they are."""
    image_axes = {
        _label(spec, axis)
        for spec in specs
        if len(spec.shape) >= IMAGE_RANK_MIN and spec.dtype.startswith("float")
        for axis in range(2, len(spec.shape))
    }
    leading = {_label(spec, 0) for spec in specs if spec.shape}
    return dict.fromkeys(image_axes, IMAGE_SIZE) | dict.fromkeys(leading, BATCH_SIZE)


def _size(label: str, given: Mapping[str, int], defaults: Mapping[str, int]) -> int:
    if label in given:
        return given[label]
    if label.isdigit():
        return int(label)
    if "+" in label:
        return sum(_size(term.strip(), given, defaults) for term in label.split("+"))
    return defaults.get(label, BATCH_SIZE if "batch" in label.lower() else OTHER_SIZE)
