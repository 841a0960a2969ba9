"""What a new view begins with: a pure function of a quorum of view changes, so that every replica can check it.

Castro and Liskov 1999, section 4.4, with two differences that voting on outputs asks for: a prepared
certificate binds the output with the block, and a height without one is not filled with a null request but
treated as the policy says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from consensus.pbft.messages import BareViewChange, PreparedT, StableCheckpoint, State, ViewChange
from consensus.protocol import Block, BlockSource
from consensus.quorum import QuorumSystem

AnyViewChange: TypeAlias = BareViewChange[Any, Any]
Policy: TypeAlias = Literal["halt", "retry", "skip"]


def is_asked_for(block: Block, source: BlockSource) -> bool:
    """Did clients ask for all of this, once? A leader may leave requests out, but not make them up."""
    asked = source(block.height)
    if asked is None or block == asked:
        return asked is not None
    named = set(block.requests)
    return len(named) == len(block.requests) and named <= set(asked.requests)


def latest_certificates(view_changes: Iterable[BareViewChange[Any, PreparedT]]) -> dict[int, PreparedT]:
    """The prepared certificate of the latest view, for each height that has one."""
    latest: dict[int, PreparedT] = {}
    for change in view_changes:
        for certificate in change.prepared:
            known = latest.get(certificate.block.height)
            if known is None or certificate.view > known.view:
                latest[certificate.block.height] = certificate
    return latest


def latest_stable(view_changes: Iterable[BareViewChange[State, Any]]) -> StableCheckpoint[State]:
    """The highest stable checkpoint that one of the senders knows."""
    return max((change.stable for change in view_changes), key=lambda checkpoint: checkpoint.height)


class Reproposal(msgspec.Struct, frozen=True):
    """A block that the new view votes on. Bound to an output, it is voted for as it stands and not executed anew."""

    block: Block
    output: bytes | None


class Plan(msgspec.Struct, frozen=True):
    """The beginning of a view.

    Attributes:
        stable: the latest stable checkpoint that the quorum knows.
        reproposals: what is voted on again, by height.
        halt_at: the lowest height given up under the policy `halt`; no replica votes from there on.
    """

    stable: StableCheckpoint[bytes]
    reproposals: tuple[Reproposal, ...]
    halt_at: int | None


def begins_view(
    view: int, view_changes: tuple[BareViewChange[Any, Any], ...], quorum: QuorumSystem, window: int
) -> bool:
    """Do these begin the view: a quorum of senders, each once, all valid and for this view?"""
    senders = {change.sender for change in view_changes}
    return (
        len(senders) == len(view_changes)
        and quorum.is_quorum(senders)
        and all(change.view == view and change.holds(quorum, window) for change in view_changes)
    )


def plan_new_view(
    view_changes: tuple[ViewChange, ...], quorum: QuorumSystem, policy: Policy, source: BlockSource
) -> Plan:
    """What follows from a quorum of view changes.

    A height that was decided is certified in some view change, since two quorums share an honest replica. So a
    height without a certificate is free, and the policy may act on it; it does so only where somebody gave the
    attempt up, since other heights in flight have merely been interrupted and are begun again.
    """
    stable = latest_stable(view_changes)
    certified = latest_certificates(view_changes)
    abandoned = {height for change in view_changes for height in change.abandoned}
    started = _started_blocks(view_changes, quorum, source)
    reproposals: list[Reproposal] = []
    for height in sorted(started.keys() | certified.keys()):
        if height <= stable.height:
            continue
        if height in certified:
            reproposals.append(Reproposal(certified[height].block, certified[height].output))
        elif height not in abandoned or policy == "retry":
            reproposals.append(Reproposal(started[height], None))
        elif policy == "skip":
            reproposals.append(Reproposal(Block(height, ()), None))
        else:
            return Plan(stable, tuple(reproposals), height)
    return Plan(stable, tuple(reproposals), None)


def _started_blocks(view_changes: Iterable[ViewChange], quorum: QuorumSystem, source: BlockSource) -> dict[int, Block]:
    """The started block of each height: the one with most weight behind it, the smallest digest on ties.

    One of those who name it must surely be honest: a faulty replica could else begin any height with a block of
    its own choice, without ever leading. What fewer know has no vote that matters, and the leader proposes anew.
    """
    known_by: dict[int, dict[Block, set[int]]] = {}
    for change in view_changes:
        for block in change.started:
            if is_asked_for(block, source):
                known_by.setdefault(block.height, {}).setdefault(block, set()).add(change.sender)
    heaviest = (
        min(known.items(), key=lambda item: (-quorum.weight_of(item[1]), item[0].digest)) for known in known_by.values()
    )
    return {block.height: block for block, knowing in heaviest if quorum.has_honest(knowing)}
