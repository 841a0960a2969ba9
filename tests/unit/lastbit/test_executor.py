from __future__ import annotations

from dataclasses import dataclass, field

from support.carrying import COMPUTE_NS, Answering, block, decision
from support.observing import answer

from consensus.protocol import Block, Execute
from lastbit.carried_state import CarriedState, StateArchive
from lastbit.executor import Executor
from replicas.replica import BlockAnswer
from simcore.running_digest import RunningDigest
from simcore.world import World

TAKE_OVER_NS = 100


@dataclass
class Desk:
    """An executor, and what it told: when which height was begun, to be done when, and when it was."""

    carries: bool = True
    world: World = field(default_factory=World)
    begun: list[tuple[int, int, int]] = field(default_factory=list)
    done: list[tuple[int, int, bytes]] = field(default_factory=list)
    replica: Answering = field(default_factory=Answering)

    def __post_init__(self) -> None:
        self.executor = Executor(
            self.replica,  # type: ignore[arg-type]
            lambda height: block(height) if height <= 9 else None,
            self.world,
            RunningDigest(),
            self,
            lambda of, view, output: self.done.append((self.world.now_ns, of.height, output)),
            self.fresh() if self.carries else None,
        )

    def fresh(self) -> CarriedState:
        return CarriedState(self.replica, StateArchive(), None)  # type: ignore[arg-type]

    def executed(self, replica: int, block: Block, view: int, answer: BlockAnswer, done_ns: int) -> None:
        self.begun.append((self.world.now_ns, block.height, done_ns))

    @property
    def times(self) -> list[tuple[int, int]]:
        return [(at_ns, height) for at_ns, height, _ in self.done]


def test_blocks_are_computed_one_after_another() -> None:
    desk = Desk(carries=False)
    for height in (1, 2, 3):
        desk.executor.execute(Execute(block(height), 0))
    desk.world.run()

    assert desk.begun == [(0, 1, 5), (0, 2, 10), (0, 3, 15)]
    assert desk.times == [(5, 1), (10, 2), (15, 3)]


def test_an_idle_replica_begins_at_once() -> None:
    desk = Desk(carries=False)
    desk.executor.execute(Execute(block(1), 0))
    desk.world.call_at(50, lambda: desk.executor.execute(Execute(block(2), 0)))
    desk.world.run()

    assert desk.times == [(5, 1), (55, 2)]


def test_a_block_takes_as_long_as_its_requests() -> None:
    desk = Desk(carries=False)
    desk.executor.execute(Execute(Block(1, (1, 2, 3)), 0))
    desk.executor.execute(Execute(Block(2, ()), 0))
    desk.world.run()

    assert desk.times == [(3 * COMPUTE_NS, 1), (3 * COMPUTE_NS, 2)]


def test_a_block_waits_for_the_state_before_it() -> None:
    desk = Desk()
    desk.executor.execute(Execute(block(2), 0))
    desk.executor.execute(Execute(block(1), 0))
    desk.world.run()
    assert desk.times == [(5, 1)]

    desk.executor.decide(decision(block(1), desk.done[0][2]))
    desk.world.run()
    assert desk.times == [(5, 1), (10, 2)]


def test_blocks_that_are_decided_first_wait_for_one_another_and_keep_their_order() -> None:
    desk = Desk()
    for height in (1, 2, 3):
        desk.executor.decide(decision(block(height)))
        desk.executor.execute(Execute(block(height), 0))
    desk.world.run()

    assert desk.times == [(5, 1), (10, 2), (15, 3)]


def test_where_no_state_carries_over_nothing_waits() -> None:
    desk = Desk(carries=False)
    desk.executor.execute(Execute(block(7), 0))
    desk.executor.decide(decision(block(6)))
    desk.world.run()

    assert desk.done == [(5, 7, answer("(6,)").digest)]


def test_what_comes_out_is_the_state_where_one_carries_over() -> None:
    desk = Desk()
    desk.executor.execute(Execute(block(1), 0))
    desk.world.run()

    assert desk.done == [(5, 1, desk.fresh().answer(block(1), 0).named)]


def test_what_is_cancelled_is_never_done_nor_is_what_waited() -> None:
    desk = Desk()
    desk.executor.execute(Execute(block(1), 0))
    desk.executor.execute(Execute(block(2), 0))
    desk.world.call_at(3, desk.executor.cancel)
    desk.world.run()
    desk.executor.decide(decision(block(1), b"theirs"))
    desk.world.run()

    assert desk.done == []
    assert [height for _, height, _ in desk.begun] == [1]


def test_a_replica_that_comes_back_is_idle_and_does_once_more_what_it_lost() -> None:
    desk = Desk()
    for requests in (100, 1):
        desk.executor.execute(Execute(Block(1, tuple(range(requests))), 0))
    desk.world.call_at(10, desk.executor.cancel)
    desk.world.call_at(20, desk.executor.restart)
    desk.world.call_at(20, lambda: desk.executor.execute(Execute(block(1), 0)))
    desk.world.run()

    assert desk.times == [(25, 1)]


def test_to_take_over_takes_its_time_and_drops_what_is_computed() -> None:
    desk = Desk()
    desk.executor.execute(Execute(Block(1, tuple(range(1_000))), 0))
    desk.world.call_at(10, lambda: desk.executor.take_over(4, b"theirs", TAKE_OVER_NS))
    desk.world.call_at(11, lambda: desk.executor.execute(Execute(block(5), 0)))
    desk.world.run(until_ns=109)
    assert desk.executor.is_taking_over
    assert desk.executor.carried is not None
    assert desk.executor.carried.after(4) == b"theirs"

    desk.world.run()
    assert not desk.executor.is_taking_over
    assert desk.times == [(10 + TAKE_OVER_NS + COMPUTE_NS, 5)]


def test_only_work_is_time_to_compute_and_what_is_done_is_no_more() -> None:
    desk = Desk()
    desk.executor.take_over(4, b"theirs", TAKE_OVER_NS)
    assert desk.executor.computes_for_ns == 0

    desk.executor.execute(Execute(block(5), 0))
    assert desk.executor.computes_for_ns == TAKE_OVER_NS + COMPUTE_NS

    desk.world.run()
    assert desk.executor.computes_for_ns == 0


def test_a_crash_saves_no_time_of_taking_over() -> None:
    desk = Desk()
    desk.executor.take_over(4, b"theirs", TAKE_OVER_NS)
    desk.world.call_at(10, desk.executor.cancel)
    desk.world.call_at(20, desk.executor.restart)
    desk.world.call_at(20, lambda: desk.executor.execute(Execute(block(5), 0)))
    desk.world.run()

    assert desk.times == [(TAKE_OVER_NS + COMPUTE_NS, 5)]


def test_who_lost_its_memory_is_not_taking_over_any_more() -> None:
    desk = Desk()
    desk.executor.take_over(4, b"theirs", TAKE_OVER_NS)
    desk.executor.forget(desk.fresh())
    desk.executor.restart()
    assert not desk.executor.is_taking_over

    desk.executor.execute(Execute(block(1), 0))
    desk.world.run()
    assert desk.times == [(5, 1)]


def test_who_adopts_what_others_decided_goes_on_with_the_block_that_waited_for_it() -> None:
    desk = Desk()
    archive = StateArchive()
    archive.note_decided(3, b"theirs")
    desk.executor.forget(CarriedState(desk.replica, archive, None))  # type: ignore[arg-type]
    desk.executor.execute(Execute(block(4), 0))
    desk.executor.adopt(3)
    desk.world.run()

    assert desk.times == [(5, 4)]


def test_what_follows_is_begun_ahead_before_a_block_is_answered() -> None:
    desk = Desk(carries=False)
    desk.executor.execute(Execute(block(8), 0))
    desk.executor.execute(Execute(block(9), 0))  # behind which there is none
    desk.executor.execute(Execute(Block(3, ()), 0))

    assert desk.replica.begun == [(8,)]


def test_blocks_that_fail_have_nothing_begun_ahead_where_each_attempt_is_drawn_anew() -> None:
    desk = Desk(carries=False, replica=Answering(answers_by_attempt=True))
    for view in (0, 1, 2, 2):
        desk.executor.execute(Execute(block(1), view))

    assert len(desk.replica.begun) == 2  # view 0 and the second block of view 2
