from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper
from support.own_models import TYPES, weights, write
from support.scenarios import scenario

import lastbit
from lastbit.fleet import load_material, make_replicas
from lastbit.scenario import Scenario
from replicas.dial import Dial, Marks
from replicas.engine import EngineError
from replicas.feedback import Feedback
from replicas.outputs import root_digest
from replicas.replica import Replica
from simcore.streams import Streams

FED = Feedback(input="h", output="next")


def recurrent(path: Path, *, hidden: str = "float32", width: int = 8) -> Path:
    """A step of a recurrent network: x and what is remembered give what is remembered next, and a label."""
    return write(
        path,
        [
            helper.make_node("Cast", ["h"], ["g"], to=TYPES["float32"]),
            helper.make_node("MatMul", ["g", "w"], ["p"]),
            helper.make_node("Add", ["p", "x"], ["q"]),
            helper.make_node("Tanh", ["q"], ["next"]),
            helper.make_node("ArgMax", ["next"], ["label"], axis=-1, keepdims=0),
        ],
        {"x": ("float32", (1, 8)), "h": (hidden, (1, width))},
        {"next": ("float32", (1, 8)), "label": ("int64", (1,))},
        {"w": weights(width, 8) * np.float32(0.5)},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return recurrent(tmp_path / "step.onnx")


def fleet(model: Path, *profiles: dict[str, Any], form: str = "bytes", **tables: Any) -> Scenario:
    replica = [{"id": id_, "profile": profile} for id_, profile in enumerate(profiles)]
    state = {"input": "h", "output": "next"}
    whole: dict[str, Any] = {"state": state, "replica": replica, "inputs": {"kind": "generated"}} | tables
    output = {"output": "next"} if form == "top1" else {}
    return Scenario.from_mapping(
        {"chain": {"replicas": 4, "blocks": 6}, "model": {"file": model.name, "form": form, **output}} | whole,
        folder=model.parent,
    )


def replicas(chosen: Scenario) -> tuple[Replica, ...]:
    streams = Streams(chosen.seed)
    return make_replicas(chosen, load_material(chosen, streams), streams)


def step(replica: Replica, request: int, hidden: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """The same by hand."""
    _, tensors = replica.requests.tensors(request)
    fed = tensors if hidden is None else {**tensors, "h": hidden}
    value: npt.NDArray[Any] = replica.engine.run(fed)["next"]  # type: ignore[assignment]
    return value


def test_the_first_request_brings_the_input_and_the_next_is_fed_with_what_it_gave(model: Path) -> None:
    one, *_ = replicas(fleet(model))
    _, state = FED.answer_block(one, (0,), 0, None)
    second, state_after = FED.answer_block(one, (1,), 0, state)

    assert np.array_equal(state, step(one, 0, None))  # type: ignore[arg-type]
    assert np.array_equal(state_after, step(one, 1, step(one, 0, None)))  # type: ignore[arg-type]
    assert second.digest != FED.answer_block(one, (1,), 0, None)[0].digest


def test_the_requests_of_a_block_are_fed_one_by_the_other(model: Path) -> None:
    one, *_ = replicas(fleet(model))
    together, state = FED.answer_block(one, (0, 1, 2), 0, None)
    apart = []
    fed: npt.NDArray[Any] | None = None
    for request in range(3):
        said, fed = FED.answer_block(one, (request,), 0, fed)
        apart.append(said.truths[0])

    assert together.truths == tuple(apart)
    assert np.array_equal(state, fed)  # type: ignore[arg-type]
    assert len(together.votes) == len(together.marked) == 3
    assert together.digest == root_digest(together.votes)


def test_a_block_without_requests_leaves_the_state_as_it_is(model: Path) -> None:
    one, *_ = replicas(fleet(model))
    _, state = FED.answer_block(one, (0,), 0, None)
    empty, after = FED.answer_block(one, (), 1, state)

    assert after is state
    assert empty.truths == ()
    assert FED.answer_block(one, (), 0, None) == (empty, None)


def test_one_bit_that_the_voted_form_hides_is_carried_on(model: Path) -> None:
    exact, rounded, *_ = replicas(fleet(model, {"precision": "fp64"}, form="top1"))
    hidden, other = (FED.answer_block(each, (0,), 0, None) for each in (exact, rounded))

    assert hidden[0].digest == other[0].digest  # one label
    assert hidden[0].truths != other[0].truths
    assert hidden[1] is not None
    assert not np.array_equal(hidden[1], other[1])  # type: ignore[arg-type]
    for request in range(1, 4):  # the same arithmetic from here on, and still other bits
        hidden, other = (FED.answer_block(exact, (request,), 0, state) for state in (hidden[1], other[1]))
        assert hidden[0].truths != other[0].truths


def test_what_the_dial_put_there_is_fed_on(model: Path) -> None:
    one, *_ = replicas(fleet(model))
    marks = Marks(Dial(rate=1.0, scope="replica"), Streams(0), replicas=1)
    liar = dataclasses.replace(one, marks=marks)
    said, state = FED.answer_block(liar, (0,), 0, None)

    assert said.marked == (True,)
    assert said.changed == 1
    assert not np.array_equal(state, step(one, 0, None))  # type: ignore[arg-type]


def test_equal_replicas_share_answers_and_unlike_states_do_not(model: Path) -> None:
    one, other, *_ = replicas(fleet(model))
    _, state = FED.answer_block(one, (0, 1), 0, None)
    FED.answer_block(other, (0, 1), 0, None)
    assert one.store.run == 2

    FED.answer_block(one, (2,), 0, state)
    FED.answer_block(other, (2,), 0, state)
    assert one.store.run == 3

    FED.answer_block(other, (2,), 0, np.zeros((1, 8), np.float32))
    assert one.store.run == 4


def test_a_run_asks_for_every_answer_and_computes_it_once(model: Path) -> None:
    inferences = lastbit.run(fleet(model)).inferences

    assert (inferences.run, inferences.asked) == (6, 24)


def test_repeated_runs_give_the_same_bits(model: Path) -> None:
    chosen = fleet(model, {"precision": "fp64"}, {"intra_op_threads": 2})

    assert lastbit.run(chosen) == lastbit.run(chosen)


def refused(chosen: Scenario) -> str:
    with pytest.raises(EngineError) as error:
        replicas(chosen)
    assert str(error.value).count("\n") == 0
    return str(error.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"input": "g", "output": "next"}, 'state.input: the model has no input "g"; h, x'),
        ({"input": "h", "output": "q"}, 'state.output: the model has no output "q"; next, label'),
        (
            {"input": "h", "output": "label"},
            'state.output: "label" gives int64 [1], and "h" takes float32 [1, 8]',
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_before_anything_runs(
    model: Path, state: dict[str, str], message: str
) -> None:
    assert refused(fleet(model, state=state)) == message


@pytest.mark.parametrize(("hidden", "width"), [("float64", 8), ("float32", 4)])
def test_an_output_of_another_dtype_or_shape_is_refused(tmp_path: Path, hidden: str, width: int) -> None:
    message = refused(fleet(recurrent(tmp_path / "unlike.onnx", hidden=hidden, width=width)))

    assert message == f'state.output: "next" gives float32 [1, 8], and "h" takes {hidden} [1, {width}]'


def test_requests_that_are_computed_in_batches_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "batched.onnx",
        [helper.make_node("Add", ["x", "h"], ["next"])],
        {"x": ("float32", ("batch", 8)), "h": ("float32", ("batch", 8))},
        {"next": ("float32", ("batch", 8))},
    )
    message = refused(fleet(path, {"batch_size": 4}))

    assert message == "state.input: requests that are computed in batches have no order to be fed in"


def test_nothing_that_will_be_fed_is_computed_ahead(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastbit.fleet.AHEAD_OPERATIONS_MIN", 0)

    assert replicas(fleet(model))[0].ahead is None
    assert replicas(fleet(model, state={}))[0].ahead is not None


def test_an_input_or_an_output_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="names an input or an output alone; both, or none"):
        scenario(state={"input": "h"})
