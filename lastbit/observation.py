"""All that is seen of a run from outside: attempts judged, heights closed and recorded, and counts for the result.

An observer knows who is honest, sends nothing, and is asked nothing by the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from consensus.protocol import (
    Abandon,
    Adopt,
    Block,
    BlockSource,
    Certify,
    Decide,
    Halt,
    Message,
    Outvoted,
    Reply,
    Resync,
)
from consensus.quorum import QuorumSystem
from lastbit.attempts import Attempt, Verdict, verdict_of_history
from lastbit.chain_watch import ChainWatch, Decided
from lastbit.checking import Checkers
from lastbit.frontier import Frontier
from lastbit.height_record import attempt_records, decision_record, dissenters
from lastbit.protocols import ProtocolKind
from lastbit.replies import Replies
from lastbit.tally import Tally
from replicas.replica import BlockAnswer


class Observation:
    """Watches the nodes of one run.

    Args:
        quorum: who weighs what.
        honest: the replicas that follow the protocol.
        newcomers: those that will lose their memory.
        silent: those that never say anything.
        kind: the protocol.
        asked: the clients' block for a height; None past the last one.
        blocks: how many heights there are. Some protocols end a chain with empty blocks, which are none of them.
        compares_later: outputs are compared after a height is decided.
        now_ns: tells the simulated time.
        record: takes one record for each height that is closed.
        progressed: called when the chain has moved.
        caught_up: called when it has not, but everybody has decided all heights.
    """

    def __init__(
        self,
        quorum: QuorumSystem,
        honest: Iterable[int],
        *,
        newcomers: Iterable[int] = (),
        silent: Iterable[int] = (),
        kind: ProtocolKind,
        blocks: int,
        asked: BlockSource,
        compares_later: bool,
        now_ns: Callable[[], int],
        record: Callable[[dict[str, Any]], None],
        progressed: Callable[[], None],
        caught_up: Callable[[], None],
    ) -> None:
        self.quorum = quorum
        self.honest = frozenset(honest)
        self.chain = ChainWatch(self.honest, self.honest.intersection(newcomers))
        self.checkers = Checkers(quorum, self.honest, rules=kind.vote_rules, asked=asked, now_ns=now_ns)
        self.tally = Tally()
        self.halts: list[Halt] = []
        self.halted_themselves: dict[int, Outvoted] = {}
        self.replies = Replies(quorum)
        self._mute = set(silent)  # who will never answer anything more
        self._kind = kind
        self._blocks = blocks
        self._compares_later = compares_later
        self._executions = Frontier(self.honest)
        self._base = min(self.honest, default=0)
        self._now_ns = now_ns
        self._record = record
        self._progressed = progressed
        self._caught_up = caught_up
        self._closed = 0
        self._last_view = (0, 0)
        self._attempts: dict[int, dict[int, Attempt]] = {}
        self._histories: dict[int, dict[int, bytes]] = {}  # by height and honest replica

    # --- what nodes tell ----------------------------------------------------------------------------------

    def executed(self, replica: int, block: Block, view: int, answer: BlockAnswer, done_ns: int) -> None:
        if replica not in self.honest or not self._closed < block.height <= self._blocks:
            return
        if self._attempt(block.height, view).add(replica, block, answer, done_ns):
            self.checkers.executed(block, answer.named)
        if True in answer.marked:
            self.tally.injected += sum(answer.marked)
            self.tally.injected_changed += answer.changed
        if self._compares_later and self._executions.reach(replica, block.height):
            self._look(has_moved=False)  # the height may have waited for this replica alone

    def voted(self, replica: int, message: Message) -> None:
        self.checkers.sent(replica, message)
        kind = self._kind
        if message.__class__ is kind.new_view:
            self._view(0, message.view)
        elif replica not in self.honest:
            vote = kind.output_vote(message)
            if vote is not None and vote.height > self._closed:
                self._attempt(vote.height, vote.view).byzantine.setdefault(vote.pair, set()).add(replica)
        elif kind.history_vote is not None:
            history = kind.history_vote(message)
            if history is not None and history.height > self._closed:
                self._histories.setdefault(history.height, {})[replica] = history.digest

    def abandoned(self, replica: int, abandon: Abandon) -> None:
        """Where rounds belong to a height, one that is left is followed by the next."""
        if self._kind.new_view is None and replica in self.honest:
            self._view(abandon.height, abandon.view + 1)

    def _view(self, height: int, view: int) -> None:
        if (height, view) > self._last_view:
            self._last_view = height, view
            self.tally.views += 1

    def decided(self, replica: int, decide: Decide) -> None:
        if replica in self.honest and decide.block.height <= self._blocks:
            heights = self.chain.heights
            before = heights.tip
            self.checkers.decided(replica, decide)
            if self.chain.decided(replica, decide, self._now_ns()) or heights.all >= self._blocks:
                self._look(has_moved=heights.tip > before)

    def adopted(self, replica: int, adopt: Adopt) -> None:
        if replica in self.honest and adopt.height > self._blocks:
            self.chain.heights.reach(replica, self._blocks)
        elif replica in self.honest:
            self.checkers.adopted(replica, adopt)
            self.chain.adopted(replica, adopt, self._now_ns())
            self._look(has_moved=False)

    def certified(self, replica: int, certify: Certify) -> None:
        if replica in self.honest and certify.height <= self._blocks:
            before = self.chain.certified.tip
            self.checkers.certified(replica, certify)
            if self.chain.certify(replica, certify, self._now_ns()) or self.chain.heights.all >= self._blocks:
                self._look(has_moved=self.chain.certified.tip > before)

    def resynced(self, replica: int, resync: Resync) -> None:
        """A replica takes the state of others over: what it did not execute up to there it never will."""
        if replica in self.honest:
            self.checkers.resynced(replica, resync)
            self.chain.resynced(replica, resync, self._now_ns())
            self.tally.resyncs += 1
            self._executions.reach(replica, resync.height)
            self._look(has_moved=False)

    def replied(self, replica: int, reply: Reply) -> None:
        """Clients hear a replica's answer, be it honest or not."""
        if reply.block.height > self._closed:
            self.replies.add(replica, reply.block.height, reply.output, self._now_ns())

    def outvoted(self, replica: int, outvoted: Outvoted) -> None:
        if replica in self.honest:
            self.halted_themselves[replica] = outvoted
            self._mute.add(replica)
            self.chain.halted_itself(replica)
            self._executions.leave(replica)
            self._look(has_moved=False)

    def halted(self, replica: int, halt: Halt) -> None:
        if replica in self.honest:
            self.halts.append(halt)

    def went_down(self, replica: int, *, for_good: bool = False) -> None:
        if for_good:
            self._mute.add(replica)
        if replica in self.honest:
            for attempts in self._attempts.values():
                for attempt in attempts.values():
                    attempt.lose(replica, self._now_ns())
            self.chain.went_down(replica, for_good=for_good)
            self._executions.went_down(replica)
            self._look(has_moved=False)

    def came_up(self, replica: int) -> None:
        if replica in self.honest:
            self.chain.came_up(replica)
            self._executions.came_up(replica)
            if self._is_over(self._closed + 1):  # it had come far before it went down, and nobody else is there
                self._look(has_moved=False)

    def began_anew(self, replica: int) -> None:
        """A replica has lost its memory: it follows the protocol, and may contradict what it said before."""
        if replica in self.honest:
            self.checkers.forgot(replica)
            for attempts in self._attempts.values():
                for attempt in attempts.values():
                    attempt.forget(replica)
            self.chain.began_anew(replica)

    # --- what can be asked --------------------------------------------------------------------------------

    def last_verdict(self, height: int) -> Verdict | None:
        """On the latest attempt at a height that is not closed, as it stands; None where no honest replica executed."""
        for _, attempt in sorted(self._attempts.get(height, {}).items(), reverse=True):
            verdict = attempt.by(self._now_ns()).judge(self.quorum)
            if verdict is not None:
                return verdict
        return None

    def telling_verdict(self, height: int) -> Verdict | None:
        """On the attempt that tells why a height does not come: where outputs are compared later, at the first height
        above the certified ones whose outputs are seen to split, or else at the first that enough have executed."""
        if not self._compares_later:
            return self.last_trial(height) or self.last_verdict(height)
        uncertified = range(self.chain.certified.tip + 1, self.chain.tip + 1)
        trials = [trial for each in uncertified if (trial := self.last_trial(each)) is not None]
        split = next((trial for trial in trials if not trial.agreed), None)
        return split or self._split_history() or next(iter(trials), None) or self.last_verdict(height)

    def last_trial(self, height: int) -> Verdict | None:
        """On the latest attempt at a height that enough executed to be told whether they agree; None: there is none."""
        return next(self._trials(height), None)

    def last_split(self, height: int) -> Verdict | None:
        """On the latest of these whose answers split; None: there is none."""
        return next((trial for trial in self._trials(height) if not trial.agreed), None)

    def _trials(self, height: int) -> Iterator[Verdict]:
        for _, attempt in sorted(self._attempts.get(height, {}).items(), reverse=True):
            verdict = attempt.by(self._now_ns()).judge(self.quorum)
            if verdict is not None and verdict.is_trial:
                yield verdict

    def _split_history(self) -> Verdict | None:
        """On the first checkpoint above the certified heights whose votes find no quorum, though enough have voted:
        each block may have had a quorum, and yet no two replicas the same past."""
        for height, votes in sorted(self._histories.items()):
            decided = self.chain.at(height)
            if decided is None or height <= self.chain.certified.tip or not self.quorum.is_quorum(votes):
                continue
            verdict = verdict_of_history(decided.decide.block, votes, self.quorum, self._now_ns())
            if not verdict.agreed:
                return verdict
        return None

    def attempt(self, height: int, view: int) -> Attempt | None:
        """An attempt at a height that is not closed."""
        return self._attempts.get(height, {}).get(view)

    def end(self) -> None:
        """The run is over: judge what was begun and not closed, where there is enough to judge it by."""
        decided_only = range(self._closed + 1, self.chain.tip + 1) if self._compares_later else ()
        for height in sorted({*self._attempts, *decided_only}):
            attempts = self._attempts.setdefault(height, {})
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

    def _look(self, *, has_moved: bool) -> None:
        """Close the heights that are over by now, and tell who waits for it that the chain has moved."""
        is_over = self._is_over(self._closed + 1)
        if is_over:
            self._close_heights()
        if has_moved or is_over:
            self._progressed()
        elif self.chain.frontier >= self._blocks:
            self._caught_up()

    def _close_heights(self) -> None:
        while self._is_over(self._closed + 1):
            height = self._closed + 1
            verdicts = self._verdicts(height)
            self._count(height, verdicts)
            record, dissent = self._height_record(height, verdicts)
            if (decided := self.chain.at(height)) is not None:
                self.tally.add_decision(is_empty=decided.decide.block.is_empty, has_dissent=bool(dissent))
            self._record(record)
            self._attempts.pop(height, None)
            self.replies.forget(height)
            self._histories.pop(height, None)
            self._closed = height
        self.chain.forget(self._closed)  # only now: a replica that adopts a state may close many heights at once
        self.checkers.forget(self.chain.forgotten)

    def _is_over(self, height: int) -> bool:
        """Is nothing more to come at a height? All have decided it, and where outputs are compared later, all have
        executed it and some certificate says which output holds."""
        if height > self.chain.frontier:
            return False
        return not self._compares_later or (height <= self._executions.all and height <= self.chain.certified.tip)

    @property
    def closed(self) -> int:
        """The height up to which all is settled and recorded."""
        return self._closed

    def _verdicts(self, height: int) -> list[Verdict]:
        """On the attempts that honest replicas executed, in order."""
        judged = [attempt.judge(self.quorum) for _, attempt in sorted(self._attempts.get(height, {}).items())]
        return [verdict for verdict in judged if verdict is not None]

    def _is_settled(self, height: int, verdict: Verdict) -> bool:
        """Could those who have not answered yet, and may, still turn an attempt that was cut?"""
        heard = {replica for line in verdict.ballot for replica in line.replicas}
        missing = self.quorum.total - self.quorum.weight_of(heard | self._mute)
        later = max(self._attempts[height]) > verdict.view
        return verdict.agreed or later or verdict.ballot[0].weight + missing < self.quorum.threshold or bool(self.halts)

    def _count(self, height: int, verdicts: Sequence[Verdict]) -> None:
        self.tally.add_arithmetic(self._attempts.get(height, {}).values(), self._base)
        self.tally.add_attempts(height, verdicts)

    def _height_record(self, height: int, verdicts: Sequence[Verdict]) -> tuple[dict[str, Any], list[int]]:
        """What the trace says of a height, and who dissents."""
        attempts = self._attempts.get(height, {})
        record = {
            "height": height,
            "at_ns": self._now_ns(),
            "attempts": attempt_records(attempts, verdicts, self.quorum),
        }
        decided = self.chain.at(height)
        if decided is None:
            return record, []
        output = self._output(height, decided)
        dissent = [] if output is None else dissenters(attempts, decided.decide.block, output)
        record |= decision_record(decided.decide, output) | {"dissent": dissent}
        if self._compares_later:
            certified = self.chain.certified_at(height)
            record["ordered_at_ns"] = decided.at_ns
            record["certified_at_ns"] = None if certified is None else certified.at_ns
        return record, dissent

    def _output(self, height: int, decided: Decided) -> bytes | None:
        """The output that holds at a decided height; None where none is certified."""
        if not self._compares_later:
            return decided.decide.output
        certified = self.chain.certified_at(height)
        return None if certified is None else certified.output
