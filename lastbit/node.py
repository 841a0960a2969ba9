"""A node: one replica in the world. It takes what its protocol asks for and makes it happen.

The protocol decides, the replica computes, the world carries messages and time; the node only connects the three,
and tells the observers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from consensus.pbft.messages import KINDS, NewView
from consensus.protocol import (
    Abandon,
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    ConsensusProtocol,
    Decide,
    Effects,
    Execute,
    Halt,
    Message,
    Send,
    SetTimer,
)
from replicas.replica import BlockAnswer, Replica
from simcore.network import Network
from simcore.running_digest import EXECUTION, TIMER, RunningDigest, content_of
from simcore.world import Timer, World

_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_TIMER_CONTENT = content_of(b"timer")
_encode = msgspec.msgpack.Encoder().encode


@lru_cache(maxsize=64)  # replicas that agree end their executions alike
def _execution_content(block: bytes, output: bytes) -> bytes:
    return content_of(block + output)


class Observer(Protocol):
    """What a node tells those who watch from outside."""

    def executed(self, replica: int, block: Block, view: int, answer: BlockAnswer, done_ns: int) -> None: ...
    def voted(self, replica: int, message: Message) -> None: ...
    def decided(self, replica: int, decide: Decide) -> None: ...
    def adopted(self, replica: int, adopt: Adopt) -> None: ...
    def halted(self, replica: int, halt: Halt) -> None: ...


class Node:
    """One replica in the world.

    Args:
        replica: what it computes.
        protocol: how it agrees, its behaviour included.
        source: the blocks to come.
        world: the clock.
        network: carries its messages.
        history: the running digest of all events.
        observer: told of what it executes and decides.
        is_watched: what it says is told, too: it is faulty, and its votes are not what it executes.
    """

    def __init__(
        self,
        replica: Replica,
        protocol: ConsensusProtocol,
        source: BlockSource,
        world: World,
        network: Network[Message, Effects],
        history: RunningDigest,
        observer: Observer,
        *,
        is_watched: bool = False,
    ) -> None:
        self.id = replica.id
        self.replica = replica
        self.protocol = protocol
        self._source = source
        self._world = world
        self._network = network
        self._history = history
        self._observer = observer
        self._is_watched = is_watched
        self._timer: Timer | None = None
        self._timer_at_ns = 0
        self._deadline_ns: int | None = None
        self._executions: deque[_Execution] = deque()
        self._executed_view = 0
        self._busy_until_ns = 0
        self._has_started = False
        self._carry_out: dict[type, Callable[[Any], None]] = {
            Broadcast: self._broadcast,
            Send: self._send,
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            Execute: self._execute,
            Decide: lambda effect: observer.decided(self.id, effect),
            Adopt: lambda effect: observer.adopted(self.id, effect),
            Abandon: self._note_nothing,
            Halt: lambda effect: observer.halted(self.id, effect),
        }

    def start(self) -> None:
        """The run begins, or this replica's part in it."""
        self._has_started = True
        self.do(self.protocol.start())

    def crash(self) -> None:
        """Fall silent: what is being computed is lost, what is remembered is kept."""
        self._cancel_timer(None)
        for execution in self._executions:
            execution.timer.cancel()
        self._executions.clear()

    def recover(self) -> None:
        """Come back."""
        self._busy_until_ns = self._world.now_ns
        if self._has_started:
            self.do(self.protocol.recover())
        else:
            self.start()

    def do(self, effects: Effects) -> None:
        """Make happen what the protocol asked for."""
        for effect in effects:
            self._carry_out[effect.__class__](effect)

    def _broadcast(self, effect: Broadcast) -> None:
        message = effect.message
        if self._is_watched or message.__class__ is NewView:
            self._observer.voted(self.id, message)
        round_key = (message.height, message.view)
        kind = _KIND_NUMBERS[message.kind]
        self._network.broadcast(self.id, message, content_of(_encode(message)), round_key, kind)

    def _send(self, effect: Send) -> None:
        message = effect.message
        if self._is_watched:
            self._observer.voted(self.id, message)
        round_key = (message.height, message.view)
        kind = _KIND_NUMBERS[message.kind]
        self._network.send(self.id, effect.receiver, message, content_of(_encode(message)), round_key, kind)

    def _note_nothing(self, effect: Abandon) -> None:
        """Why a replica gives an attempt up shows in the view change that it sends next."""

    def _set_timer(self, effect: SetTimer) -> None:
        """Move the deadline. It mostly moves further away, so the timer under way stays and looks again when it is due:
        a timer for each height of each replica would fill the world's queue."""
        self._deadline_ns = deadline_ns = self._world.now_ns + effect.duration_ns
        if self._timer is None or self._timer_at_ns > deadline_ns:
            self._look_at(deadline_ns)

    def _cancel_timer(self, _: CancelTimer | None) -> None:
        self._deadline_ns = None

    def _look_at(self, time_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_ns = time_ns
        self._timer = self._world.call_at(time_ns, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline_ns is None:
            return
        if self._deadline_ns > self._world.now_ns:
            self._look_at(self._deadline_ns)
            return
        self._deadline_ns = None
        self._history.record(self._world.now_ns, replica=self.id, kind=TIMER, content=_TIMER_CONTENT)
        self.do(self.protocol.timeout())

    def _execute(self, effect: Execute) -> None:
        """Really run the model now; the answer is there after the simulated time that it takes."""
        block, view = effect.block, effect.view
        self._begin_next(block, view)
        answer = self.replica.answer_block(block.requests, view)
        begins_ns = max(self._world.now_ns, self._busy_until_ns)
        self._busy_until_ns = done_ns = begins_ns + self.replica.compute_ns(len(block.requests))
        self._observer.executed(self.id, block, view, answer, done_ns)
        timer = self._world.call_at(done_ns, self._finish_execution)
        self._executions.append(_Execution(timer, block, view, answer.digest))

    def _begin_next(self, block: Block, view: int) -> None:
        """Have the replica compute ahead what comes after this block: a guess, and no part of the simulated world.

        Before this block is answered: the threads come to work while its answer is waited for.
        """
        if not block.requests:
            return  # it stands for one that failed, behind which the next was begun
        is_view_lasting, self._executed_view = view == self._executed_view, view
        if self.replica.answers_by_attempt and not is_view_lasting:
            return  # blocks that fail take a view each: computed for this one, the next would be computed in vain
        following = self._source(block.height + 1)
        if following is not None:
            self.replica.begin_block(following.requests, view)

    def _finish_execution(self) -> None:
        """A replica computes one block after another, so it is the first of those under way that is done."""
        _, block, view, output = self._executions.popleft()
        content = _execution_content(block.digest, output)
        self._history.record(self._world.now_ns, replica=self.id, kind=EXECUTION, content=content)
        self.do(self.protocol.executed(block, view, output))


class _Execution(NamedTuple):
    timer: Timer
    block: Block
    view: int
    output: bytes
