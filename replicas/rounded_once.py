"""Sums in double precision that are rounded once: how near they lie to where they would round otherwise.

Rounding once hides nearly every order of summation, and not all: where a sum lies next to the middle between two
floats, the last bits of double precision decide on which side. So that none of a sample differs is no proof; how near
its sums lie to such a middle tells how often it will happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model
from replicas.prepare import PreparedModel, prepare
from replicas.profile import KSplit, NumericProfile, Precision, ProfileError

Floats = npt.NDArray[np.float64]

SLICES = 8


class SumsRoundedOnce:
    """The sums of a model's products in double precision, under any order of eight slices.

    Args:
        model: what is run.
        precision: of the profile in question; its weights are rounded first, if they are.

    Raises:
        ProfileError: no product of the model is added in double precision and then rounded.
        EngineError: the runtime makes no session of it.
    """

    def __init__(self, model: Model, precision: Precision = "fp32") -> None:
        profile = NumericProfile(precision=precision, summation=KSplit(slices=SLICES, partials="fp64"))
        prepared = prepare(model, profile)
        proto = onnx.load_from_string(prepared.content)
        made = {name for node in proto.graph.node for name in node.output}
        self._sums = [name for name in prepared.report.sums_rounded_once if name in made]
        if not self._sums:
            raise ProfileError(("no product outside subgraphs is rounded once",))
        shown = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in self._sums]
        proto.graph.output.extend(shown)
        watched = PreparedModel(
            content=proto.SerializeToString(), order_rows=prepared.order_rows, order_columns=prepared.order_columns
        )
        self._engine = OnnxRuntimeEngine(model, profile, prepared=watched, outputs=tuple(self._sums))
        assert self._engine.order_shape is not None, "a K-split reads an order"
        self.order_shape = self._engine.order_shape

    def of(self, inputs: Mapping[str, npt.NDArray[Any]], order: npt.NDArray[np.int64]) -> Floats:
        """All sums of one run, one after another."""
        outputs = self._engine.run(inputs, order)
        return np.concatenate([np.ravel(np.asarray(outputs[name], np.float64)) for name in self._sums])


def room_to_round(sums: Floats, narrow: npt.DTypeLike = np.float32) -> tuple[Floats, Floats]:
    """For each sum, how far the next middle between two numbers of a narrower type is, and how far apart these are.

    Args:
        sums: finite numbers within the range of the narrower type.
        narrow: what the sums are rounded to.

    Example:
        >>> far, spacing = room_to_round(np.array([1.0, 1.0 + 2.0**-24]))
        >>> (far / spacing).tolist()  # half a spacing to the next middle; and on it
        [0.25, 0.0]
    """
    near = sums.astype(narrow)
    wide = near.astype(np.float64)
    middles = [(wide + np.nextafter(near, np.array(end, narrow)).astype(np.float64)) / 2 for end in (-np.inf, np.inf)]
    far: Floats = np.minimum(*(np.abs(sums - middle) for middle in middles))
    spacing: Floats = np.spacing(np.abs(near)).astype(np.float64)
    return far, spacing
