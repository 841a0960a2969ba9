"""Who asks for which view: the latest view change of each replica, for views that have not begun (C&L 4.4, 4.5.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic

from consensus.pbft.messages import ChangeT
from consensus.quorum import QuorumSystem


@dataclass(slots=True)
class ViewChangeLog(Generic[ChangeT]):
    """The latest view change of each replica, one for each: a flood of far views takes no more room."""

    quorum: QuorumSystem
    _latest: dict[int, ChangeT] = field(default_factory=dict)

    def add(self, change: ChangeT) -> bool:
        """Note a view change. False if its sender has asked for this view or a later one before."""
        known = self._latest.get(change.sender)
        if known is not None and known.view >= change.view:
            return False
        self._latest[change.sender] = change
        return True

    def by(self, sender: int) -> ChangeT:
        """The latest view change of a replica that has sent one."""
        return self._latest[sender]

    def beyond(self, view: int) -> tuple[ChangeT, ...]:
        """The view changes to later views than this one."""
        return tuple(change for change in self._latest.values() if change.view > view)

    def surely_left_for(self, view: int) -> int | None:
        """The furthest view past this one that an honest replica has surely reached.

        Castro and Liskov follow to the smallest view of any f + 1 replicas; this is the same without the steps
        between, where one replica's weight is more than one.
        """
        ahead = self.beyond(view)
        reached = (
            each.view
            for each in ahead
            if self.quorum.has_honest(change.sender for change in ahead if change.view >= each.view)
        )
        return max(reached, default=None)

    def quorum_for(self, view: int) -> tuple[ChangeT, ...] | None:
        """The view changes to exactly this view, by sender, if they are a quorum's."""
        changes = tuple(change for _, change in sorted(self._latest.items()) if change.view == view)
        return changes if self.quorum.is_quorum(change.sender for change in changes) else None

    def quorum_reached(self, view: int) -> bool:
        """Does a quorum ask for this view or a later one?"""
        return self.quorum.is_quorum(change.sender for change in self._latest.values() if change.view >= view)

    def forget(self, view: int) -> None:
        """Drop all up to a view: it has begun."""
        self._latest = {sender: change for sender, change in self._latest.items() if change.view > view}
