from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forged import Line, forge, in_header
from support.own_models import dense
from support.scenarios import scenario

import lastbit
from lastbit.inputs import InputsError
from lastbit.replay import replay
from lastbit.running import Prepared
from lastbit.scenario import ScenarioError
from lastbit.stall_watch import StallWatch
from simcore.trace import TraceWriter
from simcore.trace_reader import TraceError


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trace = tmp_path_factory.mktemp("trace") / "run.jsonl"
    lastbit.run(scenario({"blocks": 5}), trace=trace)
    return trace


@pytest.fixture
def forged(recorded: Path, tmp_path: Path) -> Callable[[Callable[[Line], None]], Path]:
    return lambda change: forge(recorded, tmp_path / "forged.jsonl", change)


def in_end(**changes: Any) -> Callable[[Line], None]:
    def change(line: Line) -> None:
        if line["record"] == "end":
            line.update(changes)
        if line["record"] == "trailer" and "cut_after" in changes:
            line["cut"] = True

    return change


def test_a_trace_comes_out_the_same_again(recorded: Path) -> None:
    replayed = replay(recorded)

    assert replayed.same
    assert "the same again: 6 records, 152 events" in replayed.report


def test_a_forger_who_changes_nothing_is_none(forged: Any) -> None:
    assert replay(forged(lambda line: None)).same


def test_a_damaged_line_is_named(recorded: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jsonl"
    lines = recorded.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"height":2', b'"height":9')
    damaged.write_bytes(b"".join(lines))

    with pytest.raises(TraceError, match=r"line 3: "):
        replay(damaged)


def test_a_record_that_differs_is_the_first_and_tells_both_sides(forged: Any) -> None:
    replayed = replay(forged(in_end(outcome="stalled")))

    assert not replayed.same
    assert "DIFFERS at line 7, the first record that does (end)" in replayed.report
    assert 'then  "stalled"' in replayed.report
    assert 'now   "completed"' in replayed.report


def test_a_record_too_many_is_a_difference(recorded: Path, tmp_path: Path) -> None:
    def doubled(line: Line) -> None:
        if line["record"] == "header":
            line["run"]["scenario"]["chain"]["blocks"] = 4

    replayed = replay(forge(recorded, tmp_path / "forged.jsonl", doubled))

    assert not replayed.same
    assert "the run has no more records" in replayed.report or "DIFFERS at line" in replayed.report


def test_other_versions_and_processors_are_told_beside_sameness(forged: Any) -> None:
    replayed = replay(
        forged(
            in_header(
                environment__versions__onnxruntime="1.0",
                environment__processor="abacus",
                environment__processor_features=["BEADS"],
            )
        )
    )

    assert replayed.same
    assert "onnxruntime 1.0 then" in replayed.report
    assert "processor abacus then" in replayed.report
    assert "processor features: BEADS only then" in replayed.report


def test_the_same_environment_is_not_worth_a_word(recorded: Path) -> None:
    assert "differ" not in replay(recorded).report


def test_nothing_in_a_trace_steers_the_terminal(forged: Any) -> None:
    steering = "\x1b[2Jgone\x9b"
    told = [
        replay(forged(in_header(environment__versions={steering: steering}, environment__processor=steering))),
        replay(forged(in_end(**{steering: steering}))),
    ]
    for replayed in told:
        assert all(character.isprintable() or character == "\n" for character in replayed.report)

    with pytest.raises(TraceError) as refused:
        replay(forged(in_header(model_sha256=steering)))
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("cut_after", [-1, True, 10**30, "x", None, 1.5])
def test_a_cut_that_is_no_number_of_events_is_refused(forged: Any, cut_after: object) -> None:
    with pytest.raises(TraceError, match="does not say after how many events"):
        replay(forged(in_end(cut_after=cut_after)))


@pytest.mark.parametrize("table", [None, [], "x", 7])
def test_a_header_without_a_scenario_is_refused(forged: Any, table: object) -> None:
    with pytest.raises(TraceError, match="the header does not say what was run"):
        replay(forged(in_header(scenario=table)))


def test_the_scenario_of_a_trace_is_judged_as_any_other(forged: Any) -> None:
    with pytest.raises(ScenarioError, match=r"chain\.replicas"):
        replay(forged(in_header(scenario__chain__replicas=0)))


def cut(chain: dict[str, Any], events_max: int, trace: Path) -> None:
    prepared = Prepared(scenario(chain))
    with TraceWriter(trace, prepared.header()) as writer:
        result = prepared.run(writer, command="", events_max=events_max)
    assert result.interrupted


@pytest.mark.parametrize("events_max", [0, 1, 17, 30])
def test_a_cut_trace_replays_up_to_where_it_was_cut(events_max: int, tmp_path: Path) -> None:
    trace = tmp_path / "cut.jsonl"
    cut({"blocks": 5}, events_max, trace)
    replayed = replay(trace)

    assert replayed.same
    assert "the run was cut there" in replayed.report


@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_run_cut_while_nothing_happens_replays(nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the watch looks for a stall: the clock has moved on, and no event with it."""
    prepared = Prepared(scenario({"blocks": 30}, network={"loss": 0.3}))
    looks = itertools.count(1)
    look = StallWatch.look

    def look_and_press(watch: StallWatch, now_ns: int) -> bool:
        gives_up = look(watch, now_ns)
        if next(looks) == nth:
            prepared._simulation.world.interrupt()
        return gives_up

    monkeypatch.setattr(StallWatch, "look", look_and_press)
    trace = tmp_path / "cut.jsonl"
    with TraceWriter(trace, prepared.header()) as writer:
        result = prepared.run(writer)
    monkeypatch.undo()

    assert result.interrupted
    assert replay(trace).same


def test_a_cut_at_another_event_is_a_difference(tmp_path: Path) -> None:
    trace = tmp_path / "cut.jsonl"
    cut({"blocks": 5}, 77, trace)

    assert not replay(forge(trace, tmp_path / "forged.jsonl", in_end(cut_after=78))).same


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[int, int], None]]:
    """Presses Ctrl-C as soon as the run has made some progress."""

    def press(done: int, _target: int) -> None:
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    yield press
    assert signal.getsignal(signal.SIGINT) == before


def test_a_replay_that_the_user_cuts_short_says_nothing_about_the_trace(
    recorded: Path, tmp_path: Path, ctrl_c: Callable[[int, int], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        replay(recorded, progress=ctrl_c)

    trace = tmp_path / "cut.jsonl"
    cut({"blocks": 5}, 30, trace)
    with pytest.raises(KeyboardInterrupt):
        replay(trace, progress=ctrl_c)


@pytest.fixture
def of_own_model(tmp_path: Path) -> tuple[Path, Path]:
    """A trace of a model that did not come with lastbit, and the model."""
    model, trace = dense(tmp_path / "mine.onnx"), tmp_path / "own.jsonl"
    lastbit.run(scenario({"blocks": 3}), model=model, trace=trace)
    return trace, model


def test_a_model_of_the_users_own_is_given_by_the_user(of_own_model: tuple[Path, Path]) -> None:
    trace, model = of_own_model

    with pytest.raises(InputsError, match=r"did not come with lastbit; give it with --model \(it was called mine.onnx"):
        replay(trace)
    assert replay(trace, model=str(model)).same


def test_another_model_than_the_one_that_ran_is_refused(of_own_model: tuple[Path, Path], tmp_path: Path) -> None:
    trace, _ = of_own_model
    other = dense(tmp_path / "other.onnx", shape=(2, 8))

    with pytest.raises(InputsError, match="ran model of sha256"):
        replay(trace, model=str(other))


def test_a_copy_under_another_name_is_the_same_model(of_own_model: tuple[Path, Path], tmp_path: Path) -> None:
    trace, model = of_own_model
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(model.read_bytes())

    assert replay(trace, model=str(copy)).same


def test_a_file_that_a_trace_names_is_not_opened_even_where_it_lies(
    of_own_model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, model = of_own_model
    monkeypatch.chdir(model.parent)

    with pytest.raises(InputsError, match="--model"):
        replay(trace)


@pytest.mark.parametrize("name", ["/etc/passwd", "../digits-mlp", "digits-mlp/../digits-mlp", "."])
def test_the_name_of_a_bundled_model_is_no_path(forged: Any, name: str) -> None:
    with pytest.raises(ValueError, match="no bundled model"):
        replay(forged(in_header(scenario__model__name=name)))


@pytest.mark.parametrize("file", ["/etc/model.onnx", "../model.onnx", "~/model.onnx", "a/../../model.onnx"])
def test_a_file_outside_is_refused_before_anything_is_looked_for(forged: Any, file: str) -> None:
    change = in_header(scenario__model={"file": file}, scenario__inputs={"kind": "generated"})

    with pytest.raises(ScenarioError, match=r"model\.file"):
        replay(forged(change))
