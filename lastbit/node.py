"""A node: one replica in the world. It takes what its protocol asks for and makes it happen.

The protocol decides, the replica computes, the world carries messages and time; the node only connects the three,
and tells the observers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from consensus.protocol import (
    Abandon,
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    CancelTimer,
    Certify,
    ConsensusProtocol,
    Decide,
    Effects,
    Execute,
    Halt,
    Message,
    Outvoted,
    Reply,
    Resync,
    Send,
    SetTimer,
)
from lastbit.carried_state import CarriedState
from lastbit.executor import ExecutionObserver, Executor
from replicas.replica import Replica
from simcore.network import Network
from simcore.running_digest import TIMER, RunningDigest, content_of
from simcore.world import Timer, World

_TIMER_CONTENT = content_of(b"timer")
_encode = msgspec.msgpack.Encoder().encode


class Observer(ExecutionObserver, Protocol):
    """What a node tells those who watch from outside."""

    def voted(self, replica: int, message: Message) -> None: ...
    def decided(self, replica: int, decide: Decide) -> None: ...
    def adopted(self, replica: int, adopt: Adopt) -> None: ...
    def certified(self, replica: int, certify: Certify) -> None: ...
    def resynced(self, replica: int, resync: Resync) -> None: ...
    def outvoted(self, replica: int, outvoted: Outvoted) -> None: ...
    def replied(self, replica: int, reply: Reply) -> None: ...
    def abandoned(self, replica: int, abandon: Abandon) -> None: ...
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
        observer: told of what it executes, says and decides.
        message_kinds: all kinds of message that the protocol has, in a fixed order.
        resync_ns: how long it takes to take over the state of others.
        carried: the state that carries over; None where each block is answered by itself.
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
        message_kinds: Sequence[str],
        resync_ns: int,
        carried: CarriedState | None = None,
    ) -> None:
        self.id = replica.id
        self.replica = replica
        self.protocol = protocol
        self._world = world
        self._network = network
        self._history = history
        self._observer = observer
        self._kind_numbers = {kind: number for number, kind in enumerate(message_kinds)}
        self._resync_ns = resync_ns
        self._timer: Timer | None = None
        self._timer_at_ns = 0
        self._deadline_ns: int | None = None
        self.executor = Executor(replica, source, world, history, observer, self._executed, carried)
        self._has_started = False
        self._carry_out: dict[type, Callable[[Any], None]] = {
            Broadcast: self._broadcast,
            Send: self._send,
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            Execute: self.executor.execute,
            Decide: self._decide,
            Certify: partial(observer.certified, self.id),
            Resync: self._resync,
            Outvoted: partial(observer.outvoted, self.id),
            Reply: partial(observer.replied, self.id),
            Adopt: self._adopt,
            Abandon: partial(observer.abandoned, self.id),
            Halt: partial(observer.halted, self.id),
        }

    def start(self) -> None:
        """The run begins, or this replica's part in it."""
        self._has_started = True
        self.do(self.protocol.start())

    def crash(self) -> None:
        """Fall silent: what is being computed is lost, what is remembered is kept."""
        self._cancel_timer(None)
        self.executor.cancel()

    def recover(self) -> None:
        """Come back."""
        self.executor.restart()
        if self._has_started:
            self.do(self.protocol.recover())
        else:
            self.start()

    def begin_anew(self, protocol: ConsensusProtocol, carried: CarriedState | None) -> None:
        """Come back with nothing remembered: a newcomer that asks the others what it missed."""
        self.protocol = protocol
        self.executor.forget(carried)
        self.executor.restart()
        self.start()
        self.executor.cancel()  # what it began to execute as it started it asks for again
        self.do(protocol.recover())

    def do(self, effects: Effects) -> None:
        """Make happen what the protocol asked for."""
        for effect in effects:
            self._carry_out[effect.__class__](effect)

    def _broadcast(self, effect: Broadcast) -> None:
        message = effect.message
        self._observer.voted(self.id, message)
        round_key = (message.height, message.view)
        kind = self._kind_numbers[message.kind]
        self._network.broadcast(self.id, message, content_of(_encode(message)), round_key, kind)

    def _send(self, effect: Send) -> None:
        message = effect.message
        self._observer.voted(self.id, message)
        round_key = (message.height, message.view)
        kind = self._kind_numbers[message.kind]
        self._network.send(self.id, effect.receiver, message, content_of(_encode(message)), round_key, kind)

    def _decide(self, effect: Decide) -> None:
        self.executor.decide(effect)
        self._observer.decided(self.id, effect)

    def _adopt(self, effect: Adopt) -> None:
        self.executor.adopt(effect.height)
        self._observer.adopted(self.id, effect)

    def _resync(self, effect: Resync) -> None:
        self.executor.take_over(effect.height, effect.output, self._resync_ns)
        self._observer.resynced(self.id, effect)

    def _executed(self, block: Block, view: int, output: bytes) -> None:
        self.do(self.protocol.executed(block, view, output))

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
