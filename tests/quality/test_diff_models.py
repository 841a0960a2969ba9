"""Does a comparison of two model files find what was changed in the second?"""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import helper
from support import own_models

from lastbit.auditing import AuditError, diff_models
from lastbit.auditing.model_pair import ModelPairError
from replicas.library import named_profiles

SAMPLES = 10


def layers(
    path: Path,
    *,
    dtype: str = "float32",
    output: str = "y",
    inner: str = "hidden",
    batch: int | str = 1,
    doubled: bool = False,
    squashed: bool = False,
) -> Path:
    """Two products, in any float type inside; if wanted with one weight doubled, or a Sigmoid more between them."""
    path.parent.mkdir(exist_ok=True)
    weights = {"w": own_models.weights(16, 16), "v": own_models.weights(16, 8)}
    weights["v"][3, 4] *= 2 if doubled else 1
    rest = [
        helper.make_node("MatMul", ["given", "w"], [inner], name="first"),
        helper.make_node("Relu", [inner], ["active"], name="relu"),
        helper.make_node("MatMul", ["squashed" if squashed else "active", "v"], [output], name="second"),
    ]
    if squashed:
        rest.insert(2, helper.make_node("Sigmoid", ["active"], ["squashed"], name="more"))
    return own_models.write(
        path,
        [helper.make_node("Cast", ["x"], ["given"], to=own_models.TYPES[dtype]), *rest],
        {"x": ("float32", [batch, 16])},
        {output: (dtype, [batch, 8])},
        {name: weight.astype(dtype) for name, weight in weights.items()},
    )


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return layers(tmp_path / "one.onnx")


def test_a_changed_weight_is_named_whatever_tensors_are_called(one: Path, tmp_path: Path) -> None:
    for name, said in {"same": {}, "inner": {"inner": "h"}, "all": {"inner": "h", "output": "z"}}.items():
        other = layers(tmp_path / f"{name}.onnx", doubled=True, **said)
        found = diff_models(one, other, samples=SAMPLES)
        (origin,) = found.origins
        assert (origin.one, origin.other) == ("one.onnx", f"{name}.onnx")
        assert (origin.weight, origin.element, origin.tensor) == ("v", 3 * 8 + 4, "y")
        first, second = map(float.fromhex, origin.values)
        assert second == 2 * first
        assert found.pairs[0].changed.failures > 0


def test_a_node_more_is_named_beside_what_it_feeds(one: Path, tmp_path: Path) -> None:
    found = diff_models(one, layers(tmp_path / "two.onnx", squashed=True), samples=SAMPLES)
    (origin,) = found.origins
    assert origin.nodes_one == ('MatMul "second"',)
    assert origin.nodes_other == ('Sigmoid "more"', 'MatMul "second"')


def test_models_that_compute_the_same_are_equal_though_names_differ(one: Path, tmp_path: Path) -> None:
    """The second calls its output as the first calls an inner tensor, and the other way round."""
    found = diff_models(one, layers(tmp_path / "two.onnx", output="hidden", inner="y"), samples=SAMPLES)
    assert found.classes["bytes"] == (("one.onnx", "two.onnx"),)
    assert found.origins == ()
    assert found.warnings == ('output "y" of one.onnx is compared with "hidden" of two.onnx, by its position',)
    assert found.other_model is not None
    assert (found.model, found.other_model.name, found.other_model.profile) == ("one.onnx", "two.onnx", "ref")
    assert found.model_sha256 != found.other_model.sha256


def test_outputs_in_another_order_are_compared_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Exp", ["x"], ["b"])]
    values = {name: ("float32", [1, 4]) for name in "ab"}
    paths = [
        own_models.write(tmp_path / f"{names}.onnx", nodes, {"x": ("float32", [1, 4])}, {n: values[n] for n in names})
        for names in ("ab", "ba")
    ]
    found = diff_models(*paths, output="a", samples=SAMPLES)
    assert (found.classes["bytes"], found.warnings) == ((("ab.onnx", "ba.onnx"),), ())


@pytest.mark.parametrize(("dtype", "weight_apart", "at_most"), [("float16", True, 0.1), ("float64", False, 1e-5)])
def test_other_types_are_compared_after_an_exact_widening(
    dtype: str, weight_apart: bool, at_most: float, one: Path, tmp_path: Path
) -> None:
    found = diff_models(one, layers(tmp_path / "two.onnx", dtype=dtype), samples=SAMPLES)
    (pair,), (origin,) = found.pairs, found.origins
    assert (pair.unlike, pair.changed.failures) == (0, SAMPLES)
    assert 0 < pair.absolute < at_most
    assert (origin.weight is not None) == weight_apart
    assert [warning for warning in found.warnings if f"{dtype} in two.onnx: bytes differ always" in warning]
    assert next(each for each in found.profiles if each.name == "two.onnx").forecast is not None


def test_an_axis_that_only_the_first_leaves_open_is_as_long_as_in_the_second(tmp_path: Path) -> None:
    paths = layers(tmp_path / "open.onnx", batch="batch"), layers(tmp_path / "three.onnx", batch=3)
    found = diff_models(*paths, samples=SAMPLES)
    assert "x float32 [3, 16]" in found.inputs
    assert found.classes["bytes"] == (("open.onnx", "three.onnx"),)


def test_a_profile_is_for_both(one: Path, tmp_path: Path) -> None:
    found = diff_models(one, layers(tmp_path / "two.onnx", doubled=True), named_profiles()["fp64"], samples=SAMPLES)
    assert found.other_model is not None
    assert found.other_model.profile == "fp64"
    (origin,) = found.origins
    assert origin.nodes_one == origin.nodes_other == ('MatMul "second"',)
    assert max(len(value.split("p")[0]) for value in origin.values) > len("-0x1.123456")  # as no float32 has


def unfit(path: Path, how: str) -> Path:
    """A model whose inputs or outputs are unlike those of `layers`, in one way."""
    product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    flat = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Squeeze", ["t"], ["y"])]
    match how:
        case "shapes":
            return own_models.dense(path)
        case "names":
            return own_models.mask(path)
        case "count":
            return own_models.write(
                path,
                [*product, helper.make_node("Neg", ["y"], ["z"])],
                {"x": ("float32", [1, 16])},
                {"y": ("float32", [1, 8]), "z": ("float32", [1, 8])},
                {"w": own_models.weights(16, 8)},
            )
        case "dtype":
            weights = {"w": own_models.weights(16, 8, dtype="float64")}
            return own_models.write(path, product, {"x": ("float64", [1, 16])}, {"y": ("float64", [1, 8])}, weights)
        case _:
            weights = {"w": own_models.weights(16, 8)}
            return own_models.write(path, flat, {"x": ("float32", [1, 16])}, {"y": ("float32", [8])}, weights)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ("shapes", 'input "x" is float32 [1, 16] in one.onnx and float32 [1, 8] in two.onnx; output "y" is'),
        ("names", 'one.onnx has the inputs "x", two.onnx "b"'),
        ("count", 'one.onnx has the outputs "y", two.onnx "y", "z"'),
        ("dtype", 'input "x" is float32 [1, 16] in one.onnx and float64 [1, 16] in two.onnx'),
        ("rank", 'output "y" is float32 [1, 8] in one.onnx and float32 [8] in two.onnx'),
    ],
)
def test_models_that_do_not_fit_together_are_refused_with_all_that_differs(
    other: str, problem: str, one: Path, tmp_path: Path
) -> None:
    two = unfit(tmp_path / "two.onnx", other)
    with pytest.raises(ModelPairError) as caught:
        diff_models(one, two, samples=SAMPLES)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("one.onnx and two.onnx cannot be compared: ")


def test_files_of_one_name_are_told_apart_by_their_folders_and_one_file_is_no_pair(tmp_path: Path) -> None:
    paths = [layers(tmp_path / folder / "model.onnx") for folder in ("old", "new")]
    assert diff_models(*paths, samples=2).classes["bytes"] == (("old/model.onnx", "new/model.onnx"),)
    with pytest.raises(ModelPairError, match="are one model; name two"):
        diff_models(paths[0], tmp_path / "new" / ".." / "old" / "model.onnx")


def test_a_second_model_that_refuses_the_inputs_is_no_difference(tmp_path: Path) -> None:
    table = {"table": own_models.weights(50, 4)}
    small = {"table": own_models.weights(3, 4)}
    paths = [
        own_models.write(
            tmp_path / f"{name}.onnx",
            [helper.make_node("Gather", ["table", "ids"], ["y"])],
            {"ids": ("int64", [4])},
            {"y": ("float32", [4, 4])},
            weights,
        )
        for name, weights in (("fifty", table), ("three", small))
    ]
    with pytest.raises(AuditError, match=r"^three\.onnx: .* inputs refused"):
        diff_models(*paths, values={"ids": "40"}, samples=2)
