"""The world for protocols alone, with replicas of ICP in it.

A replica executes one block after another, in the order in which they were asked for; a resync takes time and cancels
what was under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from support.cluster import MS, Cluster

from consensus.icp import Icp, IcpConfig, n_minus_f
from consensus.icp.messages import (
    CertificationShare,
    Finalization,
    FinalizationShare,
    Finalized,
    Notarization,
    NotarizationShare,
    Notarized,
    Proposal,
    Signed,
    Sync,
)
from consensus.protocol import Certify, Execute, Resync


@dataclass
class IcpCluster(Cluster):
    """Replicas on a schedule; see `Cluster`."""

    config: IcpConfig  # type: ignore[assignment]
    protocol: type[Icp] = Icp  # type: ignore[assignment]
    resync_ns: int = 20 * MS

    def __post_init__(self) -> None:
        super().__post_init__()
        self.certified: list[dict[int, Certify]] = [{} for _ in range(self.n)]
        self.resyncs: list[list[Resync]] = [[] for _ in range(self.n)]
        self._waiting: list[list[Execute]] = [[] for _ in range(self.n)]
        self._free_ns = [0] * self.n
        self._epoch = [0] * self.n  # a resync or a crash ends one: what was asked for in it never comes back

    @property
    def is_done(self) -> bool:
        return all(min(self.inner[at].decided, self.inner[at].certified) >= self.blocks for at in self.awaited)  # type: ignore[attr-defined]

    def _crash(self, replica: int) -> None:
        super()._crash(replica)
        self._cancel(replica)

    def _cancel(self, replica: int) -> None:
        self._epoch[replica] += 1
        self._free_ns[replica] = self.now_ns

    def _do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            match effect:
                case Execute(block, view):
                    self.executions.append((replica, block, view))
                    self._free_ns[replica] = max(self._free_ns[replica], self.now_ns) + self.compute_ns(replica)
                    self.at(self._free_ns[replica], partial(self._finish, replica, effect, self._epoch[replica]))
                case Resync():
                    self._cancel(replica)
                    self._free_ns[replica] += self.resync_ns
                    self.resyncs[replica].append(effect)
                case Certify(height):
                    assert height > max(self.certified[replica], default=0), "certified out of order"
                    assert height <= self.inner[replica].decided, "certified before it was decided"
                    self.certified[replica][height] = effect
                case _:
                    super()._do(replica, (effect,))

    def _finish(self, replica: int, execute: Execute, epoch: int) -> None:
        if self._epoch[replica] == epoch and not self.down[replica]:
            answer = self.answer(replica, execute.block, execute.view)
            self._do(replica, self.nodes[replica].executed(execute.block, execute.view, answer))

    def said(self) -> Iterator[Signed]:
        """All that anybody signed and somebody sent, be it handed on."""
        for _, _, message in self.sent:
            if isinstance(message, Sync):
                yield from message.messages
                yield from message.chain
            else:
                yield message  # type: ignore[misc]

    def certificates(self) -> Iterator[Notarized | Finalized]:
        for message in self.said():
            if isinstance(message, Notarization | Finalization):
                yield message.certificate
            elif isinstance(message, Proposal) and message.parent is not None:
                yield message.parent

    def check_honest_votes(self) -> None:
        """One output and one finalization share a height, that only without rivals; one notarization share a rank."""
        once: dict[tuple[object, ...], bytes] = {}
        notarized: dict[tuple[int, int], set[bytes]] = {}
        finalized: dict[tuple[int, int], bytes] = {}
        for message in self.said():
            if getattr(message, "sender", None) not in self.honest:
                continue
            match message:
                case NotarizationShare(sender, height, rank, block):
                    assert once.setdefault((sender, height, rank), block) == block, "two shares of one rank"
                    notarized.setdefault((sender, height), set()).add(block)
                case FinalizationShare(sender, height, block):
                    assert finalized.setdefault((sender, height), block) == block, "two finalization shares"
                case CertificationShare(sender, height, output):
                    assert once.setdefault(("output", sender, height), output) == output, "two outputs"
        for at, block in finalized.items():
            assert notarized.get(at, set()) <= {block}, f"a finalization share beside another notarization share: {at}"

    def check_certified(self) -> None:
        """One output a height, on the word of n - f."""
        outputs: dict[int, bytes] = {}
        for replica in self.honest:
            for height, certify in self.certified[replica].items():
                assert self.config.quorum.is_quorum(certify.voters), "a certificate without n - f"
                assert outputs.setdefault(height, certify.output) == certify.output, f"two outputs at {height}"

    def check(self) -> None:
        self.check_no_fork()
        self.check_honest_votes()
        self.check_certified()


def icp(n: int = 4, **settings: Any) -> IcpConfig:
    """A configuration with short delays."""
    weights = settings.pop("weights", (1,) * n)
    return IcpConfig(
        quorum=settings.pop("quorum", n_minus_f(weights)),
        **{"delta_bnd_ns": 20 * MS, "timeout_ns": 400 * MS, "cup_interval": 8} | settings,
    )
