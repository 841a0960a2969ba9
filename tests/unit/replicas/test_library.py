"""The library of named profiles."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.library import NamedProfile, named_profiles, profile_named, read_profiles
from replicas.model import Model
from replicas.profile import NumericProfile, ProfileError


def test_the_base_comes_first_and_is_the_profile_of_all_defaults() -> None:
    first = next(iter(named_profiles().values()))
    assert (first.name, first.profile) == ("ref", NumericProfile())


def test_no_two_names_stand_for_one_profile() -> None:
    assert len({each.profile for each in named_profiles().values()}) == len(named_profiles())


def test_each_profile_has_a_sentence_of_its_own() -> None:
    sentences = [each.sentence for each in named_profiles().values()]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)


def test_the_library_cannot_be_changed_by_those_who_read_it() -> None:
    with pytest.raises(TypeError):
        named_profiles()["mine"] = named_profiles()["ref"]  # type: ignore[index]


@pytest.mark.parametrize(("found", "fault"), [("ksplit8-bf61", 'did you mean "ksplit8-bf16"'), ("", "allowed are ref")])
def test_a_name_that_does_not_exist_is_refused_with_what_was_probably_meant(found: str, fault: str) -> None:
    with pytest.raises(ProfileError, match=fault):
        profile_named(found)


def dense() -> Model:
    """A product of 64 elements along K, which every kind of profile can be asked of."""
    text = "g (float[b, 64] x) => (float[b, 8] y) { y = MatMul(x, w) }"
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return Model.from_bytes(proto.SerializeToString(), name="dense")


@pytest.mark.parametrize("named", named_profiles().values(), ids=lambda named: named.name)
def test_every_profile_of_the_library_runs_and_computes_the_same_function(named: NamedProfile) -> None:
    x = {"x": np.random.default_rng(1).random((3, 64), np.float32)}
    x["x"][:, ::2] = 0  # or a processor without VNNI would saturate where it adds two products of signed weights
    expected = OnnxRuntimeEngine(dense(), NumericProfile()).run(x)["y"]
    engine = OnnxRuntimeEngine(dense(), named.profile)
    order = None
    if engine.order_shape is not None:
        rows, columns = engine.order_shape
        order = np.tile(np.arange(columns), (rows, 1))
    assert np.allclose(engine.run(x, order)["y"], expected, atol=0.5)


def test_a_file_of_profiles_is_refused_with_all_that_is_wrong_in_it() -> None:
    text = "[a]\nsentence = 3\nprofile = { intra_op_thread = 2 }\n[b]\nx = 1\n[c]\nprofile = { prepacking = false }"
    with pytest.raises(ProfileError) as caught:
        read_profiles(text)
    assert [fault.split(";")[0] for fault in caught.value.faults] == [
        "a: sentence: 3 is no text",
        "a: intra_op_thread: unknown key",
        "b: x: unknown key",
        "b: profile: missing",
    ]


@pytest.mark.parametrize("text", ["", "ref = 1"])
def test_a_file_without_profiles_is_refused(text: str) -> None:
    with pytest.raises(ProfileError):
        read_profiles(text)
