"""One run: the world, its nodes and those who watch, put together and let go.

Follow one block: the leader's protocol asks to broadcast a proposal; the network delivers it; on a proposal a
protocol asks its node to execute, which really runs the model; the digest comes back after the simulated compute
time; votes for it are counted in ballots; a quorum decides; the observers see the decision and close the height.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial

from consensus.behaviours import BEHAVIOURS
from consensus.protocol import Block, ConsensusProtocol, Effects, Message
from lastbit.carried_state import CarriedState, StateArchive
from lastbit.conditions import crashes_of, disturbances_of, latency_of, partitions_of
from lastbit.diagnosis import Diagnosis
from lastbit.fleet import feedback_of
from lastbit.garbage import collected_rarely
from lastbit.node import Node
from lastbit.observation import Observation
from lastbit.result import Limit
from lastbit.scenario import Scenario
from lastbit.scenario.tables import Chain
from lastbit.stall_watch import StallWatch
from lastbit.timing import Timing, timing_of
from replicas.replica import Replica
from simcore.network import Network
from simcore.streams import Streams
from simcore.trace import TraceWriter
from simcore.world import Ending, World, ctrl_c_ends_the_run

FOREVER_NS = 1 << 61


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a run ended: it reached its target, was interrupted, came to a limit, or gave a stall up."""

    done: bool
    interrupted: bool = False
    limit: Limit | None = None


class Simulation:
    """One run of a scenario.

    Args:
        scenario: what to run.
        replicas: what they compute.
        streams: all random numbers.
        trace: takes the records, and the digest of all events.
        progress: called with the heights reached and the target when the chain has moved.
    """

    def __init__(
        self,
        scenario: Scenario,
        replicas: tuple[Replica, ...],
        streams: Streams,
        trace: TraceWriter,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.replicas = replicas
        self.quorum = scenario.quorum_system()
        self.behaviours = {spec.id: spec.behaviour for spec in scenario.replicas()}
        self.honest = [replica for replica, behaviour in self.behaviours.items() if behaviour == "honest"]
        self.timing = self._timing()
        self.kind = scenario.chain.kind
        self.setup = self.kind.set_up(scenario.chain, self.timing, self.quorum, scenario.seed)
        self.world = World()
        self.trace = trace
        self.source = self._source()
        self.observation = Observation(
            self.quorum,
            self.honest,
            newcomers=[crash.replica for crash in crashes_of(scenario) if crash.memory_is_lost],
            silent=[spec.id for spec in scenario.replicas() if spec.behaviour == "silent"],
            kind=self.kind,
            blocks=scenario.chain.blocks,
            asked=self.source,
            compares_later=self.setup.certified_at is not None,
            now_ns=self.world.clock,
            record=lambda record: trace.write("height", record),
            progressed=self._progressed,
            caught_up=self._caught_up,
        )
        self._receive: list[Callable[[Message], Effects]] = []
        react: list[Callable[[Effects], None]] = []
        self.network: Network[Message, Effects] = Network(
            self.world,
            streams,
            trace.digest,
            self._receive,
            react,
            replicas=len(replicas),
            kinds=len(self.kind.messages),
            latency=latency_of(scenario),
            loss=scenario.network.loss,
            crashes=crashes_of(scenario),
            partitions=partitions_of(scenario),
            disturbances=disturbances_of(scenario),
        )
        self.archive = StateArchive()
        self.protocols = [self.setup.replica(replica.id, self.source) for replica in replicas]
        self.nodes = [self._node(replica, trace) for replica in replicas]
        self._receive.extend(node.protocol.receive for node in self.nodes)
        react.extend(node.do for node in self.nodes)
        diagnosis = self._diagnosis()
        self.stalls = StallWatch(
            self.timing.stall_after_ns,
            self.timing.give_up_after_ns,
            lambda from_ns: diagnosis.of(from_ns, self.world.now_ns),
        )
        self._progress = progress
        self.ended: Ended | None = None
        """How the run ended, from then on: also for those who are told of its last records."""

    # --- the run ------------------------------------------------------------------------------------------

    def run(self, *, events_max: int | None = None) -> Ended:
        """Let it happen, until the first of the ends that DESIGN names.

        Args:
            events_max: end after so many events of the world, as a run that was interrupted there.
        """
        self._schedule_crashes()
        for node in self.nodes:
            if not self.network.is_down(node.id):
                node.start()
        with ctrl_c_ends_the_run(self.world), self.replicas[0].ahead or nullcontext(), collected_rarely():
            self.ended = self._run_until_an_end(events_max)
        self.observation.end()
        self.stalls.end()
        return self.ended

    def _run_until_an_end(self, events_max: int | None) -> Ended:
        limit_ns = self.scenario.chain.until_ns or FOREVER_NS
        while not self.is_done:
            until_ns = min(self.stalls.look_at_ns, limit_ns)
            ending = self.world.run(until_ns=until_ns, events_max=self._events_allowed(events_max))
            if ending is Ending.INTERRUPTED or (ending is Ending.EVENTS_MAX and events_max is not None):
                return Ended(done=self.is_done, interrupted=not self.is_done)
            if self.is_done:
                break
            if self.trace.digest.events >= self.scenario.chain.max_events:
                return Ended(done=False, limit="max_events")
            if self.world.now_ns >= limit_ns:
                return Ended(done=False, limit="until_s")
            if self.stalls.look(self.world.now_ns):
                return Ended(done=False)
        return Ended(done=True)

    def _events_allowed(self, events_max: int | None) -> int:
        """How many events of the world may happen before the limits are looked at again.

        One event of the world delivers up to n - 1 copies, those of one broadcast that arrive together, or twice as
        many where the network duplicates.
        """
        if events_max is not None:
            return events_max - self.world.events
        left = self.scenario.chain.max_events - self.trace.digest.events
        copies = (len(self.replicas) - 1) * (2 if self.scenario.network.duplication else 1)
        return max(left // copies, 1)

    @property
    def is_done(self) -> bool:
        """Has every honest live replica decided the target height, and is all certified that then can be?"""
        chain, target = self.observation.chain, self.scenario.chain.blocks
        if not chain.heights.everybody_reached(target):
            return False
        return self.setup.certified_at is None or chain.certified.tip >= self.setup.certified_at(target)

    def _progressed(self) -> None:
        stood_still = self.stalls.is_open
        self.stalls.progress(self.world.now_ns)
        if self._progress is not None:
            self._progress(self.observation.chain.frontier, self.scenario.chain.blocks)
        if stood_still or self.is_done:
            self.world.stop()  # the next stall is to be looked for sooner than this one would have been given up

    def _caught_up(self) -> None:
        """A stall in which all waited for the last replica ends with it."""
        if self.stalls.is_open and self.is_done:
            self._progressed()

    # --- what it is made of -------------------------------------------------------------------------------

    def _timing(self) -> Timing:
        requests = self.scenario.chain.requests_per_block
        honest = [replica for replica in self.replicas if replica.id in self.honest]
        return timing_of(self.scenario, max((replica.compute_ns(requests) for replica in honest), default=0))

    def _diagnosis(self) -> Diagnosis:
        requests = self.scenario.chain.requests_per_block
        return Diagnosis(
            self.scenario,
            self.timing,
            self.setup,
            compute_ns={replica.id: replica.compute_ns(requests) for replica in self.replicas},
            protocols=self.protocols,
            executors=[node.executor for node in self.nodes],
            observation=self.observation,
        )

    def _source(self) -> Callable[[int], Block | None]:
        chain = self.scenario.chain
        blocks = chain.blocks

        @lru_cache(maxsize=4 * chain.watermark_window_heights)
        def source(height: int) -> Block | None:
            if not 1 <= height <= blocks:
                return None
            return Block(height, block_requests(chain, height))

        return source

    def _node(self, replica: Replica, trace: TraceWriter) -> Node:
        return Node(
            replica,
            self._speaking(replica.id),
            self.source,
            self.world,
            self.network,
            trace.digest,
            self.observation,
            message_kinds=self.kind.messages,
            resync_ns=self.timing.resync_ns,
            carried=self._carried(replica),
        )

    def _speaking(self, replica: int) -> ConsensusProtocol:
        """The protocol of a replica as others hear it."""
        protocol, behaviour = self.protocols[replica], self.behaviours[replica]
        return protocol if behaviour == "honest" else BEHAVIOURS[behaviour](protocol, replica, len(self.replicas))

    def _carried(self, replica: Replica) -> CarriedState | None:
        state = self.scenario.state
        return None if state is None else CarriedState(replica, self.archive, feedback_of(state))

    def _schedule_crashes(self) -> None:
        # In order of time: where one window ends as the next begins, the replica goes down last.
        for crash in sorted(crashes_of(self.scenario), key=lambda crash: crash.from_ns):
            self.world.call_at(crash.from_ns, partial(self._crash, crash.replica, for_good=crash.until_ns is None))
            if crash.until_ns is not None:
                come_back = self._begin_anew if crash.memory_is_lost else self._recover
                self.world.call_at(crash.until_ns, partial(come_back, crash.replica))

    def _crash(self, replica: int, *, for_good: bool) -> None:
        self.nodes[replica].crash()
        self.observation.went_down(replica, for_good=for_good)

    def _recover(self, replica: int) -> None:
        self.observation.came_up(replica)
        self.nodes[replica].recover()

    def _begin_anew(self, replica: int) -> None:
        """A replica comes back without its memory."""
        self.protocols[replica] = self.setup.replica(replica, self.source)
        speaks = self._speaking(replica)
        self._receive[replica] = speaks.receive
        self.observation.came_up(replica)
        self.observation.began_anew(replica)
        self.nodes[replica].begin_anew(speaks, self._carried(self.replicas[replica]))


def block_requests(chain: Chain, height: int) -> tuple[int, ...]:
    """The requests that the chain wants answered at a height: each one of the run is asked for once."""
    first = (height - 1) * chain.requests_per_block
    return tuple(range(first, first + chain.requests_per_block))
