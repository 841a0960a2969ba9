"""What becomes of a copy: when it arrives, and what keeps it from arriving."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from support.wire import CONTENT, ROUND, Wire

from simcore import rounds
from simcore.faults import Crash, Partition
from simcore.latency import Constant, Latency, Matrix, Uniform
from simcore.network import Network
from simcore.running_digest import GATHERED_MAX, RunningDigest, content_of
from simcore.streams import Streams
from simcore.world import World


def test_a_broadcast_reaches_everyone_but_its_sender_at_the_time_of_the_table() -> None:
    wire = Wire(Matrix(((0, 9, 4), (1, 0, 1), (1, 1, 0))))
    wire.broadcast(0)
    assert wire.run() == [(4, 2, "m"), (9, 1, "m")]
    assert wire.counts() == (2, 2, 0)
    assert wire.world.events == 2


def test_copies_that_arrive_together_arrive_in_order_of_the_receivers_number() -> None:
    wire = Wire(Constant(5), replicas=5)
    wire.broadcast(2)
    assert [receiver for _, receiver, _ in wire.run()] == [0, 1, 3, 4]


def test_one_copy_is_sent_to_one() -> None:
    wire = Wire(Matrix(((0, 9, 4), (1, 0, 1), (1, 1, 0))))
    wire.send(0, 1)
    assert wire.run() == [(9, 1, "m")]
    assert wire.counts() == (1, 1, 0)
    with pytest.raises(ValueError, match="replica 2 sends to itself"):
        wire.send(2, 2)


def test_what_is_delivered_may_be_answered_at_once() -> None:
    world, digest, seen = World(), RunningDigest(), []

    def deliver(receiver: int, message: str) -> None:
        seen.append((world.now_ns, receiver, message))
        if message == "ping":
            network.send(receiver, 0, "pong", CONTENT, ROUND, 1)

    receive = [partial(deliver, receiver) for receiver in range(3)]
    network: Network[str, None] = Network(world, Streams(1), digest, receive, replicas=3, kinds=2, latency=Constant(5))
    network.broadcast(0, "ping", CONTENT, ROUND, 0)
    world.run()
    assert seen == [(5, 1, "ping"), (5, 2, "ping"), (10, 0, "pong"), (10, 0, "pong")]


def test_delivered_counts_what_has_arrived_and_not_what_is_under_way_nor_other_events() -> None:
    wire = Wire(Matrix(((0, 9, 4), (1, 0, 1), (1, 1, 0))))
    wire.broadcast(0)
    wire.digest.record(0, replica=0, kind=7, content=CONTENT)
    wire.world.run(until_ns=5)
    assert wire.counts() == (2, 1, 0)


def test_a_repeat_draws_anew_and_another_kind_or_round_too() -> None:
    wire = Wire(Uniform(0, 10**9))
    for message, round_key, kind in [
        ("first", (1, 0), 0),
        ("repeat", (1, 0), 0),
        ("kind", (1, 0), 1),
        ("r", (1, 1), 0),
    ]:
        wire.broadcast(0, message, round_key, kind)
    wire.run()
    times = [time_ns for time_ns, _, _ in wire.arrived]
    assert len(set(times)) == len(times) == 8


def test_sends_draw_anew_too_and_differ_from_the_broadcast() -> None:
    wire = Wire(Uniform(0, 10**9))
    wire.broadcast(0)
    wire.send(0, 1)
    wire.send(0, 1)
    assert len({time_ns for time_ns, receiver, _ in wire.run() if receiver == 1}) == 3


def test_what_others_send_changes_no_delay_of_a_copy_sent_to_one() -> None:
    alone, among_others = Wire(Uniform(0, 10**9)), Wire(Uniform(0, 10**9))
    alone.send(0, 1)
    among_others.send(2, 1)
    among_others.send(0, 2)
    among_others.send(0, 1, kind=1)
    among_others.send(0, 1)
    assert alone.run()[0] in among_others.run()


def test_memory_of_the_history_is_bounded() -> None:
    wire = Wire(Constant(5), replicas=17)
    gathered = 0
    for _ in range(1000):
        wire.broadcast(0)
        wire.world.run()
        gathered = max(gathered, len(wire.digest._gathered))
    assert GATHERED_MAX <= gathered < GATHERED_MAX + 16
    assert wire.digest.events == wire.network.delivered == 16_000


def test_a_round_repeated_for_long_keeps_few_arrays_and_each_repeat_its_own_draws() -> None:
    wire = Wire(Uniform(0, 10**9))
    for _ in range(50):
        wire.broadcast(0)
    repeats_of_one = [time_ns for time_ns, receiver, _ in wire.run() if receiver == 1]
    (round_,) = wire.network._itineraries._broadcasts.kept.values()
    assert len(round_.arrays) == rounds.ARRAYS_KEPT_MAX
    assert len(set(repeats_of_one)) == 50
    wire.broadcast(2)  # its first in this round, whose array was let go
    began_ns = max(time_ns for time_ns, _, _ in wire.arrived)
    fresh = Wire(Uniform(0, 10**9))
    fresh.broadcast(2)
    assert [(time_ns - began_ns, receiver) for time_ns, receiver, _ in wire.run()[100:]] == [
        (time_ns, receiver) for time_ns, receiver, _ in fresh.run()
    ]


def test_memory_of_rounds_is_bounded() -> None:
    wire = Wire(Uniform(0, 10**9))
    for height in range(200):
        wire.broadcast(0, round_key=(height, 0))
        wire.send(0, 1)
        wire.network.send(0, 1, "m", CONTENT, (height, 0), 0)
    kept = wire.network._itineraries
    assert len(kept._broadcasts.kept) == len(kept._sends.kept) == rounds.ROUNDS_KEPT_MAX


def test_what_a_matrix_or_constant_carries_draws_nothing_and_keeps_nothing() -> None:
    wire = Wire(Constant(5))
    for _ in range(3):
        wire.broadcast(0)
        wire.send(0, 1)
    assert not wire.network._itineraries._broadcasts.kept
    assert not wire.network._itineraries._sends.kept
    assert {time_ns for time_ns, _, _ in wire.run()} == {5}


def test_copies_are_lost_each_on_its_own_at_the_stated_rate() -> None:
    wire = Wire(Constant(5), replicas=20, loss=0.25)
    for height in range(1, 101):
        for sender in range(20):
            wire.broadcast(sender, round_key=(height, 0))
    wire.run()
    sent, delivered, lost = wire.counts()
    assert (sent, delivered + lost) == (38_000, 38_000)
    assert abs(lost / sent - 0.25) < 0.0136  # six deviations
    assert len(wire.arrived) == delivered


def test_a_single_copy_can_be_lost() -> None:
    wire = Wire(Constant(5), loss=0.5)
    for _ in range(60):
        wire.send(0, 1)
    wire.run()
    sent, delivered, lost = wire.counts()
    assert (sent, delivered + lost) == (60, 60)
    assert 0 < lost < 60


def test_a_copy_is_lost_if_its_receiver_is_down_when_it_arrives() -> None:
    for arrival_ns, arrives in [(4, True), (5, False), (6, False), (7, True)]:
        wire = Wire(Constant(arrival_ns), crashes=[Crash(replica=1, from_ns=5, until_ns=7)])
        wire.broadcast(0)
        assert [receiver for _, receiver, _ in wire.run()] == ([1, 2] if arrives else [2])
        assert wire.counts() == (2, 1 + arrives, 1 - arrives)


def test_a_replica_that_is_down_sends_nothing() -> None:
    wire = Wire(Constant(5), crashes=[Crash(replica=0, from_ns=0, until_ns=3)])
    assert wire.network.is_down(0)
    assert not wire.network.is_down(1)
    wire.broadcast(0)
    wire.send(0, 1)
    wire.world.call_after(3, lambda: wire.broadcast(0))
    assert wire.run() == [(8, 1, "m"), (8, 2, "m")]
    assert wire.counts() == (2, 2, 0)


def test_a_partition_stops_what_is_sent_while_it_holds_and_nothing_under_way() -> None:
    split = Partition(groups=(frozenset({0, 1}), frozenset({2, 3})), from_ns=10, until_ns=20)
    wire = Wire(Constant(5), replicas=4, partitions=[split])
    for sent_ns in (9, 10, 19, 20):
        wire.world.call_at(sent_ns, lambda: wire.broadcast(0))
    wire.run()
    assert [(time_ns, receiver) for time_ns, receiver, _ in wire.arrived] == [
        (14, 1), (14, 2), (14, 3), (15, 1), (24, 1), (25, 1), (25, 2), (25, 3)
    ]  # fmt: skip


def test_one_way_a_replica_is_heard_and_does_not_hear_or_the_other_way_round() -> None:
    mute = Partition(groups=(frozenset({0}), frozenset({1, 2})), from_ns=0, until_ns=20, one_way=True)
    wire = Wire(Constant(5), partitions=[mute])
    wire.broadcast(0)
    wire.broadcast(1)
    assert [receiver for _, receiver, _ in wire.run()] == [0, 2]
    assert wire.counts() == (4, 2, 2)


def test_a_partition_that_moves_cuts_off_one_after_another() -> None:
    moving = Partition(groups=(frozenset({0}), frozenset({1, 2})), from_ns=0, until_ns=40, every_ns=10)
    wire = Wire(Constant(1), partitions=[moving])
    wire.broadcast_at(0, 10, 20, 30, 40)
    assert [(sent_ns, receiver) for _, receiver, sent_ns in wire.run()] == [(10, 2), (20, 1), (40, 1), (40, 2)]


def test_who_reaches_whom_is_what_all_partitions_let_through() -> None:
    both = Partition(groups=(frozenset({0, 1}), frozenset({2, 3})), from_ns=0, until_ns=20)
    mute = Partition(groups=(frozenset({0}), frozenset({1, 2, 3})), from_ns=10, until_ns=30, one_way=True)
    network = Wire(Constant(5), replicas=4, partitions=[both, mute]).network

    assert [sorted(network.reached_by(0, at)) for at in (0, 10, 20, 30)] == [[0, 1], [0], [0], [0, 1, 2, 3]]
    assert [sorted(network.reached_by(2, at)) for at in (0, 10, 20, 30)] == [[2, 3], [2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert (network.reaches(1, 0, 10), network.reaches(0, 1, 10)) == (True, False)


def test_a_broadcast_that_nobody_receives_is_only_lost() -> None:
    wire = Wire(Constant(5), crashes=[Crash(replica=1, from_ns=0), Crash(replica=2, from_ns=0)])
    wire.broadcast(0)
    assert wire.run() == []
    assert wire.counts() == (2, 0, 2)


def test_the_digest_covers_when_what_and_to_whom() -> None:
    def digest(latency: Latency, sender: int, content: bytes, kind: int) -> str:
        wire = Wire(latency)
        wire.network.broadcast(sender, "m", content, ROUND, kind)
        wire.run()
        return wire.digest.hexdigest()

    digests = {
        digest(Constant(5), 0, CONTENT, 0),
        digest(Constant(6), 0, CONTENT, 0),
        digest(Constant(5), 1, CONTENT, 0),
        digest(Constant(5), 0, content_of(b"other"), 0),
        digest(Constant(5), 0, CONTENT, 1),
    }
    assert len(digests) == 5
    assert digest(Constant(5), 0, CONTENT, 0) in digests


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"replicas": 1}, "1 replicas; 2 to 65536"),
        ({"kinds": 0}, "0 kinds"),
        ({"loss": 1.0}, "loss 1.0 is outside"),
        ({"loss": -0.1}, "loss -0.1 is outside"),
        ({"latency": Matrix(((0, 1), (1, 0)))}, "2 rows, and there are 3 replicas"),
        ({"crashes": [Crash(replica=3, from_ns=0)]}, "names replica 3, and the last is 2"),
        (
            {"partitions": [Partition(groups=(frozenset({0, 7}),), from_ns=0, until_ns=1)]},
            "names replica 7, and the last is 2",
        ),
        (
            {"partitions": [Partition(groups=(frozenset({0, 1}),), from_ns=0, until_ns=1, one_way=True)]},
            "moves or is one way names all replicas, 0 to 2",
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused(arguments: dict[str, Any], problem: str) -> None:
    defaults: dict[str, Any] = {"replicas": 3, "kinds": 1, "latency": Constant(5)}
    with pytest.raises(ValueError, match=problem):
        Network(World(), Streams(1), RunningDigest(), [], **(defaults | arguments))


def test_messages_of_no_height_draw_on_however_many_rounds_were_begun_between() -> None:
    """Else the first one lost would be lost every time it is sent again."""
    few, many = Wire(Uniform(0, 10**6), loss=0.5), Wire(Uniform(0, 10**6), loss=0.5)
    for wire, between in ((few, 0), (many, 2 * rounds.ROUNDS_KEPT_MAX)):
        for era in range(20):
            wire.network.send(0, 1, era, CONTENT, (0, 0), 0)
            for height in range(1, between + 1):
                wire.network.send(0, 2, "other", CONTENT, (height, era), 1)
        wire.world.run()

    arrived = [[era for _, receiver, era in wire.arrived if receiver == 1] for wire in (few, many)]
    assert arrived[0] == sorted(arrived[1], key=arrived[0].index)
    assert 0 < len(arrived[0]) < 20
