"""What arrives before its height or round begins: kept until then, and bounded.

Each sender has room of its own, so that none can crowd another out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.quorum import QuorumSystem
from consensus.tendermint.messages import Signed, Vote


@dataclass(slots=True)
class EarlyMessages:
    """Messages of heights not begun yet.

    Args:
        messages_max: how many are kept of each sender; the rest is lost, as on a network that drops messages.
    """

    messages_max: int
    _kept: dict[int, list[Signed]] = field(default_factory=dict)

    def keep(self, message: Signed) -> None:
        kept = self._kept.setdefault(message.sender, [])
        if len(kept) < self.messages_max:
            kept.append(message)

    def take(self, height: int) -> list[Signed]:
        """The messages of a height, by sender and then in order of arrival; those of heights below are dropped."""
        return self._take(height) if self._kept else []

    def _take(self, height: int) -> list[Signed]:
        taken = [message for sender in sorted(self._kept) for message in self._kept[sender] if message.height == height]
        left = {sender: [each for each in kept if each.height > height] for sender, kept in self._kept.items()}
        self._kept = {sender: kept for sender, kept in left.items() if kept}
        return taken


@dataclass(slots=True)
class FarVotes:
    """Votes of rounds far ahead: of each validator those of the last round that it spoke in.

    Enough of them in one round say that it is time to go there; a flood of far rounds takes no more room.
    """

    quorum: QuorumSystem
    _votes: dict[int, list[Vote]] = field(default_factory=dict)

    def add(self, vote: Vote) -> bool:
        """Keep a vote; do more than a third speak in its round?"""
        kept = self._votes.setdefault(vote.sender, [])
        if kept and kept[0].round > vote.round:
            return False
        if kept and kept[0].round < vote.round:
            kept.clear()
        if all(each.kind != vote.kind for each in kept):
            kept.append(vote)
        speaking = [validator for validator, votes in self._votes.items() if votes[0].round == vote.round]
        return 3 * self.quorum.weight_of(speaking) > self.quorum.total

    def take(self, round_: int) -> list[Vote]:
        """The votes up to a round, by validator; they are kept no longer."""
        taken = [vote for validator in sorted(self._votes) for vote in self._votes[validator] if vote.round <= round_]
        self._votes = {validator: votes for validator, votes in self._votes.items() if votes[0].round > round_}
        return taken
