"""The messages of PBFT with votes on outputs, and the certificates inside them.

Some are generic, since PBFT that orders first says the same of other things: over the state that checkpoints name, and
over the certificates, votes and view changes that they carry.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from consensus.protocol import Block, Pair
from consensus.quorum import QuorumSystem


class Certificate(Protocol):
    """The word of a quorum on a block, in one view."""

    @property
    def view(self) -> int: ...
    @property
    def block(self) -> Block: ...
    @property
    def voters(self) -> tuple[int, ...]: ...
    def holds(self, quorum: QuorumSystem) -> bool: ...


State = TypeVar("State")
PreparedT = TypeVar("PreparedT", bound=Certificate)
DecisionT = TypeVar("DecisionT", bound=Certificate)
ChangeT = TypeVar("ChangeT", bound="BareViewChange[Any, Any]")
VoteT = TypeVar("VoteT")


class PreparedCertificate(msgspec.Struct, frozen=True, gc=False):
    """A quorum prepared this pair in this view. It binds block *and* output: no later view may decide another.

    `block` is the whole block, so that a new leader that never saw it can propose it again.
    """

    view: int
    block: Block
    output: bytes
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class Decision(msgspec.Struct, frozen=True, gc=False):
    """A quorum committed this pair in this view: the height is decided for good."""

    view: int
    block: Block
    output: bytes
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class StableCheckpoint(msgspec.Struct, Generic[State], frozen=True, gc=False):
    """A quorum reached this height with the same state: all before it may be forgotten."""

    height: int
    state: State
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        """The state before the first height needs no votes."""
        return self.height == 0 or quorum.is_quorum(self.voters)


GENESIS: StableCheckpoint[bytes] = StableCheckpoint(0, bytes(32), ())
"""The state before the first height."""


class PrePrepare(msgspec.Struct, frozen=True, gc=False):
    """The leader's proposal: a block, and no output, since nobody has computed one yet."""

    kind: ClassVar[str] = "pre-prepare"
    sender: int
    view: int
    block: Block

    @property
    def height(self) -> int:
        return self.block.height


class Prepare(msgspec.Struct, frozen=True, gc=False):
    """A vote: this block gave me this output."""

    kind: ClassVar[str] = "prepare"
    sender: int
    view: int
    height: int
    pair: Pair


class Commit(msgspec.Struct, frozen=True, gc=False):
    """A vote: a quorum prepared this pair."""

    kind: ClassVar[str] = "commit"
    sender: int
    view: int
    height: int
    pair: Pair


class Checkpoint(msgspec.Struct, Generic[State], frozen=True, gc=False):
    """This replica has got to a height, and its state there is this."""

    kind: ClassVar[str] = "checkpoint"
    view: ClassVar[int] = 0
    sender: int
    height: int
    state: State


class BareViewChange(msgspec.Struct, Generic[State, PreparedT], frozen=True, gc=False):
    """Its sender has left all views below this one, and says all that a new leader must know to be safe.

    Attributes:
        stable: the last stable checkpoint that it knows.
        checkpoints: its own checkpoint votes above that, for whoever missed them.
        decided: the height up to which it has decided everything.
        prepared: a certificate for each height above `stable` at which it has one, the latest.
    """

    kind: ClassVar[str] = "view-change"
    height: ClassVar[int] = 0
    sender: int
    view: int
    stable: StableCheckpoint[State]
    checkpoints: tuple[Checkpoint[State], ...]
    decided: int
    prepared: tuple[PreparedT, ...]

    def holds(self, quorum: QuorumSystem, window: int) -> bool:
        """Do the certificates in it hold, come from earlier views, and lie between its watermarks?"""
        return (
            self.stable.holds(quorum)
            and all(
                certificate.view < self.view
                and self.is_between_watermarks(certificate.block, window)
                and certificate.holds(quorum)
                for certificate in self.prepared
            )
            and all(checkpoint.sender == self.sender for checkpoint in self.checkpoints)
        )

    def is_between_watermarks(self, block: Block, window: int) -> bool:
        """Does its sender take part in this block's height?"""
        return self.stable.height < block.height <= self.stable.height + window


class ViewChange(BareViewChange[bytes, PreparedCertificate], frozen=True, gc=False):
    """With all that a new leader must know to follow the policy.

    Attributes:
        started: the blocks proposed to it that it holds no certificate for.
        abandoned: the heights whose attempt it, or one that it joins, has given up.
    """

    started: tuple[Block, ...]
    abandoned: tuple[int, ...]

    def holds(self, quorum: QuorumSystem, window: int) -> bool:
        """And was all begun between the watermarks?"""
        return all(self.is_between_watermarks(block, window) for block in self.started) and super().holds(
            quorum, window
        )


class NewView(msgspec.Struct, Generic[ChangeT], frozen=True, gc=False):
    """The view begins, on the word of a quorum of view changes; what is proposed in it follows from them."""

    kind: ClassVar[str] = "new-view"
    height: ClassVar[int] = 0
    sender: int
    view: int
    view_changes: tuple[ChangeT, ...]


class SyncRequest(msgspec.Struct, frozen=True, gc=False):
    """What have I missed? (Castro's "status", PhD thesis 2001, section 5.2.)"""

    kind: ClassVar[str] = "sync-request"
    height: ClassVar[int] = 0
    sender: int
    view: int
    decided: int
    stable: int


class Sync(msgspec.Struct, Generic[State, DecisionT, ChangeT, VoteT], frozen=True, gc=False):
    """State transfer: all that the sender holds and the asker lacks. It proves itself, whoever sends it.

    Attributes:
        stable: the last stable checkpoint, if the asker's is older.
        decisions: certificates for the heights after that.
        new_view: how the sender's view began, if the asker is in an earlier one.
        votes: the sender's own messages of this view for the heights not decided yet.
    """

    kind: ClassVar[str] = "sync"
    height: ClassVar[int] = 0
    sender: int
    view: int
    stable: StableCheckpoint[State] | None
    decisions: tuple[DecisionT, ...]
    new_view: NewView[ChangeT] | None
    votes: tuple[VoteT, ...]


class OutputRequest(msgspec.Struct, frozen=True, gc=False):
    """My own output is another than the certified one: send me that."""

    kind: ClassVar[str] = "output-request"
    sender: int
    view: int
    height: int
    output: bytes


class OutputResponse(msgspec.Struct, frozen=True, gc=False):
    """The certified output. What travels is its digest; the tensors behind it follow from that."""

    kind: ClassVar[str] = "output-response"
    sender: int
    view: int
    height: int
    output: bytes


PbftMessage = (
    PrePrepare
    | Prepare
    | Commit
    | Checkpoint[bytes]
    | ViewChange
    | NewView[ViewChange]
    | SyncRequest
    | Sync[bytes, Decision, ViewChange, PrePrepare | Prepare | Commit]
    | OutputRequest
    | OutputResponse
)

KINDS: tuple[str, ...] = tuple(message.kind for message in PbftMessage.__args__)
"""All kinds of message, in a fixed order: a network draws its delays by kind."""
