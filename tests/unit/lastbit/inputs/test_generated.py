"""Inputs made for any model: they run, they can be set, and what cannot run says what to set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from lastbit import resources
from lastbit.inputs import GeneratedInputs, InputsError, Overrides
from replicas.model import Model, TensorSpec
from simcore.streams import Streams

Build = Callable[..., Model]
DTYPES = ["bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64", "string"]


def generated(model: Model, seed: int = 1, **texts: list[str]) -> GeneratedInputs:
    """The inputs of a run with that seed and those options."""
    return GeneratedInputs(model, Streams(seed), Overrides.from_texts(**texts))


def echo(build: Build, dtype: str, shape: list[int | str | None]) -> Model:
    """A model that gives its input back."""
    return build({"x": (dtype, shape)}, [("Identity", ["x"], ["y"], {})], output=dtype)


@pytest.mark.parametrize("shape", [[], ["n", 3]], ids=["scalar", "matrix"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_dtype_runs_and_varies(build: Build, dtype: str, shape: list[int | str | None]) -> None:
    model = echo(build, dtype, shape)
    inputs = generated(model)
    session = onnxruntime.InferenceSession(model.content, providers=["CPUExecutionProvider"])
    drawn = [inputs.tensors(i) for i in range(40)]
    for request in drawn:
        x = request.tensors["x"]
        assert x.shape == (() if not shape else (1, 3))
        assert x.dtype == (object if dtype == "string" else dtype)
        assert np.array_equal(session.run(None, dict(request.tensors))[0], x)
    assert len({request.key for request in drawn}) > 1


def test_a_bundled_model_runs_on_inputs_made_for_it() -> None:
    inputs = generated(Model.load(resources.model_path("digits-mlp")))
    assert inputs.describe() == "generated: image float32 [1, 64] -1:1"


def test_a_request_gets_the_same_whatever_was_asked_before(build: Build) -> None:
    model = echo(build, "float32", ["n", 500])
    forward, backward = generated(model), generated(model)
    ids = list(range(0, 5000, 37))
    first = {i: forward.tensors(i).key for i in ids}
    assert {i: backward.tensors(i).key for i in reversed(ids)} == first
    assert len(set(first.values())) == len(ids)


def test_large_requests_of_which_few_are_drawn_at_once_do_not_repeat(build: Build) -> None:
    inputs = generated(echo(build, "float32", [1 << 17]))
    assert len({inputs.tensors(i).key for i in range(8)}) == 8


def test_another_seed_gives_other_inputs(build: Build) -> None:
    model = echo(build, "float64", [4])
    assert generated(model, seed=1).tensors(0).key != generated(model, seed=2).tensors(0).key
    assert generated(model, seed=1).tensors(0).key == generated(model, seed=1).tensors(0).key


def test_two_inputs_of_one_request_are_drawn_apart(build: Build) -> None:
    model = build({"a": ("float32", [4]), "b": ("float32", [4])}, [("Add", ["a", "b"], ["y"], {})])
    tensors = generated(model).tensors(0).tensors
    assert not np.array_equal(tensors["a"], tensors["b"])


def test_keys_are_equal_exactly_where_the_content_is(build: Build) -> None:
    inputs = generated(echo(build, "bool", [2]))
    requests = [inputs.tensors(i) for i in range(50)]
    by_content = {request.tensors["x"].tobytes(): request.key for request in requests}
    assert len(by_content) == len(set(by_content.values())) == 4
    assert all(by_content[request.tensors["x"].tobytes()] == request.key for request in requests)


def test_strings_that_only_join_alike_have_different_keys(build: Build) -> None:
    model = build({"a": ("string", []), "b": ("string", [])}, [("Identity", ["a"], ["y"], {})], output="string")
    first = generated(model, values=["a=xy", "b=z"]).tensors(0).key
    assert first != generated(model, values=["a=x", "b=yz"]).tensors(0).key


def test_tensors_cannot_be_written_to(build: Build) -> None:
    x = generated(echo(build, "float32", [2])).tensors(0).tensors["x"]
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1


def test_indices_use_the_whole_table_and_no_more(embed: Callable[..., Model]) -> None:
    inputs = generated(embed(("Cast", ["ids"], ["rows"], {"to": TensorProto.INT64}), dtype="int32"))
    drawn = {int(i) for request in range(100) for i in inputs.tensors(request).tensors["ids"].flat}
    assert drawn == {0, 1, 2, 3, 4}


def test_a_mask_lets_every_token_be_seen(build: Build) -> None:
    inputs = generated(build({"attention_mask": ("int64", ["n", 3])}, [("Cast", ["attention_mask"], ["y"], {"to": 1})]))
    assert inputs.tensors(0).tensors["attention_mask"].tolist() == [[1, 1, 1]]


def test_a_range_and_a_value_are_kept_to(build: Build) -> None:
    model = build(
        {"a": ("float32", [50]), "b": ("int64", [50]), "c": ("float16", [])},
        [("Cast", ["b"], ["d"], {"to": 1}), ("Add", ["a", "d"], ["y"], {})],
    )
    tensors = generated(model, ranges=["a=5:6", "b=-3:-2"], values=["c=0.5"]).tensors(7).tensors
    assert 5 <= tensors["a"].min() < tensors["a"].max() <= 6
    assert set(tensors["b"].tolist()) == {-3, -2}
    assert tensors["c"] == np.float16(0.5)


def test_a_range_as_wide_as_the_dtype_does_not_overflow(build: Build) -> None:
    x = generated(echo(build, "float64", [100]), ranges=["x=-1.7e308:1.7e308"]).tensors(0).tensors["x"]
    assert x.min() < -1e308 < 1e308 < x.max()
    assert len(set(x.tolist())) == 100
    whole = generated(echo(build, "uint64", [100]), ranges=[f"x=0:{2**64 - 1}"]).tensors(0).tensors["x"]
    assert whole.max() > 2**63


@pytest.mark.parametrize(
    ("dtype", "texts", "told"),
    [
        ("bool", {"values": ["x=maybe"]}, "the input is bool; true or false"),
        ("bool", {"ranges": ["x=0:1"]}, "use --value x=V"),
        ("string", {"ranges": ["x=0:1"]}, "use --value x=V"),
        ("int64", {"values": ["x=1.5"]}, "the input is int64; an integer"),
        ("int64", {"ranges": ["x=0:1.5"]}, "both ends must be integers"),
        ("uint8", {"ranges": ["x=0:256"]}, "256 does not fit uint8, which holds 0 to 255"),
        ("uint8", {"values": ["x=-1"]}, "-1 does not fit uint8"),
        ("float16", {"values": ["x=1e6"]}, "does not fit float16"),
        ("float32", {"values": ["x=much"]}, "the input is float32; a number"),
        ("float32", {"values": ["x=1"], "ranges": ["x=0:1"]}, "not both"),
        ("float32", {"values": ["xs=1"]}, 'no input of that name; did you mean "x"'),
        ("float32", {"ranges": ["xs=0:1"]}, 'no input of that name; did you mean "x"'),
        ("float32", {"dims": ["nn=4"]}, 'no open dimension is called "nn"; did you mean "n"'),
    ],
)
def test_an_option_that_does_not_fit_is_refused(
    build: Build, dtype: str, texts: dict[str, list[str]], told: str
) -> None:
    with pytest.raises(InputsError, match=told):
        generated(echo(build, dtype, ["n"]), **texts)


def test_a_dtype_that_cannot_be_made_is_refused_by_name(build: Build) -> None:
    with pytest.raises(InputsError, match='input "x" is bfloat16; tensors can be made of'):
        generated(echo(build, "bfloat16", ["n"]))


def test_an_input_of_unknown_rank_is_refused(build: Build) -> None:
    model = dataclasses.replace(echo(build, "float32", [2]), inputs=(TensorSpec("x", "float32", (), rank_known=False),))
    with pytest.raises(InputsError, match=r'"x" does not say how many axes it has; give values with --inputs'):
        generated(model)


def test_a_dimension_that_cannot_be_guessed_is_named(build: Build) -> None:
    model = build(
        {"left": ("float32", ["n", "inner"]), "gain": ("float32", [])},
        [("MatMul", ["left", "weight"], ["z"], {}), ("Mul", ["z", "gain"], ["y"], {})],
        {"weight": np.zeros((5, 2), np.float32)},
    )
    with pytest.raises(InputsError) as caught:
        generated(model)
    message = str(caught.value)
    assert "about              left\n" in message
    assert "--dim inner=8" in message
    assert "onnxruntime says" in message
    assert ".cc:" not in message
    assert generated(model, dims=["inner=5"]).tensors(0).tensors["left"].shape == (1, 5)


def test_an_index_that_cannot_be_bounded_is_named_and_its_worst_value_is_tried(embed: Callable[..., Model]) -> None:
    model = embed(("Mul", ["ids", "two"], ["rows"], {}), constants={"two": np.array(2)})
    with pytest.raises(InputsError) as caught:
        generated(model)
    assert "about              ids\n" in str(caught.value)
    assert "indices allowed    0:4\n" in str(caught.value)
    assert "--range ids=0:9" in str(caught.value)
    with pytest.raises(InputsError, match="out of data bounds"):
        generated(model, ranges=["ids=0:3"], dims=["length=2"])
    assert generated(model, ranges=["ids=0:2"]).tensors(0).tensors["ids"].max() <= 2


def test_a_shape_given_as_an_input_can_be_set_by_value(build: Build) -> None:
    model = build({"x": ("float32", [6]), "count": ("int64", [1])}, [("Reshape", ["x", "count"], ["y"], {})])
    with pytest.raises(InputsError, match="--value count="):
        generated(model)
    assert generated(model, values=["count=6"]).tensors(3).tensors["count"].tolist() == [6]


def test_a_model_without_inputs_has_one_request_for_ever(build: Build) -> None:
    inputs = generated(build({}, [("Identity", ["one"], ["y"], {})], {"one": np.ones(1, np.float32)}))
    assert inputs.tensors(0) == inputs.tensors(10**6)
    assert inputs.describe() == "generated: the model takes no input"


def test_what_the_inputs_are_made_from_has_a_sha256_of_its_own(build: Build) -> None:
    model = echo(build, "float32", ["n"])
    plain, wider = generated(model), generated(model, dims=["n=2"])
    assert plain.sha256 == generated(model, seed=9).sha256 != wider.sha256
