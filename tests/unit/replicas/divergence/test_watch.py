"""Watching shows every tensor and changes nothing; where it would, it says so and reports nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support import own_models, watched_models
from support.watched_models import Array, graph, model, node, numbers, reversed_split, whole

from replicas.divergence import Divergence, Step, TensorKey, Unsaid, Watch, Watched, first_divergence, watch
from replicas.engine import EngineError, OnnxRuntimeEngine
from replicas.model import Model
from replicas.outputs import Outputs
from replicas.profile import KSplit, NumericProfile

OFF = NumericProfile(optimization="off")
ALL = NumericProfile()
X = {"x": numbers(1, 256, seed=7)}


@pytest.mark.parametrize(
    "profile",
    [ALL, OFF, NumericProfile(optimization="extended"), NumericProfile(prepacking=False, intra_op_threads=4)],
    ids=["all", "off", "extended", "noprepack"],
)
@pytest.mark.parametrize("make", [watched_models.convolutions, watched_models.feed_forward])
def test_watching_gives_the_outputs_of_the_unwatched_run(make: Any, profile: NumericProfile) -> None:
    made = make()
    (spec,) = made.inputs
    watched = watch(made, profile, {"x": numbers(*spec.shape, seed=3)})

    assert watched.is_faithful, watched.unfaithful
    assert watched.nodes
    assert watched.values[TensorKey("y")].tobytes() == watched.outputs["y"].tobytes()


def test_every_tensor_is_there_in_the_order_in_which_it_was_made() -> None:
    watched = watch(watched_models.feed_forward(), OFF, X)

    expected = ["root", "one", "half", "w", "x", "n", "divided", "erf", "raised", "product", "g", "y"]
    assert [key.name for key in watched.values if key.name not in ("root", "one", "half", "w")] == expected[4:]
    assert np.array_equal(watched.values[TensorKey("n")], -X["x"])


def test_a_tensor_in_blocked_layout_is_shown_as_the_model_has_it() -> None:
    made = watched_models.convolutions()
    x = {"x": numbers(1, 3, 8, 8, seed=3)}
    off, optimised = watch(made, OFF, x), watch(made, ALL, x)
    both = [key for key in off.values if key in optimised.values and not key.is_copy]

    # With AVX2 or better, or on arm64, the convolutions below are blocked; a name of another tensor would be far off.
    assert {"r1", "r2", "normal", "gated", "y"} <= {key.name for key in both}
    for key in both:
        assert off.values[key].shape == optimised.values[key].shape, key
        np.testing.assert_allclose(off.values[key], optimised.values[key], rtol=1e-3, atol=1e-4, err_msg=str(key))


def test_a_tensor_in_blocked_layout_inside_a_branch_is_shown_as_the_model_has_it() -> None:
    then = graph(
        [
            node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
            node("Relu", ["c1"], ["r1"]),
            node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
            node("Conv", ["r1", "w3"], ["c3"]),
            node("Sin", ["c1"], ["aside"]),  # c1 is wanted as it is, so Relu is a node of its own
            node("Concat", ["c2", "c3"], ["both"], axis=1),
            node("Conv", ["both", "w4"], ["t"]),
        ],
        {},
        {"t": ("float32", None), "aside": ("float32", None)},
        {
            "w1": numbers(20, 3, 3, 3),
            "w2": numbers(32, 20, 3, 3),
            "w3": numbers(64, 20, 1, 1),
            "w4": numbers(8, 96, 1, 1),
        },
    )
    other = graph(
        [node("Identity", ["x"], ["o"]), node("Identity", ["x"], ["o2"])],
        {},
        {"o": ("float32", None), "o2": ("float32", None)},
    )
    made = model(
        [node("If", ["c"], ["y", "z"], then_branch=then, else_branch=other)],
        {"c": ("bool", ()), "x": ("float32", (1, 3, 8, 8))},
        {"y": ("float32", None), "z": ("float32", None)},
    )
    x = {"c": np.array(True), "x": numbers(1, 3, 8, 8, seed=3)}
    off, optimised = watch(made, OFF, x), watch(made, ALL, x)

    for name in ("c1", "r1", "c2", "c3", "both", "t"):
        key = TensorKey(name, (Step("y", "then_branch"),))
        assert off.values[key].shape == optimised.values[key].shape, name
        np.testing.assert_allclose(off.values[key], optimised.values[key], rtol=1e-3, atol=1e-3, err_msg=name)


def test_a_split_product_keeps_the_name_of_what_it_makes() -> None:
    made = watched_models.feed_forward()
    split, plain = reversed_split(made, X), watch(made, ALL, X)

    assert split.is_faithful
    np.testing.assert_allclose(split.values[TensorKey("y")], plain.values[TensorKey("y")], rtol=1e-4)


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_the_branch_that_was_taken_is_shown_and_the_other_is_not(opset: int) -> None:
    watching = Watch(watched_models.gelu_in_a_branch(opset=opset), OFF)
    then = watching.run({**X, "c": np.array(True)})
    other = watching.run({**X, "c": np.array(False)})

    assert then.is_faithful
    assert other.is_faithful
    assert not then.left_out
    inside = (Step("y", "then_branch"),)
    assert np.array_equal(then.values[TensorKey("n", inside)], -X["x"])
    assert {key.place for key in then.values} == {(), inside}
    assert {key.name for key in other.values if key.place} == {"whole", "back"}


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_each_iteration_of_a_loop_is_shown(opset: int) -> None:
    watching = Watch(watched_models.gelu_in_a_loop(opset=opset), OFF)
    watched = watching.run({**X, "times": np.array(3)})

    after = [watched.values[TensorKey("after", (Step("y", "body", turn),))] for turn in range(3)]
    assert watched.is_faithful
    assert np.array_equal(-np.stack(after), watched.outputs["all"])
    assert np.array_equal(after[-1], watched.outputs["y"])
    assert not any(key.place for key in watching.run({**X, "times": np.array(0)}).values)


def test_a_branch_that_a_constant_decides_is_shown() -> None:
    proto = watched_models.gelu_in_a_branch().proto()
    del proto.graph.input[0]
    proto.graph.initializer.append(own_models.from_array("c", np.array(True)))
    watched = watch(Model.from_bytes(proto.SerializeToString(), name="decided"), OFF, X)

    assert watched.is_faithful
    assert TensorKey("n", (Step("y", "then_branch"),)) in watched.values


def test_an_if_inside_an_if_is_shown() -> None:
    inner = graph([node("Abs", ["q"], ["a"]), node("Exp", ["a"], ["e"])], {}, {"e": ("float32", None)})
    plain = graph([node("Neg", ["q"], ["p"])], {}, {"p": ("float32", None)})
    then = graph(
        [node("Neg", ["x"], ["q"]), node("If", ["d"], ["z"], then_branch=inner, else_branch=plain)],
        {},
        {"z": ("float32", None)},
    )
    other = graph([node("Identity", ["x"], ["o"])], {}, {"o": ("float32", None)})
    made = model(
        [node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        {"c": ("bool", ()), "d": ("bool", ()), "x": ("float32", (4,))},
        {"y": ("float32", None)},
    )
    watching = Watch(made, ALL)
    deep = watching.run({"c": np.array(True), "d": np.array(True), "x": numbers(4)})
    shallow = watching.run({"c": np.array(False), "d": np.array(True), "x": numbers(4)})

    place = (Step("y", "then_branch"), Step("z", "then_branch"))
    assert np.array_equal(deep.values[TensorKey("a", place)], np.abs(numbers(4)))
    assert {key.name for key in shallow.values if key.place} == {"o"}


def growing(opset: int) -> Watched:
    """A Loop that doubles a tensor of 4 three times."""
    body = graph(
        [node("Concat", ["v", "v"], ["vv"], axis=0), node("Identity", ["going"], ["on"])],
        {"i": ("int64", ()), "going": ("bool", ()), "v": ("float32", (None,))},
        {"on": ("bool", ()), "vv": ("float32", (None,))},
    )
    made = model(
        [node("Loop", ["times", "", "x"], ["y"], body=body), node("Neg", ["y"], ["z"])],
        {"times": ("int64", ()), "x": ("float32", (4,))},
        {"z": ("float32", (None,))},
        opset=opset,
    )
    return watch(made, ALL, {"times": np.array(3), "x": numbers(4)})


def test_tensors_that_grow_in_a_loop_are_shown() -> None:
    watched = growing(opset=13)

    assert watched.is_faithful
    assert not watched.left_out
    assert [len(value) for key, value in watched.values.items() if key.name == "vv"] == [8, 16, 32]


def test_a_loop_that_cannot_be_opened_is_one_node_and_that_is_said() -> None:
    watched = growing(opset=11)

    assert watched.is_faithful
    assert watched.left_out == ('Loop that makes "y"',)
    assert watched.values[TensorKey("y")].shape == (32,)


def test_an_if_inside_a_loop_is_shown_as_it_turns_out_each_time() -> None:
    then = graph([node("Concat", ["v", "v"], ["t"], axis=0)], {}, {"t": ("float32", None)})
    other = graph([node("Neg", ["v"], ["n"]), node("Abs", ["n"], ["a"])], {}, {"a": ("float32", None)})
    body = graph(
        [
            node("Equal", ["i", "first"], ["is_first"]),
            node("If", ["is_first"], ["w"], then_branch=then, else_branch=other),
            node("Identity", ["going"], ["on"]),
        ],
        {"i": ("int64", ()), "going": ("bool", ()), "v": ("float32", (None,))},
        {"on": ("bool", ()), "w": ("float32", (None,))},
    )
    made = model(
        [node("Loop", ["times", "", "x"], ["y"], body=body)],
        {"times": ("int64", ()), "x": ("float32", (4,))},
        {"y": ("float32", (None,))},
        {"first": np.int64(0)},
    )
    watched = watch(made, ALL, {"times": np.array(2), "x": numbers(4)})

    deep = [str(key) for key in watched.values if len(key.place) == 2]
    assert watched.is_faithful
    assert deep == ["y/body[0]/w/then_branch/t", "y/body[1]/w/else_branch/n", "y/body[1]/w/else_branch/a"]


def test_weights_that_an_old_file_lists_as_inputs_need_not_be_supplied() -> None:
    two = helper.make_tensor("two", own_models.TYPES["float32"], [1], [2])
    nodes = [
        node("ConstantOfShape", ["one"], ["a"], value=two),
        node("ConstantOfShape", ["other"], ["b"], value=two),
        node("Add", ["x", "a"], ["s"]),
        node("Mul", ["s", "b"], ["y"]),
    ]
    equal = {"one": np.int64([4]), "other": np.int64([4])}  # the optimiser makes one of both, and forgets the inputs
    proto = model(nodes, {"x": ("float32", (4,))}, {"y": ("float32", (4,))}, equal).proto()
    proto.ir_version = 3
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    watched = watch(Model.from_bytes(proto.SerializeToString(), name="old"), ALL, {"x": whole(4)})

    assert watched.is_faithful
    assert np.array_equal(watched.values[TensorKey("s")], whole(4) + 2)


def loop_in_a_loop(step: onnx.NodeProto, *, opset: int = 17) -> Watched:
    """A Loop of 3 whose body has a Loop of 2; `step` makes uu from u in the inner one."""
    inner = graph(
        [step, node("Identity", ["inner_going"], ["inner_on"])],
        {"j": ("int64", ()), "inner_going": ("bool", ()), "u": ("float32", (None,))},
        {"inner_on": ("bool", ()), "uu": ("float32", (None,))},
    )
    body = graph(
        [
            node("Abs", ["v"], ["a"]),
            node("Loop", ["twice", "", "a"], ["b"], body=inner),
            node("Identity", ["going"], ["on"]),
        ],
        {"i": ("int64", ()), "going": ("bool", ()), "v": ("float32", (None,))},
        {"on": ("bool", ()), "b": ("float32", (None,))},
    )
    made = model(
        [node("Loop", ["times", "", "x"], ["y"], body=body)],
        {"times": ("int64", ()), "x": ("float32", (4,))},
        {"y": ("float32", (None,))},
        {"twice": np.int64(2)},
        opset=opset,
    )
    return watch(made, ALL, {"times": np.array(3), "x": numbers(4)})


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_a_loop_inside_a_loop_is_shown_turn_by_turn(opset: int) -> None:
    watched = loop_in_a_loop(node("Sqrt", ["u"], ["uu"]), opset=opset)
    turns = [key for key in watched.values if key.name == "uu"]

    assert watched.is_faithful
    assert not watched.left_out
    assert [str(key) for key in turns] == [f"y/body[{i}]/b/body[{j}]/uu" for i in range(3) for j in range(2)]
    x = np.abs(numbers(4))
    for key in turns:
        x = np.sqrt(x)
        assert np.array_equal(watched.values[key], x)
    deep = [each for each in watched.nodes if each.name.op_type == "Sqrt"]
    assert [each.inputs[0].name for each in deep] == ["a", "uu"] * 3


def test_a_loop_inside_a_loop_whose_shapes_change_is_one_node_and_that_is_said() -> None:
    watched = loop_in_a_loop(node("Concat", ["u", "u"], ["uu"], axis=0))

    assert watched.is_faithful
    assert watched.left_out == ('Loop that makes "b"',)
    assert [key.name for key in watched.values if key.place] == ["a", "b", "on"] * 3


@pytest.mark.parametrize("backwards", [False, True])
def test_inside_a_scan_each_turn_is_shown(backwards: bool) -> None:
    body = graph(
        [
            node("Neg", ["row"], ["n"]),
            node("Add", ["sum", "n"], ["more"]),
            node("Identity", ["more"], ["seen"]),
        ],
        {"sum": ("float32", (2,)), "row": ("float32", (2,))},
        {"more": ("float32", (2,)), "seen": ("float32", (2,))},
    )
    directions = {"scan_input_directions": [1], "scan_output_directions": [1]} if backwards else {}
    made = model(
        [node("Scan", ["start", "x"], ["y", "all"], body=body, num_scan_inputs=1, **directions)],
        {"x": ("float32", (3, 2))},
        {"y": ("float32", (2,)), "all": ("float32", (3, 2))},
        {"start": np.float32([0, 0])},
    )
    x = whole(3, 2)
    watched = watch(made, OFF, {"x": x})
    turns = [watched.values[key] for key in watched.values if key.name == "n"]

    assert watched.is_faithful
    assert not watched.left_out
    assert np.array_equal(turns, -x[::-1] if backwards else -x)
    deep = [each for each in watched.nodes if each.name.op_type == "Add"]
    assert [str(each.inputs[0]) for each in deep][1:] == ["y/body[0]/more", "y/body[1]/more"]
    assert str(deep[0].name) == 'Add that makes "more" in y/body[0]'


@pytest.mark.parametrize(
    ("write", "inputs"),
    [
        (own_models.several, {"x": numbers(1, 4), "n": np.int32([[1, 2, 3, 4]])}),
        (own_models.strings, {"s": np.array(["a", "b"], dtype=object)}),
        (own_models.scalar, {"x": np.array(0.5, np.float32)}),
        (own_models.mask, {"b": np.array([True, False, True])}),
        (own_models.tokens, {"ids": np.int64([[1, 2, 3]])}),
    ],
)
def test_other_types_of_inputs_and_outputs_are_watched(tmp_path: Path, write: Any, inputs: dict[str, Array]) -> None:
    made = Model.load(write(tmp_path / "model.onnx"))
    one, other = watch(made, OFF, inputs), watch(made, ALL, inputs)

    assert one.is_faithful
    assert other.is_faithful
    found = first_divergence(one, other)
    assert not isinstance(found, Unsaid)


def test_outputs_added_to_the_model_itself_would_watch_another_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched_models.feed_forward()
    naive = onnx.load_from_string(made.content)
    monkeypatch.setattr(OnnxRuntimeEngine, "optimised_graph", lambda self: naive)

    watched = watch(made, ALL, X)

    assert not watched.is_faithful
    assert 'watching changes what is watched: output "y", element ' in str(watched.unfaithful)
    assert not watched.values
    assert not watched.nodes
    found = first_divergence(watched, watched)
    assert isinstance(found, Unsaid)
    assert "watching changes what is watched" in found.reason


def test_a_graph_that_cannot_be_watched_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: OnnxRuntimeEngine, content: bytes) -> None:
        raise EngineError("not this one")

    monkeypatch.setattr(OnnxRuntimeEngine, "session_as_it_stands", refuse)
    watched = watch(watched_models.feed_forward(), ALL, X)

    assert watched.unfaithful == "no session could be watched: not this one"
    assert isinstance(watched.outputs, Outputs)


def test_a_wrong_order_is_refused_as_by_an_engine() -> None:
    watching = Watch(watched_models.feed_forward(), NumericProfile(summation=KSplit(slices=4)))

    with pytest.raises(EngineError, match="needs an order of summation"):
        watching.run(X)


def test_the_number_of_tensors_does_not_depend_on_an_input_seen_before() -> None:
    made = model(
        [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])],
        {"x": ("float32", ("n", 8))},
        {"y": ("float32", ("n", 8))},
        {"w": whole(8, 8)},
    )
    watching = Watch(made, ALL)
    first, second = watching.run({"x": whole(1, 8)}), watching.run({"x": whole(5, 8)})

    assert list(first.values) == list(second.values)
    assert second.values[TensorKey("y")].shape == (5, 8)
    assert not isinstance(first_divergence(first, first), Divergence)
