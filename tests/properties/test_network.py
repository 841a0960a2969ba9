"""The travelling broadcast does what a plain network would do that schedules every copy by itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcore import itineraries
from simcore.faults import Crash, Partition
from simcore.latency import Constant, Latency, LogNormal, Uniform
from simcore.network import Network
from simcore.running_digest import RunningDigest, content_of
from simcore.streams import Streams
from simcore.world import World

KINDS = 3
TIMES = st.integers(min_value=0, max_value=60)
LATENCIES: st.SearchStrategy[Latency] = st.one_of(
    st.builds(Constant, st.integers(min_value=0, max_value=20)),
    st.builds(Uniform, st.integers(min_value=0, max_value=5), st.integers(min_value=5, max_value=40)),
    st.builds(LogNormal, st.integers(min_value=1, max_value=20), st.floats(min_value=0, max_value=2)),
)


@dataclass(frozen=True)
class Sending:
    at_ns: int
    sender: int
    round_key: tuple[int, int]
    kind: int


@dataclass(frozen=True)
class Case:
    replicas: int
    latency: Latency
    loss: float
    crashes: list[Crash]
    partitions: list[Partition]
    sendings: list[Sending]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    replicas = draw(st.integers(min_value=2, max_value=6))
    who = st.integers(min_value=0, max_value=replicas - 1)
    lasting = st.integers(min_value=1, max_value=40)
    crashes = draw(
        st.lists(
            st.builds(lambda r, t, d: Crash(replica=r, from_ns=t, until_ns=t + d), who, TIMES, lasting), max_size=3
        )
    )
    sides = st.sets(who, min_size=1, max_size=replicas)
    partitions = draw(
        st.lists(
            st.builds(
                lambda side, t, d: Partition(groups=(frozenset(side),), from_ns=t, until_ns=t + d),
                sides,
                TIMES,
                lasting,
            ),
            max_size=2,
        )
    )
    rounds = st.tuples(st.integers(min_value=0, max_value=2), st.integers(min_value=0, max_value=1))
    kinds = st.integers(min_value=0, max_value=KINDS - 1)
    sendings = draw(st.lists(st.builds(Sending, TIMES, who, rounds, kinds), max_size=12))
    loss = draw(st.sampled_from([0.0, 0.0, 0.3, 0.9]))
    return Case(replicas, draw(LATENCIES), loss, crashes, partitions, sorted(sendings, key=lambda s: s.at_ns))


def run(case: Case) -> tuple[list[tuple[int, int, int]], Network[int, None], RunningDigest]:
    """Run the case; what arrives is (time, receiver, which sending)."""
    world, digest, arrived = World(), RunningDigest(), []

    def arrive(receiver: int, message: int) -> None:
        arrived.append((world.now_ns, receiver, message))

    network: Network[int, None] = Network(
        world,
        Streams(9),
        digest,
        [partial(arrive, receiver) for receiver in range(case.replicas)],
        replicas=case.replicas,
        kinds=KINDS,
        latency=case.latency,
        loss=case.loss,
        crashes=case.crashes,
        partitions=case.partitions,
    )
    for number, sending in enumerate(case.sendings):
        content = content_of(b"%d" % number)
        world.call_at(
            sending.at_ns,
            partial(network.broadcast, sending.sender, number, content, sending.round_key, sending.kind),
        )
    world.run()
    return arrived, network, digest


def expected(case: Case) -> tuple[list[tuple[int, int, int]], int]:
    """The same, copy by copy, and the number of copies sent."""
    arrivals = []
    repeats: dict[tuple[tuple[int, int], int, int], int] = {}
    sent = 0
    for number, sending in enumerate(case.sendings):
        height, _ = sending.round_key
        place = ((0, 0) if height == 0 else sending.round_key, sending.kind, sending.sender)
        count = repeats.get(place, 0)
        repeats[place] = count + 1
        # What belongs to no height is counted over all rounds, and each has draws of its own.
        address = (0, count, 0) if height == 0 else (*sending.round_key, count)
        if any(crash.replica == sending.sender and crash.holds_at(sending.at_ns) for crash in case.crashes):
            continue
        rng = Streams(9).generator("network.broadcast", *address)
        delays_ns = case.latency.matrix(rng, KINDS, case.replicas)
        lost = rng.random(delays_ns.shape) < case.loss if case.loss else np.zeros(delays_ns.shape, dtype=bool)
        for receiver in range(case.replicas):
            if receiver == sending.sender:
                continue
            sent += 1
            at_ns = sending.at_ns + int(delays_ns[sending.kind, sending.sender, receiver])
            apart = any(
                split.holds_at(sending.at_ns) and receiver not in split.reached_by(sending.sender, sending.at_ns)
                for split in case.partitions
            )
            down = any(crash.replica == receiver and crash.holds_at(at_ns) for crash in case.crashes)
            if not (apart or down or lost[sending.kind, sending.sender, receiver]):
                arrivals.append((at_ns, receiver, number))
    return sorted(arrivals), sent


@pytest.mark.parametrize("sorted_at_once_max", [0, itineraries.SORTED_AT_ONCE_MAX])
@given(case=cases())
def test_every_copy_arrives_when_and_where_a_plain_network_would_bring_it(sorted_at_once_max: int, case: Case) -> None:
    with mock.patch.object(itineraries, "SORTED_AT_ONCE_MAX", sorted_at_once_max):
        arrived, network, _ = run(case)
    arrivals, sent = expected(case)
    assert sorted(arrived) == arrivals
    assert [time_ns for time_ns, _, _ in arrived] == [time_ns for time_ns, _, _ in arrivals]
    assert (network.sent, network.delivered, network.lost) == (sent, len(arrived), sent - len(arrived))


@given(cases())
def test_the_running_digest_is_the_hash_of_what_arrived_in_its_order(case: Case) -> None:
    arrived, _, digest = run(case)
    history = hashlib.sha256()
    for time_ns, receiver, number in arrived:
        sending = case.sendings[number]
        history.update(sending.at_ns.to_bytes(8, "little") + sending.kind.to_bytes(2, "little"))
        history.update(content_of(b"%d" % number))
        history.update(((time_ns - sending.at_ns) << 16 | receiver).to_bytes(8, "little"))
    assert digest.hexdigest() == history.hexdigest()
    assert digest.events == len(arrived)


@given(cases(), st.data())
def test_a_delay_depends_on_no_sending_of_other_rounds_kinds_or_senders(case: Case, data: st.DataObject) -> None:
    if not case.sendings:
        return
    chosen = data.draw(st.sampled_from(case.sendings))

    def place(sending: Sending) -> tuple[int, tuple[int, int], int]:
        height, _ = sending.round_key  # what belongs to no height is counted over all rounds
        return sending.sender, (0, 0) if height == 0 else sending.round_key, sending.kind

    def of_chosen(case: Case) -> list[tuple[int, int]]:
        arrived, _, _ = run(case)
        return sorted(
            (time_ns, receiver)
            for time_ns, receiver, number in arrived
            if place(case.sendings[number]) == place(chosen)
        )

    alone = [each for each in case.sendings if place(each) == place(chosen)]
    without = Case(case.replicas, case.latency, case.loss, case.crashes, case.partitions, alone)
    assert of_chosen(case) == of_chosen(without)
