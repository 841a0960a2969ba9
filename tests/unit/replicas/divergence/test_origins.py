"""Where two watched runs part: the node or region, the weight, the element, and how many others there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support import watched_models
from support.watched_models import (
    GELU,
    Array,
    gelu,
    gelu_in_a_branch,
    gelu_in_a_loop,
    graph,
    model,
    node,
    numbers,
    reversed_split,
    whole,
)

from replicas.divergence import Divergence, Step, TensorKey, Unsaid, Watched, first_divergence, watch
from replicas.model import Model
from replicas.profile import KSplit, NumericProfile

OFF = NumericProfile(optimization="off")
ALL = NumericProfile()
X = {"x": numbers(1, 256, seed=7)}
GELU_NODES = ["Div", "Erf", "Add", "Mul", "Mul"]


def divergence(a: Watched, b: Watched) -> Divergence:
    found = first_divergence(a, b)
    assert isinstance(found, Divergence), found
    return found


def with_values(watched: Watched, **values: Array) -> Watched:
    """The same run, had it made other tensors."""
    return replace(watched, values={**watched.values, **{TensorKey(name): each for name, each in values.items()}})


def exact(*, x: Array | None = None) -> Watched:
    """n = -x, a = |n|, and y = n + a: nothing here is rounded."""
    made = model(
        [node("Neg", ["x"], ["n"]), node("Abs", ["n"], ["a"]), node("Add", ["n", "a"], ["y"])],
        {"x": ("float32", (2, 3))},
        {"y": ("float32", (2, 3))},
    )
    return watch(made, OFF, {"x": whole(2, 3) if x is None else x})


def test_a_shape_that_the_optimiser_writes_otherwise_is_no_origin() -> None:
    made = watched_models.reshaped_by_its_own_size()
    x = {"x": numbers(2, 16, 16, seed=7)}
    ref, off = watch(made, ALL, x), watch(made, OFF, x)

    assert ref.values[TensorKey("shape")].tolist() != off.values[TensorKey("shape")].tolist()
    found = divergence(ref, off)
    assert found.tensor == TensorKey("y")
    assert [each.op_type for each in found.nodes_b] == GELU_NODES
    assert found.others == 0


def bumped(array: Array, element: int, steps: int = 1) -> Array:
    moved = array.copy()
    moved.reshape(-1).view(np.int32)[element] += steps
    return moved


def test_equal_profiles_have_no_divergence() -> None:
    made = watched_models.convolutions()
    x = {"x": numbers(1, 3, 8, 8)}

    assert first_divergence(watch(made, ALL, x), watch(made, ALL, x)) is None


def test_the_origin_is_the_node_whose_inputs_are_equal() -> None:
    a = exact(x=np.float32([[1, 2, 3], [4, 5, 6]]))
    moved = bumped(a.values[TensorKey("a")], element=4, steps=3)
    found = divergence(a, with_values(a, a=moved, y=moved))

    assert found.tensor == TensorKey("a")
    assert [each.op_type for each in (*found.nodes_a, *found.nodes_b)] == ["Abs", "Abs"]
    assert not found.is_region
    assert (found.element, found.index) == (4, (1, 1))
    assert found.values == ("0x1.4p+2", "0x1.400006p+2")
    assert (found.ulps, found.others) == (3, 0)


def test_other_origins_are_counted_and_what_follows_from_one_is_not() -> None:
    a = exact()
    n, held = a.values[TensorKey("n")], a.values[TensorKey("a")]
    follows = with_values(a, n=bumped(n, 0), a=bumped(held, 0), y=bumped(held, 1))

    assert divergence(a, follows).tensor == TensorKey("n")
    assert divergence(a, follows).others == 0
    made = model(
        [node("Neg", ["x"], ["n"]), node("Abs", ["x"], ["a"]), node("Exp", ["x"], ["e"])],
        {"x": ("float32", (4,))},
        dict.fromkeys("nae", ("float32", (4,))),
    )
    b = watch(made, OFF, {"x": numbers(4)})
    several = with_values(b, **{name: bumped(b.values[TensorKey(name)], 2) for name in "nae"})
    assert divergence(b, several).others == 2


def test_a_node_of_which_two_outputs_differ_is_one_origin() -> None:
    made = model(
        [node("Split", ["x"], ["left", "right"], axis=0)],
        {"x": ("float32", (4,))},
        dict.fromkeys(("left", "right"), ("float32", (2,))),
        opset=13,
    )
    a = watch(made, OFF, {"x": numbers(4)})
    both = with_values(a, **{name: bumped(a.values[TensorKey(name)], 1) for name in ("left", "right")})

    assert divergence(a, both).tensor == TensorKey("left")
    assert divergence(a, both).others == 0


def test_the_first_is_the_first_of_the_model_in_whatever_order_they_ran() -> None:
    made = model(
        [node("Neg", ["x"], ["n"]), node("Abs", ["x"], ["a"]), node("Exp", ["n"], ["y"])],
        {"x": ("float32", (4,))},
        dict.fromkeys("ya", ("float32", (4,))),
    )
    b = watch(made, OFF, {"x": numbers(4)})
    first, second, last = b.nodes
    backwards = replace(b, nodes=(second, first, last))
    several = with_values(backwards, **{name: bumped(b.values[TensorKey(name)], 2) for name in "na"})

    assert divergence(backwards, several).tensor == TensorKey("n")


def test_an_origin_has_equal_inputs_in_both_graphs() -> None:
    a = exact()
    n, y = a.values[TensorKey("n")], a.values[TensorKey("y")]
    neg, _, add = a.nodes
    # Had the first run made y from x alone, y would still be no origin: the second one made it from n, which differs.
    one = replace(a, nodes=(neg, replace(add, inputs=(TensorKey("x"),))))
    other = with_values(a, n=bumped(n, 0), y=bumped(y, 0))

    assert divergence(one, other).tensor == TensorKey("n")
    assert divergence(one, other).others == 0


def test_zeros_of_another_sign_are_no_step_apart_and_it_is_said() -> None:
    a = exact(x=np.zeros((2, 3), np.float32))
    found = divergence(a, with_values(a, n=np.zeros((2, 3), np.float32)))

    assert found.values == ("-0x0p+0", "0x0p+0")
    assert found.ulps == 0
    assert found.is_sign_of_zero
    assert "which differ in the sign of zero; the outputs are equal all the same" in str(found)


def test_a_nan_against_a_number_has_no_distance() -> None:
    a = exact()
    broken = a.values[TensorKey("y")].copy()
    broken[0, 0] = np.nan
    found = divergence(a, with_values(a, y=broken))

    assert found.values[1] == "nan"
    assert found.ulps is None
    assert not found.is_sign_of_zero


def test_tensors_of_another_shape_differ() -> None:
    a = exact()
    found = divergence(a, with_values(a, y=whole(3, 3)))

    assert found.values == ("float32[2, 3]", "float32[3, 3]")
    assert found.ulps is None


def test_runs_of_different_inputs_are_not_compared() -> None:
    with pytest.raises(ValueError, match="were watched on different inputs"):
        first_divergence(exact(), exact(x=whole(2, 3) + 1))


def test_a_fused_region_is_named_in_both_graphs() -> None:
    made = watched_models.feed_forward()
    found = divergence(watch(made, OFF, X), watch(made, ALL, X))

    assert found.tensor == TensorKey("g")
    assert [each.op_type for each in found.nodes_a] == GELU_NODES
    assert [(each.domain, each.op_type) for each in found.nodes_b] == [("com.microsoft", "Gelu")]
    assert found.is_region
    assert 'made by 5 nodes (Div, Erf, Add, Mul) against com.microsoft.Gelu "' in str(found)
    assert found.reaches_outputs


def test_a_split_product_is_a_region_against_the_node_that_it_was() -> None:
    made = watched_models.feed_forward()
    found = divergence(watch(made, ALL, X), reversed_split(made, X))

    assert found.tensor == TensorKey("y")
    assert [each.op_type for each in found.nodes_a] == ["MatMul"]
    assert sum(each.op_type == "MatMul" for each in found.nodes_b) == 8
    assert found.others == 0


def test_splits_of_equal_names_in_other_numbers_are_not_mistaken_for_each_other() -> None:
    made = watched_models.feed_forward()
    found = divergence(reversed_split(made, X, slices=4), reversed_split(made, X, slices=8))

    assert found.tensor == TensorKey("y")
    assert found.is_region


def test_partial_products_of_other_precision_are_not_mistaken_for_each_other() -> None:
    made, order = watched_models.feed_forward(), np.array([[3, 1, 0, 2]])
    narrow, wide = (
        watch(made, NumericProfile(summation=KSplit(slices=4, partials=partials)), X, order)
        for partials in ("fp16", "fp32")
    )

    assert divergence(narrow, wide).tensor == TensorKey("y")


def test_two_orders_of_one_split_part_at_the_sum_and_not_at_the_summands_put_in_order() -> None:
    made = watched_models.feed_forward()
    profile = NumericProfile(summation=KSplit(slices=4))
    one, other = (watch(made, profile, X, np.array([order])) for order in ([3, 1, 0, 2], [0, 1, 2, 3]))

    assert divergence(one, other).tensor == TensorKey("y")


def test_the_same_split_in_the_same_order_does_not_differ() -> None:
    made = watched_models.feed_forward()

    assert first_divergence(reversed_split(made, X), reversed_split(made, X)) is None


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_inside_an_if_the_branch_and_its_nodes_are_named(opset: int) -> None:
    made = gelu_in_a_branch(opset=opset)
    x = {**X, "c": np.array(True)}
    found = divergence(watch(made, OFF, x), watch(made, ALL, x))

    place = (Step("y", "then_branch"),)
    assert found.tensor == TensorKey("g", place)
    assert [each.op_type for each in found.nodes_a] == GELU_NODES
    assert {each.place for each in (*found.nodes_a, *found.nodes_b)} == {place}
    assert found.others == 0
    assert str(found.nodes_a[0]) == 'Div that makes "divided" in y/then_branch'


def test_an_identity_behind_an_if_which_the_optimiser_drops_does_not_hide_the_branch() -> None:
    proto = gelu_in_a_branch().proto()
    proto.graph.node[0].output[0] = "chosen"
    proto.graph.node.append(node("Identity", ["chosen"], ["y"]))
    made = Model.from_bytes(proto.SerializeToString(), name="branches")
    x = {**X, "c": np.array(True)}
    found = divergence(watch(made, OFF, x), watch(made, ALL, x))

    assert found.tensor == TensorKey("g", (Step("chosen", "then_branch"),))
    assert [each.op_type for each in found.nodes_a] == GELU_NODES
    assert [each.op_type for each in found.nodes_b] == ["Gelu"]


def test_the_branch_that_is_not_taken_does_not_count() -> None:
    x = {**X, "c": np.array(False)}

    assert first_divergence(*(watch(gelu_in_a_branch(), each, x) for each in (OFF, ALL))) is None


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_inside_a_loop_the_first_iteration_is_named(opset: int) -> None:
    made = gelu_in_a_loop(opset=opset)
    x = {**X, "times": np.array(3)}
    found = divergence(watch(made, OFF, x), watch(made, ALL, x))

    assert found.tensor == TensorKey("after", (Step("y", "body", 0),))
    assert [each.op_type for each in found.nodes_a] == GELU_NODES
    assert found.others == 0


def test_inside_a_scan_in_a_loop_the_way_to_the_node_is_named() -> None:
    row = graph(gelu("before", "after"), {"before": ("float32", (256,))}, {"after": ("float32", (256,))})
    body = graph(
        [
            node("Neg", ["rows"], ["negative"]),
            node("Scan", ["negative"], ["turned"], body=row, num_scan_inputs=1),
            node("Identity", ["going"], ["on"]),
        ],
        {"i": ("int64", ()), "going": ("bool", ()), "rows": ("float32", (1, 256))},
        {"on": ("bool", ()), "turned": ("float32", (1, 256))},
    )
    made = model(
        [node("Loop", ["times", "", "x"], ["y"], body=body)],
        {"x": ("float32", (1, 256)), "times": ("int64", ())},
        {"y": ("float32", (1, 256))},
        GELU,
    )
    x = {**X, "times": np.array(2)}
    found = divergence(watch(made, OFF, x), watch(made, ALL, x))

    assert str(found.tensor) == "y/body[0]/turned/body[0]/after"
    assert [each.op_type for each in found.nodes_a] == GELU_NODES
    assert [each.op_type for each in found.nodes_b] == ["Gelu"]


def shared_weight() -> Model:
    return model(
        [
            node("MatMul", ["x", "w"], ["first"]),
            node("Gemm", ["x", "w"], ["second"], alpha=0.5),
            node("Max", ["first", "second"], ["y"]),
        ],
        {"x": ("float32", (1, 256))},
        {"y": ("float32", (1, 16))},
        {"w": numbers(256, 16)},
    )


def test_two_nodes_that_share_a_weight_are_two_origins_when_their_sums_differ() -> None:
    found = divergence(watch(shared_weight(), ALL, X), reversed_split(shared_weight(), X))

    assert found.tensor == TensorKey("first")
    assert (found.weight, found.others) == (None, 1)


def test_a_weight_that_two_nodes_share_is_one_origin_when_it_differs_itself() -> None:
    rounded = NumericProfile(precision="fp16-weights")
    found = divergence(watch(shared_weight(), ALL, X), watch(shared_weight(), rounded, X))

    weights = numbers(256, 16)
    assert (found.weight, found.others) == ("w", 0)
    assert float.fromhex(found.values[0]) == weights[0, 0]
    assert float.fromhex(found.values[1]) == weights[0, 0].astype(np.float16)
    assert str(found).startswith('weight "w" differs, element 0: ')


def test_a_weight_that_is_rounded_and_then_split_differs_itself() -> None:
    made = shared_weight()
    profile = NumericProfile(precision="fp16-weights", summation=KSplit(slices=2))
    split = watch(made, profile, X, np.array([[0, 1], [0, 1]]))
    found = divergence(watch(made, ALL, X), split)

    assert (found.weight, found.others) == ("w", 0)


def test_a_weight_that_the_optimiser_folded_away_is_named_all_the_same() -> None:
    made = watched_models.convolutions()
    x = {"x": numbers(1, 3, 8, 8)}
    found = divergence(watch(made, ALL, x), watch(made, NumericProfile(precision="fp16-weights"), x))

    assert found.weight == "w1"
    assert found.others == len(["b1", "w2", "w3", "scale", "shift", "mean", "variance", "w4", "dense"])


def test_only_the_weights_of_the_branch_that_was_taken_differ() -> None:
    then = watched_models.graph([node("MatMul", ["x", "u"], ["t"])], {}, {"t": ("float32", None)})
    other = watched_models.graph([node("MatMul", ["x", "v"], ["o"])], {}, {"o": ("float32", None)})
    made = model(
        [node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        {"c": ("bool", ()), "x": ("float32", (1, 256))},
        {"y": ("float32", None)},
        {"u": numbers(256, 4), "v": numbers(256, 4, seed=1)},
    )
    named = []
    for condition in (True, False):
        x = {**X, "c": np.array(condition)}
        profiles = ALL, NumericProfile(precision="fp16-weights")
        named.append(divergence(*(watch(made, each, x) for each in profiles)).weight)

    assert named == ["u", "v"]


def test_double_precision_is_compared_exactly_and_before_it_is_cast_back() -> None:
    made = model(
        [node("Mul", ["x", "third"], ["m"]), node("Neg", ["m"], ["y"])],
        {"x": ("float32", (4,))},
        {"y": ("float32", (4,))},
        {"third": np.float32(1 / 3)},
    )
    x = {"x": np.float32([1, 2, 3, 4])}
    double = watch(made, NumericProfile(precision="fp64", optimization="off"), x)
    found = divergence(watch(made, OFF, x), double)

    # 3 times the float next to 1/3 needs more bits than a float32 has; it is 1 again once rounded, and y is equal.
    assert found.tensor == TensorKey("m")
    assert found.element == 2
    assert found.values == ("0x1p+0", "0x1.0000008p+0")
    assert f"{2**27:,} steps of float64 apart" in str(found)
    assert not found.reaches_outputs
    assert double.values[TensorKey("y")].dtype == np.float64
    assert double.values[TensorKey("y", is_copy=True)].dtype == np.float32


def test_a_constant_that_one_profile_folds_is_compared_with_what_the_other_computes() -> None:
    made = model(
        [node("Exp", ["c"], ["folded"]), node("Add", ["x", "folded"], ["y"])],
        {"x": ("float32", (4,))},
        {"y": ("float32", (4,))},
        {"c": whole(4)},
    )
    computed, folded = (watch(made, each, {"x": whole(4)}) for each in (OFF, ALL))
    assert TensorKey("folded") in folded.values
    assert first_divergence(computed, folded) is None

    other = with_values(computed, folded=bumped(computed.values[TensorKey("folded")], 1))
    found = divergence(other, folded)
    assert (found.tensor, found.nodes_b) == (TensorKey("folded"), ())
    assert divergence(folded, other).nodes_a == ()
    assert "a constant (folded)" in str(found)


def test_outputs_that_differ_without_a_tensor_that_does_are_not_explained() -> None:
    a = exact()
    values: Mapping[TensorKey, Any] = {key: value for key, value in a.values.items() if key.name != "y"}
    outputs = a.outputs.replacing("y", bumped(a.outputs["y"], 0))  # type: ignore[arg-type]  # a tensor
    found = first_divergence(replace(a, values=values), replace(a, values=values, outputs=outputs))

    assert isinstance(found, Unsaid)
    assert "no tensor before them" in found.reason
