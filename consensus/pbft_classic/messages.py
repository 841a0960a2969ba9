"""The messages of PBFT that orders first, as far as they are not those of `consensus.pbft.messages`.

Votes name a block alone. What replicas computed stands in their checkpoint votes, every K heights.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import msgspec

from consensus.pbft.messages import (
    BareViewChange,
    Checkpoint,
    NewView,
    PrePrepare,
    StableCheckpoint,
    Sync,
    SyncRequest,
)
from consensus.protocol import Block
from consensus.quorum import QuorumSystem


class Snapshot(NamedTuple):
    """What a replica has when it has executed everything up to a height; what a checkpoint vote names.

    Attributes:
        chain: digest of the chain of ordered blocks.
        execution: digest of the chain of those blocks and this replica's outputs.
        output: its output at the height itself, so that whoever takes the state over knows it.
    """

    chain: bytes
    execution: bytes
    output: bytes


GENESIS: StableCheckpoint[Snapshot] = StableCheckpoint(0, Snapshot(bytes(32), bytes(32), b""), ())
"""The state before the first height."""


class PreparedCertificate(msgspec.Struct, frozen=True, gc=False):
    """A quorum prepared this block in this view, the leader by proposing it: no later view may decide another."""

    view: int
    block: Block
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class Decision(msgspec.Struct, frozen=True, gc=False):
    """A quorum committed this block in this view: the height is ordered for good."""

    view: int
    block: Block
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class Prepare(msgspec.Struct, frozen=True, gc=False):
    """A vote: the leader proposed this block to me, and nothing else. The leader itself sends none."""

    kind: ClassVar[str] = "prepare"
    sender: int
    view: int
    height: int
    block: bytes


class Commit(msgspec.Struct, frozen=True, gc=False):
    """A vote: a quorum prepared this block."""

    kind: ClassVar[str] = "commit"
    sender: int
    view: int
    height: int
    block: bytes


class ViewChange(BareViewChange[Snapshot, PreparedCertificate], frozen=True, gc=False):
    """As C&L's: a stable checkpoint and prepared certificates are all that a new view follows from."""


PbftClassicMessage = (
    PrePrepare
    | Prepare
    | Commit
    | Checkpoint[Snapshot]
    | ViewChange
    | NewView[ViewChange]
    | SyncRequest
    | Sync[Snapshot, Decision, ViewChange, PrePrepare | Prepare | Commit]
)

KINDS: tuple[str, ...] = tuple(message.kind for message in PbftClassicMessage.__args__)
"""All kinds of message, in a fixed order: a network draws its delays by kind."""
