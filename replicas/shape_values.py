"""What is known of the small whole-number tensors that exporters compute shapes with, before a run.

ONNX's own inference follows them from operator set 15 on, and older files have them as well: Shape, Gather, Concat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import add, floordiv, mul, sub
from typing import TypeAlias

import onnx
from onnx import numpy_helper

from replicas.shape_facts import Shape, TensorFact

# A shape has a few numbers; what is longer is none.
NUMBERS_MAX = 64
# Where a Slice states its step, after start, end and axis.
_STEP = 3
WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {"Add": add, "Sub": sub, "Mul": mul, "Div": floordiv}


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a tensor without axes or with one; None for a number that only a run tells."""

    values: tuple[int | None, ...]
    is_scalar: bool = False


Known: TypeAlias = Mapping[str, Numbers]


def numbers_of(tensor: onnx.TensorProto) -> Numbers | None:
    """The numbers of a tensor at hand; None where it is no short one of whole numbers."""
    if tensor.data_type not in WHOLE or len(tensor.dims) > 1 or prod(tensor.dims) > NUMBERS_MAX:
        return None
    return Numbers(tuple(numpy_helper.to_array(tensor).reshape(-1).tolist()), is_scalar=not tensor.dims)


def numbers_made(node: onnx.NodeProto, known: Known, facts: Mapping[str, TensorFact]) -> Numbers | None:
    """What a node of the standard operator set makes, as far as known; None where not even how many numbers.

    Args:
        node: the node.
        known: the numbers of what it reads.
        facts: shapes, as far as known.
    """
    read = [known.get(name) for name in node.input]
    first = read[0] if read else None
    found = None
    if node.op_type == "Shape" and not node.attribute:
        fact = facts.get(node.input[0])
        found = Numbers(fact.shape) if fact is not None and fact.shape is not None else None
    elif node.op_type in ("Cast", "Identity"):
        found = first
    elif node.op_type == "Unsqueeze" and first is not None and first.is_scalar:
        found = Numbers(first.values)
    elif node.op_type == "Squeeze" and first is not None and len(first.values) == 1:
        found = Numbers(first.values, is_scalar=True)
    elif node.op_type == "Gather" and len(read) > 1:
        found = _gathered(first, read[1])
    elif node.op_type == "Slice" and first is not None:
        found = _sliced(first, read[1:])
    elif node.op_type == "Concat":
        found = _joined([None if each is None else each.values for each in read])
    elif node.op_type in _ARITHMETIC and len(read) > 1 and first is not None and read[1] is not None:
        found = _computed(_ARITHMETIC[node.op_type], first, read[1])
    return found or _only_how_many(facts.get(node.output[0]) if node.output else None)


def _gathered(table: Numbers | None, places: Numbers | None) -> Numbers | None:
    if places is None or table is None:  # of a table of which nothing is known, not even how many axes it has
        return None
    values = table.values
    found = [
        values[place] if place is not None and -len(values) <= place < len(values) else None for place in places.values
    ]
    return Numbers(tuple(found), places.is_scalar)


def _sliced(table: Numbers, bounds: Sequence[Numbers | None]) -> Numbers | None:
    """A part of a vector: from a start to an end, along its one axis, in some step."""
    known = [each.values[0] for each in bounds if each is not None and len(each.values) == 1]
    if len(known) < max(len(bounds), 2) or None in known:
        return None
    step = known[_STEP] if len(known) > _STEP else 1
    return Numbers(table.values[known[0] : known[1] : step]) if step else None


def _joined(parts: list[tuple[int | None, ...] | None]) -> Numbers | None:
    values: tuple[int | None, ...] = ()
    for part in parts:
        if part is None:
            return None
        values += part
    return Numbers(values)


def _computed(operation: Callable[[int, int], int], left: Numbers, right: Numbers) -> Numbers | None:
    count = max(len(left.values), len(right.values))
    if {len(left.values), len(right.values)} - {1, count}:
        return None
    pairs = zip(_repeated(left, count), _repeated(right, count), strict=True)
    is_division = operation is floordiv
    values = [
        None if a is None or b is None or (is_division and (a < 0 or b <= 0)) else operation(a, b) for a, b in pairs
    ]
    return Numbers(tuple(values), left.is_scalar and right.is_scalar)


def _repeated(numbers: Numbers, count: int) -> tuple[int | None, ...]:
    return numbers.values * count if len(numbers.values) == 1 else numbers.values


def _only_how_many(fact: TensorFact | None) -> Numbers | None:
    if fact is None or fact.element not in WHOLE or fact.shape is None or len(fact.shape) > 1:
        return None
    count = fact.elements
    return None if count is None or count > NUMBERS_MAX else Numbers((None,) * count, is_scalar=not fact.shape)


def shape_made(node: onnx.NodeProto, known: Known, facts: Mapping[str, TensorFact]) -> Shape | None:
    """The shape that Reshape, Expand and ConstantOfShape give to what they make, as far as known."""
    source = facts.get(node.input[0]) if node.input else None
    old = source.shape if source is not None else None
    wanted = known.get(node.input[-1]) if node.input else None
    if wanted is None:
        return None
    if node.op_type == "ConstantOfShape":
        return wanted.values
    if node.op_type == "Reshape" and len(node.input) > 1 and not any(each.i for each in node.attribute):
        return _reshaped(old, wanted.values)
    if node.op_type == "Expand" and old is not None:
        rank = max(len(old), len(wanted.values))
        pairs = zip(_from_behind(old, rank), _from_behind(wanted.values, rank), strict=True)
        return tuple(length if asked == 1 else asked if length == 1 else length or asked for length, asked in pairs)
    return None


def _reshaped(old: Shape | None, wanted: Shape) -> Shape:
    copied = [
        (old[index] if old is not None and index < len(old) else None) if length == 0 else length
        for index, length in enumerate(wanted)
    ]
    if -1 not in copied:
        return tuple(copied)
    others = [length for length in copied if length != -1]
    rest = None
    if old is not None and None not in old and None not in others:
        total = prod(length for length in others if length is not None)
        rest = prod(length for length in old if length is not None) // total if total else None
    return tuple(rest if length == -1 else length for length in copied)


def _from_behind(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + tuple(shape)
