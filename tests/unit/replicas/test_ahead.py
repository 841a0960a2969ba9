"""Inferences begun before they are asked for."""

from __future__ import annotations

import threading

import pytest

from replicas.ahead import RunAhead
from replicas.engine import EngineError
from replicas.outputs import Outputs


def outputs(number: int) -> Outputs:
    return Outputs.of({"y": number})


def refuse() -> Outputs:
    raise EngineError("no such input")


def test_an_answer_is_taken_by_its_key_whichever_was_done_first() -> None:
    second_is_done = threading.Event()

    def first() -> Outputs:
        second_is_done.wait()
        return outputs(1)

    def second() -> Outputs:
        second_is_done.set()
        return outputs(2)

    with RunAhead(room=2, threads=2) as ahead:
        ahead.begin("first", first)
        ahead.begin("second", second)
        taken = [ahead.take(key) for key in ("first", "second", "first")]

    assert [each and each["y"] for each in taken] == [1, 2, None]


def test_what_is_under_way_is_not_begun_again() -> None:
    with RunAhead(room=2) as ahead:
        ahead.begin("x", lambda: outputs(1))
        ahead.begin("x", lambda: pytest.fail("begun twice"))
        assert ahead.take("x") is not None


def test_an_error_comes_when_its_answer_is_taken_and_not_before() -> None:
    with RunAhead(room=2) as ahead:
        ahead.begin("never asked for", refuse)
        ahead.begin("asked for", refuse)
        with pytest.raises(EngineError, match="no such input"):
            ahead.take("asked for")


def test_no_more_than_the_room_is_kept_and_the_first_begun_goes() -> None:
    with RunAhead(room=2) as ahead:
        for key in range(3):
            ahead.begin(key, lambda: outputs(1))
        assert [ahead.take(key) is None for key in range(3)] == [True, False, False]


def test_nothing_is_left_behind_and_nothing_is_begun_outside_even_after_an_error() -> None:
    ahead = RunAhead(room=9, threads=1)
    go_on = threading.Event()

    def under_way() -> Outputs:
        go_on.wait()
        return outputs(1)

    def cut_short() -> None:
        with ahead:
            ahead.begin("under way", under_way)
            ahead.begin("waiting for a thread", lambda: begun.append("in vain") or outputs(0))
            threading.Timer(0.01, go_on.set).start()
            raise KeyboardInterrupt

    begun: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        cut_short()
    ahead.begin("too late", lambda: outputs(0))

    assert ahead.take("under way") is None
    assert ahead.take("too late") is None
    assert not [each for each in threading.enumerate() if each.name.startswith("lastbit-ahead")]
    assert not begun


def test_room_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="room: 0 is not allowed; at least 1"):
        RunAhead(room=0)
