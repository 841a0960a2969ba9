"""The messages of ICP, and what they carry: blocks of the tree, and the certificates that n - f shares make."""

from __future__ import annotations

from hashlib import sha256
from typing import ClassVar, TypeAlias

import msgspec

from consensus.protocol import Block
from consensus.quorum import QuorumSystem

BlockId: TypeAlias = bytes
"""Names a block, its maker, and through its parent all before it: the digest of the chain up to there."""

GENESIS: BlockId = bytes(32)
"""The parent of the first block."""


class TreeBlock(msgspec.Struct, frozen=True, gc=False):
    """A block that somebody made: whose, of which rank, and on which parent. Its id follows and cannot be claimed."""

    content: Block
    maker: int
    rank: int
    parent: BlockId
    id: BlockId = b""

    def __post_init__(self) -> None:
        made = f"{self.maker},{self.rank}".encode()
        digest = sha256(b"lastbit tree block\0" + self.parent + self.content.digest + made).digest()
        msgspec.structs.force_setattr(self, "id", digest)

    @property
    def height(self) -> int:
        return self.content.height


class Notarized(msgspec.Struct, frozen=True, gc=False):
    """n - f replicas have notarized this block: it is valid, and others of its height may be too."""

    height: int
    block: BlockId
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class Finalized(msgspec.Struct, frozen=True, gc=False):
    """n - f replicas notarized no other block of this height: it and all before it are final."""

    height: int
    block: BlockId
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class CertifiedOutput(msgspec.Struct, frozen=True, gc=False):
    """n - f replicas computed this output for a height."""

    height: int
    output: bytes
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class CatchUpPackage(msgspec.Struct, frozen=True, gc=False):
    """n - f replicas stand behind a height, the chain up to there and its output: all before may be forgotten."""

    height: int
    block: BlockId
    output: bytes
    voters: tuple[int, ...]

    def holds(self, quorum: QuorumSystem) -> bool:
        return quorum.is_quorum(self.voters)


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """A block, and the proof that its parent is notarized: no shares of it were needed to see that.

    `sender` is its maker, whoever hands it on.
    """

    kind: ClassVar[str] = "proposal"
    sender: int
    block: TreeBlock
    parent: Notarized | Finalized | None

    @property
    def height(self) -> int:
        return self.block.content.height

    @property
    def view(self) -> int:
        return self.block.rank


class NotarizationShare(msgspec.Struct, frozen=True, gc=False):
    """A vote: this block is valid, and of the lowest rank that I have seen in this round."""

    kind: ClassVar[str] = "notarization-share"
    sender: int
    height: int
    rank: int
    block: BlockId

    @property
    def view(self) -> int:
        return self.rank


class Notarization(msgspec.Struct, frozen=True, gc=False):
    """Shares combined: its sender's round has ended with this block."""

    kind: ClassVar[str] = "notarization"
    view: ClassVar[int] = 0
    sender: int
    certificate: Notarized

    @property
    def height(self) -> int:
        return self.certificate.height


class FinalizationShare(msgspec.Struct, frozen=True, gc=False):
    """A vote: I have notarized no other block of this height, and never will."""

    kind: ClassVar[str] = "finalization-share"
    view: ClassVar[int] = 0
    sender: int
    height: int
    block: BlockId


class Finalization(msgspec.Struct, frozen=True, gc=False):
    """Shares combined: this block is final."""

    kind: ClassVar[str] = "finalization"
    view: ClassVar[int] = 0
    sender: int
    certificate: Finalized

    @property
    def height(self) -> int:
        return self.certificate.height


class CertificationShare(msgspec.Struct, frozen=True, gc=False):
    """A vote: this is what I computed for a final block."""

    kind: ClassVar[str] = "certification-share"
    view: ClassVar[int] = 0
    sender: int
    height: int
    output: bytes


class CatchUpShare(msgspec.Struct, frozen=True, gc=False):
    """A vote: the chain up to this height is this, and its output is certified."""

    kind: ClassVar[str] = "catch-up-share"
    view: ClassVar[int] = 0
    sender: int
    height: int
    block: BlockId
    output: bytes


class BlockRequest(msgspec.Struct, frozen=True, gc=False):
    """I know that this block is voted for and do not have it, nor perhaps those between it and what I decided."""

    kind: ClassVar[str] = "block-request"
    view: ClassVar[int] = 0
    sender: int
    height: int
    block: BlockId
    decided: int


class Status(msgspec.Struct, frozen=True, gc=False):
    """Where its sender stands: what have I missed? `height` is its round, `package` the height of its last package."""

    kind: ClassVar[str] = "status"
    view: ClassVar[int] = 0
    sender: int
    height: int
    decided: int
    certified: int
    package: int


Signed: TypeAlias = (
    Proposal | NotarizationShare | Notarization | FinalizationShare | Finalization | CertificationShare | CatchUpShare
)
"""What others may hand on: it carries its author's signature, or those of n - f."""


class Sync(msgspec.Struct, frozen=True, gc=False):
    """What the asker lacks. All of it proves itself, whoever sends it.

    Attributes:
        package: the last catch-up package, where the sender has forgotten what the asker needs, or the asker, who has
            certified its height, lacks it.
        chain: final blocks, from the first that the asker lacks (or the one after the package) on.
        finalized: what makes the last of them final.
        outputs: certificates of heights that the asker has not certified.
        messages: what was said in the rounds that are not final.
    """

    kind: ClassVar[str] = "sync"
    height: ClassVar[int] = 0
    view: ClassVar[int] = 0
    sender: int
    package: CatchUpPackage | None
    chain: tuple[Proposal, ...]
    finalized: Finalized | None
    outputs: tuple[CertifiedOutput, ...]
    messages: tuple[Signed, ...]


IcpMessage = (
    Proposal
    | NotarizationShare
    | Notarization
    | FinalizationShare
    | Finalization
    | CertificationShare
    | CatchUpShare
    | BlockRequest
    | Status
    | Sync
)

KINDS: tuple[str, ...] = tuple(message.kind for message in IcpMessage.__args__)
"""All kinds of message, in a fixed order: a network draws its delays by kind."""
