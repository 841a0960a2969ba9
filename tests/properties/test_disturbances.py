"""Under all faults at once: what becomes of each copy, and what it does not depend on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from simcore.disturbances import BeforeGst, Delay, Disturbances, Reordering, Slow
from simcore.faults import Crash, Partition
from simcore.latency import Constant, Latency, Uniform
from simcore.network import NO_DISTURBANCES, Network
from simcore.running_digest import RunningDigest, content_of
from simcore.streams import Streams
from simcore.world import World

KINDS = 2
REPLICAS = 4
WHO = st.integers(min_value=0, max_value=REPLICAS - 1)
TIMES = st.integers(min_value=0, max_value=60)
LASTING = st.integers(min_value=1, max_value=40)
SHARE = st.sampled_from([0.0, 0.3, 1.0])
SIDES = st.one_of(st.none(), st.frozensets(WHO, min_size=1))


@dataclass(frozen=True)
class Sending:
    at_ns: int
    sender: int
    round_key: tuple[int, int]
    kind: int
    receiver: int | None  # None: a broadcast


@dataclass(frozen=True)
class Case:
    latency: Latency
    loss: float
    crashes: tuple[Crash, ...]
    partitions: tuple[Partition, ...]
    disturbances: Disturbances
    sendings: tuple[Sending, ...]


@st.composite
def slow_windows(draw: st.DrawFn) -> Slow:
    begin, factor = draw(TIMES), draw(st.floats(min_value=1, max_value=4))
    return Slow(replica=draw(WHO), factor=factor, from_ns=begin, until_ns=begin + draw(LASTING))


@st.composite
def delay_windows(draw: st.DrawFn) -> Delay:
    begin, extra_ns = draw(TIMES), draw(st.integers(min_value=0, max_value=30))
    end = begin + draw(LASTING)
    return Delay(extra_ns=extra_ns, from_ns=begin, until_ns=end, senders=draw(SIDES), receivers=draw(SIDES))


@st.composite
def partition_windows(draw: st.DrawFn) -> Partition:
    begin = draw(TIMES)
    order = draw(st.permutations(range(REPLICAS)))
    cut = draw(st.integers(min_value=1, max_value=REPLICAS - 1))
    return Partition(
        groups=(frozenset(order[:cut]), frozenset(order[cut:])),
        from_ns=begin,
        until_ns=begin + draw(LASTING),
        one_way=draw(st.booleans()),
        every_ns=draw(st.one_of(st.none(), LASTING)),
    )


@st.composite
def crash_windows(draw: st.DrawFn) -> Crash:
    begin = draw(TIMES)
    return Crash(replica=draw(WHO), from_ns=begin, until_ns=begin + draw(LASTING))


@st.composite
def sendings(draw: st.DrawFn) -> tuple[Sending, ...]:
    rounds = st.tuples(st.integers(min_value=0, max_value=2), st.integers(min_value=0, max_value=1))
    kinds = st.integers(min_value=0, max_value=KINDS - 1)
    drawn = draw(st.lists(st.builds(Sending, TIMES, WHO, rounds, kinds, st.one_of(st.none(), WHO)), max_size=10))
    return tuple(sorted((each for each in drawn if each.receiver != each.sender), key=lambda each: each.at_ns))


GSTS = st.builds(BeforeGst, gst_ns=TIMES, loss=SHARE, extra_ns_max=st.integers(min_value=0, max_value=100))
DISTURBANCES = st.builds(
    Disturbances,
    slow=st.lists(slow_windows(), max_size=2).map(tuple),
    delays=st.lists(delay_windows(), max_size=2).map(tuple),
    duplication=SHARE,
    reordering=st.one_of(st.none(), st.builds(Reordering, probability=SHARE, held_ns_max=LASTING)),
    before_gst=st.one_of(st.none(), GSTS),
)
LATENCIES: st.SearchStrategy[Latency] = st.one_of(
    st.builds(Constant, st.integers(min_value=0, max_value=20)), st.builds(Uniform, st.just(0), LASTING)
)
CASES = st.builds(
    Case,
    latency=LATENCIES,
    loss=st.sampled_from([0.0, 0.3]),
    crashes=st.lists(crash_windows(), max_size=1).map(tuple),
    partitions=st.lists(partition_windows(), max_size=2).map(tuple),
    disturbances=DISTURBANCES,
    sendings=sendings(),
)

Copy = tuple[int, int, int]
"""What arrived: (time, receiver, number of the sending)."""


def run(case: Case) -> tuple[list[Copy], Network[int, None], RunningDigest]:
    """Run the case, in the order of its sendings."""
    world, digest, arrived = World(), RunningDigest(), []

    def arrive(receiver: int, message: int) -> None:
        arrived.append((world.now_ns, receiver, message))

    network: Network[int, None] = Network(
        world,
        Streams(9),
        digest,
        [partial(arrive, receiver) for receiver in range(REPLICAS)],
        replicas=REPLICAS,
        kinds=KINDS,
        latency=case.latency,
        loss=case.loss,
        crashes=case.crashes,
        partitions=case.partitions,
        disturbances=case.disturbances,
    )
    for number, each in enumerate(case.sendings):
        rest = (number, content_of(b"%d" % number), each.round_key, each.kind)
        if each.receiver is None:
            world.call_at(each.at_ns, partial(network.broadcast, each.sender, *rest))
        else:
            world.call_at(each.at_ns, partial(network.send, each.sender, each.receiver, *rest))
    world.run()
    return arrived, network, digest


@given(CASES)
def test_disturbances_that_change_nothing_leave_the_history_as_it_was(case: Case) -> None:
    idle = Disturbances(
        slow=(Slow(replica=0, factor=1.0), Slow(replica=1, factor=9.0, from_ns=10**6)),
        delays=(Delay(extra_ns=0), Delay(extra_ns=9, from_ns=10**6)),
        reordering=Reordering(probability=0.0, held_ns_max=99),
        before_gst=BeforeGst(gst_ns=0, loss=1.0, extra_ns_max=99),
    )
    _, _, plain = run(replace(case, disturbances=NO_DISTURBANCES))
    _, _, disturbed = run(replace(case, disturbances=idle))

    assert disturbed.hexdigest() == plain.hexdigest()


@given(CASES)
def test_a_copy_arrives_at_most_once_and_twice_only_where_the_network_duplicates(case: Case) -> None:
    arrived, network, _ = run(case)
    times = Counter((receiver, number) for _, receiver, number in arrived)

    assert max(times.values(), default=0) <= (2 if case.disturbances.duplication else 1)
    assert network.sent + network.duplicated == network.delivered + network.lost
    assert network.delivered == len(arrived)


@given(CASES)
def test_duplication_only_adds_copies(case: Case) -> None:
    without = replace(case, disturbances=replace(case.disturbances, duplication=0.0))

    assert not Counter(run(without)[0]) - Counter(run(case)[0])


def crosses(split: Partition, sender: int, receiver: int, time_ns: int) -> bool:
    """Whether a partition stops a copy, told of one pair and by places."""
    if not split.from_ns <= time_ns < split.until_ns:
        return False
    steps = 0 if split.every_ns is None else (time_ns - split.from_ns) // split.every_ns
    first = split.groups[0]
    is_sender_first, is_receiver_first = ((each - steps) % REPLICAS in first for each in (sender, receiver))
    if split.one_way:
        return is_sender_first and not is_receiver_first
    return is_sender_first != is_receiver_first


@given(CASES)
def test_no_copy_crosses_a_partition_and_all_others_pass(case: Case) -> None:
    arrived, network, _ = run(case)
    apart = [
        (receiver, number)
        for number, each in enumerate(case.sendings)
        for receiver in range(REPLICAS)
        if any(crosses(split, each.sender, receiver, each.at_ns) for split in case.partitions)
    ]
    together = run(replace(case, partitions=()))[0]

    # Sorted: where copies of two broadcasts arrive at once, which comes first depends on those that came before.
    assert sorted(arrived) == sorted(copy for copy in together if copy[1:] not in apart)
    for receiver, number in apart:
        assert not network.reaches(case.sendings[number].sender, receiver, case.sendings[number].at_ns)


@given(CASES, GSTS)
def test_after_stabilisation_no_copy_is_lost_or_late_and_before_it_none_is_later_than_that(
    case: Case, before_gst: BeforeGst
) -> None:
    case = replace(case, crashes=())  # who is hit by a crash depends on when a copy arrives
    stable = run(replace(case, disturbances=replace(case.disturbances, before_gst=None)))[0]
    arrived = run(replace(case, disturbances=replace(case.disturbances, before_gst=before_gst)))[0]

    def after(copies: list[Copy]) -> list[Copy]:
        return sorted(copy for copy in copies if case.sendings[copy[2]].at_ns >= before_gst.gst_ns)

    def latest(copies: list[Copy]) -> dict[tuple[int, int], int]:
        return {(receiver, number): time_ns for time_ns, receiver, number in sorted(copies)}

    assert after(arrived) == after(stable)
    usual = latest(stable)
    for (receiver, number), time_ns in latest(arrived).items():
        sent_ns = case.sendings[number].at_ns
        assert usual[receiver, number] <= time_ns
        assert time_ns <= max(before_gst.gst_ns, sent_ns) + usual[receiver, number] - sent_ns


@given(CASES)
def test_what_becomes_of_a_copy_depends_on_nothing_else_that_is_sent(case: Case) -> None:
    """Sendings of one place are repeats, and count; of all others neither presence nor order matters."""
    chosen = [each for each in case.sendings if each.sender == 0]
    alone = replace(case, sendings=tuple(chosen))

    def of_chosen(case: Case) -> list[tuple[int, int, Sending]]:
        told = ((time_ns, receiver, case.sendings[number]) for time_ns, receiver, number in run(case)[0])
        return sorted((each for each in told if each[2].sender == 0), key=repr)

    assert of_chosen(case) == of_chosen(alone)


@given(CASES, st.data())
def test_no_draw_depends_on_the_order_of_sending(case: Case, data: st.DataObject) -> None:
    at_once = {
        (each.sender, each.round_key, each.kind, each.receiver): replace(each, at_ns=7) for each in case.sendings
    }
    at_once = {place: each for place, each in at_once.items() if each.round_key[0] > 0}  # others are counted as sent
    one_way = replace(case, sendings=tuple(at_once.values()))
    another = replace(case, sendings=tuple(data.draw(st.permutations(list(at_once.values())))))

    def told(case: Case) -> list[str]:
        return sorted(repr((time_ns, receiver, case.sendings[number])) for time_ns, receiver, number in run(case)[0])

    assert told(one_way) == told(another)
