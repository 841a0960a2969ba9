"""Recurrent layers as ONNX's text defines them, in float64: what a layer must give, whoever computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

ACTIVATIONS: Mapping[str, Callable[..., Array]] = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softplus": lambda x: np.log1p(np.exp(x)),
    "LeakyRelu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "Elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(x), x),
    "HardSigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
}


def layer(
    operator: str,
    tensors: Mapping[str, Array],
    functions: Sequence[Function],
    direction: str,
    options: Mapping[str, Any],
) -> tuple[Array, ...]:
    """Y, Y_h and, of an LSTM, Y_c.

    Args:
        operator: "LSTM", "GRU" or "RNN".
        tensors: X, W, R and, where the layer has them, B, sequence_lens, initial_h, initial_c and P.
        functions: the activations of all directions, one after another.
        direction: "forward", "reverse" or "bidirectional".
        options: clip, input_forget and linear_before_reset, where the layer has them.
    """
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    each = len(functions) // len(reverses)
    passes = []
    for index, is_reverse in enumerate(reverses):
        own = {key: value[index] for key, value in tensors.items() if key not in ("X", "sequence_lens")}
        own |= {key: tensors[key] for key in ("X", "sequence_lens") if key in tensors}
        passes.append(_one_pass(operator, own, functions[index * each : (index + 1) * each], is_reverse, options))
    steps, *lasts = zip(*passes, strict=True)
    return (np.stack(steps, axis=1), *(np.stack(last) for last in lasts))


def _one_pass(
    operator: str, own: Mapping[str, Array], functions: Sequence[Function], is_reverse: bool, options: Mapping[str, Any]
) -> tuple[Array, ...]:
    x = own["X"]
    steps, batch, _ = x.shape
    hidden = own["R"].shape[-1]
    lengths = own.get("sequence_lens", np.full(batch, steps))
    shown = np.zeros((steps, batch, hidden))
    last_h, last_c = np.zeros((batch, hidden)), np.zeros((batch, hidden))
    for row in range(batch):
        h = own["initial_h"][row] if "initial_h" in own else np.zeros(hidden)
        c = own["initial_c"][row] if "initial_c" in own else np.zeros(hidden)
        length = int(lengths[row])
        for step in reversed(range(length)) if is_reverse else range(length):
            h, c = _STEPS[operator](own, functions, options, x[step, row], h, c)
            shown[step, row] = h
        last_h[row], last_c[row] = (h, c) if length else (np.zeros(hidden), np.zeros(hidden))
    return (shown, last_h, last_c) if operator == "LSTM" else (shown, last_h)


def _parts(own: Mapping[str, Array], gates: int) -> tuple[list[Array], list[Array], list[Array], list[Array]]:
    bias = own.get("B", np.zeros(2 * len(own["W"])))
    of_input, of_recurrence = np.split(bias, 2)
    return tuple(np.split(each, gates) for each in (own["W"], own["R"], of_input, of_recurrence))  # type: ignore[return-value]


def _clip(options: Mapping[str, Any], value: Array) -> Array:
    return np.clip(value, -options["clip"], options["clip"]) if "clip" in options else value


def _rnn(own: Any, functions: Any, options: Any, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    (w,), (r,), (wb,), (rb,) = _parts(own, 1)
    return functions[0](_clip(options, w @ x + wb + r @ h + rb)), c


def _gru(own: Any, functions: Any, options: Any, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    f, g = functions
    (wz, wr, wh), (rz, rr, rh), (wbz, wbr, wbh), (rbz, rbr, rbh) = _parts(own, 3)
    z = f(_clip(options, wz @ x + rz @ h + wbz + rbz))
    r = f(_clip(options, wr @ x + rr @ h + wbr + rbr))
    inner = r * (rh @ h + rbh) if options.get("linear_before_reset") else rh @ (r * h) + rbh
    return (1 - z) * g(_clip(options, wh @ x + inner + wbh)) + z * h, c


def _lstm(own: Any, functions: Any, options: Any, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    f, g, last = functions
    w, r, wb, rb = _parts(own, 4)
    i, o, forget, cell = (w[k] @ x + r[k] @ h + wb[k] + rb[k] for k in range(4))
    pi, po, pf = np.split(own.get("P", np.zeros(3 * len(h))), 3)
    i = f(_clip(options, i + pi * c))
    forget = 1 - i if options.get("input_forget") else f(_clip(options, forget + pf * c))
    c = forget * c + i * g(_clip(options, cell))
    return f(_clip(options, o + po * c)) * last(c), c


_STEPS = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
