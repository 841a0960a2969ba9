from __future__ import annotations

from msgspec.structs import replace
from support.observing import decide, digest

from consensus.protocol import Adopt, Block, Certify, Resync
from lastbit.chain_watch import ChainWatch


def watch(honest: int = 4) -> ChainWatch:
    return ChainWatch(range(honest))


def all_decide(chain: ChainWatch, height: int, replicas: tuple[int, ...] = (0, 1, 2, 3)) -> None:
    for replica in replicas:
        chain.decided(replica, decide(height), height)


def test_the_frontier_waits_for_the_last_honest_replica_and_the_tip_for_the_first() -> None:
    chain = watch()
    all_decide(chain, 1, (0, 1, 2))

    assert (chain.tip, chain.frontier, chain.heights.behind(1)) == (1, 0, (3,))

    all_decide(chain, 1, (3,))

    assert (chain.tip, chain.frontier, chain.heights.behind(1)) == (1, 1, ())


def test_nobody_waits_for_a_replica_that_is_down() -> None:
    chain = watch()
    all_decide(chain, 1, (0, 1, 2))
    chain.went_down(3)

    assert chain.frontier == 1
    assert chain.heights.everybody_reached(1)


def test_a_replica_that_is_back_is_waited_for_again_and_the_frontier_never_goes_back() -> None:
    chain = watch()
    chain.went_down(3)
    for height in (1, 2, 3):
        all_decide(chain, height, (0, 1, 2))
    chain.came_up(3)

    assert chain.frontier == 3
    assert not chain.heights.everybody_reached(3)

    all_decide(chain, 4, (0, 1, 2))

    assert chain.frontier == 3
    for height in (1, 2, 3, 4):
        all_decide(chain, height, (3,))
    assert chain.frontier == 4


def test_the_frontier_moves_on_after_everybody_was_down() -> None:
    chain = watch()
    all_decide(chain, 1)
    for replica in range(4):
        chain.went_down(replica)
    for replica in range(4):
        chain.came_up(replica)
    all_decide(chain, 2, (0, 1, 2))
    assert chain.frontier == 1
    all_decide(chain, 2, (3,))

    assert chain.frontier == 2


def test_a_height_that_nobody_is_left_to_reach_was_not_reached() -> None:
    chain = watch()
    all_decide(chain, 1)
    for replica in range(4):
        chain.went_down(replica)

    assert not chain.heights.everybody_reached(2)
    assert not ChainWatch(()).heights.everybody_reached(1)


def test_two_outputs_at_one_height_are_a_fork_at_the_moment_of_the_second() -> None:
    chain = watch()
    chain.decided(0, decide(1, "a"), 10)
    assert chain.forks == []
    chain.decided(1, decide(1, "b"), 20)

    (fork,) = chain.forks
    assert (fork.height, fork.at_ns, fork.kind) == (1, 20, "two-decisions")
    assert fork.what == "honest replicas decided different outputs"
    assert fork.sides == ((digest("a"), (0,)), (digest("b"), (1,)))


def test_two_blocks_at_one_height_are_a_fork() -> None:
    chain = watch()
    chain.decided(0, decide(1), 10)
    chain.decided(1, decide(1, requests=()), 20)

    (fork,) = chain.forks
    assert fork.what == "honest replicas decided different blocks"
    assert fork.sides == ((Block(1, (0,)).digest, (0,)), (Block(1, ()).digest, (1,)))


def test_a_fork_is_told_once_however_many_join_its_sides() -> None:
    chain = watch()
    for replica, output in enumerate("abab"):
        chain.decided(replica, decide(1, output), replica)

    assert len(chain.forks) == 1


def test_a_fork_is_found_although_the_other_side_was_down_meanwhile() -> None:
    chain = watch()
    chain.went_down(3)
    for height in range(1, 50):
        all_decide(chain, height, (0, 1, 2))
        chain.forget(chain.frontier)
    chain.came_up(3)
    chain.decided(3, decide(1, "b"), 99)

    assert [fork.height for fork in chain.forks] == [1]


def test_an_adopted_state_that_nobody_decided_is_a_fork() -> None:
    chain = watch()
    all_decide(chain, 1, (0, 1, 2))
    chain.adopted(3, Adopt(1, digest("elsewhere")), 10)

    (fork,) = chain.forks
    assert (fork.kind, fork.height) == ("two-states", 1)


def test_an_adopted_state_that_was_decided_is_none_and_counts_as_reached() -> None:
    chain = watch()
    for height in (1, 2, 3):
        all_decide(chain, height, (0, 1, 2))
    chain.adopted(3, Adopt(3, decide(3).state), 10)

    assert chain.forks == []
    assert chain.frontier == 3


def test_a_state_that_differs_although_its_outputs_agree_is_a_fork() -> None:
    chain = watch()
    all_decide(chain, 1, (0, 1, 2))
    chain.adopted(3, Adopt(1, replace(decide(1), state=digest("other history")).state), 10)

    assert [fork.kind for fork in chain.forks] == ["two-states"]


def kept(chain: ChainWatch) -> int:
    return len(chain._heights) + len(chain._states) + len(chain._certificates) + len(chain._taken)


def test_what_everybody_has_behind_them_is_forgotten() -> None:
    chain = watch()
    for height in range(1, 1_001):
        all_decide(chain, height)
        chain.forget(chain.frontier)

    assert kept(chain) == 0


def test_what_a_replica_that_will_be_back_may_still_decide_is_remembered() -> None:
    chain = watch()
    chain.went_down(3)
    for height in range(1, 101):
        all_decide(chain, height, (0, 1, 2))
        chain.forget(chain.frontier)

    assert chain.at(1) is not None


def test_a_replica_that_is_gone_for_good_keeps_nothing_alive() -> None:
    chain = watch()
    chain.went_down(3, for_good=True)
    for height in range(1, 101):
        all_decide(chain, height, (0, 1, 2))
        chain.forget(chain.frontier)

    assert kept(chain) == 0


def with_newcomer(heights: int) -> ChainWatch:
    """All decided so many heights; then replica 3 lost its memory."""
    chain = ChainWatch(range(4), newcomers=[3])
    for height in range(1, heights + 1):
        all_decide(chain, height)
        chain.forget(height)
    chain.went_down(3)
    chain.came_up(3)
    chain.began_anew(3)
    return chain


def test_a_replica_without_memory_may_decide_again_what_all_have_behind_them() -> None:
    chain = with_newcomer(5)
    before = (chain.frontier, chain.tip, len(chain._heights))

    assert chain.heights.behind(5) == (3,)

    for height in range(1, 6):
        chain.decided(3, decide(height), 99)

    assert chain.forks == []
    assert (chain.frontier, chain.tip, len(chain._heights)) == before == (5, 5, 0)
    assert chain.heights.everybody_reached(5)


def test_the_next_height_waits_for_a_replica_without_memory() -> None:
    chain = with_newcomer(5)
    all_decide(chain, 6, (0, 1, 2))
    chain.decided(3, decide(1), 99)

    assert chain.frontier == 5

    for height in range(2, 7):
        chain.decided(3, decide(height), 99)

    assert chain.frontier == 6


def test_a_replica_without_memory_that_decides_otherwise_is_a_fork_however_late() -> None:
    chain = with_newcomer(50)
    chain.decided(3, replace(decide(2), state=digest("other history")), 99)

    (fork,) = chain.forks
    assert (fork.kind, fork.height) == ("two-states", 2)
    assert fork.what == "replica 3 decided another state than honest replicas did before it"
    assert fork.sides == ((decide(2).state, ()), (digest("other history"), (3,)))


def test_a_replica_without_memory_that_adopts_another_state_is_a_fork_however_late() -> None:
    chain = with_newcomer(50)
    chain.adopted(3, Adopt(16, digest("elsewhere")), 99)

    assert [(fork.kind, fork.height) for fork in chain.forks] == [("two-states", 16)]


def test_who_decides_a_height_again_stands_behind_it_once() -> None:
    chain = ChainWatch(range(4), newcomers=[3])
    all_decide(chain, 1, (0, 3))
    chain.began_anew(3)
    chain.decided(3, decide(1), 50)
    chain.decided(1, decide(1, "b"), 60)

    (fork,) = chain.forks
    assert fork.sides == ((digest("a"), (0, 3)), (digest("b"), (1,)))


def test_a_certificate_that_all_have_behind_them_is_compared_with_what_a_newcomer_shows() -> None:
    chain = ChainWatch(range(4), newcomers=[3])
    all_decide(chain, 1)
    for replica in range(4):
        chain.certify(replica, Certify(1, digest("a"), (0, 1, 2)), 1)
    chain.forget(1)
    chain.began_anew(3)

    assert chain.certified.of(3) == 0

    chain.certify(3, Certify(1, digest("b"), (1, 2, 3)), 99)

    assert [(fork.kind, fork.height) for fork in chain.forks] == [("two-certificates", 1)]


def test_one_block_on_two_chains_is_a_fork() -> None:
    chain = watch()
    chain.decided(0, decide(1), 10)
    chain.decided(1, replace(decide(1), state=digest("other history")), 20)
    chain.decided(1, replace(decide(2), state=digest("and so on")), 30)
    chain.decided(0, decide(2), 40)

    assert [(fork.kind, fork.height, fork.at_ns) for fork in chain.forks] == [("two-states", 1, 20)]


def test_a_state_taken_over_before_anybody_decided_there_is_compared_with_what_is_decided() -> None:
    chain = watch()
    chain.adopted(3, Adopt(1, digest("elsewhere")), 10)
    assert chain.forks == []
    chain.decided(0, decide(1), 20)

    assert [fork.kind for fork in chain.forks] == ["two-states"]


def test_an_output_taken_over_must_be_the_one_that_was_certified_or_decided() -> None:
    chain = watch()
    chain.certify(0, Certify(1, digest("a"), (0, 1, 2)), 1)
    all_decide(chain, 2, (0,))
    chain.resynced(3, Resync(1, digest("a")), 10)
    chain.resynced(3, Resync(2, digest("a")), 10)
    assert chain.forks == []
    chain.resynced(3, Resync(1, digest("b")), 20)
    chain.resynced(3, Resync(2, digest("b")), 30)

    assert [(fork.kind, fork.height, fork.at_ns) for fork in chain.forks] == [
        ("two-states", 1, 20),
        ("two-states", 2, 30),
    ]
    assert chain.forks[0].what == "replica 3 took over another output than the certified one"


def test_an_output_taken_over_before_its_certificate_is_seen_is_compared_then() -> None:
    chain = watch()
    chain.resynced(2, Resync(1, digest("a")), 10)
    chain.resynced(3, Resync(1, digest("b")), 10)
    assert chain.forks == []
    chain.certify(0, Certify(1, digest("a"), (0, 1, 2)), 20)

    (fork,) = chain.forks
    assert (fork.kind, fork.at_ns, fork.sides) == ("two-states", 20, ((digest("a"), ()), (digest("b"), (3,))))


def test_what_was_taken_over_is_forgotten_with_its_height() -> None:
    chain = watch()
    chain.resynced(3, Resync(1, digest("a")), 10)
    all_decide(chain, 1)
    chain.resynced(2, Resync(2, digest("a")), 20)
    for height in (2, 3):
        for replica in range(4):
            chain.decided(replica, replace(decide(height), output=b""), height)
    chain.forget(3)

    assert kept(chain) == 0
