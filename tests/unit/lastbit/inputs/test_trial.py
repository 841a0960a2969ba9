"""onnxruntime's words, made fit for a person, and the inputs that they are about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lastbit.inputs.trial import WORDS_MAX, blamed_inputs, shortened
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
