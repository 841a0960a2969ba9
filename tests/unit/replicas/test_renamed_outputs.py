from __future__ import annotations

import numpy as np
import pytest
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model, ModelError
from replicas.profile import NumericProfile
from replicas.renamed_outputs import with_outputs_named

NESTED = """g (bool c, float[2] x) => (float[2] y, float[2] z) {
    t = Neg(x)
    y = If(c) <
        then_branch = then () => (float[2] a) { a = Exp(t) },
        else_branch = otherwise () => (float[2] b) { b = Abs(t) }
    >
    z = If(c) <
        then_branch = then2 () => (float[2] d) { d = Neg(y) },
        else_branch = otherwise2 () => (float[2] e) { e = Add(y, t) }
    >
}"""


def model_of(graph: str) -> Model:
    return Model.from_bytes(
        parse_model(f'<ir_version: 9, opset_import: ["" : 17]> {graph}').SerializeToString(), name="model"
    )


@pytest.mark.parametrize(
    "names",
    [
        {"y": "p", "z": "q"},
        {"y": "z", "z": "y"},
        {"z": "z", "y": "y"},
        {"y": "t", "z": "d"},  # both stand for something else inside
        {"z": "a", "y": "z"},
    ],
)
def test_a_model_with_other_names_computes_the_same_in_the_order_that_was_asked_for(names: dict[str, str]) -> None:
    model = model_of(NESTED)
    renamed = with_outputs_named(model, names)
    engines = [OnnxRuntimeEngine(each, NumericProfile()) for each in (model, renamed)]
    assert [spec.name for spec in renamed.outputs] == list(names.values())
    assert [output.name for output in renamed.proto().graph.output] == list(names.values())
    assert renamed.sha256 == model.sha256
    for condition in (True, False):
        given = {"c": np.array(condition), "x": np.float32([1, 2])}
        plain, other = (engine.run(given) for engine in engines)
        assert other.names == tuple(names.values())
        for old, new in names.items():
            np.testing.assert_array_equal(np.asarray(plain[old]), np.asarray(other[new]))


def test_an_output_that_is_an_input_keeps_its_name_or_is_refused() -> None:
    model = model_of("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    with pytest.raises(ModelError, match='its input "x" is called like an output'):
        with_outputs_named(model, {"y": "x"})


def test_what_is_called_so_already_is_left_as_it_is() -> None:
    model = model_of("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    assert with_outputs_named(model, {"y": "y"}) is model
