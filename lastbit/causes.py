"""Why a chain stands still: one cause, found by a fixed order of questions from facts, never from a guess.

The first question that answers "yes" names the cause:

1. `no-quorum-alive`: do those who are up and speak weigh less than a quorum?
2. `nobody-honest`: is no honest replica up, so that nobody's decisions count?
3. `partition`: is there no group of them, each reaching the others, that weighs a quorum?
4. `split-ballot`: did honest replicas with a quorum of weight execute the block, and no answer reach a quorum?
5. `split-proposal`: did the leader of the last attempt propose several blocks, so that votes split by its lie?
6. `halted`: have replicas stopped voting, as the policy `halt` says, after an attempt that failed otherwise?
7. `replica-behind`: is the chain done, and an honest replica has not caught up?
8. `timeouts-too-short`: does computing and voting take longer than the longest timeout waits?
9. `faulty-leader`: is the leader of the last view faulty?
10. `leader-away`: is it down, or cut off from those who could form a quorum?
11. `messages-lost`: does the network lose messages, so that votes may be missing?
12. `unexplained`: none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consensus.quorum import QuorumSystem
from lastbit.attempts import Verdict
from lastbit.result import CauseCode


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: a word for machines, and a sentence for people."""

    code: CauseCode
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known from outside when a chain stands still.

    Attributes:
        quorum: who weighs what.
        policy: of the chain.
        silent: the replicas that never speak.
        down: the replicas that have crashed and are not back.
        honest_up: the honest replicas that are up.
        groups: the replicas that reach each other, all groups.
        verdict: on the last attempt at the height; None where no honest replica executed.
        liar: the leader that proposed several blocks in the last attempt at the height; None where none did.
        halted: replicas have stopped voting, as the policy `halt` says.
        is_done: the chain has reached its target.
        behind: honest live replicas that have not decided all that others have.
        block_time_ns: an undisturbed block.
        timeout_max_ns: what timeouts grow to.
        leaders: who led the last view of each live replica, and their behaviour.
        loss: the probability that a message is lost.
    """

    quorum: QuorumSystem
    policy: str
    silent: tuple[int, ...]
    down: tuple[int, ...]
    honest_up: tuple[int, ...]
    groups: tuple[frozenset[int], ...]
    verdict: Verdict | None
    liar: int | None
    halted: bool
    is_done: bool
    behind: tuple[int, ...]
    block_time_ns: int
    timeout_max_ns: int
    leaders: Mapping[int, str]
    loss: float


def find_cause(facts: Facts) -> Cause:
    """The first cause that the facts bear out."""
    for question in (
        _no_quorum_alive,
        _nobody_honest,
        _partition,
        _split_ballot,
        _split_proposal,
        _halted,
        _replica_behind,
        _timeouts_too_short,
        _faulty_leader,
        _leader_away,
        _messages_lost,
    ):
        cause = question(facts)
        if cause is not None:
            return cause
    return Cause("unexplained", "none of the known causes fits; the trace holds every event")


def _no_quorum_alive(facts: Facts) -> Cause | None:
    quorum, missing = facts.quorum, {*facts.silent, *facts.down}
    alive = quorum.total - quorum.weight_of(missing)
    if alive >= quorum.threshold:
        return None
    who = [f"{_replicas(facts.silent)} silent"] if facts.silent else []
    who += [f"{_replicas(facts.down)} down"] if facts.down else []
    return Cause(
        "no-quorum-alive",
        f"no quorum alive: {alive} of {quorum.total} speak, {quorum.threshold} are needed ({', '.join(who)})",
    )


def _nobody_honest(facts: Facts) -> Cause | None:
    if facts.honest_up:
        return None
    return Cause(
        "nobody-honest", "nobody honest is up: every replica that speaks is faulty, and none of their words count"
    )


def _partition(facts: Facts) -> Cause | None:
    missing = {*facts.silent, *facts.down}
    speaking = [group - missing for group in facts.groups]
    if any(facts.quorum.is_quorum(group) for group in speaking):
        return None
    sides = " | ".join(", ".join(map(str, sorted(group))) for group in speaking if group)
    return Cause("partition", f"partition: no side weighs {facts.quorum.threshold} (replicas {sides})")


def _split_ballot(facts: Facts) -> Cause | None:
    verdict = facts.verdict
    if verdict is None or not verdict.is_trial or verdict.agreed:
        return None
    voters = {replica for line in verdict.ballot for replica in line.replicas}
    what = f"no quorum, and none possible: {len(voters)} voters, {len(verdict.ballot)} answers"
    if facts.policy == "retry" and verdict.view > 0:
        what += f"; tried again up to view {verdict.view}, in vain"
    return Cause("split-ballot", what + _after_halting(facts))


def _split_proposal(facts: Facts) -> Cause | None:
    if facts.liar is None:
        return None
    what = f"replica {facts.liar}, which led, proposed several blocks, and none has a quorum"
    return Cause("split-proposal", what + _after_halting(facts))


def _halted(facts: Facts) -> Cause | None:
    if not facts.halted:
        return None
    why = f" (the network loses {facts.loss:.2g} of all messages)" if facts.loss else ""
    return Cause("halted", f"a timeout ended an attempt before a quorum could form{why}{_after_halting(facts)}")


def _after_halting(facts: Facts) -> str:
    return "; the replicas stopped voting, as the policy says" if facts.halted else ""


def _replica_behind(facts: Facts) -> Cause | None:
    if not facts.is_done or not facts.behind:
        return None
    return Cause("replica-behind", f"the chain is done, but {_replicas(facts.behind)} cannot catch up")


def _timeouts_too_short(facts: Facts) -> Cause | None:
    if facts.timeout_max_ns >= facts.block_time_ns:
        return None
    return Cause(
        "timeouts-too-short",
        f"timeouts grow to {facts.timeout_max_ns / 1e6:g} ms at most, and an undisturbed block takes "
        f"{facts.block_time_ns / 1e6:g} ms",
    )


def _faulty_leader(facts: Facts) -> Cause | None:
    faulty = {leader: behaviour for leader, behaviour in facts.leaders.items() if behaviour != "honest"}
    if not faulty:
        return None
    leader, behaviour = min(faulty.items())
    return Cause("faulty-leader", f"replica {leader}, which leads, is faulty ({behaviour})")


def _leader_away(facts: Facts) -> Cause | None:
    reachable = [group for group in facts.groups if facts.quorum.is_quorum(group - {*facts.silent, *facts.down})]
    for leader in sorted(facts.leaders):
        if leader in facts.down:
            return Cause("leader-away", f"replica {leader}, which leads, is down")
        if not any(leader in group for group in reachable):
            return Cause("leader-away", f"replica {leader}, which leads, is cut off from those who could form a quorum")
    return None


def _messages_lost(facts: Facts) -> Cause | None:
    if not facts.loss:
        return None
    return Cause("messages-lost", f"the network loses {facts.loss:.2g} of all messages, and votes were missing")


def _replicas(ids: tuple[int, ...]) -> str:
    return f"replica {ids[0]}" if len(ids) == 1 else f"replicas {', '.join(map(str, sorted(ids)))}"
