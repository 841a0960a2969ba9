"""A world for protocols alone: no model, no SimPy. Delays, losses, crashes and answers are functions of a test."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

from consensus.behaviours import BEHAVIOURS
from consensus.pbft import Pbft, PbftConfig
from consensus.pbft.messages import Commit, Prepare
from consensus.protocol import (
    Abandon,
    Adopt,
    Block,
    Broadcast,
    CancelTimer,
    Decide,
    Execute,
    Halt,
    Message,
    Send,
    SetTimer,
)
from consensus.quorum import QuorumSystem
from lastbit.chain_watch import ChainWatch

MS = 1_000_000


def output(name: str) -> bytes:
    """A digest by a readable name."""
    return sha256(name.encode()).digest()


def equal_answers(replica: int, block: Block, view: int) -> bytes:
    return output(f"{block.requests}")


@dataclass(frozen=True)
class ClientBlocks:
    """The clients' blocks: one request each, up to the last. Frozen, so that copies of a protocol compare equal."""

    blocks: int

    def __call__(self, height: int) -> Block | None:
        return Block(height, (height - 1,)) if 1 <= height <= self.blocks else None


@dataclass
class Cluster:
    """Replicas on a schedule. Time is in ns; `delay_ns(sender, receiver, message)` is None for a lost copy."""

    config: PbftConfig
    blocks: int = 5
    answer: Callable[[int, Block, int], bytes] = equal_answers
    delay_ns: Callable[[int, int, Message], int | None] = lambda sender, receiver, message: 10 * MS
    compute_ns: Callable[[int], int] = lambda replica: 5 * MS
    behaviours: dict[int, str | Callable[..., Any]] = field(default_factory=dict)  # a name, or what makes one
    crashes: tuple[tuple[int, int, int | None], ...] = ()  # replica, from_ns, until_ns
    protocol: type[Pbft] = Pbft

    def __post_init__(self) -> None:
        self.n = self.config.quorum.replicas
        self.now_ns = 0
        self.decided: list[dict[int, Decide]] = [{} for _ in range(self.n)]
        self.adopted: list[list[Adopt]] = [[] for _ in range(self.n)]
        self.decided_at_ns: list[int] = []
        self.halts: list[Halt] = []
        self.abandons: list[tuple[int, Abandon]] = []
        self.executions: list[tuple[int, Block, int]] = []
        self.sent: list[tuple[int, int, Message]] = []
        self.down = [False] * self.n
        self._deadline: list[int | None] = [None] * self.n
        self._lives = [0] * self.n
        self.watch = ChainWatch(self.honest)  # the observer that runs use, as a second opinion
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.source = ClientBlocks(self.blocks)
        self.inner = [self.protocol(replica, self.config, self.source) for replica in range(self.n)]
        self.nodes: list[Any] = [
            self._behaviour(replica)(protocol, replica, self.n) for replica, protocol in enumerate(self.inner)
        ]
        for replica, from_ns, until_ns in self.crashes:
            self.at(from_ns, lambda r=replica: self._crash(r))
            if until_ns is not None:
                self.at(until_ns, lambda r=replica: self._recover(r))
        self._started = [False] * self.n
        for replica in range(self.n):
            self.at(0, lambda r=replica: self._start(r) if not self.down[r] else None)

    def _behaviour(self, replica: int) -> Callable[..., Any]:
        behaviour = self.behaviours.get(replica, "honest")
        return BEHAVIOURS[behaviour] if isinstance(behaviour, str) else behaviour

    @cached_property
    def honest(self) -> list[int]:
        return [replica for replica in range(self.n) if replica not in self.behaviours]

    def at(self, at_ns: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (at_ns, self._order, action))

    def run(self, until_ns: int = 600_000 * MS, events_max: int = 200_000) -> Cluster:
        """Run until everybody honest has decided everything, nothing is left to do, or the limit."""
        for _ in range(events_max):
            if not self._queue or self._queue[0][0] > until_ns or self.is_done:
                break
            self.now_ns, _, action = heapq.heappop(self._queue)
            action()
        return self

    def settle(self) -> Cluster:
        """Let all that is still under way happen, late messages and timers too."""
        while self._queue:
            self.now_ns, _, action = heapq.heappop(self._queue)
            action()
        return self

    @property
    def is_done(self) -> bool:
        return all(self.inner[replica].decided >= self.blocks for replica in self.awaited)

    @cached_property
    def awaited(self) -> list[int]:
        """The honest replicas that are up in the end."""
        gone = {replica for replica, _, until_ns in self.crashes if until_ns is None}
        return [replica for replica in self.honest if replica not in gone]

    def heights(self) -> list[int]:
        return [protocol.decided for protocol in self.inner]

    def check_no_fork(self) -> None:
        """All honest replicas decided one chain, each height on the word of a quorum, and nobody else saw a fork."""
        assert self.watch.forks == []
        chain: dict[int, tuple[bytes, bytes]] = {}
        for replica in self.honest:
            for height, decide in self.decided[replica].items():
                assert self.config.quorum.is_quorum(decide.voters), "a certificate without a quorum"
                pair = (decide.block.digest, decide.output)
                assert chain.setdefault(height, pair) == pair, f"fork at height {height}"
        states: dict[int, bytes] = {}
        for replica in self.honest:
            protocol = self.inner[replica]
            assert states.setdefault(protocol.decided, protocol.state) == protocol.state, "states differ"

    def check_honest_votes(self) -> None:
        """No honest replica ever voted for two pairs in one view."""
        votes: dict[tuple[str, int, int, int], object] = {}
        for sender, _, message in self.sent:
            if isinstance(message, Prepare | Commit) and sender in self.honest:
                ballot = (message.kind, sender, message.view, message.height)
                assert votes.setdefault(ballot, message.pair) == message.pair, (
                    f"an honest replica voted twice: {ballot}"
                )

    def _start(self, replica: int) -> None:
        if not self._started[replica]:
            self._started[replica] = True
            self._do(replica, self.nodes[replica].start())

    def _crash(self, replica: int) -> None:
        self.down[replica] = True
        self._tell(replica, self.watch.went_down)
        self._lives[replica] += 1

    def _recover(self, replica: int) -> None:
        self.down[replica] = False
        self._tell(replica, self.watch.came_up)
        if self._started[replica]:
            self._do(replica, self.nodes[replica].recover())
        else:
            self._start(replica)

    def _do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(message):
                    for receiver in range(self.n):
                        if receiver != replica:
                            self._send(replica, receiver, message)
                case Send(receiver, message):
                    self._send(replica, receiver, message)
                case SetTimer(duration_ns):
                    deadline = self._deadline[replica] = self.now_ns + duration_ns
                    self.at(deadline, lambda d=deadline: self._fire(replica, d))
                case CancelTimer():
                    self._deadline[replica] = None
                case Execute(block, view):
                    self.executions.append((replica, block, view))
                    done = partial(self._done, replica, block, view, self._lives[replica])
                    self.at(self.now_ns + self.compute_ns(replica), done)
                case Decide(block):
                    assert block.height not in self.decided[replica]
                    self.decided[replica][block.height] = effect
                    self.decided_at_ns.append(self.now_ns)
                    self._tell(replica, self.watch.decided, effect, self.now_ns)
                case Adopt():
                    self.adopted[replica].append(effect)
                    self._tell(replica, self.watch.adopted, effect, self.now_ns)
                case Halt():
                    self.halts.append(effect)
                case Abandon():
                    self.abandons.append((replica, effect))

    def _tell(self, replica: int, watch: Callable[..., None], *what: object) -> None:
        if replica in self.honest:
            watch(replica, *what)

    def _send(self, sender: int, receiver: int, message: Message) -> None:
        self.sent.append((sender, receiver, message))
        delay = self.delay_ns(sender, receiver, message)
        if delay is not None:
            self.at(self.now_ns + delay, lambda: self._arrive(receiver, message))

    def _arrive(self, receiver: int, message: Message) -> None:
        if not self.down[receiver]:
            self._do(receiver, self.nodes[receiver].receive(message))

    def _fire(self, replica: int, deadline: int) -> None:
        if self._deadline[replica] == deadline and not self.down[replica]:
            self._deadline[replica] = None
            self._do(replica, self.nodes[replica].timeout())

    def _done(self, replica: int, block: Block, view: int, life: int) -> None:
        if not self.down[replica] and self._lives[replica] == life:
            self._do(replica, self.nodes[replica].executed(block, view, self.answer(replica, block, view)))


def pbft(n: int = 4, **settings: Any) -> PbftConfig:
    """A configuration with short timeouts."""
    return PbftConfig(
        quorum=settings.pop("quorum", QuorumSystem.equal(n)),
        **{"timeout_ns": 400 * MS, "timeout_max_ns": 3_200 * MS, "checkpoint_interval": 4, "watermark_window": 8}
        | settings,
    )
