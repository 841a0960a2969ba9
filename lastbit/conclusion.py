"""The conclusion of a run: from what was observed to the frozen `Result`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lastbit.attempts import Line, Verdict
from lastbit.chain_watch import ForkSeen
from lastbit.checking import ViolationSeen
from lastbit.closed_forms import NoClosedForm, predict_scenario
from lastbit.drift import predict_drift
from lastbit.environment import current_environment, untested_versions
from lastbit.fleet import Material, feedback_of
from lastbit.intervals import Rate, binomial_rate, first_failure_rate
from lastbit.replies import ConflictSeen
from lastbit.result import (
    Answer,
    AnswerValue,
    ClientConflict,
    Comparison,
    Failure,
    FirstDifference,
    Fork,
    Heights,
    Inferences,
    Outcome,
    ReplicaResult,
    Result,
    Stall,
    Violation,
)
from lastbit.scenario import Scenario
from lastbit.simulation import Ended, Simulation
from lastbit.stall_watch import StallSeen
from lastbit.tally import Compared, Tally
from lastbit.wording import probability
from replicas.differences import first_difference
from replicas.forms import Form, Top1Form
from replicas.outputs import Outputs


def conclude(
    simulation: Simulation, material: Material, ended: Ended, *, command: str | None, trace_file: Path | None
) -> Result:
    """Say what came of a run, and close its trace."""
    scenario, tally, chain = simulation.scenario, simulation.observation.tally, simulation.observation.chain
    outcome = _outcome(simulation, ended)
    store = simulation.replicas[0].store
    inferences = Inferences(asked=store.asked, run=store.run)  # before the questions asked here are counted, too
    stalls = tuple(_stall(simulation, stall) for stall in simulation.stalls.stalls)
    violations = tuple(map(_violation, simulation.observation.checkers.violations.seen))
    forks = tuple(_fork(simulation, fork) for fork in chain.forks)
    heights = Heights(
        target=scenario.chain.blocks,
        committed=chain.frontier,
        unanimous=tally.unanimous,
        with_dissent=tally.with_dissent,
        skipped=tally.skipped,
        uncertified=max(chain.frontier - simulation.observation.closed, 0),
        ordered=chain.tip,
        certified=chain.tip if simulation.setup.certified_at is None else chain.certified.tip,
    )
    end = {"outcome": outcome, "at_ns": simulation.world.now_ns, "heights": msgspec.to_builtins(heights)}
    trace_digest = _close_trace(simulation, ended, end, violation=violations, stall=stalls, fork=forks)
    prediction = predict_scenario(scenario)
    drift = predict_drift(scenario)
    expected = scenario.expect.outcome if scenario.expect else None
    return Result(
        scenario=scenario.name,
        title=scenario.title,
        seed=scenario.seed,
        outcome=outcome,
        expected=expected,
        as_expected=None if expected is None else outcome == expected and not ended.interrupted,
        interrupted=ended.interrupted,
        limit=ended.limit,
        protocol=scenario.chain.protocol,
        policy=scenario.chain.policy,
        outvoted=scenario.chain.outvoted,
        n=simulation.quorum.replicas,
        f=simulation.quorum.faulty_weight_max,
        quorum=simulation.quorum.threshold,
        weight=simulation.quorum.total,
        model=material.model.name,
        model_sha256=material.model.sha256,
        form=material.form.name,
        divergence=_divergence(scenario),
        heights=heights,
        agreement_failures=tally.first_attempt_failures,
        retries=tally.retries,
        view_changes=tally.views,
        first_failure_height=tally.first_failure_height,
        failures=tuple(_failure(simulation, verdict) for verdict in tally.failures),
        natural_divergence=tally.natural_divergence,
        natural_divergence_voted=tally.natural_divergence_voted,
        injected=tally.injected,
        injected_changed=tally.injected_changed,
        violations=violations,
        forks=forks,
        client_conflicts=tuple(_conflict(simulation, each) for each in simulation.observation.replies.conflicts),
        client_conflicts_count=simulation.observation.replies.conflicts_count,
        resyncs=tally.resyncs,
        halted_themselves=tuple(sorted(simulation.observation.halted_themselves)),
        prediction=None if isinstance(prediction, NoClosedForm) else prediction,
        reason=prediction.reason if isinstance(prediction, NoClosedForm) else None,
        drift=None if isinstance(drift, NoClosedForm) else drift,
        rate=_rate(simulation, tally),
        stalls=stalls,
        simulated_ns=simulation.world.now_ns,
        moved_ns=simulation.stalls.progressed_ns,
        events=simulation.trace.digest.events,
        messages=simulation.network.delivered,
        inferences=inferences,
        replicas=_replicas(simulation, tally),
        environment=current_environment(),
        versions_untested=untested_versions(),
        trace_digest=trace_digest,
        trace_file=_shown(trace_file),
        model_file=_shown(scenario.model_path),
        inputs_file=_shown(scenario.inputs_path),
        feeds_back=feedback_of(scenario.state) is not None,
        command=command,
    )


def _shown(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _close_trace(
    simulation: Simulation, ended: Ended, end: dict[str, Any], **last: Sequence[Violation | Stall | Fork]
) -> str:
    """Write the last records, each under its name, and give the trace digest."""
    trace = simulation.trace
    for name, things in last.items():
        for thing in things:
            trace.write(name, msgspec.to_builtins(thing))
    trace.write("end", end | ({"cut_after": simulation.world.events} if ended.interrupted else {}))
    return trace.close(cut=ended.interrupted)


def _outcome(simulation: Simulation, ended: Ended) -> Outcome:
    if simulation.observation.chain.forks:
        return "forked"
    if simulation.stalls.is_open:
        return "stalled"
    return "completed" if ended.done else "inconclusive"


def _rate(simulation: Simulation, tally: Tally) -> Rate:
    """First attempts that failed. Where the first failure ended the run, the trials are what was drawn; heights that a
    pipeline had begun beyond it are none of them."""
    stalls = simulation.stalls
    told_by = stalls.stalls[-1].verdict if stalls.is_open else None
    ended_by_it = told_by is not None and told_by.block.height == tally.first_failure_height
    if tally.first_attempt_failures and ended_by_it:
        return first_failure_rate(tally.trials_to_first_failure)
    return binomial_rate(tally.first_attempt_failures, tally.trials)


def _answers(ballot: Sequence[Line]) -> tuple[Answer, ...]:
    return tuple(Answer(digest=line.digest.hex(), weight=line.weight, replicas=line.replicas) for line in ballot)


def _without_vote(simulation: Simulation, ballot: Sequence[Line]) -> tuple[int, ...]:
    voted = {replica for line in ballot for replica in line.replicas}
    return tuple(replica.id for replica in simulation.replicas if replica.id not in voted)


def _failure(simulation: Simulation, verdict: Verdict) -> Failure:
    return Failure(
        height=verdict.block.height,
        attempt=verdict.view,
        at_ns=verdict.at_ns,
        block=verdict.block.digest.hex(),
        ballot=_answers(verdict.ballot),
        silent=_without_vote(simulation, verdict.ballot),
        first_difference=_difference(simulation, verdict.ballot, verdict.block.requests, verdict.view),
    )


def _stall(simulation: Simulation, stall: StallSeen) -> Stall:
    verdict = stall.verdict
    ballot = verdict.ballot if verdict is not None else ()
    difference = _difference(simulation, ballot, verdict.block.requests, verdict.view) if verdict is not None else None
    return Stall(
        height=stall.height,
        from_ns=stall.from_ns,
        until_ns=stall.until_ns,
        permanent=stall.until_ns is None,
        cause_code=stall.cause.code,
        cause=stall.cause.sentence,
        contributing=stall.cause.contributing,
        ballot=_answers(ballot),
        silent=_without_vote(simulation, ballot),
        first_difference=difference,
    )


def _fork(simulation: Simulation, fork: ForkSeen) -> Fork:
    lines = tuple(
        Answer(digest=digest.hex(), weight=simulation.quorum.weight_of(holders), replicas=holders)
        for digest, holders in fork.sides
    )
    return Fork(height=fork.height, at_ns=fork.at_ns, kind=fork.kind, what=fork.what, sides=lines)


def _violation(violation: ViolationSeen) -> Violation:
    return Violation(
        kind=violation.kind,
        height=violation.height,
        at_ns=violation.at_ns,
        replicas=violation.replicas,
        what=violation.what,
    )


def _conflict(simulation: Simulation, conflict: ConflictSeen) -> ClientConflict:
    lines = tuple(
        Answer(digest=digest.hex(), weight=simulation.quorum.weight_of(who), replicas=who)
        for digest, who in conflict.sides
    )
    return ClientConflict(height=conflict.height, at_ns=conflict.at_ns, sides=lines)


def _difference(
    simulation: Simulation, ballot: Sequence[Line], requests: Sequence[int], view: int
) -> FirstDifference | None:
    """Where the answers of a ballot first differ, found by asking one honest replica of each line again."""
    honest = [(line, [replica for replica in line.replicas if replica in simulation.honest]) for line in ballot]
    asked = [(line, simulation.replicas[who[0]]) for line, who in honest if who]
    if len(asked) < 2:
        return None
    if feedback_of(simulation.scenario.state) is not None:
        return None  # answers that were fed with those before cannot be asked for again
    form = simulation.replicas[0].form
    for request in requests:
        said = [replica.said(request, view) for _, replica in asked]
        if len({form.digest(outputs) for outputs in said}) < 2:
            continue  # another request of the block split the vote
        found = first_difference([voted(form, outputs) for outputs in said])
        if found is not None:
            values = tuple(
                AnswerValue(digest=line.digest.hex(), hex=text)
                for (line, _), text in zip(asked, found.values, strict=True)
            )
            return FirstDifference(
                request=request, output=found.output, element=found.element, values=values, steps=found.steps
            )
    return None


def voted(form: Form, outputs: Outputs) -> Outputs:
    """What of the outputs is voted on: for `top1` the labels themselves."""
    if isinstance(form, Top1Form):
        return Outputs.of({form.output: form.answer(outputs)})
    return outputs if form.output is None else outputs.only(form.output)


def _replicas(simulation: Simulation, tally: Tally) -> tuple[ReplicaResult, ...]:
    base = simulation.honest[0] if simulation.honest else None
    reports = [replica.engine.report for replica in simulation.replicas]
    return tuple(
        ReplicaResult(
            id=spec.id,
            weight=spec.weight,
            behaviour=spec.behaviour,
            profile=spec.profile.to_mapping(),
            settings=reports[spec.id].settings,
            preparation=reports[spec.id].preparation,
            operations_per_second=spec.operations_per_second,
            against=_comparison(spec.id, base, tally) if spec.behaviour == "honest" else None,
        )
        for spec in simulation.scenario.replicas()
    )


def _comparison(replica: int, base: int | None, tally: Tally) -> Comparison | None:
    if base is None or replica == base:
        return None
    found = tally.compared.get(replica, Compared())
    return Comparison(
        base=base, compared=found.requests, differing=found.bits_differ, votes_differing=found.votes_differ
    )


def _divergence(scenario: Scenario) -> str | None:
    dial = scenario.divergence
    if dial is None:
        return None
    return f"dial {probability(dial.rate)} per {dial.scope}, {dial.answers}, {dial.duration}"
