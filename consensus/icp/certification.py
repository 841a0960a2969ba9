"""The shares of outputs and of catch-up packages, and what n - f of them make."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.ballot import Ballot
from consensus.icp.messages import BlockId, CatchUpPackage, CatchUpShare, CertificationShare, CertifiedOutput
from consensus.quorum import QuorumSystem


@dataclass(slots=True)
class CertificationLog:
    """Certification shares of the heights above the last certified one, and the certificates of these and earlier.

    Args:
        window: heights above the last certified one whose shares are kept; others are lost, as on a network.

    Attributes:
        height: the last certified height: all up to it are.
        certificates: by height, those above `height` that wait for their turn, and those kept to help others.
        own: what this replica computed, by height, in the state that it has now.
        voted: what it told others; after a resync that may differ, and stands.
    """

    quorum: QuorumSystem
    window: int
    height: int = 0
    certificates: dict[int, CertifiedOutput] = field(default_factory=dict)
    own: dict[int, bytes] = field(default_factory=dict)
    voted: dict[int, CertificationShare] = field(default_factory=dict)
    _ballots: dict[int, Ballot[bytes]] = field(default_factory=dict)

    def add(self, share: CertificationShare) -> bool:
        """Count a share; does it complete a certificate?"""
        ballot = self._ballots.get(share.height)
        if ballot is None:
            if not self.height < share.height <= self.height + self.window:
                return False
            ballot = self._ballots[share.height] = Ballot(self.quorum)
        if ballot.certified is not None or not ballot.add(share.sender, share.output) or ballot.certified is None:
            return False
        voters = ballot.voters(ballot.certified)
        self.certificates.setdefault(share.height, CertifiedOutput(share.height, ballot.certified, voters))
        return True

    def take(self, certificate: CertifiedOutput) -> None:
        """Keep a certificate that others made, if it holds."""
        height = certificate.height
        is_news = self.height < height <= self.height + self.window and height not in self.certificates
        if is_news and certificate.holds(self.quorum):
            self.certificates[height] = certificate

    def next(self, decided: int) -> CertifiedOutput | None:
        """The certificate of the next height, if that is decided; from now on it is the last certified one."""
        certificate = self.certificates.get(self.height + 1)
        if certificate is None or self.height >= decided:
            return None
        self.skip_to(certificate.height)
        return certificate

    def skip_to(self, height: int) -> None:
        """A certificate of this height is there: those below are not waited for."""
        self.height = height
        self._ballots = {at: ballot for at, ballot in self._ballots.items() if at > height}

    def dissents(self, height: int) -> bool:
        """Is the certified output of a height another than this replica's own?"""
        certificate, own = self.certificates.get(height), self.own.get(height)
        return certificate is not None and own is not None and own != certificate.output

    def resync(self, height: int, output: bytes) -> None:
        """The state after a height is the certified one; what was computed above it is void."""
        self.own = {at: each for at, each in self.own.items() if at < height}
        self.own[height] = output

    def forget(self, height: int) -> None:
        """Drop the certificates and the own outputs up to a height."""
        self.certificates = {at: each for at, each in self.certificates.items() if at > height}
        self.own = {at: output for at, output in self.own.items() if at > height}
        self.voted = {at: share for at, share in self.voted.items() if at > height}


class CatchUpLog:
    """Shares of catch-up packages above the last one.

    Args:
        interval: heights from one package to the next.
        packages_max: packages ahead whose shares are kept.
    """

    __slots__ = ("_ballots", "interval", "latest", "packages_max", "quorum")

    def __init__(self, quorum: QuorumSystem, interval: int, packages_max: int) -> None:
        self.quorum = quorum
        self.interval = interval
        self.packages_max = packages_max
        self.latest: CatchUpPackage | None = None
        self._ballots: dict[int, Ballot[tuple[BlockId, bytes]]] = {}

    @property
    def height(self) -> int:
        """The height of the last package; 0, that of genesis, before the first."""
        return 0 if self.latest is None else self.latest.height

    def add(self, share: CatchUpShare) -> CatchUpPackage | None:
        """Count a share; the package that it completes."""
        ahead, off = divmod(share.height - self.height, self.interval)
        if off or not 1 <= ahead <= self.packages_max:
            return None
        ballot = self._ballots.setdefault(share.height, Ballot(self.quorum))
        if ballot.certified is None and ballot.add(share.sender, (share.block, share.output)):
            return self._package(share.height, ballot)
        return None

    def last_complete(self, height: int) -> CatchUpPackage | None:
        """The last package up to a height for which there are shares enough."""
        complete = (at for at, ballot in self._ballots.items() if at <= height and ballot.certified is not None)
        last = max(complete, default=None)
        return None if last is None else self._package(last, self._ballots[last])

    def _package(self, height: int, ballot: Ballot[tuple[BlockId, bytes]]) -> CatchUpPackage | None:
        if ballot.certified is None:
            return None
        block, output = ballot.certified
        return CatchUpPackage(height, block, output, ballot.voters(ballot.certified))

    def take(self, package: CatchUpPackage) -> None:
        """This is the last package now; its height is certified here."""
        self.latest = package
        self._ballots = {at: ballot for at, ballot in self._ballots.items() if at > package.height}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CatchUpLog):
            return NotImplemented
        return (self.quorum, self.latest, self._ballots) == (other.quorum, other.latest, other._ballots)

    __hash__ = None  # type: ignore[assignment]  # a log changes; it is compared, never a key
