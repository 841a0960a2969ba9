from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from lastbit.frontier import Frontier

REPLICAS = 4

steps = st.lists(
    st.tuples(st.sampled_from(["reach", "again", "down", "up", "anew", "leave"]), st.integers(0, REPLICAS - 1)),
    max_size=60,
)


class Naive:
    """The same in plain words, worked out anew each time."""

    def __init__(self) -> None:
        self.at = dict.fromkeys(range(REPLICAS), 0)
        self.away: set[int] = set()
        self.gone: set[int] = set()
        self.all = self.tip = 0

    @property
    def live(self) -> list[int]:
        return [self.at[each] for each in self.at if each not in self.away | self.gone]

    def step(self, kind: str, replica: int) -> None:
        match kind:
            case "reach":
                self.at[replica] += 1
            case "down":
                self.away.add(replica)
            case "up":
                self.away.discard(replica)
            case "anew":
                self.at[replica] = 0
            case "leave":
                self.gone.add(replica)
        self.tip = max(self.tip, *self.at.values())
        if self.live:
            self.all = max(self.all, min(self.live))


def take(frontier: Frontier, kind: str, replica: int) -> None:
    match kind:
        case "reach":
            before = frontier.all, frontier.tip
            moves = frontier.reach(replica, frontier.of(replica) + 1)
            assert moves == ((frontier.all, frontier.tip) != before)
        case "again":
            assert not frontier.reach(replica, frontier.of(replica) // 2)
        case "down":
            frontier.went_down(replica)
        case "up":
            frontier.came_up(replica)
        case "anew":
            frontier.begin_anew(replica)
        case "leave":
            frontier.leave(replica)


@given(steps)
@example([("reach", 3), *(("down", each) for each in range(4)), ("up", 3)])  # the only one that is back has come so far
@example([("reach", 0), *(("leave", each) for each in range(4)), ("reach", 1)])  # nobody is waited for any more
def test_in_whatever_order_replicas_come_and_go_a_frontier_is_what_all_who_count_have_reached(
    taken: list[tuple[str, int]],
) -> None:
    frontier, naive = Frontier(range(REPLICAS)), Naive()
    for kind, replica in taken:
        take(frontier, kind, replica)
        naive.step(kind, replica)

        assert (frontier.all, frontier.tip) == (naive.all, naive.tip)
        for height in range(naive.tip + 2):
            assert frontier.everybody_reached(height) == (bool(naive.live) and min(naive.live) >= height)
            live = [each for each in naive.at if each not in naive.away | naive.gone]
            assert frontier.behind(height) == tuple(each for each in live if naive.at[each] < height)


def test_where_nobody_honest_is_there_nobody_has_reached_anything() -> None:
    assert not Frontier(()).everybody_reached(0)
    assert Frontier(()).all == 0
