from __future__ import annotations

from consensus.quorum import QuorumSystem
from lastbit.pace import quorum_delay_ns, quorum_takes
from simcore.disturbances import BeforeGst, Delay, Disturbances, Slow

FOUR = QuorumSystem.equal(4)
EVERYBODY = range(4)


def delay_ns(disturbances: Disturbances, now_ns: int = 50) -> int:
    return quorum_delay_ns(FOUR, EVERYBODY, 10, disturbances, now_ns)


def slow(*replicas: int) -> Disturbances:
    return Disturbances(slow=tuple(Slow(replica=each, factor=3.0, until_ns=60) for each in replicas))


def test_a_quorum_is_done_when_the_last_of_the_fastest_that_weigh_one_is() -> None:
    assert quorum_takes(FOUR, {0: 1, 1: 2, 2: 3, 3: 100}) == 3
    assert quorum_takes(QuorumSystem((5, 1, 1, 1)), {0: 9, 1: 2, 2: 3, 3: 4}) == 9


def test_where_nobody_is_left_nothing_takes_time_and_where_too_few_are_the_slowest_counts() -> None:
    assert quorum_takes(FOUR, {}) == 0
    assert quorum_takes(FOUR, {0: 1, 1: 2}) == 2


def test_one_slow_line_slows_no_quorum_and_two_do() -> None:
    assert delay_ns(slow(3)) == 10
    assert delay_ns(slow(2, 3)) == 30


def test_a_slow_line_that_is_fast_again_slows_nobody() -> None:
    assert delay_ns(slow(2, 3), now_ns=60) == 10


def test_a_delay_counts_both_ways() -> None:
    to_three = Disturbances(delays=(Delay(extra_ns=7, senders=frozenset({0}), receivers=frozenset({1, 2, 3})),))
    to_both = Disturbances(delays=(Delay(extra_ns=7, receivers=frozenset({2, 3})),))

    assert delay_ns(to_three) == 10  # the other three are a quorum
    assert delay_ns(to_both) == 17


def test_a_line_is_as_slow_as_its_slower_direction() -> None:
    around = [(1, 2), (2, 3), (3, 1)]  # each of the three hears one other late, and is heard late by one
    delays = [Delay(extra_ns=7, senders=frozenset({one}), receivers=frozenset({other})) for one, other in around]

    assert delay_ns(Disturbances(delays=tuple(delays))) == 17


def test_before_stabilisation_a_message_may_be_late_and_never_later_than_that() -> None:
    late = Disturbances(before_gst=BeforeGst(gst_ns=60, loss=0.0, extra_ns_max=25))

    assert [delay_ns(late, now_ns) for now_ns in (0, 50, 60)] == [35, 20, 10]
