"""What a report says of numeric profiles."""

from __future__ import annotations

from typing import Any

from lastbit.profile_lines import inert, prepared, unseen
from lastbit.result import Comparison, ReplicaResult
from replicas.engine import SettingShown
from replicas.prepare import PreparationReport
from replicas.profile import NumericProfile


def replica(
    number: int, *, differing: int | None = None, votes_differing: int = 0, settings: Any = (), **found: Any
) -> ReplicaResult:
    against = None
    if differing is not None:
        against = Comparison(base=0, compared=300, differing=differing, votes_differing=votes_differing)
    profile = NumericProfile(**{setting.name: found.pop(setting.name) for setting in settings}).to_mapping()
    return ReplicaResult(
        id=number,
        weight=1,
        behaviour="honest",
        profile=profile | found.pop("profile", {"summation": {"kind": "ksplit", "slices": 8}}),
        settings=settings,
        preparation=PreparationReport(**found),
        operations_per_second=1,
        against=against,
    )


def test_a_model_that_runs_as_built_is_not_worth_a_line() -> None:
    assert list(prepared([replica(0), replica(1)])) == []


def test_equal_replicas_share_a_line_that_says_how_much_of_the_model_is_split() -> None:
    split = {
        "multiply_adds": 200,
        "multiply_adds_reordered": 150,
        "products_reordered": ("a", "b"),
        "products_left_as_built": (("c", "K is below 8"),),
    }
    assert list(prepared([replica(0, **split), replica(1, **split), replica(2)])) == [
        "replicas 0, 1: 2 products split in 8 along K, 75 % of the multiply-adds; left as built: c (K is below 8)"
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


def test_fp64_everywhere_is_said_so() -> None:
    assert list(prepared([replica(0, float_nodes=4)])) == ["replica 0: fp64 in all 4 nodes that compute with floats"]


def test_quantised_products_are_counted_and_the_others_named() -> None:
    found = {
        "multiply_adds": 10,
        "multiply_adds_quantised": 9,
        "products_quantised": ("a", "b"),
        "products_not_quantised": (("c", "no side is constant"),),
    }
    (line,) = prepared([replica(2, **found)])
    assert line == (
        "replica 2: 2 products in whole numbers of 8 bits, 90 % of the multiply-adds; "
        "not quantised: c (no side is constant)"
    )


def test_two_slices_are_said_to_change_nothing() -> None:
    found = {"multiply_adds": 10, "multiply_adds_reordered": 10, "products_reordered": ("a",)}
    (line,) = prepared([replica(0, profile={"summation": {"kind": "ksplit", "slices": 2}}, **found)])
    assert line.endswith("1 product split in 2 along K, 100 % of the multiply-adds; two slices never change a bit")


def test_permuted_products_are_called_so() -> None:
    found = {"multiply_adds": 10, "multiply_adds_reordered": 5, "products_reordered": ("a",)}
    (line,) = prepared([replica(0, profile={"summation": {"kind": "kpermute", "order": "drawn"}}, **found)])
    assert line == "replica 0: 1 product permuted along K, 50 % of the multiply-adds"


def test_an_unusual_setting_is_named_with_whether_it_can_be_shown() -> None:
    threads = SettingShown("intra_op_threads", "4", "read back from the session")
    prepacking = SettingShown("prepacking", "false", "cannot be shown: the runtime tells nobody")
    gelu = SettingShown("gelu_approximation", "true", "seen in the graph that the runtime saves: 1 new FastGelu")
    changed = {"intra_op_threads": 4, "prepacking": False, "gelu_approximation": True}
    (line,) = prepared([replica(1, settings=(threads, prepacking, gelu), **changed)])
    assert line == (
        "replica 1: intra_op_threads = 4 (read back), prepacking = false (not to be shown), "
        "gelu_approximation = true (seen in the graph)"
    )


def test_another_profile_that_changed_no_bit_is_named_with_what_was_compared() -> None:
    other = {"intra_op_threads": 2}
    assert list(inert([replica(0), replica(1, differing=0, profile=other)])) == [
        "replica 1: its profile differs from replica 0's, yet not a bit of 300 answers does"
    ]
    assert list(inert([replica(0), replica(1, differing=3, profile=other)])) == []
    assert list(inert([replica(0), replica(1, differing=0)])) == []


def test_bits_that_differ_and_never_reach_a_vote_are_told_apart_from_those_that_do() -> None:
    fleet = [
        replica(0),
        replica(1, differing=200),
        replica(2, differing=290),
        replica(3, differing=9, votes_differing=1),
    ]
    assert list(unseen(fleet, form="top1")) == [
        "replicas 1, 2: bits differ from replica 0's in 200 to 290 of 300 answers, the vote on top1 in none"
    ]


def test_a_tree_of_shards_and_a_split_by_batch_are_called_so() -> None:
    found = {"multiply_adds": 2, "multiply_adds_reordered": 2, "products_reordered": ("a",)}
    summations = [{"kind": "tree", "shards": 4}, {"kind": "ksplit", "slices": 8, "by_batch": True}]
    lines = [line for each in summations for line in prepared([replica(0, profile={"summation": each}, **found)])]
    assert lines == [
        "replica 0: 1 product added in a tree by 4 shards, 100 % of the multiply-adds",
        "replica 0: 1 product split in up to 8 along K, 100 % of the multiply-adds",
    ]


def test_whole_numbers_that_are_exact_are_told_from_those_of_8_bits() -> None:
    found = {"multiply_adds": 2, "multiply_adds_quantised": 2, "products_quantised": ("a",)}
    (line,) = prepared([replica(0, profile={"precision": "integers"}, **found)])
    assert line == "replica 0: 1 product in whole numbers that are added exactly, 100 % of the multiply-adds"


def test_a_batch_and_its_padding_are_told() -> None:
    batches = [{"batch_size": 8}, {"batch_size": 2, "batch_mates": "zeros", "padding": 16}]
    assert list(prepared([replica(each, profile=batch) for each, batch in enumerate(batches)])) == [
        "replica 0: computes a request in a batch of 8, with its neighbours",
        "replica 1: computes a request in a batch of 2, with others of zeros; pads it by 16 positions, masked out",
    ]
