"""What is counted over a run, attempt by attempt and height by height."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import ne

from lastbit.attempts import Attempt, Group, Verdict, naturally_divergent

FAILURES_KEPT_MAX = 100


@dataclass(slots=True)
class Compared:
    """How one replica's arithmetic compares with that of the first honest one, in requests."""

    requests: int = 0
    bits_differ: int = 0
    votes_differ: int = 0


@dataclass(slots=True)
class Tally:
    """What is counted over a run; `lastbit.result.Result` says what each count means."""

    trials: int = 0
    first_attempt_failures: int = 0
    trials_to_first_failure: int = 0
    first_failure_height: int | None = None
    retries: int = 0
    views: int = 0
    unanimous: int = 0
    with_dissent: int = 0
    skipped: int = 0
    resyncs: int = 0
    natural_divergence: int = 0
    natural_divergence_voted: int = 0
    injected: int = 0
    injected_changed: int = 0
    failures: list[Verdict] = field(default_factory=list)
    compared: dict[int, Compared] = field(default_factory=dict)

    def add_attempts(self, height: int, verdicts: Sequence[Verdict]) -> None:
        """Count the attempts at a height, in order, as far as they tell whether the honest agree."""
        trials = [verdict for verdict in verdicts if verdict.is_trial and not verdict.block.is_empty]
        if not trials:
            return
        self.trials += 1
        self.retries += len(trials) - 1
        if not trials[0].agreed:
            self.first_attempt_failures += 1
            self.trials_to_first_failure = self.trials_to_first_failure or self.trials
        for verdict in trials:
            if not verdict.agreed:
                if self.first_failure_height is None:
                    self.first_failure_height = height
                if len(self.failures) < FAILURES_KEPT_MAX:
                    self.failures.append(verdict)

    def add_arithmetic(self, attempts: Iterable[Attempt], base: int) -> None:
        """Count the requests of a height that honest replicas answered differently by arithmetic alone.

        Args:
            attempts: at the height.
            base: the replica that the others are compared with.
        """
        divergent: dict[int, bool] = {}
        for attempt in attempts:
            groups = attempt.groups
            for group in groups:
                if base in group.replicas:
                    self._compare_with(group, groups)
            for block in {group.block: None for group in groups} if len(groups) > 1 else ():
                for position, votes_differ in naturally_divergent(attempt, block):
                    request = block.requests[position]
                    divergent[request] = votes_differ or divergent.get(request, False)
        self.natural_divergence += len(divergent)
        self.natural_divergence_voted += sum(divergent.values())

    def add_decision(self, *, is_empty: bool, has_dissent: bool) -> None:
        """Count a height that is decided and settled."""
        if is_empty:
            self.skipped += 1
        elif has_dissent:
            self.with_dissent += 1
        else:
            self.unanimous += 1

    def _compare_with(self, base: Group, groups: Sequence[Group]) -> None:
        for block, answer, replicas in groups:
            if block != base.block:
                continue
            bits = votes = 0
            if answer is not base.answer:
                bits = sum(map(ne, answer.truths, base.answer.truths))
                votes = sum(map(ne, answer.votes, base.answer.votes))
            for replica in replicas:
                compared = self.compared.setdefault(replica, Compared())
                compared.requests += len(answer.truths)
                compared.bits_differ += bits
                compared.votes_differ += votes
