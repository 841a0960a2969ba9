"""onnxruntime's words, made fit for a person, and the inputs that they are about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onnx.parser import parse_model

from lastbit.inputs.trial import WORDS_MAX, allowed_indices, blamed_inputs, shortened
from replicas.model import Model


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while running Gather node. "
            "Name:'g' Status Message: /onnxruntime_src/onnxruntime/core/gather.cc:100 virtual "
            "onnxruntime::common::Status onnxruntime::Gather::Compute(onnxruntime::OpKernelContext*) const "
            "indices element out of data bounds",
            "running Gather node. Name:'g' indices element out of data bounds",
        ),
        ("matmul_helper.h:59 Compute MatMul dimension mismatch", "MatMul dimension mismatch"),
        ("/src/a.cc:7 int f(int) [with T = long int; U = int] out of range", "out of range"),
        ("nothing to\n  take away", "nothing to take away"),
    ],
)
def test_codes_and_source_lines_are_left_out(words: str, told: str) -> None:
    assert shortened(words) == told


def test_a_long_message_is_cut() -> None:
    assert len(shortened("x" * 9999)) == WORDS_MAX


@pytest.fixture
def halves(build: Callable[..., Model]) -> Model:
    """Two inputs that meet at the end only."""
    nodes = [("Relu", ["a"], ["c"], {}), ("Exp", ["b"], ["d"], {}), ("Add", ["c", "d"], ["y"], {})]
    return build({"a": ("float32", [2]), "b": ("float32", [2])}, nodes)


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        ("Got invalid dimensions for input: b for the following indices", ("b",)),
        ("running Exp node. Name:'Exp1' Status Message: no", ("b",)),
        ("running Add node. Name:'Add2' Status Message: no", ("a", "b")),
        ("running Exp node. Name:'a fused node of another name' Status Message: no", ("a", "b")),
        ("no idea", ("a", "b")),
    ],
)
def test_the_inputs_that_a_failure_is_about_are_named(halves: Model, words: str, blamed: tuple[str, ...]) -> None:
    assert blamed_inputs(halves, words) == blamed


def test_a_failure_inside_a_branch_is_about_what_the_node_in_there_reads() -> None:
    text = """<ir_version: 9, opset_import: ["" : 17]>
        g (float[1, n] wave, int64 rate, float[4] other) => (float[1, m] y) {
        fast = Constant <value = int64 {16000}> ()
        c = Equal (rate, fast)
        y = If (c) <then_branch = t () => (float[1, p] a) { a = Identity (wave) },
                    else_branch = e () => (float[1, q] b) { b = Neg (wave) }> }"""
    proto = parse_model(text)
    proto.graph.node[2].name = "choice"
    for branch in proto.graph.node[2].attribute:
        branch.g.node[0].name = branch.name
    words = "running If node. Name:'choice' Status Message: running Neg node. Name:'else_branch' Status Message: no"
    of_the_if = "running If node. Name:'choice' Status Message: no"
    fused = words.replace("else_branch", "a fused node")
    model = Model.from_bytes(proto.SerializeToString(), name="branches")

    assert blamed_inputs(model, words) == ("wave",)
    assert blamed_inputs(model, of_the_if) == ("wave", "rate")
    assert blamed_inputs(model, fused) == ("wave", "rate")


def test_indices_out_of_bounds_are_about_the_indices_and_not_about_the_table() -> None:
    proto = parse_model(
        """<ir_version: 9, opset_import: ["" : 17]> g (float[n, 2] table, int64[3] rows) => (float[3, 2] y) {
        y = Gather (table, rows) }"""
    )
    proto.graph.node[0].name = "pick"
    words = "running Gather node. Name:'pick' Status Message: "
    outside = words + "indices element out of data bounds, idx=9 must be within the inclusive range [-7,6]"
    model = Model.from_bytes(proto.SerializeToString(), name="pick")

    assert blamed_inputs(model, outside) == ("rows",)
    assert allowed_indices(outside) == (0, 6)
    assert blamed_inputs(model, words + "no") == ("table", "rows")
    assert allowed_indices(words + "no") is None
