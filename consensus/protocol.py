"""What a protocol is: a pure state machine. An input goes in, effects come out.

Pure means no clock, no randomness, no I/O. The state belongs to the protocol object, which can be copied and
compared, so that the same code is driven by the simulator, by a property test or by an exhaustive search.
The world carries messages on authenticated channels: a message's `sender` is who sent it, and the list of
voters in a certificate stands for their signatures, which nobody can forge.

Blocks, messages and effects are frozen structs of msgspec rather than dataclasses: they are made, compared and hashed
at every vote, and there in C.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import ClassVar, NamedTuple, Protocol, TypeAlias

import msgspec


class Block(msgspec.Struct, frozen=True, gc=False):
    """A height and the requests decided at it. The digest follows from both, so it cannot be claimed falsely.

    Example:
        >>> Block(3, (7,)).digest == Block(3, (7,)).digest != Block(4, (7,)).digest
        True
        >>> Block(3, ()).is_empty
        True
    """

    height: int
    requests: tuple[int, ...]
    digest: bytes = b""

    def __post_init__(self) -> None:
        content = ",".join(map(str, (self.height, *self.requests)))
        msgspec.structs.force_setattr(self, "digest", sha256(b"lastbit block\0" + content.encode()).digest())

    @property
    def is_empty(self) -> bool:
        """Does it decide no request? What `skip` puts in the place of a block that could not be agreed on."""
        return not self.requests


class Pair(NamedTuple):
    """What a vote names: a block, and the output that the voter computed for it."""

    block: bytes
    output: bytes


class Message(Protocol):
    """What travels between replicas. Frozen. `height` and `view` are 0 where the message belongs to none."""

    kind: ClassVar[str]

    @property
    def sender(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def view(self) -> int: ...


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Send a message to every other replica."""

    message: Message


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message to one replica."""

    receiver: int
    message: Message


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Wake the protocol after this long; the timer of a protocol is one, and setting it again moves it."""

    duration_ns: int


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    """Forget the timer."""


class Execute(msgspec.Struct, frozen=True, gc=False):
    """Run the model on a block's requests, as attempt number `view`, and come back with the output's digest."""

    block: Block
    view: int


class Decide(msgspec.Struct, frozen=True, gc=False):
    """A height is decided, in order of height. `voters` hold the commit certificate, `state` is the chain's digest.

    Where votes name no output, since replicas order first and compare their outputs later, `output` is empty, and
    `Certify` follows.
    """

    block: Block
    output: bytes
    view: int
    voters: tuple[int, ...]
    state: bytes


class Certify(msgspec.Struct, frozen=True, gc=False):
    """A quorum stands behind one output of a decided height; `voters` hold the certificate. In order of height.

    Never said where votes name the output: then `Decide` says it all.
    """

    height: int
    output: bytes
    voters: tuple[int, ...]


class Resync(msgspec.Struct, frozen=True, gc=False):
    """This replica drops its own state and takes the certified one after `height` over from others, which takes time.

    What it executed above that height, or is executing, is void: it asks for it anew.
    """

    height: int
    output: bytes


class Outvoted(msgspec.Struct, frozen=True, gc=False):
    """A quorum stands behind another output than this replica's: it halts itself for good and does not decide `height`.

    Where outputs are compared later, the output that differs is of an earlier height.
    """

    height: int
    view: int


class Reply(msgspec.Struct, frozen=True, gc=False):
    """Tell the clients this replica's answer to a block that is ordered; they believe so many equal ones."""

    block: Block
    output: bytes


class Adopt(msgspec.Struct, frozen=True, gc=False):
    """The state after a height is taken over from others; what was decided up to there stands behind its digest."""

    height: int
    state: bytes


class Abandon(msgspec.Struct, frozen=True, gc=False):
    """This replica gives an attempt up and asks for the next view."""

    height: int
    view: int
    reason: str


class Halt(msgspec.Struct, frozen=True, gc=False):
    """The protocol stops voting from this height on: the policy is `halt` and an attempt at it has failed."""

    height: int
    view: int


Effect: TypeAlias = (
    Broadcast
    | Send
    | SetTimer
    | CancelTimer
    | Execute
    | Decide
    | Certify
    | Resync
    | Outvoted
    | Reply
    | Adopt
    | Abandon
    | Halt
)
Effects: TypeAlias = tuple[Effect, ...]

BlockSource: TypeAlias = Callable[[int], Block | None]
"""The clients' block for a height, the same for every replica; None past the last one."""


class ConsensusProtocol(Protocol):
    """One replica's side of a protocol. Each method takes one input and returns what follows from it."""

    def start(self) -> Effects:
        """The run begins."""

    def receive(self, message: Message) -> Effects:
        """A message arrives."""

    def timeout(self) -> Effects:
        """The timer has run out."""

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        """What `Execute` asked for is done."""

    def recover(self) -> Effects:
        """The replica is back after a crash that its memory survived; executions under way then are lost."""
