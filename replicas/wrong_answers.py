"""Wrong answers: real changes of a real tensor, made before anything is hashed.

Wrong answer j = 0, 1, 2... of the form `bytes` moves one finite float element by j + 1 representable steps, never
across zero. Of the form `top1` it lifts the (j + 2)-th best score one step above the best. Different j never give
the same answer, and no caller's array is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from replicas.forms import Form, Top1Form
from replicas.outputs import Outputs, Value

__all__ = ["WrongAnswerError", "wrong_answer", "wrong_answers_max"]

_BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


class WrongAnswerError(ValueError):
    """The outputs, as a form sees them, cannot hold that wrong answer."""


def wrong_answers_max(outputs: Outputs, form: Form) -> int:
    """How many different wrong answers these outputs can hold: 0 where there is no float to change.

    Another request's outputs may hold fewer, since for `bytes` it depends on the element that moves.
    """
    if isinstance(form, Top1Form):
        scores = _scores(outputs[form.output])
        return 0 if scores is None else len(_contenders(scores))
    target = _find_target(outputs, form)
    return 0 if target is None else max(_room(target.array.reshape(-1)[target.element]))


def wrong_answer(outputs: Outputs, index: int, form: Form) -> Outputs:
    """Give the outputs with wrong answer `index` (from 0) in them.

    For `bytes` the element that moves is the largest finite one of the first array that has any: away from zero, or
    towards it where the finite numbers end. For `top1` the first row changes; since nothing is above infinity or
    a NaN, infinite scores are lowered to the largest finite number first, and NaNs to minus infinity.

    Raises:
        WrongAnswerError: the outputs cannot hold so many wrong answers.

    Example:
        >>> from replicas.forms import BytesForm
        >>> outputs = Outputs.of({"y": np.array([0.5, -1.0], dtype=np.float32)})
        >>> wrong_answer(outputs, 1, BytesForm())["y"].tolist()
        [0.5, -1.000000238418579]
    """
    held = wrong_answers_max(outputs, form)
    if not 0 <= index < held:
        where = "the outputs" if form.output is None else f'output "{form.output}"'
        raise WrongAnswerError(f"wrong answer {index}: {where}, hashed as {form.name}, can hold {held} of them")
    if isinstance(form, Top1Form):
        return _lift(outputs, form.output, index)
    return _move(outputs, form, steps=index + 1)


@dataclass(frozen=True, slots=True)
class _Target:
    """One element of one array: the place is the way down to the array inside the value of the output."""

    output: str
    place: tuple[int | str, ...]
    array: npt.NDArray[Any]
    element: int


def _find_target(outputs: Outputs, form: Form) -> _Target | None:
    for name, value in outputs.items():
        if form.output in (None, name):
            for place, array in _float_arrays(value):
                finite = np.isfinite(array)
                if finite.any():
                    return _Target(name, place, array, int(np.where(finite, np.abs(array), -1).argmax()))
    return None


def _float_arrays(value: Value) -> Iterator[tuple[tuple[int | str, ...], npt.NDArray[Any]]]:
    match value:
        case np.ndarray() if value.dtype.kind == "f" and value.itemsize in _BITS:
            yield (), value
        case float():
            yield (), _as_scores([value])
        case list():
            for index, item in enumerate(value):
                yield from (((index, *place), array) for place, array in _float_arrays(item))
        case dict():
            for key, item in sorted(value.items(), key=itemgetter(0)):
                yield from (((key, *place), array) for place, array in _float_arrays(item))


def _room(element: np.floating[Any]) -> tuple[int, int]:
    """How many representable steps it can go away from zero, staying finite, and towards it, not arriving."""
    unsigned = _BITS[element.itemsize]
    steps_from_zero = int(np.abs(element).view(unsigned))
    return int(np.finfo(element.dtype).max.view(unsigned)) - steps_from_zero, max(steps_from_zero - 1, 0)


def _move(outputs: Outputs, form: Form, *, steps: int) -> Outputs:
    target = _find_target(outputs, form)
    assert target is not None, "wrong_answers_max found the same target"
    moved = np.array(target.array, dtype=target.array.dtype.newbyteorder("="), order="C")
    away, _ = _room(moved.reshape(-1)[target.element])
    # Sign aside, the bits of a float count its representable steps from zero, and room keeps them off the sign.
    bits = moved.reshape(-1).view(_BITS[moved.itemsize])
    bits[target.element] = int(bits[target.element]) + (steps if steps <= away else -steps)
    return outputs.replacing(target.output, _with_array(outputs[target.output], target.place, moved))


def _with_array(value: Any, place: tuple[int | str, ...], array: npt.NDArray[Any]) -> Value:
    if not place:
        return array.item() if isinstance(value, float) else array
    changed: Any = value.copy()
    changed[place[0]] = _with_array(value[place[0]], place[1:], array)
    return changed  # type: ignore[no-any-return]  # a list or a dict, as the place says


def _scores(value: Value) -> npt.NDArray[Any] | None:
    """The first row of scores, or None where there are no two to rank."""
    match value:
        case np.ndarray() if value.dtype.kind == "f" and value.ndim and value.size and value.shape[-1] > 1:
            row: npt.NDArray[Any] = value.reshape(-1, value.shape[-1])[0]
            return row
        case [dict() as scores, *_] if len(scores) > 1 and all(isinstance(each, float) for each in scores.values()):
            return _as_scores([score for _, score in sorted(scores.items(), key=itemgetter(0))])
        case _:
            return None


def _contenders(scores: npt.NDArray[Any]) -> list[int]:
    """The classes that are not the answer now, best first; a NaN is the worst of scores, though no class beats it."""
    ranked: list[int] = np.argsort(-_without_nan(scores), kind="stable").tolist()
    return ranked if np.isnan(scores).any() else ranked[1:]


def _lift(outputs: Outputs, name: str, index: int) -> Outputs:
    value = outputs[name]
    scores = _scores(value)
    assert scores is not None, "wrong_answers_max found the same scores"
    lifted = np.minimum(_without_nan(scores), np.finfo(scores.dtype).max)
    with np.errstate(over="ignore"):  # the step above the largest finite number is infinity, and is meant
        lifted[_contenders(scores)[index]] = np.nextafter(lifted.max(), np.array(np.inf, lifted.dtype))
    if isinstance(value, np.ndarray):
        changed = value.copy()
        changed.reshape(-1, len(lifted))[0] = lifted
        return outputs.replacing(name, changed)
    assert isinstance(value, list), "scores come from a tensor or from a sequence of maps"
    first, *others = value
    return outputs.replacing(name, [dict(zip(sorted(first), lifted.tolist(), strict=True)), *others])


def _without_nan(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(np.isnan(scores), np.array(-np.inf, scores.dtype), scores)


def _as_scores(numbers: list[float]) -> npt.NDArray[Any]:
    """Numbers out of a map, in the precision that they came from: the runtime widens float32 on the way to Python."""
    wide = np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):  # what is too large for float32 did not come from there
        narrow = wide.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), wide, equal_nan=True) else wide
