"""The certificates of commits: those of the heights decided last, for who lags, and those of heights to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.tendermint.messages import CommitCertificate

CERTIFICATES_KEPT = 1_024
"""Heights for which a replica can help those who lag."""

CERTIFICATES_SENT_MAX = 32
"""Certificates in one message."""


@dataclass(slots=True)
class CertificateLog:
    """What is decided, by height.

    Attributes:
        decided: the last heights decided here.
        ahead: heights that others have decided, and this replica has not.
    """

    decided: dict[int, CommitCertificate] = field(default_factory=dict)
    ahead: dict[int, CommitCertificate] = field(default_factory=dict)

    def add(self, certificate: CommitCertificate) -> None:
        """The next height is decided here."""
        height = certificate.value.block.height
        self.decided[height] = certificate
        self.decided.pop(height - CERTIFICATES_KEPT, None)

    def since(self, height: int) -> tuple[CommitCertificate, ...]:
        """What somebody lacks who has not decided this height: as much as one message takes, or the last one alone.

        That one vouches for the state that it builds on, where the heights in between are kept no longer.
        """
        if self.decided and height < min(self.decided):
            return (self.decided[max(self.decided)],)
        heights = range(height, height + CERTIFICATES_SENT_MAX)
        return tuple(self.decided[each] for each in heights if each in self.decided)
