"""The world for protocols alone, with replicas of PBFT that order first and execute after."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from support.cluster import MS, Cluster

from consensus.pbft_classic import PbftClassic, PbftClassicConfig
from consensus.pbft_classic.messages import Commit, Prepare
from consensus.protocol import Block, Certify, Execute, Outvoted, Reply, Resync
from consensus.quorum import QuorumSystem


@dataclass
class PbftClassicCluster(Cluster):
    """Replicas on a schedule; see `Cluster`. A replica executes one block after another, as a node does."""

    config: PbftClassicConfig  # type: ignore[assignment]
    protocol: type[PbftClassic] = PbftClassic  # type: ignore[assignment]

    def __post_init__(self) -> None:
        replicas = range(self.config.quorum.replicas)
        self.certified: list[dict[int, Certify]] = [{} for _ in replicas]
        self.replies: list[list[Reply]] = [[] for _ in replicas]
        self.resyncs: list[list[Resync]] = [[] for _ in replicas]
        self.outvoted: dict[int, Outvoted] = {}
        self._free_at_ns = [0 for _ in replicas]
        self._state = [0 for _ in replicas]  # counts the states that a replica went on from
        super().__post_init__()

    @property
    def is_done(self) -> bool:
        return super().is_done and all(
            self.inner[replica].executed_height >= self.blocks  # type: ignore[attr-defined]
            for replica in self.awaited
        )

    def answers_to_clients(self, height: int) -> dict[bytes, set[int]]:
        """Which replicas gave clients which answer to the block of a height, in their last word on it."""
        last = {
            replica: reply.output
            for replica, replies in enumerate(self.replies)
            for reply in replies
            if reply.block.height == height
        }
        answers: dict[bytes, set[int]] = {}
        for replica, output in last.items():
            answers.setdefault(output, set()).add(replica)
        return answers

    def check_certificates(self) -> None:
        """Certificates hold a quorum, come in order of height, and no two honest replicas hold different ones."""
        chain: dict[int, bytes] = {}
        for replica in self.honest:
            assert list(self.certified[replica]) == sorted(self.certified[replica])
            for height, certify in self.certified[replica].items():
                assert self.config.quorum.is_quorum(certify.voters), "a certificate without a quorum"
                assert chain.setdefault(height, certify.output) == certify.output, f"two outputs at {height}"

    def check_honest_votes(self) -> None:
        """No honest replica ever voted for two blocks in one view, or for two states of one height."""
        votes: dict[tuple[str, int, int, int], object] = {}
        for sender, _, message in self.sent:
            named = message.state if message.kind == "checkpoint" else getattr(message, "block", None)  # type: ignore
            if message.kind in ("pre-prepare", "prepare", "commit", "checkpoint") and sender in self.honest:
                ballot = (message.kind, sender, message.view, message.height)
                assert votes.setdefault(ballot, named) == named, f"an honest replica voted twice: {ballot}"

    def check(self) -> None:
        """All that must hold at any time."""
        self.check_no_fork()
        self.check_honest_votes()
        self.check_certificates()

    def votes(self) -> list[Prepare | Commit]:
        return [message for _, _, message in self.sent if isinstance(message, Prepare | Commit)]

    def _do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            match effect:
                case Execute(block, view):
                    self.executions.append((replica, block, view))
                    begins_ns = max(self.now_ns, self._free_at_ns[replica])
                    done_ns = self._free_at_ns[replica] = begins_ns + self.compute_ns(replica)
                    self.at(done_ns, partial(self._finish, replica, block, view, self._marks(replica)))
                case Resync():
                    self.resyncs[replica].append(effect)
                    self._drop_executions(replica)
                case Certify(height):
                    assert height not in self.certified[replica]
                    self.certified[replica][height] = effect
                case Reply():
                    self.replies[replica].append(effect)
                case Outvoted():
                    self.outvoted[replica] = effect
                case _:
                    super()._do(replica, (effect,))

    def _marks(self, replica: int) -> tuple[int, int]:
        return self._lives[replica], self._state[replica]

    def _drop_executions(self, replica: int) -> None:
        self._state[replica] += 1
        self._free_at_ns[replica] = self.now_ns

    def _crash(self, replica: int) -> None:
        super()._crash(replica)
        self._drop_executions(replica)

    def _finish(self, replica: int, block: Block, view: int, marks: tuple[int, int]) -> None:
        if marks == self._marks(replica):
            self._done(replica, block, view, marks[0])


def pbft_classic(n: int = 4, **settings: Any) -> PbftClassicConfig:
    """A configuration with short timeouts: a checkpoint every 4 heights, and a window of 8."""
    return PbftClassicConfig(
        quorum=settings.pop("quorum", QuorumSystem.equal(n)),
        **{"timeout_ns": 400 * MS, "timeout_max_ns": 3_200 * MS, "checkpoint_interval": 4, "watermark_window": 8}
        | settings,
    )
