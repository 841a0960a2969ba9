"""How much of the work of whole networks is added in orders of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.networks import KINDS, NETWORKS, input_of

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model
from replicas.prepare import prepare
from replicas.profile import KSplit, NumericProfile

SHARES = {"cnn": 0.85, "transformer": 0.95, "recurrent": 0.95}
CASES = [(name, SHARES[kind]) for kind, names in KINDS.items() for name in names]
KSPLIT8 = NumericProfile(summation=KSplit(slices=8))


@pytest.mark.parametrize("is_open", [False, True], ids=["told", "open"])
@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(("name", "share"), CASES)
def test_most_multiply_adds_of_a_network_are_reordered(name: str, share: float, opset: int, is_open: bool) -> None:
    report = prepare(NETWORKS[name](opset, is_open), KSPLIT8).report
    assert report.share_reordered >= share


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_the_same_function_in_each_order_and_its_bits_are_its_own(name: str, opset: int) -> None:
    model = NETWORKS[name](opset, True)
    exact = np.asarray(OnnxRuntimeEngine(model, NumericProfile()).run(input_of(model))["y"])
    found = answers(model)
    assert all(np.abs(each - exact).max() <= 3e-6 * np.abs(exact).max() for each in found)
    assert len({each.tobytes() for each in found[:3]}) > 1
    assert found[0].tobytes() == found[3].tobytes()


def answers(model: Model) -> list[NDArray[Any]]:
    engine = OnnxRuntimeEngine(model, KSPLIT8)
    assert engine.order_shape is not None
    rows, columns = engine.order_shape
    orders = [
        np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1) for seed in (1, 2, 3, 1)
    ]
    return [np.asarray(engine.run(input_of(model), order)["y"]) for order in orders]
