from __future__ import annotations

from lastbit.causes import Cause
from lastbit.stall_watch import StallSeen, StallWatch


def make_watch(*, stall_after_ns: int = 100, give_up_after_ns: int = 1_000) -> tuple[StallWatch, list[int]]:
    """A watch, and the list of times that it asked for a diagnosis of."""
    asked: list[int] = []

    def diagnose(from_ns: int) -> StallSeen:
        asked.append(from_ns)
        cause = Cause("test", f"diagnosis {len(asked)}")
        return StallSeen(7, from_ns, until_ns=None, cause=cause, verdict=None)

    return StallWatch(stall_after_ns, give_up_after_ns, diagnose), asked


def test_a_chain_that_moves_in_time_never_stalls() -> None:
    watch, asked = make_watch()
    for now_ns in range(0, 5_000, 99):
        watch.progress(now_ns)
        assert not watch.look(now_ns + 98)

    assert (watch.stalls, asked) == ([], [])


def test_standing_still_becomes_a_stall_and_lasts_until_the_next_height() -> None:
    watch, _ = make_watch()
    watch.progress(50)

    assert watch.look_at_ns == 150
    assert not watch.look(150)
    assert watch.is_open
    watch.progress(400)

    assert not watch.is_open
    assert [(stall.from_ns, stall.until_ns) for stall in watch.stalls] == [(50, 400)]
    assert watch.look_at_ns == 500


def test_a_stall_that_lasts_too_long_ends_the_run() -> None:
    watch, _ = make_watch()

    assert not watch.look(100)
    assert watch.look_at_ns == 1_000
    assert watch.look(1_000)
    assert len(watch.stalls) == 1


def test_a_patience_shorter_than_a_stall_ends_the_run_when_it_becomes_one() -> None:
    watch, _ = make_watch(stall_after_ns=100, give_up_after_ns=50)

    assert watch.look(100)
    assert watch.is_open


def test_looking_too_early_changes_nothing() -> None:
    watch, asked = make_watch()

    assert not watch.look(99)
    assert asked == []


def test_a_stall_that_lasts_to_the_end_is_described_as_it_stands_then() -> None:
    watch, _ = make_watch()
    watch.look(100)
    assert watch.stalls[0].cause.sentence == "diagnosis 1"
    watch.end()

    assert [stall.cause.sentence for stall in watch.stalls] == ["diagnosis 2"]


def test_a_stall_that_ended_keeps_the_cause_found_when_it_was_noticed() -> None:
    watch, _ = make_watch()
    watch.look(100)
    watch.progress(200)
    watch.end()

    assert [stall.cause.sentence for stall in watch.stalls] == ["diagnosis 1"]
