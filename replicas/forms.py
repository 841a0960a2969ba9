"""Forms: what of an output is hashed, and so what replicas must agree on.

`bytes` is every bit of every output, or of one. `top1` is the best class alone, which stays the same under small
numeric noise. Which output holds the scores is found from the model's own signature, or named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from replicas.model import Model, TensorSpec
from replicas.outputs import Outputs, Value, canonical, outputs_digest

__all__ = ["FORMS", "NOT_A_NUMBER", "BytesForm", "Form", "FormError", "Top1Form", "make_form"]

FormName: TypeAlias = Literal["bytes", "top1"]
FORMS: tuple[FormName, ...] = ("bytes", "top1")

NOT_A_NUMBER = -1
"""The answer of a row of scores that holds a NaN: no class is the best of it."""

_TOP1_DOMAIN = b"lastbit.top1.1\x00"
# The runtime hands out 8-bit floats as plain bytes, and bfloat16 not at all.
_SCORE_DTYPES = ("float16", "float32", "float64")


class FormError(ValueError):
    """A form makes no sense for a model or for an output, or several would and none was named."""


class Form(Protocol):
    """What of the outputs is hashed.

    Attributes:
        name: as in a scenario.
        output: the output that it reads; None for all of them.
    """

    @property
    def name(self) -> FormName: ...

    @property
    def output(self) -> str | None: ...

    def digest(self, outputs: Outputs) -> bytes:
        """32 bytes, equal if and only if what the form looks at is equal."""


@dataclass(frozen=True, slots=True)
class BytesForm:
    """Every bit of all outputs, or of the one that is named: as if the model had that output alone."""

    name: ClassVar[Literal["bytes"]] = "bytes"
    output: str | None = None

    def digest(self, outputs: Outputs) -> bytes:
        """See `Form`."""
        return outputs_digest(outputs if self.output is None else outputs.only(self.output))


@dataclass(frozen=True, slots=True)
class Top1Form:
    """The best class of each row of scores: the first where several are best, and `NOT_A_NUMBER` for a row with a NaN.

    An output of labels (integers, strings, booleans) is its own top 1. In a sequence of maps from class to score, as
    skl2onnx makes them, the answer is the key of the best score, keys in order.

    Example:
        >>> scores = np.array([[0.1, 0.7, 0.7]], dtype=np.float32)
        >>> Top1Form("scores").answer(Outputs.of({"scores": scores}))
        array([1])
    """

    name: ClassVar[Literal["top1"]] = "top1"
    output: str

    def digest(self, outputs: Outputs) -> bytes:
        """See `Form`.

        Raises:
            FormError: the output has fewer than two scores in a row, or holds nothing that has a best.
        """
        value = outputs[self.output]
        if type(value) is np.ndarray and value.dtype.kind == "f" and value.ndim and value.size == value.shape[-1] > 1:
            return _one_row_digest(self.output, value.shape[:-1], _best(value.ravel()))
        return _answer_digest(self.output, self.answer(outputs))

    def answer(self, outputs: Outputs) -> Value:
        """What is hashed: a class for each row as int64, shaped as the scores are without their last axis; or labels.

        Raises:
            FormError: as for `digest`.
        """
        value = outputs[self.output]
        match value:
            case np.ndarray() if _holds_labels(value.dtype):
                return value
            case np.ndarray() if value.ndim > 0 and value.shape[-1] > 1:
                rows = value.reshape(-1, value.shape[-1])
                return np.array([_best(row) for row in rows], dtype=np.int64).reshape(value.shape[:-1])
            case np.ndarray():
                raise FormError(f'top1 makes no sense for output "{self.output}": {_too_few(value.shape)}')
            case list() if value and all(isinstance(each, Mapping) and each for each in value):
                return [_best_key(each) for each in value]
            case _:
                kind = type(value).__name__
                raise FormError(f'top1 makes no sense for output "{self.output}", which is a {kind} without scores')


def make_form(name: str, model: Model, output: str | None = None) -> Form:
    """Make a form for a model, before anything runs.

    Args:
        name: one of `FORMS`.
        model: whose outputs are to be hashed.
        output: the one to look at. Left out: all of them for `bytes`; for `top1` the only one that holds scores, or
            where none does, the only one that holds labels.

    Raises:
        FormError: no such form or output, or top1 makes no sense for it; says which outputs would do.
    """
    if name not in FORMS:
        raise FormError(f'there is no form "{name}"; allowed are {", ".join(FORMS)}')
    names = [spec.name for spec in model.outputs]
    if output is not None and output not in names:
        raise FormError(f'{model.name} has no output "{output}"; it has {_listed(names)}')
    if name == "bytes":
        return BytesForm(output)
    return Top1Form(_ranked_output(model) if output is None else _checked_output(model, output))


def _ranked_output(model: Model) -> str:
    reasons = {spec.name: _why_no_top1(spec) or _why_handed_on(spec, model) for spec in model.outputs}
    scores = [spec.name for spec in model.outputs if reasons[spec.name] is None and not _is_label(spec)]
    labels = [spec.name for spec in model.outputs if _is_label(spec)]
    # A label beside maps of scores is what skl2onnx gives by default: the label is the classifier's own answer.
    maps = [spec.name for spec in model.outputs if spec.name in scores and _is_map(spec)]
    tensors = [each for each in scores if each not in maps]
    candidates = next((each for each in (tensors, labels, maps) if each), [])
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise FormError(f"top1 of {model.name} could be taken of several outputs; name one of {_listed(candidates)}")
    told = "; ".join(f'"{name}" {reason}' for name, reason in reasons.items())
    raise FormError(f"top1 makes no sense for {model.name}: {told}")


def _checked_output(model: Model, output: str) -> str:
    spec = next(spec for spec in model.outputs if spec.name == output)
    reason = _why_no_top1(spec)
    if reason is None:
        return output
    others = [spec.name for spec in model.outputs if _why_no_top1(spec) is None]
    instead = f"it does for {_listed(others)}" if others else f"nor for any other output of {model.name}"
    raise FormError(f'top1 makes no sense for output "{output}", which {reason}; {instead}')


def _why_no_top1(spec: TensorSpec) -> str | None:
    """Why an output has no best class, or None where it may have one: an unknown axis is judged when it is there."""
    if _is_label(spec) or _is_map(spec):
        return None
    if spec.dtype not in _SCORE_DTYPES:
        return f"is a {spec.dtype}"
    return _too_few(spec.shape) if spec.rank_known and (not spec.shape or spec.shape[-1] in (0, 1)) else None


def _why_handed_on(spec: TensorSpec, model: Model) -> str | None:
    """Why an output is a state that goes into the next run, and no score; None where it is not called like one."""
    for each in model.inputs:
        is_alike = len(each.name) > 2 and spec.name.startswith(each.name) and len(spec.shape) == len(each.shape)
        if is_alike and each.dtype == spec.dtype:
            return f'is called and shaped as the input "{each.name}" is: a state, and no score, unless you name it'
    return None


def _too_few(shape: tuple[int | str | None, ...]) -> str:
    return f"has a last axis of {shape[-1]}" if shape else "is a single number"


def _is_label(spec: TensorSpec) -> bool:
    return spec.dtype == "string" or ("(" not in spec.dtype and spec.dtype.startswith(("int", "uint", "bool")))


def _is_map(spec: TensorSpec) -> bool:
    return spec.dtype.startswith("sequence(map(") and "float" in spec.dtype


def _holds_labels(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuOUT"


def _best(row: npt.NDArray[Any]) -> int:
    """Index of the first best score of a row; NumPy's argmax gives that of the first NaN where there is one."""
    best = int(row.argmax())
    return best if row[best] == row[best] else NOT_A_NUMBER


def _best_key(scores: Mapping[Any, Any]) -> Value:
    keys = sorted(scores)
    best = _best(np.array([scores[key] for key in keys]))
    return None if best == NOT_A_NUMBER else keys[best]


def _answer_digest(output: str, answer: Value) -> bytes:
    return sha256(_TOP1_DOMAIN + canonical(output) + canonical(answer)).digest()


@lru_cache(maxsize=65536)
def _one_row_digest(output: str, shape: tuple[int, ...], answer: int) -> bytes:
    """The digest of one answer, remembered: a run asks for the same few again and again."""
    return _answer_digest(output, np.full(shape, answer, dtype=np.int64))


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
