"""Why a chain stands still: causes found by a fixed order of questions from facts, never from a guess.

The first question that answers "yes" names the cause; the others that do are told as contributing.

1. `no-quorum-alive`: do those who are up and speak weigh less than a quorum?
2. `nobody-honest`: is no honest replica up, so that nobody's decisions count?
3. `partition`: is there no set of them, each reaching the others, that weighs a quorum?
4. `minority-halted`: would those who speak weigh a quorum, had none of them been outvoted and halted itself?
5. `recovery-too-slow`: would they, were none of them still taking over the state of others?
6. `split-ballot`: did honest replicas with a quorum of weight execute a block, and no answer reach a quorum?
7. `split-proposal`: did the leader of the last attempt propose several blocks, so that votes split by its lie?
8. `halted`: have replicas stopped voting, as the policy `halt` says, after an attempt that failed otherwise?
9. `replica-behind`: is the chain done, and an honest replica has not caught up?
10. `timeouts-too-short`: does computing and voting take longer than the longest timeout waits?
11. `minority-leader`: does the leader state an output that a quorum contradicts, so that nobody votes for it?
12. `certification-behind`: are so many more heights ordered than certified that the protocol holds ordering back?
13. `faulty-leader`: is the leader of the last view faulty?
14. `leader-away`: is it down, or cut off from those who could form a quorum? (`minority-halted` where it was outvoted
    and has halted itself.)
15. `messages-lost`: does the network lose messages, so that votes may be missing?
16. `unexplained`: none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consensus.quorum import QuorumSystem
from lastbit.attempts import Verdict
from lastbit.result import CauseCode


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: a word for machines, a sentence for people, and what else was found."""

    code: CauseCode
    sentence: str
    contributing: tuple[CauseCode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known from outside when a chain stands still.

    Attributes:
        quorum: who weighs what.
        policy: of the chain.
        silent: the replicas that never speak.
        down: the replicas that have crashed and are not back.
        halted_themselves: the honest replicas that were outvoted and take no further part.
        resyncing: the honest replicas that are taking over the state of others.
        resync_ns: how long that takes.
        honest_up: the honest replicas that are up.
        groups: the replicas that reach each other, all groups.
        verdict: on the attempt that tells most: the last one at the height that did not come, or, where outputs are
            compared later, at the first whose output nobody certified; None where no honest replica executed.
        height: that did not come.
        liar: the leader that proposed several blocks in the last attempt at the height; None where none did.
        halted: replicas have stopped voting, as the policy `halt` says.
        is_done: the chain has reached its target.
        behind: honest live replicas that have not decided all that others have.
        block_time_ns: an undisturbed block.
        timeout_max_ns: what timeouts grow to.
        leaders: who led the last view of each live replica, and their behaviour.
        leader_states_output: what a leader proposes states its own output.
        uncertified: heights ordered and not certified.
        uncertified_max: from so many on the protocol holds ordering back; None: it never does.
        loss: the probability that a message is lost.
    """

    quorum: QuorumSystem
    policy: str
    silent: tuple[int, ...]
    down: tuple[int, ...]
    halted_themselves: tuple[int, ...]
    resyncing: tuple[int, ...]
    resync_ns: int
    honest_up: tuple[int, ...]
    groups: tuple[frozenset[int], ...]
    verdict: Verdict | None
    height: int
    liar: int | None
    halted: bool
    is_done: bool
    behind: tuple[int, ...]
    block_time_ns: int
    timeout_max_ns: int
    leaders: Mapping[int, str]
    leader_states_output: bool
    uncertified: int
    uncertified_max: int | None
    loss: float

    @property
    def mute(self) -> frozenset[int]:
        """Who says nothing: silent by nature, or down."""
        return frozenset((*self.silent, *self.down))

    def weight_without(self, *missing: int) -> int:
        """The weight of those who speak, less those named."""
        return self.quorum.total - self.quorum.weight_of(self.mute.union(missing))


def find_cause(facts: Facts) -> Cause:
    """The first cause that the facts bear out, and the others that they do."""
    found = [cause for question in _QUESTIONS if (cause := question(facts)) is not None]
    if not found:
        return Cause("unexplained", "none of the known causes fits; the trace holds every event")
    first, *others = found
    codes = dict.fromkeys(each.code for each in others if each.code != first.code)
    return Cause(first.code, first.sentence, tuple(codes))


def _no_quorum_alive(facts: Facts) -> Cause | None:
    quorum, alive = facts.quorum, facts.weight_without()
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
    speaking = [group - facts.mute for group in facts.groups]
    if any(facts.quorum.is_quorum(group) for group in speaking):
        return None
    sides = " | ".join(", ".join(map(str, sorted(group))) for group in speaking if group)
    return Cause("partition", f"partition: no side weighs {facts.quorum.threshold} (replicas {sides})")


def _minority_halted(facts: Facts) -> Cause | None:
    left, halted = facts.weight_without(*facts.halted_themselves), facts.halted_themselves
    if not halted or left >= facts.quorum.threshold or facts.weight_without() < facts.quorum.threshold:
        return None
    return Cause(
        "minority-halted",
        f"{_replicas(halted)} halted, outvoted by the others, and those who are left weigh {left}; "
        f"{facts.quorum.threshold} are needed",
    )


def _recovery_too_slow(facts: Facts) -> Cause | None:
    out = {*facts.halted_themselves, *facts.resyncing}
    left, resyncing = facts.weight_without(*out), facts.resyncing
    with_them = facts.weight_without(*facts.halted_themselves)
    if not resyncing or left >= facts.quorum.threshold or with_them < facts.quorum.threshold:
        return None
    return Cause(
        "recovery-too-slow",
        f"{_replicas(resyncing)} took over the state of others, which takes {facts.resync_ns / 1e6:g} ms, and the rest "
        f"weigh {left}; {facts.quorum.threshold} are needed",
    )


def _split_ballot(facts: Facts) -> Cause | None:
    verdict = facts.verdict
    if verdict is None or not verdict.is_trial or verdict.agreed:
        return None
    voters = {replica for line in verdict.ballot for replica in line.replicas}
    what = "all outputs up to" if verdict.is_of_history else "the output of"
    at = "" if verdict.block.height == facts.height else f" for {what} height {verdict.block.height:,}"
    what = f"no quorum{at}, and none possible: {len(voters)} voters, {len(verdict.ballot)} answers"
    if facts.policy == "retry" and verdict.view > 0 and not at:
        what += f"; tried again up to view {verdict.view}, in vain"
    return Cause("split-ballot", what + _after_halting(facts))


def _split_proposal(facts: Facts) -> Cause | None:
    if facts.liar is None:
        return None
    what = f"replica {facts.liar}, which led, proposed several blocks, and none has a quorum"
    return Cause("split-proposal", what + _after_halting(facts))


def _halted(facts: Facts) -> Cause | None:
    if not facts.halted or _split_ballot(facts) or _split_proposal(facts):
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


def _minority_leader(facts: Facts) -> Cause | None:
    verdict = facts.verdict
    if not facts.leader_states_output or verdict is None or not verdict.agreed:
        return None
    outvoted = {replica for line in verdict.ballot[1:] for replica in line.replicas}
    leading = sorted(outvoted & {leader for leader, behaviour in facts.leaders.items() if behaviour == "honest"})
    if not leading:
        return None
    return Cause(
        "minority-leader",
        f"replica {leading[0]}, which leads, states another output of height {verdict.block.height:,} than a quorum "
        "computed, and nobody votes for that",
    )


def _certification_behind(facts: Facts) -> Cause | None:
    if facts.uncertified_max is None or facts.uncertified < facts.uncertified_max:
        return None
    return Cause(
        "certification-behind",
        f"{facts.uncertified:,} heights are ordered and not certified; from {facts.uncertified_max:,} on ordering is "
        "held back",
    )


def _faulty_leader(facts: Facts) -> Cause | None:
    faulty = {leader: behaviour for leader, behaviour in facts.leaders.items() if behaviour != "honest"}
    if not faulty:
        return None
    leader, behaviour = min(faulty.items())
    return Cause("faulty-leader", f"replica {leader}, which leads, is faulty ({behaviour})")


def _leader_away(facts: Facts) -> Cause | None:
    reachable = [group for group in facts.groups if facts.quorum.is_quorum(group - facts.mute)]
    for leader in sorted(facts.leaders):
        if leader in facts.down:
            return Cause("leader-away", f"replica {leader}, which leads, is down")
        if leader in facts.halted_themselves:
            return Cause("minority-halted", f"replica {leader}, which leads, was outvoted and has halted itself")
        if not any(leader in group for group in reachable):
            return Cause("leader-away", f"replica {leader}, which leads, is cut off from those who could form a quorum")
    return None


def _messages_lost(facts: Facts) -> Cause | None:
    if not facts.loss:
        return None
    return Cause("messages-lost", f"the network loses {facts.loss:.2g} of all messages, and votes were missing")


def _replicas(ids: tuple[int, ...]) -> str:
    return f"replica {ids[0]}" if len(ids) == 1 else f"replicas {', '.join(map(str, sorted(ids)))}"


_QUESTIONS = (
    _no_quorum_alive,
    _nobody_honest,
    _partition,
    _minority_halted,
    _recovery_too_slow,
    _split_ballot,
    _split_proposal,
    _halted,
    _replica_behind,
    _timeouts_too_short,
    _minority_leader,
    _certification_behind,
    _faulty_leader,
    _leader_away,
    _messages_lost,
)
