"""Who gets what when, under each disturbance by itself; and what is no disturbance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.wire import Wire

from simcore.disturbances import BeforeGst, Delay, Disturbances, Reordering, Slow
from simcore.faults import Crash, Partition
from simcore.latency import DELAY_NS_MAX, Constant, Latency, Matrix, Uniform

TABLE = Matrix(((0, 9, 4), (7, 0, 1), (5, 3, 0)))


def wire(latency: Latency, replicas: int = 3, **disturbances: Any) -> Wire:
    return Wire(latency, replicas=replicas, disturbances=Disturbances(**disturbances))


def times(found: Wire, receiver: int) -> list[int]:
    """How long each message took to a receiver, in order of sending; each message is the time of its sending."""
    return [
        time_ns - sent_ns for time_ns, to, sent_ns in sorted(found.run(), key=lambda copy: copy[2]) if to == receiver
    ]


# --- slow replicas ----------------------------------------------------------------------------------------


def test_what_comes_from_a_slow_replica_takes_its_factor() -> None:
    found = wire(TABLE, slow=(Slow(replica=0, factor=2.5),))
    found.broadcast(0)

    assert found.run() == [(10, 2, "m"), (22, 1, "m")]  # 22.5 is rounded to the even


def test_what_goes_to_a_slow_replica_takes_its_factor_and_nothing_else_does() -> None:
    found = wire(TABLE, slow=(Slow(replica=1, factor=3),))
    found.broadcast(0)
    found.send(2, 0)

    assert found.run() == [(4, 2, "m"), (5, 0, "m"), (27, 1, "m")]


def test_a_replica_is_slow_for_what_is_sent_while_its_window_holds() -> None:
    found = wire(Constant(5), slow=(Slow(replica=1, factor=2, from_ns=10, until_ns=20),))
    found.broadcast_at(9, 10, 19, 20)

    assert times(found, 1) == [5, 10, 10, 5]


def test_the_factors_of_sender_and_receiver_and_of_windows_that_overlap_multiply() -> None:
    slow = (Slow(replica=0, factor=2), Slow(replica=1, factor=3), Slow(replica=1, factor=5, until_ns=1))
    found = wire(Constant(1), slow=slow)
    found.broadcast_at(0, 1)

    assert times(found, 1) == [30, 6]


def test_no_bit_of_a_time_depends_on_the_order_in_which_slow_windows_are_named() -> None:
    factors = (1.1, 1.3, 1.7, 2.3)
    windows = tuple(Slow(replica=0, factor=factor) for factor in factors)

    assert Disturbances(slow=windows).factor(0, 0) == Disturbances(slow=windows[::-1]).factor(0, 0)
    assert (1.1 * 1.3 * 1.7 * 2.3) != (2.3 * 1.7 * 1.3 * 1.1)


def test_nothing_is_under_way_for_more_than_a_day() -> None:
    found = wire(Constant(DELAY_NS_MAX), slow=(Slow(replica=0, factor=1e6),), delays=(Delay(extra_ns=DELAY_NS_MAX),))
    found.broadcast(0)

    assert [time_ns for time_ns, _, _ in found.run()] == [DELAY_NS_MAX] * 2


# --- delays -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "arrivals"),
    [
        ({}, [(104, 2, "m"), (105, 0, "m"), (109, 1, "m")]),
        ({"senders": frozenset({0})}, [(5, 0, "m"), (104, 2, "m"), (109, 1, "m")]),
        ({"receivers": frozenset({0, 1})}, [(4, 2, "m"), (105, 0, "m"), (109, 1, "m")]),
        ({"senders": frozenset({0}), "receivers": frozenset({1})}, [(4, 2, "m"), (5, 0, "m"), (109, 1, "m")]),
    ],
)
def test_a_delay_is_added_to_what_its_senders_send_its_receivers(
    named: dict[str, frozenset[int]], arrivals: list[tuple[int, int, str]]
) -> None:
    found = wire(TABLE, delays=(Delay(extra_ns=100, **named),))
    found.broadcast(0)
    found.send(2, 0)

    assert found.run() == arrivals


def test_a_delay_holds_for_what_is_sent_while_its_window_holds_and_delays_add_up() -> None:
    found = wire(Constant(5), delays=(Delay(extra_ns=100, from_ns=10, until_ns=20), Delay(extra_ns=30, from_ns=19)))
    found.broadcast_at(9, 10, 19, 20)

    assert times(found, 1) == [5, 105, 135, 35]


def test_latency_is_multiplied_first_and_delayed_then() -> None:
    found = wire(Constant(5), slow=(Slow(replica=0, factor=10),), delays=(Delay(extra_ns=7),))
    found.broadcast_at(0)

    assert times(found, 1) == [57]


# --- duplication ------------------------------------------------------------------------------------------


def test_a_copy_that_is_duplicated_arrives_twice_and_is_counted_so() -> None:
    found = wire(Constant(5), duplication=1.0)
    found.broadcast(0)

    assert found.run() == [(5, 1, "m"), (5, 1, "m"), (5, 2, "m"), (5, 2, "m")]
    assert found.counts() == (2, 4, 0)
    assert found.network.duplicated == 2


def test_the_second_copy_has_a_latency_of_its_own_and_the_first_keeps_its() -> None:
    plain, doubled = wire(Uniform(0, 10**9)), wire(Uniform(0, 10**9), duplication=1.0)
    for found in (plain, doubled):
        found.broadcast(0)
        found.send(0, 1)
        found.run()

    assert set(plain.arrived) < set(doubled.arrived)
    assert len({time_ns for time_ns, _, _ in doubled.arrived}) == 6


def test_copies_are_duplicated_each_on_its_own_at_the_stated_rate() -> None:
    found = wire(Constant(5), replicas=20, duplication=0.25)
    for height in range(1, 101):
        for sender in range(20):
            found.broadcast(sender, round_key=(height, 0))
    found.run()
    sent, delivered, lost = found.counts()

    assert (sent, lost, delivered) == (38_000, 0, 38_000 + found.network.duplicated)
    assert abs(found.network.duplicated / sent - 0.25) < 0.0136  # six deviations


def test_of_two_copies_one_may_find_its_receiver_down() -> None:
    latency = Uniform(0, 10**9)
    whole = wire(latency, duplication=1.0)
    whole.send(0, 1)
    first_ns, second_ns = (time_ns for time_ns, _, _ in whole.run())
    crashed = Wire(
        latency,
        crashes=[Crash(replica=1, from_ns=second_ns, until_ns=second_ns + 1)],
        disturbances=Disturbances(duplication=1.0),
    )
    crashed.send(0, 1)

    assert crashed.run() == [(first_ns, 1, "m")]
    assert crashed.counts() == (1, 1, 1)


def test_what_is_lost_is_not_duplicated() -> None:
    found = Wire(Constant(5), loss=0.5, disturbances=Disturbances(duplication=1.0))
    for _ in range(100):
        found.send(0, 1)
    found.run()
    sent, delivered, lost = found.counts()

    assert 0 < lost < sent
    assert (found.network.duplicated, delivered) == (sent - lost, 2 * (sent - lost))


# --- reordering -------------------------------------------------------------------------------------------


def test_some_are_held_back_and_later_ones_overtake_them() -> None:
    found = wire(Constant(5), reordering=Reordering(probability=0.3, held_ns_max=50))
    found.broadcast_at(*range(0, 4000, 2))
    took = times(found, 1)
    arrived = [sent_ns for _, receiver, sent_ns in found.arrived if receiver == 1]

    assert arrived != sorted(arrived)
    assert len(arrived) == 2000
    assert min(took) == 5
    assert max(took) == 55
    held = sum(time_ns > 5 for time_ns in took) / 2000
    assert abs(held - 0.3 * 50 / 51) < 0.062  # six deviations


def test_every_time_up_to_the_greatest_is_held_equally_often() -> None:
    found = wire(Constant(5), reordering=Reordering(probability=1.0, held_ns_max=1))
    found.broadcast_at(*range(2000))
    took = times(found, 1)

    assert set(took) == {5, 6}
    assert abs(took.count(6) / 2000 - 0.5) < 0.068  # six deviations


def test_what_is_not_held_back_keeps_its_latency() -> None:
    plain = wire(Uniform(0, 10**9))
    held = wire(Uniform(0, 10**9), reordering=Reordering(probability=0.5, held_ns_max=10**12))
    for found in (plain, held):
        found.broadcast_at(*range(100))
    before, after = times(plain, 1), times(held, 1)

    assert all(a <= b for a, b in zip(before, after, strict=True))
    assert 20 < sum(a == b for a, b in zip(before, after, strict=True)) < 80


# --- global stabilisation time ----------------------------------------------------------------------------


def test_before_stabilisation_copies_are_lost_and_from_then_on_none_is() -> None:
    found = wire(Constant(5), before_gst=BeforeGst(gst_ns=10, loss=1.0, extra_ns_max=0))
    found.broadcast_at(0, 9, 10, 11)

    assert found.run() == [(15, 1, 10), (15, 2, 10), (16, 1, 11), (16, 2, 11)]
    assert found.counts() == (8, 4, 4)


def test_a_copy_sent_before_stabilisation_arrives_no_later_than_one_sent_then() -> None:
    found = wire(Constant(5), before_gst=BeforeGst(gst_ns=1000, loss=0.0, extra_ns_max=DELAY_NS_MAX))
    found.broadcast_at(*range(0, 1200, 100))

    assert times(found, 1) == [1005 - sent_ns for sent_ns in range(0, 1000, 100)] + [5, 5]


def test_before_stabilisation_each_copy_is_late_by_a_time_of_its_own() -> None:
    found = wire(Constant(5), before_gst=BeforeGst(gst_ns=10**6, loss=0.0, extra_ns_max=99))
    found.broadcast_at(*range(2000))
    took = times(found, 1)

    assert (min(took), max(took)) == (5, 104)
    assert abs(sum(took) / 2000 - 54.5) < 3.9  # six deviations


def test_of_what_is_sent_before_stabilisation_the_stated_share_is_lost() -> None:
    found = wire(Constant(5), before_gst=BeforeGst(gst_ns=10**6, loss=0.25, extra_ns_max=9), duplication=1.0)
    found.broadcast_at(*range(2000))
    found.run()
    sent, delivered, lost = found.counts()

    assert sent == 4000
    assert abs(lost / sent - 0.25) < 0.042  # six deviations
    assert delivered == 2 * (sent - lost)  # both copies of what is not lost, none of what is


# --- one among others -------------------------------------------------------------------------------------


def test_a_disturbance_that_is_turned_on_changes_no_draw_of_another() -> None:
    reordering = Reordering(probability=0.5, held_ns_max=10**6)
    before_gst = BeforeGst(gst_ns=10**10, loss=0.3, extra_ns_max=10**6)
    alone = wire(Uniform(0, 10**9), reordering=reordering, before_gst=before_gst)
    among = wire(Uniform(0, 10**9), reordering=reordering, before_gst=before_gst, duplication=0.5)
    for found in (alone, among):
        found.broadcast_at(*range(50))
        found.run()

    assert set(alone.arrived) < set(among.arrived)


@pytest.mark.parametrize(
    "late",
    [
        {"reordering": Reordering(probability=1.0, held_ns_max=10**9)},
        {"before_gst": BeforeGst(gst_ns=10**12, loss=0.0, extra_ns_max=10**9)},
    ],
)
def test_each_of_two_copies_is_late_by_a_time_of_its_own(late: dict[str, Any]) -> None:
    found = wire(Constant(5), duplication=1.0, **late)
    found.broadcast(0)

    assert len({time_ns for time_ns, _, _ in found.run()}) == 4


def test_whether_a_copy_is_held_back_does_not_depend_on_whether_it_is_duplicated() -> None:
    found = wire(Constant(5), duplication=0.5, reordering=Reordering(probability=0.5, held_ns_max=10**9))
    found.broadcast_at(*range(1000))
    took: dict[int, list[int]] = {}
    for time_ns, receiver, sent_ns in found.run():
        if receiver == 1:
            took.setdefault(sent_ns, []).append(time_ns - sent_ns)
    held = [times_ns != [5] for times_ns in took.values() if len(times_ns) == 1]

    assert abs(sum(held) / len(held) - 0.5) < 0.15  # more than six deviations


def test_both_copies_stop_at_a_partition() -> None:
    found = Wire(
        Constant(5),
        partitions=[Partition(groups=(frozenset({0}), frozenset({1, 2})), from_ns=0, until_ns=9)],
        disturbances=Disturbances(duplication=1.0),
    )
    found.broadcast(0)

    assert found.run() == []
    assert found.counts() == (2, 0, 4)


# --- what is none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Slow(replica=-1, factor=2), "replica -1 is negative"),
        (lambda: Slow(replica=0, factor=0.5), "factor 0.5 is outside 1"),
        (lambda: Slow(replica=0, factor=float("nan")), "factor nan is outside 1"),
        (lambda: Slow(replica=0, factor=2e6), "factor 2000000.0 is outside"),
        (lambda: Slow(replica=0, factor=2, from_ns=4, until_ns=4), "until_ns 4 is not after"),
        (lambda: Delay(extra_ns=-1), "extra_ns -1 is outside"),
        (lambda: Delay(extra_ns=DELAY_NS_MAX + 1), "is outside 0 .. 86400000000000 ns"),
        (lambda: Delay(extra_ns=1, senders=frozenset()), "nobody is named"),
        (lambda: Delay(extra_ns=1, receivers=frozenset({-3})), "replica -3 is negative"),
        (lambda: Delay(extra_ns=1, from_ns=-1), "from_ns -1 is negative"),
        (lambda: Reordering(probability=1.5, held_ns_max=1), "reordering: 1.5 is no probability"),
        (lambda: Reordering(probability=0.5, held_ns_max=-1), "held_ns_max -1 is outside"),
        (lambda: BeforeGst(gst_ns=-1, loss=0, extra_ns_max=0), "gst_ns -1 is negative"),
        (lambda: BeforeGst(gst_ns=1, loss=-0.1, extra_ns_max=0), "loss: -0.1 is no probability"),
        (lambda: BeforeGst(gst_ns=1, loss=0, extra_ns_max=-1), "extra_ns_max -1 is outside"),
        (lambda: Disturbances(duplication=2), "duplication: 2 is no probability"),
        (lambda: wire(Constant(1), slow=(Slow(replica=3, factor=2),)), "names replica 3, and the last is 2"),
        (
            lambda: wire(Constant(1), delays=(Delay(extra_ns=1, receivers=frozenset({5})),)),
            "names replica 5, and the last is 2",
        ),
        (
            lambda: wire(Constant(1), delays=(Delay(extra_ns=1, senders=frozenset({4})),)),
            "names replica 4, and the last is 2",
        ),
    ],
)
def test_what_is_no_disturbance_is_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
