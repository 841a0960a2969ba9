"""Sums in double precision before they are rounded once."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model
from replicas.profile import KSplit, NumericProfile, ProfileError
from replicas.rounded_once import SumsRoundedOnce, room_to_round

RNG = np.random.default_rng(6)
W = RNG.standard_normal((64, 5)).astype(np.float32)
X = {"x": RNG.standard_normal((3, 64)).astype(np.float32)}
ORDER = np.array([[3, 1, 4, 0, 5, 2, 7, 6]])


def model(body: str, **weights: np.ndarray) -> Model:
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g (float[b, k] x) => (float[b, n] y) {{ {body} }}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def test_the_sums_are_those_that_the_profile_rounds() -> None:
    made = model("y = MatMul(x, w)", w=W)
    sums = SumsRoundedOnce(made).of(X, ORDER)

    engine = OnnxRuntimeEngine(made, NumericProfile(summation=KSplit(slices=8, partials="fp64")))
    rounded = engine.run(X, ORDER)["y"]
    assert isinstance(rounded, np.ndarray)
    assert sums.dtype == np.float64
    assert sums.astype(np.float32).tobytes() == rounded.tobytes()
    assert not np.array_equal(sums, sums.astype(np.float32))


def test_a_model_whose_products_are_not_added_so_is_refused() -> None:
    with pytest.raises(ProfileError, match="ksplit finds no product"):
        SumsRoundedOnce(model("y = Neg(x)"))


@pytest.mark.parametrize(
    ("value", "share"),
    [
        (1.0, 0.25),  # downwards floats lie half as far apart as upwards
        (1.0 + 2.0**-24, 0.0),
        (1.0 + 2.0**-23, 0.5),
        (1.0 + 2.0**-25, 0.25),
        (-1.0 - 2.0**-24, 0.0),
        (3.0, 0.5),
        (0.0, 0.5),
    ],
)
def test_the_room_to_round_is_the_distance_to_the_middle_of_two_floats(value: float, share: float) -> None:
    far, spacing = room_to_round(np.array([value]))
    assert (far / spacing).tolist() == [share]
