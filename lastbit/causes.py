"""Why a chain stands still: causes found by a fixed order of questions from facts, never from a guess.

The first question that answers "yes" names the cause; the others that do are told as contributing.

1. `no-quorum-alive`: do those who are up and speak weigh less than a quorum?
2. `nobody-honest`: is no honest replica up, so that nobody's decisions count?
3. `partition`: is there no set of them, each reaching the others for as long as a block takes, that weighs a quorum?
4. `minority-halted`: would such a set weigh a quorum, had none of it been outvoted and halted itself?
5. `recovery-too-slow`: would it, or an answer of the ballot, were none still taking over the state of others, or
   catching up after a crash or partition?
6. `split-ballot`: did honest replicas with a quorum of weight execute a block, and no answer reach a quorum?
7. `split-proposal`: did the leader of the last attempt propose several blocks, so that votes split by its lie?
8. `halted`: have replicas stopped voting, as the policy `halt` says, after an attempt that failed otherwise?
9. `replica-behind`: is the chain done, and an honest replica has not caught up?
10. `timeouts-too-short`: do the delays and the computing of a quorum, as they are now, take longer than the longest
    timeout waits?
11. `minority-leader`: does the leader state an output that a quorum contradicts, so that nobody votes for it?
12. `certification-behind`: are so many more heights ordered than certified that ordering is held back, by all, by the
    leader or by those without whom there is no quorum; or are certificates all that is missing?
13. `faulty-leader`: is the leader of the last view faulty?
14. `leader-away`: is it down, or cut off from those who could form a quorum? (`minority-halted` where it was outvoted
    and has halted itself, `recovery-too-slow` where it is still recovering.)
15. `slow-block`: does a block, as delays and computing are now, take longer than counts as a stall; or are those
    without whom there is no quorum, or the leader that has to state its output, still computing?
16. None of these: 1, 3 and 6 again, of all the time since the last progress, for a fault may be over whose end the
    replicas have not found yet, or come and go; and `no-quorum-alive` where the honest alone are none.
17. `messages-lost`: has the network lost messages since the last progress, so that votes may be missing?
18. `unexplained`: none of these.

The order goes from what makes a decision impossible to what only delays it. First who is there at all (1, 2), who of
them can talk (3), who of them still votes (4, 5): where too few do, what they answer decides nothing. Then what they
said (6, 7), and what the policy made of it (8, 9). Then timers (10), which keep even willing voters from ending a
block. Then what holds up one view or one height, and passes (11 to 15). What is over comes behind all that is there
(16), and chance last (17), for it explains anything. A question sees the rest through those before it: a partition is
judged among those who would vote, for a side that lacks a halted replica is no quorum either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from lastbit.reach import with_a_quorum
from lastbit.result import CauseCode
from lastbit.stall_facts import Facts


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: a word for machines, a sentence for people, and what else was found."""

    code: CauseCode
    sentence: str
    contributing: tuple[CauseCode, ...] = ()


_ALL_THE_STALL = " throughout the stall"


def find_cause(facts: Facts) -> Cause:
    """The first cause that the facts bear out, and the others that they do."""
    found = _answered(_QUESTIONS, facts) or _answered(_OF_ALL_THE_STALL, facts.of_all_the_stall())
    found += _answered((_messages_lost,), facts)
    if not found:
        return Cause("unexplained", "none of the known causes fits; the trace holds every event")
    first, *others = found
    codes = dict.fromkeys(each.code for each in others if each.code != first.code)
    return Cause(first.code, first.sentence, tuple(codes))


def _answered(questions: Iterable[Callable[[Facts], Cause | None]], facts: Facts) -> list[Cause]:
    return [cause for question in questions if (cause := question(facts)) is not None]


def _no_quorum_alive(facts: Facts) -> Cause | None:
    quorum, alive = facts.quorum, facts.quorum.weight_of(facts.speaking)
    if alive >= quorum.threshold:
        return None
    who = [f"{_replicas(facts.silent)} silent"] if facts.silent else []
    who += [f"{_replicas(facts.down)} down"] if facts.down else []
    lasting = _ALL_THE_STALL if facts.is_of_all_the_stall else ""
    return Cause(
        "no-quorum-alive",
        f"no quorum alive{lasting}: {alive} of {quorum.total} speak, {quorum.threshold} are needed ({', '.join(who)})",
    )


def _no_honest_quorum(facts: Facts) -> Cause | None:
    """Who is faulty may speak, and yet bring nothing on."""
    weight, threshold = facts.quorum.weight_of(facts.honest_up), facts.quorum.threshold
    if weight >= threshold:
        return None
    return Cause(
        "no-quorum-alive",
        f"no quorum alive without those that are faulty: the honest who are up weigh {weight}; {threshold} are needed",
    )


def _nobody_honest(facts: Facts) -> Cause | None:
    if facts.honest_up:
        return None
    return Cause(
        "nobody-honest", "nobody honest is up: every replica that speaks is faulty, and none of their words count"
    )


def _partition(facts: Facts) -> Cause | None:
    """Asked of those who can vote; where they are no quorum anyhow, of those who might, and in the end of all."""
    quorum, everybody = facts.quorum, frozenset(facts.reach)
    narrowing = (facts.ready, facts.voting, facts.speaking)
    among = next((some for some in narrowing if quorum.is_quorum(some)), everybody)
    sides = facts.sides(among)
    if any(map(quorum.is_quorum, sides)):
        return None
    lasting = " for as long as a block takes" if facts.reach_changes else ""
    lasting = _ALL_THE_STALL if facts.is_of_all_the_stall else lasting
    unreached = {side: among - facts.reach[min(side)] for side in sides}
    if all(len(side) + len(missed) == len(among) for side, missed in unreached.items()):
        who = " | ".join(_ids(side) for side in sides)
        return Cause("partition", f"partition: no side weighs {quorum.threshold}{lasting} (replicas {who})")
    gaps = [_reaches_not(side, missed) for side, missed in unreached.items() if missed]
    return Cause(
        "partition",
        f"partition: no replicas that reach each other weigh {quorum.threshold}{lasting} ({'; '.join(gaps)})",
    )


def _reaches_not(side: frozenset[int], missed: frozenset[int]) -> str:
    return f"{_replicas(side)} {'does' if len(side) == 1 else 'do'} not reach {_replicas(missed)}"


def _minority_halted(facts: Facts) -> Cause | None:
    left, threshold = facts.weight_together(facts.voting), facts.quorum.threshold
    if left >= threshold or facts.weight_together(facts.speaking) < threshold:
        return None
    return Cause(
        "minority-halted",
        f"{_replicas(facts.halted_themselves)} halted, outvoted by the others, and those who are left weigh {left}; "
        f"{threshold} are needed",
    )


def _recovery_too_slow(facts: Facts) -> Cause | None:
    if not facts.recovering:
        return None
    left, threshold = facts.weight_together(facts.ready), facts.quorum.threshold
    if left < threshold <= facts.weight_together(facts.voting):
        return Cause("recovery-too-slow", f"{_recovers(facts)}, and the rest weigh {left}; {threshold} are needed")
    if _is_tipped_by_who_recovers(facts):
        return Cause("recovery-too-slow", f"{_recovers(facts)}, and without them no answer has {threshold}")
    return None


def _is_tipped_by_who_recovers(facts: Facts) -> bool:
    """Would an answer that no quorum has given yet have one, with those who are not ready to answer?"""
    if facts.verdict is None or facts.verdict.agreed:
        return False
    ready, recovering = facts.ready, facts.recovering & facts.voting
    weights = [facts.quorum.weight_of(ready.intersection(line.replicas)) for line in facts.verdict.ballot]
    return max(weights, default=0) + facts.quorum.weight_of(recovering) >= facts.quorum.threshold


def _recovers(facts: Facts) -> str:
    who = []
    if facts.resyncing:
        verb = "takes" if len(facts.resyncing) == 1 else "take"
        who.append(f"{_replicas(facts.resyncing)} {verb} over the state of others, for {facts.resync_ns / 1e6:g} ms")
    if facts.catching_up:
        verb = "has" if len(facts.catching_up) == 1 else "have"
        who.append(f"{_replicas(facts.catching_up)} {verb} not caught up yet")
    return ", and ".join(who)


def _split_ballot(facts: Facts) -> Cause | None:
    verdict = facts.verdict
    if verdict is None or not verdict.is_trial or verdict.agreed:
        return None
    voters = {replica for line in verdict.ballot for replica in line.replicas}
    may_answer = facts.quorum.weight_of(facts.reach.keys() - voters - {*facts.silent, *facts.halted_themselves})
    is_open = verdict.ballot[0].weight + may_answer >= facts.quorum.threshold
    what = "all outputs up to" if verdict.is_of_history else "the output of"
    at = "" if verdict.block.height == facts.height else f" for {what} height {verdict.block.height:,}"
    what = f"no quorum{at}{' so far' if is_open else ', and none possible'}: "
    what += f"{len(voters)} voters, {len(verdict.ballot)} answers"
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
    verb = "has" if len(facts.behind) == 1 else "have"
    return Cause("replica-behind", f"the chain is done, but {_replicas(facts.behind)} {verb} not caught up")


def _timeouts_too_short(facts: Facts) -> Cause | None:
    said, longest_ns, needed_ns = facts.patience
    if longest_ns > needed_ns:
        return None
    return Cause(
        "timeouts-too-short",
        f"{said} {longest_ns / 1e6:g} ms; with delays of {facts.delay_ns / 1e6:g} ms and "
        f"{facts.compute_ns / 1e6:.3g} ms to compute, more than {needed_ns / 1e6:.6g} ms are needed",
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
    if facts.is_done and facts.uncertified and not facts.behind:
        return Cause(
            "certification-behind", f"all heights are ordered, and the last {facts.uncertified:,} of them not certified"
        )
    if facts.uncertified_max is None:
        return None
    held_back = f"from {facts.uncertified_max:,} on ordering is held back"
    if facts.uncertified >= facts.uncertified_max:
        return Cause(
            "certification-behind", f"{facts.uncertified:,} heights are ordered and not certified; {held_back}"
        )
    leading = sorted(facts.leaders.keys() & set(facts.held_back)) if facts.leader_is_needed else []
    if leading:
        return Cause(
            "certification-behind", f"replica {leading[0]}, which leads, lags behind with certificates; {held_back}"
        )
    left = _left_without(facts, facts.held_back)
    if left is not None:
        verb = "lags" if len(facts.held_back) == 1 else "lag"
        return Cause(
            "certification-behind",
            f"{_replicas(facts.held_back)} {verb} behind with certificates, and the rest weigh {left}; "
            f"{facts.quorum.threshold} are needed",
        )
    return None


def _faulty_leader(facts: Facts) -> Cause | None:
    faulty = {leader: behaviour for leader, behaviour in facts.leaders.items() if behaviour != "honest"}
    if not faulty:
        return None
    leader, behaviour = min(faulty.items())
    return Cause("faulty-leader", f"replica {leader}, which leads, is faulty ({behaviour})")


def _leader_away(facts: Facts) -> Cause | None:
    together = with_a_quorum(facts.quorum, facts.reach, facts.speaking)
    for leader in sorted(facts.leaders.keys() - set(facts.silent)):
        if leader in facts.down:
            return Cause("leader-away", f"replica {leader}, which leads, is down")
        if leader in facts.halted_themselves:
            return Cause("minority-halted", f"replica {leader}, which leads, was outvoted and has halted itself")
        if leader in facts.recovering:
            return Cause("recovery-too-slow", f"replica {leader}, which leads, has not recovered yet")
        if together and leader not in together:
            return Cause("leader-away", f"replica {leader}, which leads, is cut off from those who could form a quorum")
    return None


def _slow_block(facts: Facts) -> Cause | None:
    if facts.block_ns > facts.stall_after_ns:
        return Cause(
            "slow-block",
            f"with delays of {facts.delay_ns / 1e6:g} ms and {facts.compute_ns / 1e6:.3g} ms to compute, a block "
            f"takes {facts.block_ns / 1e6:.6g} ms, and standing still for {facts.stall_after_ns / 1e6:g} ms counts as "
            "a stall",
        )
    computing = facts.computing_ns
    leading = sorted(facts.leaders.keys() & computing.keys()) if facts.leader_states_output else []
    if leading:
        return Cause(
            "slow-block",
            f"replica {leading[0]}, which leads, is still computing, for another {computing[leading[0]] / 1e6:.6g} ms",
        )
    left = _left_without(facts, computing.keys())
    if left is not None:
        be = "is" if len(computing) == 1 else "are"
        return Cause(
            "slow-block",
            f"{_replicas(computing.keys())} {be} still computing, for up to {max(computing.values()) / 1e6:.6g} ms "
            f"more, and the rest weigh {left}; {facts.quorum.threshold} are needed",
        )
    return None


def _left_without(facts: Facts, who: Iterable[int]) -> int | None:
    """What the rest weigh, where there is no quorum without these and one with them; None where that is not so."""
    left = facts.weight_together(facts.ready.difference(who))
    return left if left < facts.quorum.threshold <= facts.weight_together(facts.ready) else None


def _messages_lost(facts: Facts) -> Cause | None:
    if not facts.loss:
        return None
    return Cause("messages-lost", f"the network loses {facts.loss:.2g} of all messages, and votes were missing")


def _replicas(ids: Collection[int]) -> str:
    return f"replica{'' if len(ids) == 1 else 's'} {_ids(ids)}"


def _ids(ids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(ids)))


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
    _slow_block,
)
_OF_ALL_THE_STALL = (_no_quorum_alive, _partition, _split_ballot, _no_honest_quorum)
