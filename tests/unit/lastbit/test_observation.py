from __future__ import annotations

from typing import Any

from support.observing import answer, decide, digest

from consensus.pbft.messages import Checkpoint, Commit, NewView, Prepare
from consensus.pbft_classic.messages import Snapshot
from consensus.protocol import Adopt, Block, Certify, Decide, Halt, Outvoted, Pair, Reply, Resync
from consensus.quorum import QuorumSystem
from lastbit.observation import Observation
from lastbit.protocols import PROTOCOLS
from lastbit.tally import FAILURES_KEPT_MAX

QUORUM = QuorumSystem.equal(4)


class Watched:
    """An observation, and what came out of it."""

    def __init__(
        self,
        honest: range | tuple[int, ...] = range(4),
        *,
        silent: tuple[int, ...] = (),
        now_ns: int = 10**6,
        blocks: int = 10**6,
        protocol: str = "pbft",
    ) -> None:
        self.records: list[dict[str, Any]] = []
        self.progressed = self.caught_up = 0
        self.observation = Observation(
            QUORUM,
            honest,
            silent=silent,
            kind=PROTOCOLS[protocol],
            blocks=blocks,
            asked=lambda height: Block(height, (height - 1,)),
            compares_later=protocol != "pbft",
            now_ns=lambda: now_ns,
            record=self.records.append,
            progressed=self._progressed,
            caught_up=self._caught_up,
        )

    def _progressed(self) -> None:
        self.progressed += 1

    def _caught_up(self) -> None:
        self.caught_up += 1

    def execute(self, height: int, answers: str, *, view: int = 0, empty: bool = False) -> None:
        """Replica i answers the i-th letter; a dot says nothing."""
        block = Block(height, () if empty else (height - 1,))
        for replica, said in enumerate(answers):
            if said != ".":
                self.observation.executed(replica, block, view, answer(said), done_ns=100 * height + replica)

    def decide(
        self, height: int, output: str, replicas: tuple[int, ...] = (0, 1, 2, 3), *, empty: bool = False
    ) -> None:
        for replica in replicas:
            self.observation.decided(replica, decide(height, output, requests=() if empty else None))


def test_a_height_on_which_all_agree_is_unanimous_and_a_trial() -> None:
    watched = Watched()
    watched.execute(1, "aaaa")
    watched.decide(1, "a")

    tally = watched.observation.tally
    assert (tally.unanimous, tally.with_dissent, tally.skipped) == (1, 0, 0)
    assert (tally.trials, tally.first_attempt_failures) == (1, 0)


def test_one_who_answered_otherwise_is_dissent_and_no_failure() -> None:
    watched = Watched()
    watched.execute(1, "aaba")
    watched.decide(1, "a")

    tally = watched.observation.tally
    assert (tally.unanimous, tally.with_dissent, tally.first_attempt_failures) == (0, 1, 0)
    assert watched.records[0]["dissent"] == [2]


def test_a_second_attempt_that_agrees_heals_the_height_and_leaves_the_failure() -> None:
    watched = Watched()
    watched.execute(1, "abcd")
    watched.execute(1, "aaaa", view=1)
    watched.decide(1, "a")

    tally = watched.observation.tally
    assert (tally.trials, tally.first_attempt_failures, tally.retries) == (1, 1, 1)
    assert (tally.unanimous, tally.first_failure_height) == (1, 1)
    assert [(verdict.view, verdict.at_ns) for verdict in tally.failures] == [(0, 103)]


def test_a_first_attempt_that_too_few_executed_is_none_and_the_next_is_the_first() -> None:
    watched = Watched()
    watched.execute(1, "ab..")
    watched.execute(1, "aaaa", view=1)
    watched.decide(1, "a")

    tally = watched.observation.tally
    assert (tally.trials, tally.first_attempt_failures, tally.retries) == (1, 0, 0)


def test_an_empty_block_is_skipped_and_no_attempt_at_anything() -> None:
    watched = Watched()
    watched.execute(1, "abcd")
    watched.execute(1, "eeee", view=1, empty=True)
    watched.decide(1, "e", empty=True)

    tally = watched.observation.tally
    assert (tally.trials, tally.first_attempt_failures, tally.retries, tally.skipped) == (1, 1, 0, 1)


def test_what_byzantine_replicas_execute_is_not_looked_at_and_what_they_vote_is() -> None:
    watched = Watched(honest=(0, 1, 2))
    watched.execute(1, "aabX")
    watched.observation.voted(3, Prepare(3, 0, 1, Pair(Block(1, (0,)).digest, digest("a"))))
    watched.decide(1, "a", (0, 1, 2))

    tally = watched.observation.tally
    assert tally.first_attempt_failures == 0
    assert [line["replicas"] for line in watched.records[0]["attempts"][0]["ballot"]] == [[0, 1, 3], [2]]


def test_an_honest_replica_that_lies_behind_answers_for_heights_long_closed_in_vain() -> None:
    watched = Watched()
    watched.execute(1, "aaaa")
    watched.decide(1, "a")
    watched.execute(1, "b...")

    assert watched.observation.tally.trials == 1
    assert watched.observation.last_verdict(1) is None


def test_an_adopted_state_closes_every_height_that_it_covers() -> None:
    watched = Watched()
    for height in (1, 2, 3):
        watched.execute(height, "aaa.")
        watched.decide(height, "a", (0, 1, 2))
    assert watched.records == []
    watched.observation.adopted(3, Adopt(3, decide(3, "a").state))

    assert [record["height"] for record in watched.records] == [1, 2, 3]
    assert all("decided" in record for record in watched.records)
    assert watched.observation.tally.unanimous == 3


def test_a_crash_of_the_last_who_was_waited_for_closes_the_height() -> None:
    watched = Watched()
    watched.execute(1, "aaa.")
    watched.decide(1, "a", (0, 1, 2))
    before = watched.progressed
    watched.observation.went_down(3)

    assert watched.progressed == before + 1
    assert watched.observation.tally.unanimous == 1


def test_the_chain_moves_with_the_first_decision_and_with_the_last() -> None:
    watched = Watched()
    watched.execute(1, "aaaa")
    moved = []
    for replica in range(4):
        watched.decide(1, "a", (replica,))
        moved.append(watched.progressed)

    assert moved == [1, 1, 1, 2]


def test_what_one_that_comes_back_alone_had_reached_is_closed_as_it_comes() -> None:
    watched = Watched()
    watched.execute(1, "aaaa")
    watched.decide(1, "a", (3,))
    for replica in (3, 0, 1, 2):
        watched.observation.went_down(replica)
    assert watched.observation.closed == 0
    watched.observation.came_up(3)
    assert watched.observation.closed == 1


def test_the_chain_moves_with_the_first_certificate_of_an_output_that_is_compared_later() -> None:
    watched = Watched(blocks=2, protocol="tendermint")
    watched.execute(1, "aaaa")
    watched.observation.decided(0, decide(1, "a"))
    moved = [watched.progressed]
    for replica in range(2):
        watched.observation.certified(replica, Certify(1, digest("a"), (0, 1, 2)))
        moved.append(watched.progressed)

    assert moved == [1, 2, 2]


def test_divergence_and_marks_are_counted_apart() -> None:
    watched = Watched()
    block = Block(1, (0,))
    for replica in range(3):
        watched.observation.executed(replica, block, 0, answer("a"), 0)
    watched.observation.executed(3, block, 0, answer("lie", truths=("a",), marked=(True,)), 0)
    watched.decide(1, "a")

    tally = watched.observation.tally
    assert (tally.natural_divergence, tally.injected, tally.injected_changed) == (0, 1, 1)
    assert (tally.compared[3].requests, tally.compared[3].bits_differ) == (1, 0)

    watched.execute(2, "aaab")
    watched.decide(2, "a")

    assert (tally.natural_divergence, tally.injected) == (1, 1)
    assert (tally.compared[3].requests, tally.compared[3].bits_differ) == (2, 1)


def test_a_request_tried_twice_diverges_once() -> None:
    watched = Watched()
    watched.execute(1, "abcd")
    watched.execute(1, "abcd", view=1)
    watched.execute(1, "aaaa", view=2)
    watched.decide(1, "a")

    assert watched.observation.tally.natural_divergence == 1


def test_an_attempt_cut_by_the_end_counts_only_where_no_missing_vote_could_turn_it() -> None:
    open_still = Watched()
    open_still.execute(1, "aab.")
    open_still.observation.end()
    settled = Watched()
    settled.execute(1, "abc.")
    settled.observation.end()

    assert open_still.observation.tally.trials == 0
    assert settled.observation.tally.first_attempt_failures == 1
    assert open_still.records[0]["open"] is True


def test_who_will_never_answer_cannot_turn_an_attempt_that_was_cut() -> None:
    outvoted, down, silent = Watched(), Watched(), Watched((0, 1, 2), silent=(3,))
    outvoted.observation.outvoted(3, Outvoted(1, 0))
    down.observation.went_down(3, for_good=True)
    for watched in (outvoted, down, silent):
        watched.execute(1, "aab.")
        watched.observation.end()

    assert [each.observation.tally.first_attempt_failures for each in (outvoted, down, silent)] == [1, 1, 1]


def test_who_is_down_for_a_while_may_turn_an_attempt_that_was_cut() -> None:
    watched = Watched()
    watched.observation.went_down(3)
    watched.execute(1, "aab.")
    watched.observation.end()

    assert watched.observation.tally.trials == 0


def test_replicas_that_halted_have_settled_what_they_halted_on() -> None:
    watched = Watched()
    watched.execute(1, "aab.")
    watched.observation.halted(0, Halt(1, 1))
    watched.observation.end()

    assert watched.observation.tally.first_attempt_failures == 1


def test_trials_up_to_the_first_failure_leave_out_what_a_pipeline_began_beyond_it() -> None:
    watched = Watched()
    for height, answers in enumerate(("aaaa", "abcd", "aaaa", "abcd"), start=1):
        watched.execute(height, answers)
    watched.observation.end()

    tally = watched.observation.tally
    assert (tally.trials, tally.first_attempt_failures, tally.trials_to_first_failure) == (4, 2, 2)


def test_a_view_is_counted_once_and_one_that_never_began_is_not() -> None:
    watched = Watched()
    for view in (1, 3, 3, 2):
        watched.observation.voted(view, NewView(view, view, ()))

    assert watched.observation.tally.views == 2


def test_answers_that_nobody_has_yet_when_the_run_ends_are_no_votes() -> None:
    watched = Watched(now_ns=102)
    watched.execute(1, "abcd")  # done at 100, 101, 102 and 103
    watched.observation.end()

    assert watched.records[0]["attempts"][0]["ballot"][-1]["replicas"] == [2]
    assert watched.observation.tally.first_attempt_failures == 1


def test_what_a_replica_had_not_done_when_it_crashed_it_never_says() -> None:
    watched = Watched(now_ns=101)
    watched.execute(1, "aabb")
    for replica in (2, 3):
        watched.observation.went_down(replica)
    watched.observation.end()

    assert [line["replicas"] for line in watched.records[0]["attempts"][0]["ballot"]] == [[0, 1]]
    assert watched.observation.tally.trials == 0


def test_failures_are_kept_up_to_a_limit_and_counted_beyond() -> None:
    watched = Watched()
    for height in range(1, FAILURES_KEPT_MAX + 21):
        watched.execute(height, "abcd")
        watched.decide(height, "a")

    tally = watched.observation.tally
    assert len(tally.failures) == FAILURES_KEPT_MAX
    assert tally.first_attempt_failures == FAILURES_KEPT_MAX + 20


def test_nothing_grows_with_the_heights() -> None:
    watched = Watched(honest=(0, 1, 2))
    for height in range(1, 2_001):
        watched.execute(height, "aaa.")
        watched.observation.voted(3, Prepare(3, 0, height, Pair(Block(height, (height - 1,)).digest, digest("a"))))
        watched.decide(height, "a", (0, 1, 2))
        watched.records.clear()

    observation = watched.observation
    holds = [*vars(observation).values(), *vars(observation.chain).values()]
    holds += [getattr(observation.tally, name) for name in type(observation.tally).__slots__]
    assert max(len(held) for held in holds if isinstance(held, (dict, list, set))) <= 4


def test_what_a_replica_voted_before_it_lost_its_memory_counts_beside_what_it_votes_after() -> None:
    watched = Watched()
    watched.execute(1, "aaab")
    watched.observation.went_down(2)
    watched.observation.came_up(2)
    watched.observation.began_anew(2)
    watched.execute(1, "..b.")
    verdict = watched.observation.last_verdict(1)

    assert verdict is not None
    assert [line.replicas for line in verdict.ballot] == [(0, 1, 2), (2, 3)]


def test_checkers_are_told_what_all_say_and_what_the_honest_compute_and_decide() -> None:
    watched = Watched(honest=(0, 1, 2))
    block = Block(1, (0,))
    watched.execute(1, "...a")
    for replica in (0, 1, 3):
        watched.observation.voted(replica, Commit(replica, 0, 1, Pair(block.digest, digest("a"))))
    watched.observation.voted(0, Commit(0, 0, 1, Pair(block.digest, digest("b"))))
    watched.observation.decided(0, decide(1, "a", voters=(0, 1, 3)))
    watched.observation.decided(1, decide(1, "a", voters=(0, 1, 2)))
    watched.observation.decided(2, decide(2, "a", voters=(0, 1), requests=(7,)))
    watched.observation.decided(3, decide(2, "a", voters=(0,)))

    seen = [(each.kind, each.replicas) for each in watched.observation.checkers.violations.seen]
    assert seen == [
        ("double-vote", (0,)),
        ("false-certificate", (1,)),
        ("false-certificate", (2,)),
        ("invalid-block", (2,)),
        ("unknown-output", (2,)),
    ]


def test_what_only_the_faulty_computed_and_never_voted_for_is_unknown() -> None:
    watched = Watched(honest=(0, 1, 2))
    watched.execute(1, "...a")
    watched.observation.resynced(0, Resync(1, digest("a")))

    assert [each.kind for each in watched.observation.checkers.violations.seen] == ["unknown-output"]


def test_empty_blocks_that_end_a_chain_are_none_of_its_heights() -> None:
    watched = Watched(blocks=1)
    watched.execute(1, "aaaa")
    watched.decide(1, "a")
    watched.execute(2, "eeee", empty=True)
    watched.decide(2, "e", empty=True)

    assert (watched.observation.chain.frontier, watched.observation.tally.skipped) == (1, 0)


# --- outputs that are compared after a height is decided -------------------------------------------------------------


class WatchedLater(Watched):
    """The same for a protocol that orders first."""

    def __init__(self, protocol: str = "icp", *, now_ns: int = 10**6) -> None:
        super().__init__(protocol=protocol, now_ns=now_ns)

    def order(self, height: int, replicas: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        for replica in replicas:
            decided = Decide(Block(height, (height - 1,)), b"", 0, (0, 1, 2), digest(f"chain {height}"))
            self.observation.decided(replica, decided)

    def certify(self, height: int, output: str, replicas: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        for replica in replicas:
            self.observation.certified(replica, Certify(height, digest(output), (0, 1, 2)))

    def checkpoint(self, height: int, pasts: str) -> None:
        for replica, past in enumerate(pasts):
            snapshot = Snapshot(digest("chain"), digest(past), digest(past))
            self.observation.voted(replica, Checkpoint(replica, height, snapshot))


def test_a_height_is_settled_once_all_have_decided_and_executed_it_and_some_certificate_is_there() -> None:
    watched = WatchedLater()
    watched.order(1)
    watched.execute(1, "aaa.")
    watched.certify(1, "a", (0,))
    assert watched.observation.closed == 0

    watched.execute(1, "...b")
    tally = watched.observation.tally
    assert watched.observation.closed == 1
    assert (tally.unanimous, tally.with_dissent) == (0, 1)
    (record,) = watched.records
    assert (record["dissent"], record["decided"]["output"]) == ([3], digest("a").hex())
    assert record["ordered_at_ns"] == record["certified_at_ns"] == 10**6


def test_who_takes_the_state_over_is_waited_for_no_longer() -> None:
    watched = WatchedLater()
    watched.order(1)
    watched.execute(1, "aaa.")
    watched.certify(1, "a", (0,))
    watched.observation.resynced(3, Resync(1, digest("a")))

    assert (watched.observation.closed, watched.observation.tally.resyncs) == (1, 1)


def test_who_halts_itself_is_waited_for_no_longer() -> None:
    watched = WatchedLater()
    watched.order(1, (0, 1, 2))
    watched.execute(1, "aaa.")
    watched.certify(1, "a", (0,))
    watched.observation.outvoted(3, Outvoted(2, 0))

    assert watched.observation.closed == 1
    assert set(watched.observation.halted_themselves) == {3}
    assert watched.observation.chain.heights.everybody_reached(1)


def test_what_tells_is_the_first_uncertified_height_that_splits() -> None:
    watched = WatchedLater()
    for height, answers in ((1, "aaaa"), (2, "bbbb"), (3, "ccdd"), (4, "eeff")):
        watched.order(height)
        watched.execute(height, answers)
    watched.certify(1, "a", (0,))
    verdict = watched.observation.telling_verdict(5)

    assert verdict is not None
    assert (verdict.block.height, verdict.agreed) == (3, False)


def test_a_past_on_which_no_quorum_agrees_tells_though_each_block_had_one() -> None:
    watched = WatchedLater("pbft-classic")
    for height in (1, 2):
        watched.order(height)
        watched.execute(height, "abaa" if height == 1 else "aaba")
    watched.checkpoint(2, "aabc")
    verdict = watched.observation.telling_verdict(3)
    assert verdict is not None
    assert verdict.is_of_history
    assert [line.replicas for line in verdict.ballot] == [(0, 1), (2,), (3,)]

    watched.checkpoint(2, "aaab")
    agreed = watched.observation.telling_verdict(3)
    assert agreed is not None
    assert not agreed.is_of_history


def test_the_last_attempt_that_enough_executed_tells_and_not_one_that_was_cut_short() -> None:
    watched = Watched()
    watched.execute(1, "abcd")
    watched.execute(1, "a...", view=1)
    verdict = watched.observation.telling_verdict(1)

    assert verdict is not None
    assert (verdict.view, verdict.is_trial) == (0, True)


def test_clients_hear_what_is_replied_until_the_height_is_settled() -> None:
    watched = WatchedLater("pbft-classic")
    for replica, said in enumerate("aabb"):
        watched.observation.replied(replica, Reply(Block(1, (0,)), digest(said)))

    (conflict,) = watched.observation.replies.conflicts
    assert (conflict.height, [who for _, who in conflict.sides]) == (1, [(0, 1), (2, 3)])


def test_who_comes_back_to_a_chain_that_is_complete_is_told_of_when_it_has_caught_up() -> None:
    watched = Watched(blocks=1)
    watched.observation.went_down(3)
    watched.execute(1, "aaa.")
    watched.decide(1, "a", (0, 1, 2))
    watched.observation.came_up(3)
    before = watched.caught_up
    watched.decide(1, "a", (3,))

    assert (watched.caught_up, watched.progressed) == (before + 1, 2)


def test_who_certifies_last_is_told_of_once_everybody_has_decided() -> None:
    watched = Watched(blocks=1, protocol="tendermint")
    watched.execute(1, "aaaa")
    for replica in range(4):
        watched.observation.decided(replica, decide(1, "a"))
    watched.observation.certified(0, Certify(1, digest("a"), (0, 1, 2)))
    before = watched.caught_up
    watched.observation.certified(1, Certify(1, digest("a"), (0, 1, 2)))

    assert watched.caught_up == before + 1
