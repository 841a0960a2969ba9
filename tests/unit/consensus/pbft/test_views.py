"""What follows a failed attempt: retry, skip, halt; bad leaders; timeouts; followers and stragglers."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest
from support.cluster import MS, Cluster, equal_answers, output, pbft
from support.solo import Solo

from consensus.pbft.messages import Commit, NewView, Prepare, PrePrepare, Sync, SyncRequest, ViewChange
from consensus.protocol import Abandon, Block, CancelTimer, Decide, Execute, Message, SetTimer


def split_at(height: int, until_view: int = 10**9):  # type: ignore[no-untyped-def]
    """Every replica has an answer of its own at one height, in the views before one."""

    def answer(replica: int, block: Block, view: int) -> bytes:
        if block.height == height and view < until_view and not block.is_empty:
            return output(f"{replica} {view}")
        return equal_answers(replica, block, view)

    return answer


@pytest.mark.parametrize("pipeline", [1, 8])
def test_retry_proposes_the_same_block_anew_and_recovers_when_the_split_was_transient(pipeline: int) -> None:
    cluster = Cluster(pbft(pipeline=pipeline), blocks=10, answer=split_at(3, until_view=2)).run()
    cluster.check_no_fork()
    assert cluster.heights() == [10] * 4
    decide = cluster.decided[0][3]
    assert (decide.view, decide.block.requests) == (2, (2,))
    assert sorted({view for _, block, view in cluster.executions if block.height == 3}) == [0, 1, 2]


def test_retry_of_a_persistent_split_goes_through_views_without_end_and_decides_nothing() -> None:
    cluster = Cluster(pbft(), answer=split_at(3)).run(until_ns=6_000 * MS)
    cluster.check_no_fork()
    assert cluster.heights() == [2] * 4
    assert min(protocol.view for protocol in cluster.inner) > 10


@pytest.mark.parametrize("pipeline", [1, 8])
def test_skip_decides_an_empty_block_in_the_place_of_the_split_one_and_only_there(pipeline: int) -> None:
    cluster = Cluster(pbft(policy="skip", pipeline=pipeline), blocks=10, answer=split_at(3)).run()
    cluster.check_no_fork()
    assert {height: decide.block.is_empty for height, decide in cluster.decided[0].items()} == {
        height: height == 3 for height in range(1, 11)
    }


@pytest.mark.parametrize("pipeline", [1, 8])
def test_halt_stops_every_replica_at_the_split_height_and_leaves_the_queue_empty(pipeline: int) -> None:
    cluster = Cluster(pbft(policy="halt", pipeline=pipeline), blocks=10, answer=split_at(3)).run()
    cluster.check_no_fork()
    assert cluster.heights() == [2] * 4
    assert [(halt.height, halt.view) for halt in cluster.halts] == [(3, 1)] * 4
    assert cluster._queue == [], "nobody waits for a timer any more"


def test_a_prepared_certificate_binds_the_output_though_a_second_execution_differs() -> None:
    """The first view prepares an output, and no commit arrives. Whoever executed anew would get another one."""

    def lost_commits(sender: int, receiver: int, message: Message) -> int | None:
        return None if isinstance(message, Commit | Sync) and message.view == 0 else 10 * MS

    cluster = Cluster(
        pbft(), blocks=1, answer=lambda replica, block, view: output(f"{view}"), delay_ns=lost_commits
    ).run()
    cluster.check_no_fork()
    assert {(decided[1].view, decided[1].output) for decided in cluster.decided} == {(1, output("0"))}
    assert {view for _, _, view in cluster.executions} == {0}


def test_one_replica_that_prepared_binds_all_others() -> None:
    """Only replica 3 sees the quorum of prepares; the next leader has to take its word."""

    def only_to_3(sender: int, receiver: int, message: Message) -> int | None:
        lost = isinstance(message, Prepare | Commit | Sync) and message.view == 0 and receiver != 3
        return None if lost or (isinstance(message, ViewChange) and sender == 2) else 10 * MS

    cluster = Cluster(pbft(), blocks=1, answer=lambda replica, block, view: output(f"{view}"), delay_ns=only_to_3).run()
    cluster.check_no_fork()
    assert {decided[1].output for decided in cluster.decided} == {output("0")}


def test_a_silent_leader_is_replaced_and_its_turn_costs_one_timeout() -> None:
    cluster = Cluster(pbft(), behaviours={0: "silent"}).run()
    cluster.check_no_fork()
    assert cluster.heights()[1:] == [5, 5, 5]
    assert {decide.view for decide in cluster.decided[1].values()} == {1}
    assert 400 * MS <= cluster.now_ns < 1_000 * MS


def test_a_silent_leader_halts_nobody_since_it_proposed_nothing_that_failed() -> None:
    cluster = Cluster(pbft(policy="halt"), behaviours={0: "silent"}).run()
    assert cluster.halts == []
    assert cluster.is_done


@pytest.mark.parametrize("policy", ["retry", "skip"])
@pytest.mark.parametrize("n", [4, 7])
def test_an_equivocating_leader_is_replaced_and_no_two_blocks_are_decided(n: int, policy: str) -> None:
    cluster = Cluster(pbft(n, policy=policy, pipeline=8), behaviours={0: "equivocating-leader"}).run()
    cluster.check_no_fork()
    assert cluster.is_done
    assert any(isinstance(message, NewView) for _, _, message in cluster.sent)


def test_an_equivocating_voter_that_shows_a_to_one_and_c_to_another_cannot_fork_the_chain() -> None:
    """Replicas 0 and 2 see a quorum for A; 1 and 3 see A, A, C and one missing or split. Those only ask."""
    answers = {0: "A", 1: "B", 2: "A", 3: "A"}
    cluster = Cluster(
        pbft(policy="skip"),
        answer=lambda replica, block, view: output("" if block.is_empty else answers[replica]),
        behaviours={3: "equivocating-voter"},
    ).run()
    cluster.check_no_fork()
    assert cluster.is_done
    assert {replica for replica, _ in cluster.abandons} >= {1}, "a replica saw its ballot split"


# --- timeouts -------------------------------------------------------------------------------------------------


def test_timeouts_double_with_each_view_without_progress_up_to_the_cap_and_progress_resets_them() -> None:
    solo = Solo(timeout_ns=100, timeout_max_ns=500)
    waited = []
    for view in range(1, 6):
        solo.timeout()
        solo.timeout()
        waited.append(solo.of(SetTimer)[-1].duration_ns)
        solo.hear(solo.view_change(0, view), solo.view_change(1, view))
        if not solo.protocol.active:
            solo.hear(solo.new_view(*(solo.view_change(sender, view) for sender in (0, 1, 2))))
    assert waited == [200, 400, 500, 500, 500]
    assert solo.of(SetTimer)[-1].duration_ns == 250, "half of it until the replica asks, half until it accuses"
    solo.hear(Sync(0, 0, None, (solo.decision(1),), None, ()))
    assert solo.of(SetTimer)[-1].duration_ns == 50


def test_a_replica_asks_what_it_missed_before_it_accuses_the_leader() -> None:
    solo = Solo()
    solo.timeout()
    assert len(solo.said(SyncRequest)) == 1
    assert solo.of(Abandon) == []
    solo.timeout()
    assert [(abandon.height, abandon.reason) for abandon in solo.of(Abandon)] == [(1, "timed out")]


def test_a_replica_between_views_waits_for_a_quorum_that_asks_and_then_goes_one_further() -> None:
    solo = Solo()
    solo.timeout()
    solo.timeout()
    solo.timeout()
    assert [change.view for change in solo.said(ViewChange)] == [1, 1], "alone, it says the same again"
    solo.hear(solo.view_change(0, 1), solo.view_change(2, 1))
    solo.timeout()
    assert [change.view for change in solo.said(ViewChange)] == [1, 1, 2], "the leader of view 1 does not begin it"


def test_nobody_waits_when_everything_is_decided() -> None:
    solo = Solo(blocks=1)
    solo.decide(1)
    assert isinstance(solo.effects[-1], CancelTimer)


# --- followers and stragglers ----------------------------------------------------------------------------------


def test_a_replica_joins_a_view_change_when_one_of_those_who_ask_is_surely_honest() -> None:
    solo = Solo()
    solo.hear(solo.view_change(0, 1))
    assert solo.said(ViewChange) == []
    solo.hear(solo.view_change(1, 1))
    assert [change.view for change in solo.said(ViewChange)] == [1]


def test_who_joins_gives_up_the_attempts_that_the_others_gave_up() -> None:
    solo = Solo(policy="skip")
    solo.propose(1)
    solo.hear(solo.view_change(0, 1, abandoned=(1, 77)), solo.view_change(1, 1))
    assert [change.abandoned for change in solo.said(ViewChange)] == [(1,)]


def test_a_replica_that_left_alone_for_a_later_view_still_learns_what_the_others_decide() -> None:
    """Replica 3 hears nothing for a while, leaves for view 1, and the others never follow."""

    def deaf(sender: int, receiver: int, message: Message) -> int | None:
        return None if receiver == 3 and cluster.now_ns < 1_000 * MS else 10 * MS

    cluster = Cluster(pbft(pipeline=1), blocks=60, delay_ns=deaf)
    cluster.run()
    cluster.check_no_fork()
    assert cluster.inner[3].decided == 60
    assert [protocol.view for protocol in cluster.inner] == [0, 0, 0, 1]


def test_a_replica_in_an_old_view_is_told_how_the_present_one_began() -> None:
    solo = Solo()
    solo.hear(solo.new_view(*(solo.view_change(sender, 1) for sender in (0, 1, 2))))
    solo.hear(SyncRequest(0, 0, 0, 0))
    (sync,) = solo.said(Sync)
    assert sync.new_view is not None
    assert sync.new_view.view == 1


def test_a_replica_back_from_a_crash_executes_again_what_it_had_not_voted_on() -> None:
    solo = Solo()
    solo.propose(1)
    solo.propose(2)
    solo.executed(1)
    before = len(solo.of(Execute))
    solo.keep(solo.protocol.recover())
    assert [execute.block.height for execute in solo.of(Execute)[before:]] == [2]
    assert len(solo.said(SyncRequest)) == 1


def test_an_answer_of_an_earlier_attempt_is_no_vote_in_a_later_one() -> None:
    solo = Solo()
    solo.propose(1)
    solo.hear(solo.new_view(*(solo.view_change(sender, started=(solo.block(1),)) for sender in (0, 1, 2))))
    solo.executed(1, "stale", view=0)
    assert solo.said(Prepare) == []
    solo.executed(1, "fresh", view=1)
    assert [vote.pair.output for vote in solo.said(Prepare)] == [output("fresh")]


# --- copies -------------------------------------------------------------------------------------------------------


def test_a_copy_driven_with_the_same_inputs_stays_equal_and_with_others_does_not() -> None:
    """A run full of view changes, losses and state transfer; a copy of replica 2 gets what replica 2 gets."""
    random = Random(5)
    cluster = Cluster(
        pbft(pipeline=8),
        blocks=12,
        answer=split_at(5, until_view=2),
        delay_ns=lambda sender, receiver, message: None if random.random() < 0.15 else random.randint(1, 30) * MS,
    )
    original, seen = cluster.inner[2], []
    twin = deepcopy(original)
    for name in ("start", "receive", "timeout", "executed", "recover"):
        _follow(original, twin, name, seen)
    cluster.run()
    assert cluster.is_done
    assert len(seen) > 100
    assert twin == original
    twin.receive(PrePrepare(0, original.view + 1, Block(12, (11,))))
    assert twin != original


def _follow(original, twin, name: str, seen: list[bool]) -> None:  # type: ignore[no-untyped-def]
    """Give every input of one protocol to another as well, and compare what follows."""
    method, same = getattr(type(original), name), getattr(twin, name)

    def both(*inputs: object) -> object:
        effects = method(original, *inputs)
        assert same(*inputs) == effects
        seen.append(True)
        return effects

    original.__class__ = type("Followed", (type(original),), {name: lambda self, *inputs: both(*inputs)})


def test_a_protocol_in_the_middle_of_a_view_change_has_a_deep_copy_of_its_own() -> None:
    solo = Solo()
    solo.propose(1)
    solo.executed(1)
    solo.timeout()
    solo.timeout()
    twin = deepcopy(solo.protocol)
    assert twin == solo.protocol
    solo.hear(solo.view_change(0, 1))
    assert twin != solo.protocol
    assert twin.receive(solo.view_change(0, 1)) == ()
    assert twin == solo.protocol


def test_a_decision_is_told_once_however_often_its_votes_arrive() -> None:
    solo = Solo()
    solo.decide(1)
    solo.decide(1)
    solo.hear(Sync(0, 0, None, (solo.decision(1),), None, ()))
    assert len(solo.of(Decide)) == 1


def test_who_asks_for_a_view_that_has_begun_is_told_how_it_began() -> None:
    solo = Solo()
    begun = solo.new_view(*(solo.view_change(sender) for sender in (0, 1, 2)))
    solo.hear(begun)
    solo.hear(solo.view_change(0, 1))
    (sync,) = solo.said(Sync)
    assert (sync.view, sync.new_view) == (1, begun)


def test_a_decision_that_comes_between_two_views_leaves_the_timer_alone() -> None:
    solo = Solo()
    solo.timeout()
    solo.timeout()
    said = solo.hear(Sync(0, 0, None, (solo.decision(1),), None, ()))
    assert [type(effect) for effect in said] == [Decide]
    solo.timeout()
    assert solo.of(SetTimer)[-1] == SetTimer(2 * solo.config.timeout_ns)
