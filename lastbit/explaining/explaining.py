"""Explain one attempt of a recorded run: its ballot, and for every two answers where they part and why.

Nothing is believed of the trace but who said what: each answer is computed again, and only where that gives the
digests of the ballot is anything said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

from lastbit.auditing.origins import plain_origin
from lastbit.conclusion import voted
from lastbit.explaining.ballots import Ballot, NothingToExplain, ballot_at
from lastbit.explaining.causes import Causes
from lastbit.explaining.findings import Cause, Explanation, Outcome, PairExplained
from lastbit.fleet import feedback_of
from lastbit.recorded import Recorded, environment_lines, load_recorded
from lastbit.result import Answer
from lastbit.simulation import block_requests
from lastbit.wording import replicas as named
from replicas.differences import first_difference
from replicas.divergence import (
    Divergence,
    Unsaid,
    Watch,
    WatchedAnswer,
    first_divergence_of_answers,
    watch_answer,
)
from replicas.engine import EngineError
from replicas.profile import NumericProfile, ProfileError
from replicas.replica import Replica

ANSWERS_MAX = 4
"""So many of the heaviest are compared, every two of them."""

Pairing = tuple[tuple[Answer, Replica], tuple[Answer, Replica]]


def explain(
    path: Path,
    height: int,
    *,
    attempt: int | None = None,
    model: str | None = None,
    inputs: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Say why the replicas of a run disagreed at a height.

    Args:
        path: the trace of the run.
        height: which one.
        attempt: at it; left out: the first on which not all agreed.
        model, inputs: as for `lastbit.replay.replay`.
        progress: called with the pairs done and how many there are.

    Raises:
        NothingToExplain: the trace holds no such height or attempt, or nobody executed it.
        TraceError: the file is damaged or is no trace; names the line.
        ValueError: its scenario, model or inputs cannot be run, or are not those of the trace.
    """
    recorded = load_recorded(path, model=model, inputs=inputs)
    if feedback_of(recorded.prepared.scenario.state) is not None:
        raise NothingToExplain(
            f"{path}: each answer was fed with the one before, which the trace does not record; only a run without "
            "state.input can be explained"
        )
    ballot = ballot_at(recorded.trace, height, attempt, recorded.prepared.scenario.chain)
    return _Explaining(recorded, height, ballot).explain(progress)


class _Explaining:
    def __init__(self, recorded: Recorded, height: int, ballot: Ballot) -> None:
        self._recorded = recorded
        self._scenario = recorded.prepared.scenario
        self._replicas = recorded.prepared.replicas
        self._height = height
        self._ballot = ballot
        self._requests = block_requests(self._scenario.chain, height)
        self._honest = {spec.id for spec in self._scenario.replicas() if spec.behaviour == "honest"}
        self._model = recorded.prepared.material.model
        self._causes = Causes(self._model)
        self._watches: dict[NumericProfile, Watch] = {}

    def explain(self, progress: Callable[[int, int], None] | None) -> Explanation:
        answers = self._ballot.answers
        if len(answers) == 1:
            return self._found("same", self._same(answers[0]))
        others = self._answering_otherwise()
        if others:
            said = (
                f"not explained: computed here, {named(others)} {'answers' if len(others) == 1 else 'answer'} "
                "otherwise than the trace records"
            )
            return self._found("not-repeated", said, environment=environment_lines(self._recorded.environment))
        behind = [(answer, self._replicas[who[0]]) for answer in answers if (who := self._who_computed(answer))]
        pairings = list(combinations(behind[:ANSWERS_MAX], 2))
        pairs = []
        for done, pairing in enumerate(pairings, start=1):
            pairs.append(self._pair(pairing))
            if progress is not None:
                progress(done, len(pairings))
        return self._found(
            "split",
            self._split(len(behind)),
            pairs=pairs,
            answers_lighter=len(behind[ANSWERS_MAX:]),
            answers_not_computed=len(answers) - len(behind),
        )

    def _found(
        self,
        outcome: Outcome,
        said: str,
        *,
        pairs: Sequence[PairExplained] = (),
        answers_lighter: int = 0,
        answers_not_computed: int = 0,
        environment: Sequence[str] = (),
    ) -> Explanation:
        quorum = self._scenario.quorum_system()
        return Explanation(
            scenario=self._scenario.name,
            seed=self._scenario.seed,
            model=self._model.name,
            form=self._recorded.prepared.material.form.name,
            height=self._height,
            attempt=self._ballot.attempt,
            attempts=self._ballot.attempts,
            requests=self._requests,
            quorum=quorum.threshold,
            weight=quorum.total,
            ballot=self._ballot.answers,
            states=self._ballot.states,
            outcome=outcome,
            said=said,
            pairs=tuple(pairs),
            drifted=self._ballot.drifted,
            answers_lighter=answers_lighter,
            answers_not_computed=answers_not_computed,
            environment=tuple(environment),
        )

    def _same(self, answer: Answer) -> str:
        voted_all = len(answer.replicas) == len(self._replicas)
        return f"all replicas {'' if voted_all else 'that answered '}gave the same answer"

    def _split(self, computed: int) -> str:
        answers, states = self._ballot.answers, self._ballot.states
        if self._ballot.drifted:
            given = f"{answers[0].digest[:6]}… from {answers[0].weight} of {self._scenario.quorum_system().total}"
            said = f"votes name {len(states)} states, {self._reached(states[0])}; apart from the state "
            said += f"{len(answers)} answers, {given}"
        else:
            apart = " apart from the state" if states else ""
            said = f"{len(answers)} answers{apart}, {self._reached(answers[0])}"
        if computed < 2:
            said += "; honest replicas computed one answer, the rest are votes of faulty ones"
        return said

    def _reached(self, heaviest: Answer) -> str:
        quorum = self._scenario.quorum_system()
        if heaviest.weight < quorum.threshold:
            return f"none with a quorum of {quorum.threshold} of {quorum.total}"
        return f"{heaviest.digest[:6]}… with a quorum, {heaviest.weight} of {quorum.total}"

    def _who_computed(self, answer: Answer) -> list[int]:
        return [replica for replica in answer.replicas if replica in self._honest]

    def _answering_otherwise(self) -> list[int]:
        """The honest replicas whose answer, computed now, is not the one in the ballot."""
        return [
            replica
            for answer in self._ballot.answers
            for replica in self._who_computed(answer)
            if self._replicas[replica].answer_block(self._requests, self._ballot.attempt).digest.hex() != answer.digest
        ]

    def _pair(self, pairing: Pairing) -> PairExplained:
        (one_answer, one), (other_answer, other) = pairing
        form, attempt = one.form, self._ballot.attempt
        request = next(
            request
            for request in self._requests
            if form.digest(one.said(request, attempt)) != form.digest(other.said(request, attempt))
        )
        found = first_difference([voted(form, each.said(request, attempt)) for each in (one, other)])
        assert found is not None, "the digests differ"
        injected = self._injected(one, other, request)
        divergence = None if injected else self._divergence(one, other, request)
        return PairExplained(
            replicas=(one.id, other.id),
            digests=(one_answer.digest, other_answer.digest),
            request=request,
            output=found.output,
            element=found.element,
            values=found.values,
            steps=found.steps,
            cause=injected or self._causes.of(one, other, request, attempt),
            origin=None if injected else plain_origin(f"replica {one.id}", f"replica {other.id}", request, divergence),
        )

    def _injected(self, one: Replica, other: Replica, request: int) -> Cause | None:
        """What the dial did to them; None where it changed neither answer."""
        attempt = self._ballot.attempt
        answers = {each.id: each.answer(request, attempt) for each in (one, other)}
        changed = [
            each.id for each in (one, other) if each.form.digest(each.said(request, attempt)) != answers[each.id].vote
        ]
        if not changed:
            return None
        alike = answers[one.id].vote == answers[other.id].vote
        computed = "equal" if alike else "different as well"
        whose = "the answer of" if len(changed) == 1 else "the answers of"
        said = (
            f"injected: the dial marked request {request:,} and changed {whose} {named(changed)}; "
            f"what the two computed is {computed}"
        )
        return Cause(kind="injected", said=said)

    def _divergence(self, one: Replica, other: Replica, request: int) -> Divergence | Unsaid | None:
        try:
            return first_divergence_of_answers(self._watched(one, request), self._watched(other, request))
        except (EngineError, ProfileError) as error:
            return Unsaid(str(error))

    def _watched(self, replica: Replica, request: int) -> WatchedAnswer:
        watch = self._watches.get(replica.profile)
        if watch is None:
            watch = self._watches[replica.profile] = Watch(self._model, replica.profile)
        return watch_answer(watch, replica, request, self._ballot.attempt)
