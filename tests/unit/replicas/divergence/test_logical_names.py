"""What a tensor in blocked layout was: from the node's name, or from where the layout is undone."""

from __future__ import annotations

import onnx
from onnx import helper
from support.watched_models import graph, node

from replicas.divergence.logical_names import BLOCKED_DOMAIN, ModelNodes, logical_names


def blocked(operator: str, inputs: list[str], output: str, name: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=name, domain=BLOCKED_DOMAIN, **attributes)


def names(*optimised: onnx.NodeProto) -> dict[str, str]:
    """Of x, its convolution c, the sum s of both, and the activation r of that, 4 channels each."""
    built = [node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "x"], ["s"]), node("Relu", ["s"], ["r"])]
    model = ModelNodes(helper.make_model(graph(built, {}, {})))
    found = logical_names(graph(optimised, {}, {}), model, dict.fromkeys("xcsr", 4))
    return dict(found.names)


def test_a_converted_node_tells_what_it_made() -> None:
    assert names(blocked("Conv", ["x", "w"], "reorder", "c_nchwc")) == {"reorder": "c"}
    assert names(blocked("Conv", ["x", "w"], "reorder", "c_bn_nchwc_token_3")) == {"reorder": "c"}


def test_what_was_fused_into_it_later_made_another_tensor() -> None:
    with_sum = ["x", "w", "", "y"]

    assert names(blocked("Conv", with_sum, "reorder", "c_nchwc")) == {"reorder": "s"}
    assert names(blocked("Conv", with_sum, "reorder", "c_nchwc", activation="Relu")) == {"reorder": "r"}
    assert names(blocked("Conv", with_sum, "reorder", "s_nchwc", activation="Relu")) == {"reorder": "r"}
    assert names(blocked("Conv", with_sum, "reorder", "r_nchwc", activation="Relu")) == {"reorder": "r"}


def test_a_node_that_was_left_as_it_is_makes_what_its_like_in_the_model_makes() -> None:
    conv = blocked("Conv", ["x", "w"], "reorder", "c_nchwc")
    assert names(conv, node("Add", ["reorder", "x"], ["reorder_1"])) == {"reorder": "c", "reorder_1": "s"}


def test_where_the_layout_is_undone_the_name_stands() -> None:
    undo = blocked("ReorderOutput", ["reorder"], "s", "", channels=4)
    assert names(blocked("Conv", ["x", "w"], "reorder", "named otherwise"), undo) == {"reorder": "s"}


def test_a_tensor_of_which_nothing_is_known_gets_no_name() -> None:
    assert names(blocked("Conv", ["x", "w"], "reorder", "named otherwise")) == {}
    assert names(blocked("Conv", ["x", "w"], "reorder", "unknown_nchwc")) == {}
