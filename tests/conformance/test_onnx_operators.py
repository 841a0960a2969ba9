"""The operators of ONNX's own test set, with its inputs: a converted model gives what the model gave."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx.backend.test.case import node as node_cases

from replicas.model import Model
from replicas.prepare import prepare
from replicas.profile import NumericProfile

# Plain ones, some of mixed types, some with subgraphs, and such as have no fp64 kernel or none that can be trusted.
OPERATORS = [
    "Attention",
    "Clip",
    "DFT",
    "Conv",
    "Gemm",
    "GRU",
    "Loop",
    "LSTM",
    "Pad",
    "Resize",
    "Scan",
    "Softmax",
    "Where",
]


def cases_of(operator: str) -> list[Any]:
    """The cases of one operator. The public way makes those of all operators first, which takes half a minute."""
    import_module(f"{node_cases.__name__}.{operator.lower()}")
    return [case for case in node_cases._NodeTestCases if case.model.graph.node[0].op_type == operator]


def run(content: bytes, inputs: dict[str, Any]) -> list[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    return list(session.run(None, inputs))


@pytest.mark.filterwarnings("ignore")  # those of the code that makes the inputs
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_model_in_fp64_gives_what_it_gave_but_for_rounding(operator: str) -> None:
    compared = 0
    for case in cases_of(operator):
        inputs = dict(zip((each.name for each in case.model.graph.input), case.data_sets[0][0], strict=False))
        model = Model.from_bytes(case.model.SerializeToString(), name=case.name)
        try:
            expected = run(model.content, inputs)
        except Exception:  # this runtime cannot run this operator at all
            continue
        found = run(prepare(model, NumericProfile(precision="fp64")).content, inputs)
        for before, after in zip(expected, found, strict=True):
            if isinstance(before, np.ndarray) and before.dtype.kind in "fiub":
                assert after.dtype == before.dtype, case.name
                assert np.allclose(after, before, rtol=1e-3, atol=1e-3, equal_nan=True), case.name
                compared += 1
    assert compared > 0
