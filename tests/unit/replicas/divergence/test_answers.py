"""Where answers part of which one was computed in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from support import own_models

from replicas.divergence import Divergence, Unsaid, Watch, first_divergence_of_answers, watch_answer
from replicas.engine import OnnxRuntimeEngine
from replicas.forms import BytesForm
from replicas.model import Model
from replicas.profile import NumericProfile
from replicas.replica import AnswerStore, Replica
from replicas.workload import workload_of
from simcore.streams import Streams

REF = NumericProfile()


class Rows:
    """Request i is row i of a table."""

    def __init__(self) -> None:
        self._rows = np.random.default_rng(5).standard_normal((8, 1, 8)).astype(np.float32)

    def tensors(self, request_id: int) -> tuple[int, dict[str, NDArray[Any]]]:
        return request_id, {"x": self._rows[request_id % 8]}

    def describe(self) -> str:
        return "rows of a table"


def dense(path: Path) -> Model:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
        helper.make_node("Shape", ["first"], ["shape"]),
        helper.make_node("Reshape", ["first", "shape"], ["same"], name="reshaped"),
        helper.make_node("MatMul", ["same", "w"], ["y"], name="second"),
    ]
    weights = {"w": own_models.weights(8, 8)}
    return Model.load(
        own_models.write(path, nodes, {"x": ("float32", ("n", 8))}, {"y": ("float32", ("n", 8))}, weights)
    )


def sequences_first(path: Path) -> Model:
    """Positions before requests, both merged into one axis for the product, as attention layers of some exports do."""
    nodes = [
        helper.make_node("Reshape", ["x", "apart"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["t", "merged"], ["rows"], name="rows"),
        helper.make_node("DynamicQuantizeLinear", ["rows"], ["whole", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["product"], name="rounded"),
        helper.make_node("Reshape", ["product", "again"], ["u"]),
        helper.make_node("Transpose", ["u"], ["v"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["v", "back"], ["y"]),
    ]
    weights = {
        "apart": np.int64([-1, 4, 2]),
        "merged": np.int64([-1, 2]),
        "again": np.int64([4, -1, 2]),
        "back": np.int64([-1, 8]),
    }
    return Model.load(
        own_models.write(path, nodes, {"x": ("float32", ("n", 8))}, {"y": ("float32", ("n", 8))}, weights)
    )


def found(model: Model, one: NumericProfile, other: NumericProfile, request: int = 3) -> Divergence | Unsaid | None:
    answers = []
    for profile in (one, other):
        replica = Replica(
            id=0,
            profile=profile,
            engine=OnnxRuntimeEngine(model, profile),
            workload=workload_of(profile, model),
            requests=Rows(),
            form=BytesForm(),
            store=AnswerStore(),
            ahead=None,
            streams=Streams(0),
            marks=None,
            operations=1,
            operations_per_second=1,
        )
        answers.append(watch_answer(Watch(model, profile), replica, request, attempt=0))
    return first_divergence_of_answers(*answers)


@pytest.mark.parametrize("mates", ["requests", "zeros"])
def test_a_batch_that_changes_nothing_parts_nowhere_though_its_shapes_are_others(tmp_path: Path, mates: Any) -> None:
    model = dense(tmp_path / "m.onnx")
    assert found(model, REF, NumericProfile(batch_size=4, batch_mates=mates)) is None


def test_what_sets_a_batch_apart_is_found_at_the_request_in_question(tmp_path: Path) -> None:
    model = dense(tmp_path / "m.onnx")
    alone, together = NumericProfile(precision="int8-u8"), NumericProfile(precision="int8-u8", batch_size=4)
    for one, other in ((alone, together), (together, alone)):
        origin = found(model, one, other)
        assert isinstance(origin, Divergence)
        assert origin.tensor.name == "first"
        assert origin.reaches_outputs


def test_a_batch_under_other_settings_parts_where_the_request_alone_would(tmp_path: Path) -> None:
    model = dense(tmp_path / "m.onnx")
    alone = found(model, REF, NumericProfile(precision="fp64"))
    batched = found(model, REF, NumericProfile(precision="fp64", batch_size=4))
    assert isinstance(alone, Divergence)
    assert isinstance(batched, Divergence)
    assert (batched.tensor, batched.element, batched.values) == (alone.tensor, alone.element, alone.values)


def test_of_batches_of_different_kinds_nothing_is_said(tmp_path: Path) -> None:
    model = dense(tmp_path / "m.onnx")
    unsaid = found(model, NumericProfile(batch_size=2), NumericProfile(batch_size=4))
    assert unsaid == Unsaid("the two were computed in batches of different kinds")


def test_a_request_is_found_on_an_axis_that_counts_positions_before_it(tmp_path: Path) -> None:
    origin = found(sequences_first(tmp_path / "m.onnx"), REF, NumericProfile(batch_size=4))
    assert isinstance(origin, Divergence)
    assert origin.tensor.name == "scale"  # and not "rows", which is equal but for where its rows stand
