"""Protocols broken on purpose: each one forks, and whoever watches the chain sees it.

A checker that never fired proves nothing. Each protocol here breaks one rule that keeps chains from forking; the
honest protocol on the same schedule does not fork.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from support.cluster import MS, Cluster, equal_answers, output, pbft

from consensus.pbft import Pbft
from consensus.pbft.messages import Commit, Prepare, Sync, ViewChange
from consensus.pbft.slot import Slot
from consensus.protocol import Block, Decide, Message
from consensus.quorum import QuorumSystem


def too_small(replicas: int, threshold: int) -> QuorumSystem:
    """A system that its own constructor refuses."""
    system = QuorumSystem.equal(replicas)
    object.__setattr__(system, "threshold", threshold)
    return system


def assert_forks(cluster: Cluster) -> None:
    assert cluster.watch.forks, "the observer saw no fork"
    with pytest.raises(AssertionError):
        cluster.check_no_fork()


def two_answers(replica: int, block: Block, view: int) -> bytes:
    return output("low" if replica < 2 else "high")


def halves(sender: int, receiver: int, message: Message) -> int | None:
    """Replicas 0, 1 and replicas 2, 3 hear each other late; the leader's proposals arrive everywhere."""
    return (1 if sender // 2 == receiver // 2 or message.kind == "pre-prepare" else 300) * MS


def test_a_quorum_of_two_of_four_forks_a_chain_whose_arithmetic_is_split_in_halves() -> None:
    broken = Cluster(pbft(quorum=too_small(4, 2)), blocks=2, answer=two_answers, delay_ns=halves).run(10_000 * MS)
    assert_forks(broken)
    assert broken.watch.forks[0].kind == "two-decisions"
    assert "different outputs" in broken.watch.forks[0].what

    sound = Cluster(pbft(), blocks=2, answer=two_answers, delay_ns=halves).run(10_000 * MS)
    sound.check_no_fork()
    assert sound.heights() == [0] * 4


def test_two_f_plus_one_of_six_forks_under_an_equivocating_leader() -> None:
    """n = 6, f = 1: three and three are both 2f + 1, and share nobody."""
    leader = {0: "equivocating-leader"}

    def apart(sender: int, receiver: int, message: Message) -> int:
        return (1 if sender // 3 == receiver // 3 or message.kind == "pre-prepare" else 300) * MS

    broken = Cluster(pbft(6, quorum=too_small(6, 3)), blocks=2, behaviours=leader, delay_ns=apart)
    broken.run(5_000 * MS)
    assert_forks(broken)
    assert "different blocks" in broken.watch.forks[0].what

    sound = Cluster(pbft(6), blocks=2, behaviours=leader, delay_ns=apart).run()
    sound.check_no_fork()
    assert sound.is_done


class ActsOnItsOwnView(Pbft):
    """Sees a split ballot and skips the block by itself, as if every replica saw what it sees."""

    def _abandon(self, height: int, reason: str) -> None:
        slot = self._slots.get(height)
        if slot is None or slot.decision is not None or reason != "no quorum possible":
            super()._abandon(height, reason)
            return
        empty = Block(height, ())
        self._reach(height, self.state)
        self._effects.append(
            Decide(empty, output(f"{empty.requests}"), self.view, tuple(slot.prepares.votes), self.state)
        )
        self._after_progress()


def test_a_replica_that_acts_on_its_own_view_of_a_split_ballot_would_fork() -> None:
    """Voter 3 shows A to replica 2 and C to replica 1: one of them has a quorum for A, the other a split ballot."""
    names = {0: "A", 1: "B", 2: "A", 3: "A"}

    def answer(replica: int, block: Block, view: int) -> bytes:
        return equal_answers(replica, block, view) if block.is_empty else output(names[replica])

    story: dict[str, Any] = {"answer": answer, "behaviours": {3: "equivocating-voter"}, "blocks": 3}
    assert_forks(Cluster(pbft(policy="skip"), protocol=ActsOnItsOwnView, **story).run(5_000 * MS))

    sound = Cluster(pbft(policy="skip"), **story).run()
    sound.check_no_fork()
    assert sound.is_done


class ExecutesAnew(Pbft):
    """A lock without an output: a new view proposes the certified block again, and replicas execute it again."""

    def _accept(self, slot: Slot, block: Block, bound_output: bytes | None = None) -> None:
        super()._accept(slot, block, None)


class HidesItsCertificates(Pbft):
    """A view change that forgets what was prepared."""

    def _view_change(self) -> ViewChange:
        return replace(super()._view_change(), prepared=())


def commits_reach_only_0(sender: int, receiver: int, message: Message) -> int | None:
    lost = isinstance(message, Commit | Sync) and message.view == 0 and receiver != 0
    # Replica 0 decides alone, and is cut off before it can say so.
    cut = 0 in (sender, receiver) and not isinstance(message, Prepare | Commit) and message.kind != "pre-prepare"
    return None if lost or cut else 10 * MS


@pytest.mark.parametrize("broken", [ExecutesAnew, HidesItsCertificates])
def test_a_lock_that_does_not_bind_the_output_forks_when_a_second_execution_differs(broken: type[Pbft]) -> None:
    """One replica decides in the first view, and nobody hears of it. The others begin the next view without it."""

    def by_attempt(replica: int, block: Block, view: int) -> bytes:
        return output(f"attempt {view}")

    story: dict[str, Any] = {"blocks": 1, "answer": by_attempt, "delay_ns": commits_reach_only_0}
    assert_forks(Cluster(pbft(), protocol=broken, **story).run(20_000 * MS))

    sound = Cluster(pbft(), **story).run(20_000 * MS)
    sound.check_no_fork()
    assert sound.heights() == [1] * 4
    assert {decided[1].view for decided in sound.decided} == {0, 1}


class DecidesOnPrepares(Pbft):
    """One round of votes instead of two."""

    def _after_prepare(self, slot: Slot) -> None:
        super()._after_prepare(slot)
        pair = slot.prepares.certified
        if pair is not None and slot.decision is None and slot.proposal is not None:
            for voter in slot.prepares.voters(pair):
                slot.commits.add(voter, pair)
            self._after_commit(slot)


def test_one_round_of_votes_forks_where_two_do_not() -> None:
    """Only replica 0 hears of the quorum of prepares; the others begin the next view and get another answer."""

    def by_attempt(replica: int, block: Block, view: int) -> bytes:
        return output(f"attempt {view}")

    def prepares_reach_only_0(sender: int, receiver: int, message: Message) -> int | None:
        lost = isinstance(message, Prepare | Sync) and message.view == 0 and receiver != 0
        cut = 0 in (sender, receiver) and not isinstance(message, Prepare) and message.kind != "pre-prepare"
        return None if lost or cut else 10 * MS

    story: dict[str, Any] = {"blocks": 1, "answer": by_attempt, "delay_ns": prepares_reach_only_0}
    assert_forks(Cluster(pbft(), protocol=DecidesOnPrepares, **story).run(20_000 * MS))
    sound = Cluster(pbft(), **story).run(20_000 * MS)
    sound.check_no_fork()
    assert sound.heights() == [0, 1, 1, 1]


def test_random_schedules_find_a_quorum_that_is_too_small_by_one() -> None:
    """No schedule is arranged here: liars, losses and split arithmetic are drawn, as in the search for real forks."""
    found = 0
    for seed in range(40):
        random = Random(seed)
        cluster = Cluster(
            pbft(quorum=too_small(4, 2)),
            answer=lambda replica, block, view: output(f"{block.requests} {(replica * 7 + block.height) % 3 % 2}"),
            delay_ns=_lossy(random),
            behaviours={3: "equivocating-voter"},
        )
        found += bool(cluster.run(4_000 * MS).watch.forks)
    assert found >= 10


def _lossy(random: Random) -> Callable[[int, int, Message], int | None]:
    return lambda sender, receiver, message: None if random.random() < 0.1 else random.randint(1, 60) * MS
