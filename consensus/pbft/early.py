"""Votes that arrive before the view that they belong to: kept until it begins, and bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Vote(Protocol):
    """What counts in one view only."""

    @property
    def sender(self) -> int: ...
    @property
    def view(self) -> int: ...


VoteT = TypeVar("VoteT", bound=Vote)


@dataclass(slots=True)
class EarlyVotes(Generic[VoteT]):
    """Votes of views not begun yet. Each sender has room of its own, so that none can crowd another out.

    Args:
        votes_max: how many are kept for each sender; the rest is lost, as on a network that drops messages.
    """

    votes_max: int
    _kept: dict[int, list[VoteT]] = field(default_factory=dict)

    def keep(self, vote: VoteT) -> None:
        kept = self._kept.setdefault(vote.sender, [])
        if len(kept) < self.votes_max:
            kept.append(vote)

    def forget_before(self, view: int) -> None:
        """Drop the votes of views below one: they will never begin here."""
        left = {sender: [vote for vote in kept if vote.view >= view] for sender, kept in self._kept.items()}
        self._kept = {sender: kept for sender, kept in left.items() if kept}

    def take(self) -> list[VoteT]:
        """All that is kept, by sender and then in order of arrival; nothing is kept afterwards."""
        kept, self._kept = self._kept, {}
        return [vote for sender in sorted(kept) for vote in kept[sender]]
