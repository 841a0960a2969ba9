"""The store of results: what is asked, what is run, what is run twice."""

from __future__ import annotations

import itertools
import random

import pytest

from replicas.store import NotRepeatable, ResultStore


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def test_equal_work_is_done_once():
    store = ResultStore(number, reruns_max=0)
    runs: list[int] = []
    for key in (1, 2, 1, 1, 2):
        assert store.answer(key, lambda key=key: runs.append(key) or key * 10, subject="m") == key * 10  # type: ignore[misc]
    assert runs == [1, 2]
    assert (store.asked, store.run, store.rerun) == (5, 2, 0)


def test_dropping_an_answer_changes_no_result():
    asked = random.Random(1).choices(range(20), k=500)
    small, large = ResultStore(number, room=3), ResultStore(number)
    answers = [[store.answer(key, lambda key=key: key**2, subject="m") for key in asked] for store in (small, large)]  # type: ignore[misc]
    assert answers[0] == answers[1]
    assert small.run > large.run == 20


def test_large_answers_push_out_more_than_small_ones_and_the_latest_is_always_kept():
    store = ResultStore(number, room=10, size=lambda answer: answer, reruns_max=0)
    for key in (4, 5, 6):  # 15 in all: 4 and 5 go
        store.answer(key, lambda key=key: key, subject="m")
    store.answer(6, lambda: pytest.fail("6 was kept"), subject="m")
    store.answer(99, lambda: 99, subject="m")
    store.answer(99, lambda: pytest.fail("the latest was kept"), subject="m")
    runs = store.run
    store.answer(5, lambda: 5, subject="m")
    assert store.run == runs + 1


def test_what_was_not_asked_for_longest_is_dropped():
    store = ResultStore(number, room=2, reruns_max=0)
    for key in (1, 2, 1, 3):  # 3 pushes out 2, since 1 was asked for since
        store.answer(key, lambda: 0, subject="m")
    store.answer(1, lambda: pytest.fail("1 was kept"), subject="m")
    runs = store.run
    store.answer(2, lambda: 0, subject="m")
    assert store.run == runs + 1


def test_a_model_that_answers_differently_when_run_again_is_named():
    counter = itertools.count()
    store = ResultStore(number)
    with pytest.raises(NotRepeatable, match="mine under a profile answered differently when run again"):
        store.answer("x", lambda: next(counter), subject="mine under a profile")


def test_an_answer_that_is_not_repeatable_is_not_kept():
    counter = itertools.count()
    store = ResultStore(number)
    for _ in range(2):
        with pytest.raises(NotRepeatable):
            store.answer("x", lambda: next(counter), subject="m")


def test_about_as_many_runs_as_stated_are_done_twice_and_no_more_than_the_most():
    store = ResultStore(number, rerun_every=100, reruns_max=50)
    rerun_at: list[int] = []
    for key in range(10_000):
        before = store.rerun
        store.answer(key, lambda: 0, subject="m")
        if store.rerun > before:
            rerun_at.append(key)
    assert rerun_at[0] == 0
    assert len(rerun_at) == store.rerun == 50
    assert 4_000 < rerun_at[-1] < 6_000
    assert {key % 4 for key in rerun_at} == {0, 1, 2, 3}, "a sample in step with four replicas would check only one"


def test_every_run_can_be_done_twice():
    store = ResultStore(number, rerun_every=1, reruns_max=1_000)
    for key in range(100):
        store.answer(key, lambda: 0, subject="m")
    assert store.rerun == 100


@pytest.mark.parametrize("setting", ["room", "rerun_every"])
def test_a_store_that_keeps_or_checks_nothing_by_mistake_is_refused(setting):
    with pytest.raises(ValueError, match=f"{setting}: 0 is not allowed; at least 1"):
        ResultStore(number, **{setting: 0})
