"""Any schedule of ICP: delays, losses, crashes, liars and divergence, drawn together.

Safety is asserted always: one chain, certificates of n - f, votes as ICC0 allows them, one certified output a height.
Liveness is asserted after the network has healed: blocks are final where n - f are alive, and their outputs certified
where n - f agree; where no output has n - f behind it, certification stands still and blocks stop at the gap.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random

import pytest
from hypothesis import strategies as st
from support.cluster import MS, output
from support.icp_cluster import IcpCluster, icp
from support.icp_liar import EquivocatingSharer, IcpLiar, TwoBlocks
from support.reaching import assert_all_reached

from consensus.icp import n_minus_f
from consensus.protocol import Block, Message
from consensus.quorum import QuorumSystem

BLOCKS = 24
SPLITS = ([1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 2, 0, 0], [1, 2, 3, 4])  # the classes of four replicas
GAP = 12
PATIENCE_NS = 200_000 * MS
STALL_NS = 20_000 * MS


@dataclass(frozen=True)
class Story:
    """One drawn run.

    Attributes:
        faulty: behaviour of each faulty replica.
        crashes: replica, from_ns, until_ns; None never comes back.
        drift_at: the height from which outputs differ (a state is carried on), and the class of each replica there.
    """

    weights: tuple[int, ...]
    faulty: dict[int, str]
    crashes: tuple[tuple[int, int, int | None], ...]
    drift_at: int
    classes: tuple[int, ...]
    loss: float
    delay_max_ms: int
    healed_ns: int
    cup_interval: int
    seed: int

    @cached_property
    def quorum(self) -> QuorumSystem:
        return n_minus_f(self.weights)

    @cached_property
    def live(self) -> frozenset[int]:
        gone = {replica for replica, _, until_ns in self.crashes if until_ns is None}
        return frozenset(range(len(self.weights))) - gone - self.faulty.keys()

    @cached_property
    def liars(self) -> int:
        return self.quorum.weight_of(replica for replica, behaviour in self.faulty.items() if behaviour != "silent")

    def answer(self, replica: int, block: Block, view: int) -> bytes:
        drifts = block.height == self.drift_at
        return output(f"{block} {self.classes[replica] if drifts else 0}")

    @cached_property
    def expected(self) -> str:
        if self.quorum.weight_of(self.live) < self.quorum.threshold:
            return "either" if self.liars else "stall: too few alive"
        weight: Counter[int] = Counter()
        for replica in self.live:
            weight[self.classes[replica]] += self.weights[replica]
        if not self.drift_at or max(weight.values()) >= self.quorum.threshold:
            return "progress"
        honest = frozenset(range(len(self.weights))) - self.faulty.keys()
        for replica in honest - self.live:
            weight[self.classes[replica]] += self.weights[replica]
        if max(weight.values()) + self.liars < self.quorum.threshold:
            return "stall: no output has n - f"
        return "either"

    def run(self) -> IcpCluster:
        random = Random(self.seed)
        named = {
            "liar": partial(IcpLiar, seed=self.seed),
            "two-blocks": TwoBlocks,
            "two-outputs": EquivocatingSharer,
            "silent": "silent",
        }

        def delay_ns(sender: int, receiver: int, message: Message) -> int | None:
            if cluster.now_ns >= self.healed_ns:
                return random.randint(1, 20) * MS
            return None if random.random() < self.loss else random.randint(1, self.delay_max_ms) * MS

        cluster = IcpCluster(
            icp(
                weights=self.weights,
                certified_gap_max=GAP,
                cup_gap_max=GAP,
                cup_interval=self.cup_interval,
                beacon_seed=self.seed.to_bytes(8),
            ),
            blocks=BLOCKS,
            answer=self.answer,
            delay_ns=delay_ns,
            behaviours={replica: named[behaviour] for replica, behaviour in self.faulty.items()},
            crashes=self.crashes,
        )
        patience_ns = PATIENCE_NS if self.expected == "progress" else STALL_NS
        return cluster.run(until_ns=self.healed_ns + patience_ns, events_max=1_000_000)


@st.composite
def stories(draw: st.DrawFn, kinds: tuple[str, ...]) -> Story:
    weights = draw(st.sampled_from([(1,) * n for n in (1, 3, 4, 4, 4, 5, 6, 7)] + [(2, 1, 1, 1), (3, 2, 2, 1, 1, 1)]))
    n, quorum = len(weights), n_minus_f(weights)
    faulty: dict[int, str] = {}
    for replica in draw(st.permutations(range(n))):
        if quorum.weight_of([*faulty, replica]) <= quorum.faulty_weight_max and draw(st.booleans()):
            faulty[replica] = draw(st.sampled_from(kinds))
    healed_ns = draw(st.sampled_from([0, 300, 1_500])) * MS
    crashes = []
    for replica in draw(st.lists(st.integers(0, n - 1), max_size=2, unique=True)):
        from_ns = draw(st.integers(0, 1_000)) * MS
        lasts_ms = draw(st.sampled_from([50, 400, 5_000, None]))
        crashes.append((replica, from_ns, None if lasts_ms is None else from_ns + lasts_ms * MS))
    return Story(
        weights=weights,
        faulty=faulty,
        crashes=tuple(crashes),
        drift_at=draw(st.sampled_from([0, 1, 3, 9])),
        classes=draw(st.permutations(draw(st.sampled_from(SPLITS))[:n] + [0] * (n - 4)).map(tuple)),
        loss=draw(st.sampled_from([0.0, 0.05, 0.2, 0.4])),
        delay_max_ms=draw(st.sampled_from([10, 60, 400])),
        healed_ns=healed_ns,
        cup_interval=draw(st.sampled_from([1, 4, 500])),
        seed=draw(st.integers(0, 2**32)),
    )


def judge(story: Story) -> str:
    """Run a story and assert all that must hold; the branch that it took."""
    cluster = story.run()
    cluster.check()
    resynced = [replica for replica in cluster.honest if cluster.resyncs[replica]]
    heights = [cluster.inner[replica].decided for replica in story.live]
    certified = [cluster.inner[replica].certified for replica in story.live]
    match story.expected:
        case "progress":
            assert min(heights) >= BLOCKS, f"no progress: {cluster.heights()}"
            assert min(certified) >= BLOCKS, f"not certified: {[node.certified for node in cluster.inner]}"
            return "progress with a resync" if resynced else "progress"
        case "stall: too few alive":
            frozen = story.healed_ns + 6_000 * MS  # what was final before the crashes may still be carried around
            assert not [at for at in cluster.decided_at_ns if at > frozen], "progress without n - f alive"
        case "stall: no output has n - f":
            assert max(certified) < story.drift_at, "certified without n - f"
            notarized = {cluster.inner[replica].height - 1 for replica in story.live}
            assert notarized == {story.drift_at - 1 + GAP}, f"stopped elsewhere: {notarized}"
            assert max(heights) <= story.drift_at - 1 + GAP, f"{cluster.heights()}"
    return story.expected


BRANCHES = ("progress", "progress with a resync", "stall: too few alive", "stall: no output has n - f")


@pytest.mark.parametrize(
    "kinds", [("silent", "two-blocks", "two-outputs"), ("liar",)], ids=["one lie each", "saying anything"]
)
def test_no_schedule_forks_and_a_healed_subnet_goes_on_where_it_can(
    kinds: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    branches = [branch for branch in BRANCHES if "silent" in kinds or branch != "stall: too few alive"]
    assert_all_reached("ICP schedules", branches, stories(kinds), judge, capsys, stories_max=200)
