"""The messages of Tendermint, what they carry, and the certificate of a commit."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from typing import ClassVar, TypeAlias

import msgspec

from consensus.protocol import Block
from consensus.quorum import QuorumSystem
from consensus.tendermint.round_state import ValueId

NO_OUTPUT = bytes(32)
"""What the first header says of the output of the height before it."""

GENESIS = bytes(32)
"""The chain before the first height."""


class Value(msgspec.Struct, frozen=True, dict=True):
    """What is agreed on: a block, and in its header an output digest and the chain that it goes on.

    Whose output that is, the configuration says: that of the height before, or that of the block itself. A chain is
    named by the last value on it. So the certificate of one height vouches for all heights before.
    """

    block: Block
    digest: bytes
    parent: ValueId

    @cached_property
    def id(self) -> ValueId:
        """What votes name."""
        return sha256(b"lastbit value\0" + self.block.digest + self.digest + self.parent).digest()


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """A proposer's value for a round. `polka` is who prevoted it in `valid_round`, where that is no -1.

    The paper leaves it to gossip that a polka seen by one is seen by all; here the proposer brings it along.
    """

    kind: ClassVar[str] = "proposal"
    sender: int
    round: int
    value: Value
    valid_round: int
    polka: tuple[int, ...]

    @property
    def height(self) -> int:
        return self.value.block.height

    @property
    def view(self) -> int:
        return self.round


class Prevote(msgspec.Struct, frozen=True, gc=False):
    """A vote: this value is valid and breaks no lock of mine. None is nil."""

    kind: ClassVar[str] = "prevote"
    sender: int
    height: int
    round: int
    value: ValueId | None

    @property
    def view(self) -> int:
        return self.round


class Precommit(msgspec.Struct, frozen=True, gc=False):
    """A vote: there is a polka for this value in this round. None is nil."""

    kind: ClassVar[str] = "precommit"
    sender: int
    height: int
    round: int
    value: ValueId | None

    @property
    def view(self) -> int:
        return self.round


Vote: TypeAlias = Prevote | Precommit

Signed: TypeAlias = Proposal | Vote
"""What carries its author's signature, so that others may hand it on."""


class CommitCertificate(msgspec.Struct, frozen=True, gc=False):
    """Two thirds precommitted this value in this round: the height is decided for good."""

    round: int
    value: Value
    voters: tuple[int, ...]

    @property
    def height(self) -> int:
        return self.value.block.height

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class Status(msgspec.Struct, frozen=True, gc=False):
    """Where its sender stands, from whoever waits in vain: what have I missed?"""

    kind: ClassVar[str] = "status"
    sender: int
    height: int
    round: int

    @property
    def view(self) -> int:
        return self.round


class Sync(msgspec.Struct, frozen=True, gc=False):
    """What the asker lacks: certificates of heights that it has not decided, or what was said in its round and later.

    All of it proves itself, so it can come from anybody.
    """

    kind: ClassVar[str] = "sync"
    height: ClassVar[int] = 0
    view: ClassVar[int] = 0
    sender: int
    certificates: tuple[CommitCertificate, ...]
    messages: tuple[Signed, ...]


TendermintMessage = Proposal | Prevote | Precommit | Status | Sync

KINDS: tuple[str, ...] = tuple(message.kind for message in TendermintMessage.__args__)
"""All kinds of message, in a fixed order: a network draws its delays by kind."""
