"""What a report says of numeric profiles."""

from __future__ import annotations

from typing import Any

from lastbit.profile_lines import inert, prepared
from lastbit.result import Comparison, Preparation, ReplicaResult

NOTHING: dict[str, Any] = {
    "multiply_adds": 0,
    "multiply_adds_split": 0,
    "products_split": (),
    "products_left_whole": (),
    "values_rounded": 0,
    "values_kept_fp32": (),
    "float_nodes": 0,
    "nodes_kept_fp32": (),
    "multiply_adds_kept_fp32": 0,
}


def replica(number: int, *, differing: int | None = None, profile: Any = None, **found: Any) -> ReplicaResult:
    against = None if differing is None else Comparison(base=0, differing=differing, compared=300)
    return ReplicaResult(
        id=number,
        weight=1,
        behaviour="honest",
        profile=profile or {"summation": {"kind": "ksplit", "slices": 8}},
        preparation=Preparation(**NOTHING | found),
        operations_per_second=1,
        against=against,
    )


def test_a_model_that_runs_as_built_is_not_worth_a_line() -> None:
    assert list(prepared([replica(0), replica(1)])) == []


def test_equal_replicas_share_a_line_that_says_how_much_of_the_model_is_split() -> None:
    split = {
        "multiply_adds": 200,
        "multiply_adds_split": 150,
        "products_split": ("a", "b"),
        "products_left_whole": (("c", "K is below 8"),),
    }
    assert list(prepared([replica(0, **split), replica(1, **split), replica(2)])) == [
        "replicas 0, 1: 2 products split in 8 along K, 75 % of the multiply-adds; left whole: c (K is below 8)"
    ]


def test_weights_that_do_not_fit_into_fp16_are_counted_and_named() -> None:
    found = {"values_rounded": 1_000, "values_kept_fp32": (("w0", 2), ("w1", 1), ("w2", 7), ("w3", 1))}
    assert list(prepared([replica(0, **found)])) == [
        "replica 0: 1,000 weights rounded to fp16; do not fit and stay fp32: 2 of w0, 1 of w1, 7 of w2 and 1 more"
    ]


def test_nodes_without_an_fp64_kernel_are_counted_and_named() -> None:
    found = {"float_nodes": 4, "nodes_kept_fp32": ("erf",), "multiply_adds": 10, "multiply_adds_kept_fp32": 1}
    assert list(prepared([replica(0, **found)])) == [
        "replica 0: fp64, but for 1 of 4 nodes without such a kernel, 10 % of the multiply-adds: erf"
    ]


def test_another_profile_that_changed_nothing_is_named_with_what_was_compared() -> None:
    other = {"intra_op_threads": 2}
    assert list(inert([replica(0), replica(1, differing=0, profile=other)], form="top1")) == [
        "replica 1: its profile differs from replica 0's, yet 0 of 300 answers do (top1)"
    ]
    assert list(inert([replica(0), replica(1, differing=3, profile=other)], form="top1")) == []
    assert list(inert([replica(0), replica(1, differing=0)], form="bytes")) == []
