"""Any schedule for PBFT that orders first: delays, losses, crashes, liars, pipelines and divergence, drawn together.

Safety is asserted always. After the network has healed, the order goes on wherever checkpoints can become stable: it
reaches the end, or stands exactly at the high watermark above the last checkpoint on which a quorum can agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from support.cluster import MS, output
from support.pbft_classic_adversaries import PbftClassicLiar
from support.pbft_classic_cluster import PbftClassicCluster, pbft_classic
from support.reaching import assert_all_reached

from consensus.protocol import Block, Message
from consensus.quorum import QuorumSystem

BLOCKS = 22
INTERVAL, WINDOW = 4, 8
PATIENCE_NS = 200_000 * MS
STALL_NS = 15_000 * MS


@dataclass(frozen=True)
class Story:
    """One drawn run.

    Attributes:
        faulty: behaviour of each faulty replica.
        crashes: replica, from_ns, until_ns; None never comes back.
        drifts: at which height which replica has an answer of its own class.
        loss: probability that a copy is lost, until the network has healed.
    """

    weights: tuple[int, ...]
    outvoted: Any
    pipeline: int
    faulty: dict[int, str]
    crashes: tuple[tuple[int, int, int | None], ...]
    drifts: dict[int, tuple[int, ...]]
    compute_ms: tuple[int, ...]
    loss: float
    delay_max_ms: int
    healed_ns: int
    seed: int

    @cached_property
    def quorum(self) -> QuorumSystem:
        return QuorumSystem(self.weights)

    @cached_property
    def live(self) -> frozenset[int]:
        """The honest replicas that are up in the end."""
        gone = {replica for replica, _, until_ns in self.crashes if until_ns is None}
        return frozenset(range(len(self.weights))) - gone - self.faulty.keys()

    def answer(self, replica: int, block: Block, view: int) -> bytes:
        own = self.drifts.get(block.height, (0,) * len(self.weights))[replica]
        return output(f"{block.requests} {0 if block.is_empty else own}")

    @cached_property
    def alike(self) -> frozenset[int]:
        """The live replicas that give one answer everywhere."""
        return frozenset(
            replica for replica in self.live if not any(classes[replica] for classes in self.drifts.values())
        )

    @property
    def is_equal_enough(self) -> bool:
        """Are they a quorum? Then no checkpoint can fail, and none of them is ever outvoted."""
        return self.quorum.is_quorum(self.alike)

    def run(self) -> PbftClassicCluster:
        random = Random(self.seed)

        def delay_ns(sender: int, receiver: int, message: Message) -> int | None:
            if cluster.now_ns >= self.healed_ns:
                return random.randint(1, 20) * MS
            return None if random.random() < self.loss else random.randint(1, self.delay_max_ms) * MS

        named = {"liar": partial(PbftClassicLiar, seed=self.seed)}
        cluster = PbftClassicCluster(
            pbft_classic(quorum=self.quorum, outvoted=self.outvoted, pipeline=self.pipeline),
            blocks=BLOCKS,
            answer=self.answer,
            delay_ns=delay_ns,
            compute_ns=lambda replica: self.compute_ms[replica] * MS,
            behaviours={replica: named.get(behaviour, behaviour) for replica, behaviour in self.faulty.items()},
            crashes=self.crashes,
        )
        patience_ns = PATIENCE_NS if self.is_equal_enough else STALL_NS
        return cluster.run(until_ns=self.healed_ns + patience_ns, events_max=1_000_000)


@st.composite
def stories(draw: st.DrawFn, kinds: tuple[str, ...]) -> Story:
    weights = draw(st.sampled_from([(1,) * n for n in (1, 3, 4, 4, 4, 5, 6, 7)] + [(2, 1, 1, 1), (3, 2, 2, 1, 1, 1)]))
    quorum, replicas = QuorumSystem(weights), range(len(weights))
    faulty: dict[int, str] = {}
    for replica in draw(st.permutations(replicas)):
        if quorum.weight_of({*faulty, replica}) <= quorum.faulty_weight_max and draw(st.integers(0, 3)):
            faulty[replica] = draw(st.sampled_from(kinds))
    healed_ns = draw(st.integers(0, 4_000)) * MS
    crashes = []
    for replica in draw(st.lists(st.sampled_from(replicas), unique=True, max_size=2)):
        from_ns = draw(st.integers(0, healed_ns))
        comes_back = draw(st.integers(0, 5))
        crashes.append((replica, from_ns, draw(st.integers(from_ns, healed_ns)) if comes_back else None))
    classes = st.tuples(*(st.sampled_from([0, 0, 0, 1, 2]) for _ in replicas))
    return Story(
        weights=weights,
        outvoted=draw(st.sampled_from(["resync", "stay", "halt"])),
        pipeline=draw(st.sampled_from([1, 2, 8])),
        faulty=faulty,
        crashes=tuple(crashes),
        drifts=draw(st.dictionaries(st.integers(1, BLOCKS), classes, max_size=2)),
        compute_ms=draw(st.tuples(*(st.sampled_from([1, 5, 60]) for _ in replicas))),
        loss=draw(st.sampled_from([0.0, 0.05, 0.2, 0.4])),
        delay_max_ms=draw(st.sampled_from([10, 60, 900])),
        healed_ns=healed_ns,
        seed=draw(st.integers(0, 2**32)),
    )


def judge(story: Story) -> str:
    """Run a story and assert all that must hold; the branch that it took."""
    cluster = story.run()
    cluster.check()
    protocols: list[Any] = [cluster.inner[replica] for replica in sorted(story.live)]
    for protocol in protocols:
        assert protocol.decided <= protocol.stable.height + WINDOW, "ordered past the high watermark"
        assert protocol.stable.height <= protocol.executed_height <= protocol.decided
    going = [protocol for protocol in protocols if protocol.halt_at is None]
    if story.is_equal_enough:
        assert all(protocol.decided >= BLOCKS for protocol in going), f"no progress: {cluster.heights()}"
        assert not story.alike & cluster.outvoted.keys(), "outvoted with the answer of a quorum"
        assert len({protocol.execution for protocol in going if protocol.id in story.alike}) == 1
        assert len(going) == len(protocols) or story.outvoted == "halt"
        return "progress with some outvoted" if any(cluster.resyncs) or cluster.outvoted else "progress"
    decided = {protocol.decided for protocol in going}
    if decided and min(decided) >= BLOCKS:
        return "either: done"
    # A quorum of live replicas orders all that the window lets it.
    if story.quorum.is_quorum(protocol.id for protocol in going):
        stable = max(protocol.stable.height for protocol in going)
        assert max(decided) == min(stable + WINDOW, BLOCKS), f"stands below its watermark: {cluster.heights()}"
        return "stall at the watermark"
    return "stall: too few go on"


@pytest.mark.parametrize(
    "kinds",
    [("silent", "equivocating-leader", "equivocating-voter"), ("liar",)],
    ids=["named in scenarios", "saying anything"],
)
def test_no_schedule_forks_and_a_healed_chain_orders_all_that_its_window_lets_it(
    kinds: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    branches = ("progress", "progress with some outvoted", "stall at the watermark", "stall: too few go on")
    assert_all_reached("PBFT classic schedules", branches, stories(kinds), judge, capsys, stories_max=200)
