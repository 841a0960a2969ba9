"""Requests computed among others, or padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper
from support import own_models

from replicas.batching import BatchedRun
from replicas.engine import EngineError, OnnxRuntimeEngine
from replicas.model import Model
from replicas.outputs import Outputs, outputs_digest
from replicas.profile import NumericProfile, ProfileError
from replicas.workload import SingleRun, workload_of

Array = NDArray[Any]
RNG = np.random.default_rng(4)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def answers(path: Path, requests: list[dict[str, Array]], **settings: Any) -> list[Outputs]:
    """What a profile answers to each request of a model."""
    model, profile = Model.load(path), NumericProfile(**settings)
    engine, workload = OnnxRuntimeEngine(model, profile), workload_of(profile, model)
    found = []
    for request in range(len(requests)):
        together = workload.together(request)
        inputs = [requests[each % len(requests)] for each in together]
        place = together.index(request)
        outputs = engine.run(workload.feeds(inputs, place, subject=engine))
        found.append(workload.own(outputs, inputs, place, subject=engine))
    return found


def recurrent(path: Path) -> Path:
    """Requests on the first axis of one input and on the second of another; a third that has none."""
    return own_models.write(
        path,
        [
            helper.make_node("Mul", ["x", "gain"], ["louder"]),
            helper.make_node("Unsqueeze", ["louder", "axis"], ["layer"]),
            helper.make_node("Add", ["state", "layer"], ["next"]),
            helper.make_node("ReduceSum", ["louder", "last"], ["sum"], keepdims=0),
        ],
        {"x": ("float32", ("batch", 3)), "state": ("float32", (2, "batch", 3)), "gain": ("float32", ())},
        {"next": ("float32", (2, "batch", 3)), "sum": ("float32", ("n",))},
        {"axis": np.int64([0]), "last": np.int64([-1])},
    )


def nameless(path: Path) -> Path:
    """A state whose second axis counts requests, in a model that names no axis."""
    return own_models.write(
        path,
        [
            helper.make_node("Unsqueeze", ["x", "axis"], ["layer"]),
            helper.make_node("Add", ["state", "layer"], ["next"]),
        ],
        {"x": ("float32", (None, 3)), "state": ("float32", (2, None, 3))},
        {"next": ("float32", (None, None, None))},
        {"axis": np.int64([0])},
    )


def masked(path: Path) -> Path:
    """Texts with a mask: the scores of each position, and the sum over those that count."""
    return own_models.write(
        path,
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["attention_mask"], ["weights"], to=T.FLOAT),
            helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
            helper.make_node("Mul", ["rows", "column"], ["scores"]),
            helper.make_node("ReduceSum", ["scores", "middle"], ["pooled"], keepdims=0),
        ],
        {"input_ids": ("int64", ("batch", "length")), "attention_mask": ("int64", ("batch", "length"))},
        {"scores": ("float32", ("batch", "length", 4)), "pooled": ("float32", ("batch", 4))},
        {"table": own_models.weights(11, 4), "last": np.int64([-1]), "middle": np.int64([1])},
    )


def steps_first(path: Path) -> Path:
    return own_models.dense(path, shape=("seq_len", 8))


def texts(count: int, length: int = 5) -> list[dict[str, Array]]:
    ones = np.ones((1, length), np.int64)
    return [{"input_ids": RNG.integers(0, 11, (1, length)), "attention_mask": ones} for _ in range(count)]


def digests(found: list[Outputs]) -> list[bytes]:
    return [outputs_digest(each) for each in found]


@pytest.mark.parametrize("mates", ["requests", "zeros"])
def test_each_request_of_a_batch_gets_its_own_answer(tmp_path: Path, mates: str) -> None:
    path = recurrent(tmp_path / "model.onnx")
    requests = [{"x": normal(1, 3), "state": normal(2, 1, 3), "gain": np.array(2.0, np.float32)} for _ in range(8)]

    alone = answers(path, requests)
    together = answers(path, requests, batch_size=4, batch_mates=mates)

    assert digests(together) == digests(alone)
    assert len(set(digests(alone))) == 8


def test_an_axis_without_a_name_is_the_one_that_is_as_long_as_the_batch(tmp_path: Path) -> None:
    path = nameless(tmp_path / "model.onnx")
    requests = [{"x": normal(1, 3), "state": normal(2, 1, 3)} for _ in range(8)]
    together = answers(path, requests, batch_size=4)
    assert [each["next"].shape for each in together] == [(2, 1, 3)] * 8  # type: ignore[union-attr]
    assert digests(together) == digests(answers(path, requests))


def test_a_request_may_have_several_rows(tmp_path: Path) -> None:
    path = own_models.dense(tmp_path / "model.onnx", shape=("n", 8))
    requests = [{"x": normal(3, 8)} for _ in range(4)]
    assert digests(answers(path, requests, batch_size=2)) == digests(answers(path, requests))


def test_requests_of_one_batch_are_neighbours_and_a_batch_is_not_shared_with_others() -> None:
    workload = BatchedRun(
        size=4, mates="requests", padding=0, rows_in=(), rows_out=(), positions_in=(), positions_out=()
    )
    assert [workload.together(request) for request in (0, 3, 4, 9)] == [
        (0, 1, 2, 3),
        (0, 1, 2, 3),
        (4, 5, 6, 7),
        (8, 9, 10, 11),
    ]


def test_padding_is_masked_out_and_cut_off_again(tmp_path: Path) -> None:
    path, requests = masked(tmp_path / "model.onnx"), texts(3)
    alone = answers(path, requests)
    for settings in ({"padding": 7}, {"padding": 7, "batch_size": 3}, {"batch_size": 3, "batch_mates": "zeros"}):
        found = answers(path, requests, **settings)
        assert [each["scores"].shape for each in found] == [(1, 5, 4)] * 3  # type: ignore[union-attr]
        assert digests(found) == digests(alone), settings


def test_a_model_quantised_by_the_range_of_the_batch_answers_by_what_it_is_batched_with(tmp_path: Path) -> None:
    path = own_models.dense(tmp_path / "model.onnx", shape=("n", 8))
    requests = [{"x": normal(1, 8) * np.float32(10.0**each)} for each in range(4)]
    alone = answers(path, requests, precision="int8-u8")
    together = answers(path, requests, precision="int8-u8", batch_size=4)
    assert digests(together) != digests(alone)
    assert digests(together)[-1:] == digests(alone)[-1:]  # it sets the range itself


@pytest.mark.parametrize(
    ("make", "settings", "fault"),
    [
        (own_models.dense, {"batch_size": 2}, "batch_size: no input of this model leaves its first axis open"),
        (steps_first, {"batch_size": 2}, 'batch_size: the first axis of "x" counts seq_len; use 1'),
        (own_models.tokens, {"padding": 3}, "padding: no input of this model is a mask"),
    ],
)
def test_a_model_without_such_an_axis_is_refused(tmp_path: Path, make: Any, settings: Any, fault: str) -> None:
    with pytest.raises(ProfileError, match=fault):
        workload_of(NumericProfile(**settings), Model.load(make(tmp_path / "model.onnx")))


def test_an_output_that_holds_no_part_for_each_request_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    path = own_models.write(tmp_path / "m.onnx", nodes, {"x": ("float32", ("n", 3))}, {"y": ("float32", ())})
    with pytest.raises(ProfileError, match='output "y" has no open axis that counts the requests of a batch'):
        workload_of(NumericProfile(batch_size=2), Model.load(path))


def test_an_output_that_is_not_as_long_as_the_batch_is_refused_when_it_comes(tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node("Transpose", ["places"], ["y"])]
    path = own_models.write(tmp_path / "m.onnx", nodes, {"x": ("float32", ("n", 3))}, {"y": ("int64", ("m", 2))})
    with pytest.raises(EngineError, match=r'output "y" is \[6, 2\], and axis 0 should count 2 as the batch does'):
        answers(path, [{"x": normal(1, 3)}, {"x": normal(1, 3)}], batch_size=2)


def test_requests_of_different_shapes_make_no_batch(tmp_path: Path) -> None:
    path = masked(tmp_path / "model.onnx")
    with pytest.raises(EngineError, match=r'input "input_ids" has the shapes \[1, 5\] and \[1, 6\] in one batch'):
        answers(path, [*texts(1, length=5), *texts(1, length=6)], batch_size=2)


def test_a_profile_without_a_batch_is_a_plain_run(tmp_path: Path) -> None:
    model = Model.load(own_models.dense(tmp_path / "model.onnx"))
    assert workload_of(NumericProfile(batch_mates="zeros"), model) == SingleRun()
