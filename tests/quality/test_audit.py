"""Does an audit find what is planted in a model, and what a loop over the bare runtime finds?"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
from onnx import helper
from support import own_models

import lastbit
from lastbit.auditing import Audit, AuditError, diff
from lastbit.auditing.findings import json_schema
from lastbit.auditing.knobs import BASES, KNOBS
from replicas.engine import EngineError, OnnxRuntimeEngine
from replicas.forms import FORMS, FormError
from replicas.library import NamedProfile, named_profiles

SAMPLES = 25
PLAIN = ("ref", "threads4", "opt-off", "opt-basic", "noprepack", "noprepack-threads4")
"""Profiles that are settings of a session and nothing else."""

LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def chosen(*names: str) -> dict[str, NamedProfile]:
    return {name: named_profiles()[name] for name in names}


def verdicts(audit: Audit, base: str = "ref") -> dict[str, str]:
    return {each.knob: each.verdict for each in audit.knobs if each.base == base}


def dense(path: Path) -> Path:
    return own_models.dense(path, shape=(1, 8))


def convolutions(path: Path) -> Path:
    """Convolutions and activations: blocked layouts and fusions make the levels of optimisation differ."""
    rng = np.random.default_rng(3)
    nodes, weights, last, channels = [], {}, "x", 3
    for layer in range(2):
        weights[f"w{layer}"] = rng.standard_normal((16, channels, 3, 3)).astype(np.float32) / 5
        nodes += [
            helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]),
        ]
        last, channels = f"r{layer}", 16
    nodes += [helper.make_node("GlobalAveragePool", [last], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    return own_models.write(path, nodes, {"x": ("float32", [1, 3, 12, 12])}, {"y": ("float32", [1, 16])}, weights)


def flaky(path: Path) -> Path:
    """Noise drawn anew on each run, so small that it moves last bits only."""
    noise = {"dtype": 1, "mean": 0.0, "scale": 1e-7}
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], name="planted", **noise),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    return own_models.write(path, nodes, {"x": ("float32", [4])}, {"y": ("float32", [4])})


def constant(path: Path) -> Path:
    """An output that has nothing to do with the input."""
    nodes = [helper.make_node("Mul", ["x", "zero"], ["nought"]), helper.make_node("Add", ["nought", "one"], ["y"])]
    weights = {"zero": np.float32(0), "one": np.float32(1)}
    return own_models.write(path, nodes, {"x": ("float32", [4])}, {"y": ("float32", [4])}, weights)


def bare_answers(path: Path, profile: NamedProfile, feeds: list[dict[str, Any]]) -> tuple[bytes, ...]:
    """What the runtime itself gives under a plain profile."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = profile.profile.intra_op_threads
    options.graph_optimization_level = LEVELS[profile.profile.optimization]
    if not profile.profile.prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return tuple(b"".join(np.asarray(each).tobytes() for each in session.run(None, feed)) for feed in feeds)


@pytest.mark.parametrize(
    ("make", "shape"), [(dense, (1, 8)), (convolutions, (1, 3, 12, 12))], ids=["dense", "convolutions"]
)
def test_classes_and_knobs_are_those_that_a_loop_over_the_bare_runtime_finds(
    make: Callable[[Path], Path], shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = make(tmp_path / "model.onnx")
    inputs = np.random.default_rng(1).standard_normal((SAMPLES, *shape)).astype(np.float32)
    np.savez(tmp_path / "inputs.npz", x=inputs)

    audit = lastbit.audit(path, inputs=tmp_path / "inputs.npz", profiles=chosen(*PLAIN), samples=SAMPLES)

    by_hand = {name: bare_answers(path, named_profiles()[name], [{"x": x} for x in inputs]) for name in PLAIN}
    classes: dict[tuple[bytes, ...], list[str]] = {}
    for name, answers in by_hand.items():
        classes.setdefault(answers, []).append(name)
    assert audit.classes["bytes"] == tuple(map(tuple, classes.values()))
    for knob, name in (
        ("optimization=off", "opt-off"),
        ("prepacking=false", "noprepack"),
        ("intra_op_threads=4", "threads4"),
    ):
        assert verdicts(audit)[knob] == ("inert" if by_hand[name] == by_hand["ref"] else "live")
    combined = "inert" if by_hand["noprepack-threads4"] == by_hand["noprepack"] else "live"
    assert verdicts(audit, "noprepack")["intra_op_threads=4"] == combined


def test_a_knob_that_is_live_only_together_with_another_is_called_so(tmp_path: Path) -> None:
    """A wide product without prepacking is shared among threads; with prepacking it is not."""
    weight = np.random.default_rng(0).standard_normal((512, 256)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = own_models.write(
        tmp_path / "wide.onnx", [node], {"x": ("float32", [1, 512])}, {"y": ("float32", [1, 256])}, {"w": weight}
    )
    audit = lastbit.audit(path, profiles=chosen("ref"), samples=10)
    threads = {knob.name for knob in KNOBS if knob.settings.keys() == {"intra_op_threads"}}
    live = {knob for knob in threads if verdicts(audit, "noprepack")[knob] == "live"}
    inert = {knob for knob in threads if verdicts(audit)[knob] == "inert"}
    assert set(audit.live_in_combination) & threads == live & inert


def test_a_planted_flake_is_found_and_belongs_to_no_class(tmp_path: Path) -> None:
    audit = lastbit.audit(flaky(tmp_path / "flaky.onnx"), profiles=chosen("ref", "opt-off"), samples=5)

    assert audit.classes["bytes"] == ()
    assert all(each.is_of_no_class and each.unrepeatable for each in audit.profiles)
    turned = {knob: verdict for knob, verdict in verdicts(audit).items() if verdict != "refused"}
    assert set(turned.values()) == {"unrepeatable"}
    assert len(turned) == len(KNOBS) - len(("batch_size=8", "padding=16"))
    assert any("RandomNormalLike" in warning for warning in audit.warnings)
    assert audit.fails_on("classes")


def test_an_output_that_depends_on_no_input_is_warned_of(tmp_path: Path) -> None:
    audit = lastbit.audit(constant(tmp_path / "constant.onnx"), profiles=chosen("ref", "opt-off"), samples=5)

    assert [warning for warning in audit.warnings if "the same for all 5 inputs" in warning]
    assert not audit.fails_on("classes")


def test_of_several_outputs_the_one_that_never_changes_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["y"]),
        helper.make_node("Mul", ["x", "zero"], ["nought"]),
        helper.make_node("Cos", ["nought"], ["still"]),
    ]
    outputs = {"y": ("float32", [4]), "still": ("float32", [4])}
    weights = {"zero": np.float32(0)}
    path = own_models.write(tmp_path / "two.onnx", nodes, {"x": ("float32", [4])}, outputs, weights)
    audit = lastbit.audit(path, profiles=chosen("ref", "opt-off"), samples=5)

    assert audit.warnings == (
        'output "still" was the same for all 5 inputs looked at: it tells nothing of the settings',
    )


def test_an_input_that_reaches_no_output_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Exp", ["x"], ["y"]), helper.make_node("Neg", ["idle"], ["unused"])]
    inputs = {"x": ("float32", [4]), "idle": ("float32", [4]), "steady_mask": ("int64", [1])}
    path = own_models.write(tmp_path / "idle.onnx", nodes, inputs, {"y": ("float32", [4])})
    audit = lastbit.audit(path, profiles=chosen("ref", "opt-off"), samples=5)

    assert audit.warnings == ('input "idle" changes nothing: the output stayed the same with 4 other values of it',)


def test_a_precision_that_changes_nothing_says_what_it_found_to_change(tmp_path: Path) -> None:
    path = own_models.write(
        tmp_path / "whole.onnx",
        [helper.make_node("Sign", ["x"], ["s"]), helper.make_node("Neg", ["s"], ["y"])],
        {"x": ("float32", [4])},
        {"y": ("float32", [4])},
    )
    audit = lastbit.audit(path, profiles=chosen("ref", "fp16-weights", "fp64", "opt-off"), samples=5)

    assert audit.warnings == (
        "fp16-weights has the bits of ref: 0 weights were there to be rounded",
        "fp64 has the bits of ref: it computes 2 of 2 nodes with floats in fp64, and nothing inside If, Loop or trees",
    )


def test_the_node_where_it_begins_is_the_only_one_that_is_sensitive_to_order(tmp_path: Path) -> None:
    """Sums of small whole numbers are exact in any order; one product of fractions among them is not."""
    rng = np.random.default_rng(5)
    whole = {name: rng.integers(-3, 4, (64, 64)).astype(np.float32) for name in ("first", "last")}
    weights = {**whole, "fractions": rng.standard_normal((64, 64)).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["exact"], name="exact product"),
        helper.make_node("Clip", ["exact", "low", "high"], ["small"], name="clip"),
        helper.make_node("MatMul", ["small", "fractions"], ["inexact"], name="planted"),
        helper.make_node("Sign", ["inexact"], ["signs"], name="signs"),
        helper.make_node("MatMul", ["signs", "last"], ["again"], name="exact again"),
        helper.make_node("Add", ["again", "inexact"], ["y"], name="sum"),
    ]
    bounds = {"low": np.float32(-50), "high": np.float32(50)}
    path = own_models.write(
        tmp_path / "planted.onnx", nodes, {"x": ("float32", [1, 64])}, {"y": ("float32", [1, 64])}, weights | bounds
    )
    inputs = rng.integers(-3, 4, (10, 1, 64)).astype(np.float32)
    np.savez(tmp_path / "inputs.npz", x=inputs)

    found = diff(path, *chosen("ref", "ksplit8-fp32").values(), inputs=tmp_path / "inputs.npz", samples=10)

    (origin,) = found.origins
    assert (origin.tensor, origin.others) == ("inexact", 0)
    assert origin.nodes_one == ('MatMul "planted"',)
    one, other = map(float.fromhex, origin.values)
    assert one != other
    assert origin.ulps is not None
    assert origin.ulps >= 1


def test_two_profiles_that_are_one_have_no_difference() -> None:
    found = diff("digits-mlp", *chosen("ref", "threads4").values(), samples=5)
    assert (found.classes["bytes"], found.origins, found.pairs, found.knobs) == ((("ref", "threads4"),), (), (), ())
    with pytest.raises(AuditError, match='"ref" and "ref" are one profile'):
        diff("digits-mlp", *[named_profiles()["ref"]] * 2)


def test_a_profile_that_the_model_refuses_is_a_row_and_no_crash(tmp_path: Path) -> None:
    audit = lastbit.audit(own_models.mask(tmp_path / "mask.onnx"), profiles=chosen("ref", "ksplit8-fp32"), samples=3)

    refused = {each.name: each.refused for each in audit.profiles}
    assert refused["ref"] is None
    assert "finds no product" in str(refused["ksplit8-fp32"])
    assert audit.classes["bytes"] == (("ref",),)


def test_a_profile_that_is_refused_half_way_is_a_row_and_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = OnnxRuntimeEngine.run, set[bytes]()

    def refuses_later(self: OnnxRuntimeEngine, inputs: Any, order: Any = None) -> Any:
        seen.add(inputs["x"].tobytes())
        if len(seen) > 6 and self._profile.optimization == "off":
            raise EngineError("no more")
        return run(self, inputs, order)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", refuses_later)
    audit = lastbit.audit(dense(tmp_path / "dense.onnx"), profiles=chosen("ref", "opt-off", "noprepack"), samples=10)

    assert {each.name: each.refused for each in audit.profiles}["opt-off"] == "no more"
    assert "opt-off" not in [name for names in audit.classes["bytes"] for name in names]
    assert audit.inputs_done == 10
    assert verdicts(audit)["optimization=off"] == "refused"


def test_ctrl_c_in_the_middle_of_an_input_keeps_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = OnnxRuntimeEngine.run, set[bytes]()

    def interrupts(self: OnnxRuntimeEngine, inputs: Any, order: Any = None) -> Any:
        seen.add(inputs["x"].tobytes())
        if len(seen) == 4 and not self._profile.prepacking:
            signal.raise_signal(signal.SIGINT)
            seen.add(b"once is enough: a second Ctrl-C would not wait")
        return run(self, inputs, order)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", interrupts)
    audit = lastbit.audit(dense(tmp_path / "dense.onnx"), profiles=chosen("ref", "noprepack"), samples=9)

    assert (audit.interrupted, audit.inputs_done, audit.inputs_asked) == (True, 4, 9)
    assert {each.changed.trials for each in audit.profiles if each.changed is not None} == {4}
    assert audit.pairs[0].changed.trials == 4


def test_equal_audits_are_equal_but_for_the_clock(tmp_path: Path) -> None:
    path = convolutions(tmp_path / "model.onnx")

    def found() -> list[Any]:
        audit = lastbit.audit(path, samples=5)
        return [audit.classes, audit.pairs, audit.knobs, [each.changed for each in audit.profiles]]

    assert found() == found()


def test_the_json_of_an_audit_is_read_back_equal_and_has_the_keys_of_its_schema() -> None:
    audit = lastbit.audit("digits-mlp", profiles=chosen("ref", "noprepack", "ksplit8-drawn"), samples=3, fleet="ref=9")
    text = audit.to_json()
    assert msgspec.json.decode(text, type=Audit) == audit
    keys = json_schema()["$defs"]["Audit"]["properties"]
    assert list(keys) == list(json.loads(text))


def test_no_sample_is_no_audit() -> None:
    with pytest.raises(AuditError, match="samples: 0 is not allowed"):
        lastbit.audit("digits-mlp", samples=0)


def test_the_bases_are_three_and_the_reference_is_the_first() -> None:
    assert list(BASES) == ["ref", "opt-off", "noprepack"]
    assert BASES["ref"] == named_profiles()["ref"].profile


def masked_mean(path: Path) -> Path:
    """The mean over positions that a mask admits: by a product of the mask and the rows, whose K is all positions."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=1),
        helper.make_node("Unsqueeze", ["weights", "middle"], ["row"]),
        helper.make_node("MatMul", ["row", "rows"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "middle"], ["pooled"]),
    ]
    inputs = dict.fromkeys(("input_ids", "attention_mask"), ("int64", ("batch", "positions")))
    weights = {"table": own_models.weights(64, 8), "middle": np.int64([1])}
    return own_models.write(path, nodes, inputs, {"pooled": ("float32", ("batch", 8))}, weights)


def invariances(audit: Audit) -> dict[str, bool | None]:
    return {each.to: each.holds for each in audit.invariances}


def test_what_an_answer_depends_on_is_told_with_a_counterexample(tmp_path: Path) -> None:
    audit = lastbit.audit("digits-forest", profiles=chosen("ref"), samples=10)

    threads, batch, padding = audit.invariances
    assert invariances(audit) == {"threads": False, "batch size": True, "padding": None}
    assert threads.counterexample is not None
    assert threads.said.startswith(f"intra_op_threads=2 changed 10 of 10 inputs; {threads.counterexample}")
    assert batch.said == "0 of 10 inputs changed under batch_size=8"
    assert "no input of this model is a mask" in padding.said


def test_a_counterexample_is_what_the_bare_runtime_gives(tmp_path: Path) -> None:
    """A scale for the whole tensor, as dynamic quantisation has it, makes an answer depend on its batch."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["whole", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["y"]),
    ]
    path = own_models.write(tmp_path / "m.onnx", nodes, {"x": ("float32", ("n", 4))}, {"y": ("float32", ("n", 4))})
    feeds = own_models.weights(16, 4) * np.arange(1, 17, dtype=np.float32)[:, None]
    np.savez(tmp_path / "x.npz", x=feeds)

    audit = lastbit.audit(path, inputs=tmp_path / "x.npz", profiles=chosen("ref"), samples=16)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batches = [session.run(None, {"x": feeds[first : first + 8]})[0] for first in (0, 8)]
    alone = [session.run(None, {"x": row[None]})[0][0] for row in feeds]
    differing = [each for each in range(16) if alone[each].tobytes() != batches[each // 8][each % 8].tobytes()]
    example = next(each for each in audit.knobs if each.knob == "batch_size=8" and each.base == "ref")
    assert example.changed is not None
    assert example.changed.failures == len(differing) > 0
    assert example.counterexample is not None
    assert example.counterexample.request == differing[0]
    element = example.counterexample.element
    told = next(each for each in audit.invariances if each.to == "batch size")
    assert told.said.endswith(
        "more than rounding: a scale taken over the batch, or an axis that does not count requests"
    )
    values = alone[differing[0]][element], batches[differing[0] // 8][differing[0] % 8][element]
    assert [float.fromhex(each) for each in example.counterexample.values] == [float(each) for each in values]


def test_padding_is_tried_on_a_model_with_a_mask(tmp_path: Path) -> None:
    audit = lastbit.audit(
        masked_mean(tmp_path / "m.onnx"),
        dims={"batch": 1, "positions": 24},
        values={"attention_mask": "1"},
        profiles=chosen("ref", "padded16"),
        samples=20,
    )
    assert invariances(audit)["padding"] is not None
    assert "padded16" not in [each.name for each in audit.profiles if each.refused]
    verdict = next(each for each in audit.knobs if each.knob == "padding=16" and each.base == "ref")
    assert (verdict.verdict == "live") == (len(audit.classes["bytes"]) == 2)


def test_only_the_forms_asked_for_are_judged(tmp_path: Path) -> None:
    by = {
        form: lastbit.audit("digits-forest", profiles=chosen("ref", "threads4"), forms=[form], samples=5)
        for form in FORMS
    }

    assert by["bytes"].fails_on("classes")
    assert "top1" not in by["bytes"].classes
    assert not by["top1"].fails_on("classes")
    assert by["top1"].classes["top1"] == (("ref", "threads4"),)


def test_a_form_that_makes_no_sense_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    model = own_models.scalar(tmp_path / "m.onnx")
    assert lastbit.audit(model, profiles=chosen("ref"), samples=1).forms == ("bytes",)
    with pytest.raises(FormError, match="top1 makes no sense"):
        lastbit.audit(model, profiles=chosen("ref"), forms=["top1"], samples=1)
    with pytest.raises(AuditError, match='no form "top2"; did you mean "top1"'):
        lastbit.audit(model, forms=["top2"])
    with pytest.raises(AuditError, match="forms: none is named"):
        lastbit.audit(model, forms=[])


def test_exact_sums_leave_only_what_is_not_a_product_to_the_settings(tmp_path: Path) -> None:
    """Whole numbers are prescribed: order, batch, threads and prepacking no longer reach the bits of a product."""
    exact = {
        name: NamedProfile(name, "", replace(named_profiles()[base].profile, precision="integers"))
        for name, base in {
            "e-ref": "ref",
            "e-noprepack": "noprepack-threads4",
            "e-off": "opt-off",
            "e-b8": "batch8",
        }.items()
    }
    audit = lastbit.audit("digits-mlp", profiles={**chosen("noprepack"), **exact}, samples=20)
    assert audit.classes["bytes"] == (("ref",), ("noprepack",), tuple(exact))


def test_a_chain_of_shards_tells_their_number_and_a_tree_does_not() -> None:
    names = ("shards2-chain", "shards4-chain", "shards2-tree", "shards4-tree")
    audit = lastbit.audit("digits-mlp", profiles=chosen(*names), samples=20)
    assert audit.classes["bytes"] == (
        ("ref",),
        ("shards2-chain",),
        ("shards4-chain",),
        ("shards2-tree", "shards4-tree"),
    )


def test_an_order_drawn_anew_fails_a_gate_on_bytes_and_not_one_on_labels_that_never_flip() -> None:
    audit = lastbit.audit("digits-mlp", profiles=chosen("ref", "ksplit8-drawn"), samples=20)
    assert not audit.is_one_class("bytes")
    assert audit.is_one_class("top1")
