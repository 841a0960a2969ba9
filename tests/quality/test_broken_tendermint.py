"""Tendermint broken on purpose: each one forks, and whoever watches the chain sees it.

As in `test_broken_protocols.py`: each breaks one rule, and the sound protocol on the same schedule does not fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest
from support.cluster import MS, output
from support.tendermint_cluster import TendermintCluster, tendermint

from consensus.ballot import Ballot
from consensus.behaviours import Behaviour
from consensus.protocol import Block, Effect, Message, Send
from consensus.quorum import QuorumSystem
from consensus.tendermint import Tendermint, TendermintConfig
from consensus.tendermint.events import Event
from consensus.tendermint.messages import CommitCertificate, Precommit, Prevote, Proposal, Status, Sync
from consensus.tendermint.round_state import NO_ROUND


def too_small(config: TendermintConfig, threshold: int) -> TendermintConfig:
    """A quorum that its own constructor refuses."""
    system = QuorumSystem.equal(config.quorum.replicas)
    object.__setattr__(system, "threshold", threshold)
    return replace(config, quorum=system)


def assert_forks(cluster: TendermintCluster) -> None:
    assert cluster.watch.forks, "the observer saw no fork"
    with pytest.raises(AssertionError):
        cluster.check_no_fork()


def by_attempt(replica: int, block: Block, view: int) -> bytes:
    """In each round another output, the same for all."""
    return output(f"attempt {view}")


def test_two_of_four_fork_under_an_equivocating_proposer() -> None:
    def apart(sender: int, receiver: int, message: Message) -> int:
        return (1 if sender // 2 == receiver // 2 or isinstance(message, Proposal) else 900) * MS

    story: dict[str, Any] = {"blocks": 1, "behaviours": {0: "equivocating-leader"}, "delay_ns": apart}
    assert_forks(TendermintCluster(too_small(tendermint(), 2), **story).run(5_000 * MS))
    TendermintCluster(tendermint(), **story).run(20_000 * MS).check_no_fork()


class TwoFaced(Behaviour):
    """In the first round tells replica 0 what an honest replica would, and all others nil; then it is honest."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        message = getattr(effect, "message", None)
        if not isinstance(message, Prevote | Precommit) or message.round > 0:
            yield effect
            return
        for other in self.others:
            yield Send(other, message if other == 0 else msgspec.structs.replace(message, value=None))


class ForgetsLocks(Tendermint):
    """A new round begins without the lock of the one before."""

    def _start_round(self, round_: int) -> None:
        free: dict[str, Any] = {"locked_value": None, "locked_round": NO_ROUND}
        self.round_state = msgspec.structs.replace(self.round_state, **free, valid_value=None, valid_round=NO_ROUND)
        super()._start_round(round_)


def precommits_decide_at_0_alone(sender: int, receiver: int, message: Message) -> int | None:
    is_first = isinstance(message, Precommit) and message.round == 0
    lost = is_first and receiver != 0 and (sender == 0 or receiver == 3)
    cut = isinstance(message, Status | Sync)
    return None if lost or cut else 10 * MS


def test_a_round_that_forgets_the_lock_of_the_one_before_forks() -> None:
    """Replica 0 decides in the first round, and nobody hears of it; outputs are others in the second."""
    story: dict[str, Any] = {
        "blocks": 1,
        "answer": by_attempt,
        "delay_ns": precommits_decide_at_0_alone,
        "behaviours": {3: TwoFaced},
    }
    assert_forks(TendermintCluster(tendermint(digest="proposal"), protocol=ForgetsLocks, **story).run(20_000 * MS))

    sound = TendermintCluster(tendermint(digest="proposal"), **story).run(20_000 * MS)
    sound.check_no_fork()
    assert {(decided[1].view, decided[1].output) for decided in sound.decided[:3]} == {
        (0, output("attempt 0")),
        (1, output("attempt 0")),
    }


class DecidesOnPolka(Tendermint):
    """One round of votes instead of two."""

    def _judged_prevotes(self, prevotes: Ballot[bytes | None]) -> Event | None:
        round_, value = self.round_state.round, prevotes.certified
        if value is not None and value in self._log.values:
            self._conclude(CommitCertificate(round_, self._log.values[value], self._log.polka_voters(round_, value)))
            return None
        return super()._judged_prevotes(prevotes)


class TwoFacedTwice(TwoFaced):
    """With its prevote it sends its precommit: nil to all but replica 0."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        yield from super().instead_of(effect)
        message = getattr(effect, "message", None)
        if isinstance(message, Prevote) and message.round == 0:
            yield from (Send(other, Precommit(self.id, message.height, 0, None)) for other in self.others if other)


def prevotes_make_a_polka_at_0_alone(sender: int, receiver: int, message: Message) -> int | None:
    is_first = isinstance(message, Prevote | Precommit) and message.round == 0
    lost = is_first and ((sender == 0 and receiver != 0) or receiver == 3)
    cut = isinstance(message, Status | Sync)
    return None if lost or cut else 10 * MS


def test_one_round_of_votes_forks_where_two_do_not() -> None:
    """Replica 0 alone sees a polka in the first round; outputs are others in the second."""
    story: dict[str, Any] = {
        "blocks": 1,
        "answer": by_attempt,
        "delay_ns": prevotes_make_a_polka_at_0_alone,
        "behaviours": {3: TwoFacedTwice},
    }
    assert_forks(TendermintCluster(tendermint(digest="proposal"), protocol=DecidesOnPolka, **story).run(20_000 * MS))

    sound = TendermintCluster(tendermint(digest="proposal"), **story).run(20_000 * MS)
    sound.check_no_fork()
    assert {decided[1].output for decided in sound.decided[1:3]} == {output("attempt 1")}


class TakesAnyHeader(Tendermint):
    """Goes with the majority instead of halting."""

    def _may_be_valid(self, value: Any) -> bool:
        return True


def test_a_replica_that_takes_any_header_for_valid_carries_another_chain_on() -> None:
    """Nothing forks, and a chain without two thirds that agree goes on as if it had: what halting is for."""

    def halves(replica: int, block: Block, view: int) -> bytes:
        return output("low" if replica < 2 else "high")

    broken = TendermintCluster(tendermint(), protocol=TakesAnyHeader, answer=halves, blocks=4)
    assert max(broken.run(20_000 * MS).heights()) > 1
    sound = TendermintCluster(tendermint(), answer=halves, blocks=4).run(20_000 * MS)
    assert sound.heights() == [1] * 4


def test_random_schedules_find_a_quorum_that_is_too_small_by_one() -> None:
    """No schedule is arranged here: a liar, losses and delays are drawn, as in the search for real forks."""
    found = 0
    for seed in range(40):
        random = Random(seed)
        cluster = TendermintCluster(
            too_small(tendermint(), 2),
            blocks=12,
            delay_ns=lambda sender, receiver, message, random=random: (
                None if random.random() < 0.1 else random.randint(1, 60) * MS
            ),
            behaviours={3: "equivocating-leader"},
        )
        found += bool(cluster.run(4_000 * MS).watch.forks)
    assert found >= 10
