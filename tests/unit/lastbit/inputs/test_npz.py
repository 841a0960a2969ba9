"""A user's .npz: samples by the leading axis, and one message for whatever is wrong with it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from lastbit.inputs import InputsError, NpzInputs
from replicas.model import Model

Build = Callable[..., Model]


@pytest.fixture
def pair(build: Build) -> Model:
    """Two inputs that share a dimension, and a scalar."""
    inputs = {"a": ("float32", ["batch", 3]), "b": ("int64", ["batch", "length"]), "gain": ("float32", [])}
    return build(inputs, [("Mul", ["a", "gain"], ["y"], {})])


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write an .npz."""

    def write(**arrays: Any) -> Path:
        path = tmp_path / "mine.npz"
        np.savez(path, **arrays)
        return path

    return write


def a(samples: int, *shape: int) -> np.ndarray[Any, Any]:
    """Distinct float32 values."""
    return np.arange(samples * int(np.prod(shape)), dtype=np.float32).reshape(samples, *shape)


def gains(samples: int) -> np.ndarray[Any, Any]:
    """Scalars."""
    return np.arange(samples, dtype=np.float32)


def refusal(path: Path, model: Model) -> str:
    """The message with which a file is refused."""
    with pytest.raises(InputsError) as caught:
        NpzInputs(path, model)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_one_axis_more_than_the_input_counts_the_samples(pair: Model, save: Callable[..., Path]) -> None:
    file = save(a=a(5, 2, 3), b=np.ones((5, 2, 4), np.int64), gain=gains(5))
    inputs = NpzInputs(file, pair)
    request = inputs.tensors(3).tensors
    assert {name: each.shape for name, each in request.items()} == {"a": (2, 3), "b": (2, 4), "gain": ()}
    assert np.array_equal(request["a"], a(5, 2, 3)[3])
    assert inputs.describe() == "5 samples of mine.npz, over and over"


def test_as_many_axes_as_the_input_are_a_batch_whose_rows_run_alone(pair: Model, save: Callable[..., Path]) -> None:
    inputs = NpzInputs(save(a=a(5, 3), b=np.ones((5, 4), np.int64), gain=gains(5)), pair)
    assert np.array_equal(inputs.tensors(3).tensors["a"], a(5, 3)[3:4])
    assert inputs.tensors(3).tensors["b"].shape == (1, 4)


def test_samples_begin_anew_when_they_run_out(pair: Model, save: Callable[..., Path]) -> None:
    inputs = NpzInputs(save(a=a(5, 3), b=np.ones((5, 4), np.int64), gain=gains(5)), pair)
    assert inputs.tensors(8).key == inputs.tensors(3).key != inputs.tensors(4).key


def test_equal_samples_have_equal_keys(pair: Model, save: Callable[..., Path]) -> None:
    same = np.zeros((2, 3), np.float32)
    inputs = NpzInputs(save(a=same, b=np.zeros((2, 4), np.int64), gain=np.zeros(2, np.float32)), pair)
    assert inputs.tensors(0).key == inputs.tensors(1).key


def test_every_sample_runs_and_cannot_be_written_to(pair: Model, save: Callable[..., Path]) -> None:
    inputs = NpzInputs(save(a=a(5, 3), b=np.ones((5, 4), np.int64), gain=gains(5)), pair)
    session = onnxruntime.InferenceSession(pair.content, providers=["CPUExecutionProvider"])
    for request_id in range(5):
        tensors = inputs.tensors(request_id).tensors
        assert np.array_equal(session.run(None, dict(tensors))[0], tensors["a"] * np.float32(request_id))
        with pytest.raises(ValueError, match="read-only"):
            tensors["a"][0, 0] = 1


def test_strings_are_read_from_a_unicode_array(build: Build, save: Callable[..., Path]) -> None:
    model = build({"s": ("string", ["n"])}, [("Identity", ["s"], ["y"], {})], output="string")
    inputs = NpzInputs(save(s=np.array([["Bern", "Zürich"], ["", "x"]])), model)
    session = onnxruntime.InferenceSession(model.content, providers=["CPUExecutionProvider"])
    assert session.run(None, dict(inputs.tensors(0).tensors))[0].tolist() == ["Bern", "Zürich"]
    assert inputs.tensors(0).key != inputs.tensors(1).key


def test_another_byte_order_is_put_right(build: Build, save: Callable[..., Path]) -> None:
    model = build({"x": ("float32", ["n"])}, [("Identity", ["x"], ["y"], {})])
    x = NpzInputs(save(x=np.array([[1.5, 2.5]], dtype=">f4")), model).tensors(0).tensors["x"]
    assert x.dtype.isnative
    assert x.tolist() == [1.5, 2.5]


def test_the_sha256_is_that_of_the_file(pair: Model, save: Callable[..., Path]) -> None:
    path = save(a=a(1, 3), b=np.ones((1, 4), np.int64), gain=gains(1))
    assert NpzInputs(path, pair).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_faults_are_told_at_once(pair: Model, save: Callable[..., Path]) -> None:
    message = refusal(save(a=a(5, 3).astype(np.float64), gian=gains(5), gain=np.float32(1)), pair)
    assert "4 faults" in message
    assert 'a      is float64, the model takes float32; save it as a.astype("float32")' in message
    assert 'did you mean "gain"?' in message
    assert "b      missing; the model takes int64 [batch, length]" in message
    assert "the leading axis counts the samples" in message


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": a(5, 4)}, "axis 1 of a sample is 4, the model takes 3"),
        ({"a": a(5, 1, 1, 3)}, "so 3 axes with the samples first"),
        ({"a": a(0, 3)}, "holds no sample"),
        ({"a": a(4, 3)}, "4 samples; all inputs must hold equally many"),
        ({"a": a(5, 2, 3)}, 'axis 0 of a sample is 1, but "batch" is 2 in a'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    pair: Model, save: Callable[..., Path], arrays: dict[str, Any], told: str
) -> None:
    right = {"a": a(5, 3), "b": np.ones((5, 4), np.int64), "gain": gains(5)}
    assert told in refusal(save(**{**right, **arrays}), pair)


def test_rows_of_a_batch_need_a_first_axis_that_allows_one(build: Build, save: Callable[..., Path]) -> None:
    model = build({"x": ("float32", [4, 3])}, [("Identity", ["x"], ["y"], {})])
    assert "axis 0 is fixed at 4" in refusal(save(x=a(4, 3)), model)
    assert NpzInputs(save(x=a(2, 4, 3)), model).tensors(0).tensors["x"].shape == (4, 3)


def test_python_objects_are_never_unpickled(pair: Model, save: Callable[..., Path]) -> None:
    assert "never unpickled" in refusal(save(a=np.array([{}, {}])), pair)


def test_bytes_are_no_strings(build: Build, save: Callable[..., Path]) -> None:
    model = build({"s": ("string", ["n"])}, [("Identity", ["s"], ["y"], {})], output="string")
    assert "the model takes strings; save it as s.astype(str)" in refusal(save(s=np.array([b"a"])), model)


def test_a_file_of_another_kind_is_refused(pair: Model, tmp_path: Path) -> None:
    path = tmp_path / "one.npy"
    np.save(path, a(5, 3))
    assert "is no .npz file" in refusal(path, pair)


def test_a_missing_file_is_refused(pair: Model, tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none.npz", pair)


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "compressed"])
def test_a_file_cut_off_or_damaged_anywhere_is_refused_or_read_in_full(
    pair: Model, save: Callable[..., Path], compressed: bool
) -> None:
    path = save(a=a(5, 3), b=np.ones((5, 4), np.int64), gain=gains(5))
    if compressed:
        np.savez_compressed(path, a=a(5, 3), b=np.ones((5, 4), np.int64), gain=gains(5))
    content = path.read_bytes()
    for cut in range(0, len(content), 23):
        path.write_bytes(content[:cut])
        refusal(path, pair)
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with contextlib.suppress(InputsError):  # nothing else may come out
            assert len(NpzInputs(path, pair).tensors(0).tensors) == 3
