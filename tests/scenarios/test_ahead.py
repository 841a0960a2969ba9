"""Computing ahead, in threads, changes nothing that a run tells."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.own_models import weights, write
from support.scenarios import scenario

import lastbit
from lastbit import fleet
from lastbit.result import Result
from lastbit.running import Prepared
from lastbit.scenario import Scenario
from replicas.ahead import AHEAD_OPERATIONS_MIN, RunAhead
from replicas.engine import EngineError
from simcore.trace import TraceWriter

ROWS, WIDTH = 256, 320  # 2 * ROWS * WIDTH ** 2 operations: just worth a thread

DRAWN = {"summation": {"kind": "ksplit", "slices": 8, "partials": "fp32", "order": "drawn"}}


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = tmp_path_factory.mktemp("models") / "heavy.onnx"
    shapes = {"x": ("float32", (ROWS, WIDTH))}, {"y": ("float32", (ROWS, WIDTH))}
    return write(path, nodes, *shapes, {"w": weights(WIDTH, WIDTH) / np.float32(WIDTH)})


def never_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "AHEAD_OPERATIONS_MIN", 1 << 62)


def taken_ahead(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each inference really run: was it begun ahead?"""
    found: list[bool] = []
    take = RunAhead.take

    def noting(self: RunAhead, key: Any) -> Any:
        outputs = take(self, key)
        found.append(outputs is not None)
        return outputs

    monkeypatch.setattr(RunAhead, "take", noting)
    return found


def of(heavy: Path, **tables: Any) -> Scenario:
    chain = {"blocks": 5, "policy": "skip", "requests_per_block": 2}
    return scenario(chain, inputs={"kind": "generated"}, **tables).with_overrides(model=heavy)


@pytest.mark.parametrize(
    "tables",
    [
        pytest.param({}, id="one profile"),
        pytest.param(
            {
                "replica": [
                    {"id": 1, "profile": {"optimization": "off"}},
                    {"id": 2, "profile": DRAWN},
                    {"id": 3, "profile": {"intra_op_threads": 2}},
                ],
                "divergence": {"rate": 0.2},
            },
            id="profiles, one of drawn orders, and a dial",
        ),
    ],
)
def test_a_run_tells_the_same_with_and_without_it(
    heavy: Path, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = taken_ahead(monkeypatch)
    ahead = lastbit.run(of(heavy, **tables))
    assert taken.count(True) > taken.count(False)

    never_ahead(monkeypatch)
    plain: Result = lastbit.run(of(heavy, **tables))
    assert ahead == plain
    assert ahead.inferences == plain.inferences


def test_answers_that_nobody_asked_for_count_nowhere_and_no_thread_outlives_the_run(heavy: Path) -> None:
    prepared = Prepared(of(heavy))
    with TraceWriter(None, prepared.header()) as writer:
        prepared.run(writer, events_max=1)  # cut while the second block is computed
    store = prepared.replicas[0].store

    assert (store.asked, store.run, store.rerun) == (8, 2, 1)
    assert not [each for each in threading.enumerate() if each.name.startswith("lastbit-ahead")]


def test_blocks_that_fail_one_view_after_another_are_not_computed_in_vain(
    heavy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(RunAhead, "begin", lambda self, key, infer: begun.append(key))
    told = lastbit.run(of(heavy, replica=[{"id": each, "profile": DRAWN} for each in range(4)]))

    assert told.heights.skipped == 5
    assert len(begun) == 4 * 2  # in the first view it was not known yet


def test_a_refused_request_stops_the_run_when_it_is_asked_and_says_the_same(
    heavy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[str, int]:
        prepared = Prepared(of(heavy))
        tensors = prepared.material.inputs.tensors
        refused = type(tensors(4))("refused", {"x": np.zeros((1, 3), np.float32)})
        monkeypatch.setattr(prepared.material.inputs, "tensors", lambda each: refused if each == 4 else tensors(each))
        with TraceWriter(None, prepared.header()) as writer, pytest.raises(EngineError) as error:
            prepared.run(writer)
        return str(error.value), prepared.replicas[0].store.run

    ahead = told()
    never_ahead(monkeypatch)
    assert ahead == told()
    assert "request 4 of generated" in ahead[0]
    assert ahead[1] == 4


def test_bundled_models_are_too_small_for_threads(heavy: Path) -> None:
    assert Prepared(scenario()).replicas[0].ahead is None
    assert Prepared(of(heavy)).replicas[0].ahead is not None
    assert 2 * ROWS * WIDTH**2 >= AHEAD_OPERATIONS_MIN
