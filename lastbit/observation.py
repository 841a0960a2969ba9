"""All that is seen of a run from outside: attempts judged, heights closed and recorded, and counts for the result.

An observer knows who is honest, sends nothing, and is asked nothing by the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import ne
from typing import Any

from consensus.pbft.messages import NewView, Prepare
from consensus.protocol import Adopt, Block, Decide, Halt, Message
from consensus.quorum import QuorumSystem
from lastbit.attempts import Attempt, Group, Line, Verdict, naturally_divergent
from lastbit.chain_watch import ChainWatch
from replicas.replica import BlockAnswer

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
    natural_divergence: int = 0
    natural_divergence_voted: int = 0
    injected: int = 0
    injected_changed: int = 0
    failures: list[Verdict] = field(default_factory=list)
    compared: dict[int, Compared] = field(default_factory=dict)


class Observation:
    """Watches the nodes of one run.

    Args:
        quorum: who weighs what.
        honest: the replicas that follow the protocol.
        now_ns: tells the simulated time.
        record: takes one record for each height that is closed.
        progressed: called when the chain has moved.
    """

    def __init__(
        self,
        quorum: QuorumSystem,
        honest: Iterable[int],
        *,
        now_ns: Callable[[], int],
        record: Callable[[dict[str, Any]], None],
        progressed: Callable[[], None],
    ) -> None:
        self.quorum = quorum
        self.honest = frozenset(honest)
        self.chain = ChainWatch(quorum, self.honest)
        self.tally = Tally()
        self.halts: list[Halt] = []
        self._base = min(self.honest, default=0)
        self._now_ns = now_ns
        self._record = record
        self._progressed = progressed
        self._closed = 0
        self._last_view = 0
        self._attempts: dict[int, dict[int, Attempt]] = {}

    # --- what nodes tell ----------------------------------------------------------------------------------

    def executed(self, replica: int, block: Block, view: int, answer: BlockAnswer, done_ns: int) -> None:
        if replica not in self.honest or block.height <= self._closed:
            return
        self._attempt(block.height, view).add(replica, block, answer, done_ns)
        self.tally.injected += sum(answer.marked)
        self.tally.injected_changed += answer.changed

    def voted(self, replica: int, message: Message) -> None:
        if isinstance(message, NewView):
            if message.view > self._last_view:
                self._last_view = message.view
                self.tally.views += 1
        elif replica not in self.honest and isinstance(message, Prepare) and message.height > self._closed:
            attempt = self._attempt(message.height, message.view)
            attempt.byzantine.setdefault(message.pair, set()).add(replica)

    def decided(self, replica: int, decide: Decide) -> None:
        if replica in self.honest:
            before = self.chain.tip
            self.chain.decided(replica, decide, self._now_ns())
            self._close_heights(has_moved=self.chain.tip > before)

    def adopted(self, replica: int, adopt: Adopt) -> None:
        if replica in self.honest:
            self.chain.adopted(replica, adopt, self._now_ns())
            self._close_heights(has_moved=False)

    def halted(self, replica: int, halt: Halt) -> None:
        if replica in self.honest:
            self.halts.append(halt)

    def went_down(self, replica: int, *, for_good: bool = False) -> None:
        if replica in self.honest:
            for attempts in self._attempts.values():
                for attempt in attempts.values():
                    attempt.lose(replica, self._now_ns())
            self.chain.went_down(replica, for_good=for_good)
            self._close_heights(has_moved=False)

    def came_up(self, replica: int) -> None:
        self.chain.came_up(replica)

    # --- what can be asked --------------------------------------------------------------------------------

    def last_verdict(self, height: int) -> Verdict | None:
        """On the latest attempt at a height that is not closed, as it stands; None where no honest replica executed."""
        for _, attempt in sorted(self._attempts.get(height, {}).items(), reverse=True):
            verdict = attempt.by(self._now_ns()).judge(self.quorum)
            if verdict is not None:
                return verdict
        return None

    def attempt(self, height: int, view: int) -> Attempt | None:
        """An attempt at a height that is not closed."""
        return self._attempts.get(height, {}).get(view)

    def end(self) -> None:
        """The run is over: judge what was begun and not closed, where there is enough to judge it by."""
        for height, attempts in sorted(self._attempts.items()):
            attempts.update({view: attempt.by(self._now_ns()) for view, attempt in attempts.items()})
            verdicts = self._verdicts(height)
            self._count(height, [each for each in verdicts if self._is_settled(height, each)])
            record, _ = self._height_record(height, verdicts)
            self._record({**record, "open": True})

    # --- closing a height ---------------------------------------------------------------------------------

    def _attempt(self, height: int, view: int) -> Attempt:
        attempts = self._attempts.setdefault(height, {})
        attempt = attempts.get(view)
        if attempt is None:
            attempt = attempts[view] = Attempt(view)
        return attempt

    def _close_heights(self, *, has_moved: bool) -> None:
        before = self._closed
        while self._closed < self.chain.frontier:
            height = self._closed + 1
            verdicts = self._verdicts(height)
            self._count(height, verdicts)
            record, dissent = self._height_record(height, verdicts)
            self._count_agreement(height, dissent)
            self._record(record)
            self._attempts.pop(height, None)
            self._closed = height
        if self._closed > before:
            self.chain.forget()  # only now: a replica that adopts a state may close many heights at once
        if has_moved or self._closed > before:
            self._progressed()

    def _verdicts(self, height: int) -> list[Verdict]:
        """On the attempts that honest replicas executed, in order."""
        judged = [attempt.judge(self.quorum) for _, attempt in sorted(self._attempts.get(height, {}).items())]
        return [verdict for verdict in judged if verdict is not None]

    def _is_settled(self, height: int, verdict: Verdict) -> bool:
        """Could those who have not answered yet still turn an attempt that was cut?"""
        heard = {replica for line in verdict.ballot for replica in line.replicas}
        missing = self.quorum.total - self.quorum.weight_of(heard)
        later = max(self._attempts[height]) > verdict.view
        return verdict.agreed or later or verdict.ballot[0].weight + missing < self.quorum.threshold or bool(self.halts)

    def _count(self, height: int, verdicts: Sequence[Verdict]) -> None:
        tally = self.tally
        self._compare(height)
        trials = [verdict for verdict in verdicts if verdict.is_trial and not verdict.block.is_empty]
        if not trials:
            return
        tally.trials += 1
        tally.retries += len(trials) - 1
        if not trials[0].agreed:
            tally.first_attempt_failures += 1
            tally.trials_to_first_failure = tally.trials_to_first_failure or tally.trials
        for verdict in trials:
            if not verdict.agreed:
                if tally.first_failure_height is None:
                    tally.first_failure_height = height
                if len(tally.failures) < FAILURES_KEPT_MAX:
                    tally.failures.append(verdict)

    def _compare(self, height: int) -> None:
        """Count the requests that honest replicas answered differently by arithmetic alone."""
        divergent: dict[int, bool] = {}
        for attempt in self._attempts.get(height, {}).values():
            groups = attempt.groups
            for base in (group for group in groups if self._base in group.replicas):
                self._compare_with(base, groups)
            for block in {group.block: None for group in groups} if len(groups) > 1 else ():
                for position, votes_differ in naturally_divergent(attempt, block):
                    request = block.requests[position]
                    divergent[request] = votes_differ or divergent.get(request, False)
        self.tally.natural_divergence += len(divergent)
        self.tally.natural_divergence_voted += sum(divergent.values())

    def _compare_with(self, base: Group, groups: Sequence[Group]) -> None:
        for block, answer, replicas in groups:
            if block != base.block:
                continue
            bits = votes = 0
            if answer is not base.answer:
                bits = sum(map(ne, answer.truths, base.answer.truths))
                votes = sum(map(ne, answer.votes, base.answer.votes))
            for replica in replicas:
                compared = self.tally.compared.setdefault(replica, Compared())
                compared.requests += len(answer.truths)
                compared.bits_differ += bits
                compared.votes_differ += votes

    def _count_agreement(self, height: int, dissent: Sequence[int]) -> None:
        decided = self.chain.at(height)
        if decided is None:
            return
        if decided.decide.block.is_empty:
            self.tally.skipped += 1
        elif dissent:
            self.tally.with_dissent += 1
        else:
            self.tally.unanimous += 1

    def _dissenters(self, height: int, decide: Decide) -> list[int]:
        """The honest replicas whose own last answer to the decided block is not the decided one."""
        last: dict[int, bytes] = {}
        for _, attempt in sorted(self._attempts.get(height, {}).items()):
            for block, answer, replicas in attempt.groups:
                if block == decide.block:
                    last.update(dict.fromkeys(replicas, answer.digest))
        return sorted(replica for replica, digest in last.items() if digest != decide.output)

    def _height_record(self, height: int, verdicts: Sequence[Verdict]) -> tuple[dict[str, Any], list[int]]:
        """What the trace says of a height, and who dissents."""
        decided = self.chain.at(height)
        attempts = [{"view": each.view, "ballot": [_plain(line) for line in each.ballot]} for each in verdicts]
        record: dict[str, Any] = {"height": height, "at_ns": self._now_ns(), "attempts": attempts}
        if decided is None:
            return record, []
        decide = decided.decide
        dissent = self._dissenters(height, decide)
        decision = {"block": decide.block.digest.hex(), "output": decide.output.hex(), "view": decide.view}
        record |= {"requests": list(decide.block.requests), "decided": decision, "dissent": dissent}
        return record, dissent


def _plain(line: Line) -> dict[str, Any]:
    return {"digest": line.digest.hex(), "weight": line.weight, "replicas": list(line.replicas)}
