"""Gathers the facts of a stall from all that stands outside of protocols; `causes` says what they amount to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastbit.attempts import Verdict
from lastbit.causes import find_cause
from lastbit.conditions import crashes_of, disturbances_of, partitions_of
from lastbit.executor import Executor
from lastbit.observation import Observation
from lastbit.pace import quorum_delay_ns, quorum_takes
from lastbit.protocols import Setup
from lastbit.protocols.kind import ConsensusReplica
from lastbit.reach import reach_during, with_a_quorum
from lastbit.scenario import Scenario
from lastbit.stall_facts import Facts
from lastbit.stall_watch import StallSeen
from lastbit.timing import Timing


class Diagnosis:
    """Says of a stall where the chain stands, and why.

    Args:
        scenario: what is run.
        timing: its times.
        setup: its protocol, made ready.
        compute_ns: how long each replica computes a block.
        protocols: what each replica's protocol has come to; replaced where one begins anew.
        executors: what each replica computes.
        observation: all that was seen.
    """

    def __init__(
        self,
        scenario: Scenario,
        timing: Timing,
        setup: Setup,
        *,
        compute_ns: Mapping[int, int],
        protocols: Sequence[ConsensusReplica],
        executors: Sequence[Executor],
        observation: Observation,
    ) -> None:
        self._scenario = scenario
        self._timing = timing
        self._setup = setup
        self._compute_ns = compute_ns
        self._protocols = protocols
        self._executors = executors
        self._observation = observation
        self._quorum = scenario.quorum_system()
        self._behaviours = {spec.id: spec.behaviour for spec in scenario.replicas()}
        self._crashes = crashes_of(scenario)
        self._partitions = partitions_of(scenario)
        self._disturbances = disturbances_of(scenario)

    def of(self, from_ns: int, now_ns: int) -> StallSeen:
        """Describe the stall that is there now, and has lasted since `from_ns`."""
        height = self._stalled_height()
        facts = self._facts(height, self._observation.telling_verdict(height), from_ns, now_ns)
        cause = find_cause(facts)
        is_over = cause.code == "split-ballot" and facts.verdict is not None and facts.verdict.agreed
        verdict = facts.split_since if is_over else facts.verdict
        return StallSeen(height=height, from_ns=from_ns, until_ns=None, cause=cause, verdict=verdict)

    def _stalled_height(self) -> int:
        """The next height of the chain; where all are ordered, of whoever is behind, or to be certified."""
        chain, target = self._observation.chain, self._scenario.chain.blocks
        if chain.tip < target:
            return chain.tip + 1
        return chain.frontier + 1 if chain.frontier < target else chain.certified.tip + 1

    def _facts(self, height: int, verdict: Verdict | None, from_ns: int, now_ns: int) -> Facts:
        scenario, kind, timing = self._scenario, self._scenario.chain.kind, self._timing
        silent = tuple(replica for replica, behaviour in self._behaviours.items() if behaviour == "silent")
        down = tuple(sorted({crash.replica for crash in self._crashes if crash.holds_at(now_ns)}))
        halted = tuple(sorted(self._observation.halted_themselves))
        live = tuple(
            replica
            for replica, behaviour in self._behaviours.items()
            if behaviour == "honest" and replica not in down and replica not in halted
        )
        resyncing = tuple(replica for replica in live if self._executors[replica].is_taking_over)
        leaders = sorted({self._leader(replica) for replica in live})
        speaking = [replica for replica in self._behaviours if replica not in silent and replica not in down]
        delay_ns = quorum_delay_ns(self._quorum, speaking, timing.delay_ns, self._disturbances, now_ns)
        compute_ns = quorum_takes(self._quorum, {replica: self._compute_ns[replica] for replica in speaking})
        chain = self._observation.chain
        reach, reach_now, reach_since = (
            reach_during(self._partitions, tuple(self._behaviours), since_ns, now_ns)
            for since_ns in (now_ns - timing.block_ns, now_ns, from_ns)
        )
        there = with_a_quorum(self._quorum, reach, speaking)  # what others answered counts no more
        if verdict is not None and verdict.agreed and there:
            heard = verdict.among(there, self._quorum)
            verdict = heard if heard.is_trial and not heard.agreed else verdict
        return Facts(
            quorum=self._quorum,
            policy=scenario.chain.policy,
            silent=silent,
            down=down,
            halted_themselves=halted,
            resyncing=resyncing,
            catching_up=tuple(replica for replica in self._lagging(now_ns) if replica not in resyncing),
            resync_ns=timing.resync_ns,
            honest_up=live,
            reach=reach,
            reach_changes=reach != reach_now,
            down_since=tuple(sorted({crash.replica for crash in self._crashes if crash.holds_within(from_ns, now_ns)})),
            reach_since=reach_since,
            split_since=self._observation.last_split(height),
            verdict=verdict,
            height=height,
            liar=self._liar(verdict),
            halted=bool(self._observation.halts),
            is_done=chain.tip >= scenario.chain.blocks,
            behind=chain.heights.behind(chain.tip),
            delay_ns=delay_ns,
            compute_ns=compute_ns,
            patience=kind.patience(scenario.chain, timing, delay_ns, compute_ns),
            computing_ns={} if kind.orders_first else self._computing_ns(live),
            block_ns=kind.delays_per_block * delay_ns + scenario.chain.pipeline * compute_ns,
            stall_after_ns=timing.stall_after_ns,
            leaders={leader: self._behaviours[leader] for leader in leaders},
            leader_states_output=kind.leader_states_output,
            uncertified=0 if self._setup.certified_at is None else chain.tip - chain.certified.tip,
            uncertified_max=self._setup.uncertified_max,
            held_back=self._held_back(live),
            leader_is_needed=kind.new_view is not None,
            loss=self._loss(from_ns),
        )

    def _liar(self, verdict: Verdict | None) -> int | None:
        """The leader that proposed several blocks in an attempt; None where none did."""
        if verdict is None or not verdict.is_split_proposal:
            return None
        return self._setup.leader(verdict.block.height, verdict.view)

    def _leader(self, replica: int) -> int:
        """Who leads, as one replica sees it."""
        protocol = self._protocols[replica]
        return self._setup.leader(protocol.decided + 1, protocol.view)

    def _computing_ns(self, live: Sequence[int]) -> dict[int, int]:
        """For how long each who has work yet will have some."""
        left_ns = {replica: self._executors[replica].computes_for_ns for replica in live}
        return {replica: time_ns for replica, time_ns in left_ns.items() if time_ns}

    def _held_back(self, live: Sequence[int]) -> tuple[int, ...]:
        """Who lacks so many certificates itself that it holds ordering back, whatever others have."""
        chain, lag_max = self._observation.chain, self._setup.uncertified_max
        if lag_max is None:
            return ()
        return tuple(replica for replica in live if chain.heights.of(replica) - chain.certified.of(replica) >= lag_max)

    def _lagging(self, now_ns: int) -> tuple[int, ...]:
        """The honest live replicas that have not caught up with the others after a fault of theirs that is over."""
        tip = self._observation.chain.tip
        return tuple(
            replica for replica in self._observation.chain.heights.behind(tip) if self._was_away(replica, now_ns)
        )

    def _was_away(self, replica: int, now_ns: int) -> bool:
        """Has it been down, or may a partition that is over have kept it back?"""
        ends_ns = [crash.until_ns for crash in self._crashes if crash.replica == replica]
        if any(end_ns is not None and end_ns <= now_ns for end_ns in ends_ns):
            return True
        return any(split.until_ns <= now_ns for split in self._partitions)

    def _loss(self, from_ns: int) -> float:
        """The probability that a message is lost, the greatest since then."""
        kept, gst = 1 - self._scenario.network.loss, self._disturbances.before_gst
        if gst is not None and from_ns < gst.gst_ns:
            kept *= 1 - gst.loss
        return 1 - kept
