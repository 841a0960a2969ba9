"""Nothing goes wrong, or only the arithmetic does: what is said, what is decided, and who halts."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace
from support.cluster import MS, output
from support.tendermint_cluster import TendermintCluster, tendermint
from support.tendermint_solo import TendermintSolo

from consensus.protocol import Block, CancelTimer, Certify, Decide, Execute, Resync
from consensus.tendermint import TendermintConfig
from consensus.tendermint.messages import NO_OUTPUT, CommitCertificate, Precommit, Prevote, Proposal, Sync, Value
from consensus.tendermint.vote_keeper import two_thirds


def answers_at(height: int, *names: str) -> Any:
    """At one height each replica has the answer of that name; elsewhere all agree."""
    return lambda replica, block, view: output(names[replica] if block.height == height else f"{block.height}")


@pytest.mark.parametrize("digest", ["next-header", "proposal"])
@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_a_block_costs_one_proposal_and_two_rounds_of_votes(n: int, digest: str) -> None:
    cluster = TendermintCluster(tendermint(n, digest=digest), blocks=3).run().settle()
    sent = Counter(message.kind for _, _, message in cluster.sent)
    assert sent == Counter({"proposal": 3 * (n - 1), "prevote": 3 * n * (n - 1), "precommit": 3 * n * (n - 1)})
    assert Counter(cluster.executions) == {
        (replica, cluster.source(height), 0): 1 for replica in range(n) for height in (1, 2, 3)
    }
    cluster.check_no_fork()
    cluster.check_honest_votes()


def test_replicas_propose_in_turn_one_further_with_each_height() -> None:
    cluster = TendermintCluster(tendermint(), blocks=6).run()
    proposers = {message.height: sender for sender, _, message in cluster.sent if isinstance(message, Proposal)}
    assert proposers == {1: 0, 2: 1, 3: 2, 4: 3, 5: 0, 6: 1}


def test_a_proposal_is_executed_then_prevoted_then_precommitted_on_a_polka_and_decided_by_two_thirds() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    assert [(execute.block, execute.view) for execute in solo.of(Execute)] == [(solo.block(1), 0)]
    assert solo.said(Prevote) == []
    solo.executed(solo.block(1))
    assert solo.voted(Prevote) == [(1, 0, solo.value().id)]
    solo.prevotes((0,), solo.value())
    assert solo.said(Precommit) == []
    solo.prevotes((1,), solo.value())
    assert solo.voted(Precommit) == [(1, 0, solo.value().id)]
    solo.precommits((0,), solo.value())
    assert solo.of(Decide) == []
    solo.precommits((1,), solo.value())
    (decide,) = solo.of(Decide)
    assert (decide.block, decide.output, decide.view, decide.voters) == (solo.block(1), b"", 0, (0, 1, 3))


def test_six_replicas_need_five() -> None:
    solo = TendermintSolo(replica=5, n=6)
    solo.accept()
    solo.precommits((0, 1, 2, 3), solo.value())
    assert solo.of(Decide) == []
    solo.precommits((4,), solo.value())
    assert len(solo.of(Decide)) == 1


def test_the_header_states_the_output_of_the_height_before() -> None:
    cluster = TendermintCluster(tendermint(), blocks=3, answer=lambda replica, block, view: output(f"{block.height}"))
    cluster.run()
    proposals = {message.height: message.value for _, _, message in cluster.sent if isinstance(message, Proposal)}
    assert [proposals[height].digest for height in (1, 2, 3)] == [NO_OUTPUT, output("1"), output("2")]


def test_a_decision_names_no_output_and_the_next_one_certifies_it_first() -> None:
    solo = TendermintSolo()
    solo.decide(1, 2)
    said = [effect for effect in solo.effects if isinstance(effect, Decide | Certify)]
    assert [(type(effect), effect.output) for effect in said] == [
        (Decide, b""),
        (Certify, output("same")),
        (Decide, b""),
    ]
    assert solo.protocol.certified == 1
    solo.accept(3)
    solo.prevotes((0, 1), solo.value(3), 3)
    solo.precommits((0, 2), solo.value(3), 3)
    assert solo.of(Certify)[-1] == Certify(2, output("same"), (0, 2, 3)), "by those who decided the height after it"


def test_the_proposal_states_its_own_output_where_the_configuration_says_so() -> None:
    cluster = TendermintCluster(
        tendermint(digest="proposal"), blocks=2, answer=lambda replica, block, view: output(f"{block.height}")
    )
    decided = cluster.run().decided[0]
    assert [decided[height].output for height in (1, 2)] == [output("1"), output("2")]
    assert cluster.certified == [[]] * 4
    assert cluster.inner[0].certified == 2


# --- outputs that differ --------------------------------------------------------------------------------------


def test_a_header_that_states_another_output_is_prevoted_nil_and_not_executed() -> None:
    solo = TendermintSolo()
    solo.decide(1)
    before = len(solo.of(Execute))
    solo.hear(solo.proposal(2, value=solo.value(2, before="another")))
    assert solo.voted(Prevote)[-1] == (2, 0, None)
    assert len(solo.of(Execute)) == before


def test_a_polka_for_a_header_that_states_another_output_is_not_precommitted() -> None:
    solo = TendermintSolo()
    solo.decide(1)
    other = solo.value(2, before="another")
    solo.hear(solo.proposal(2, value=other))
    solo.prevotes((0, 1, 2), other, 2)
    assert [vote for vote in solo.voted(Precommit) if vote[0] == 2] == []


@pytest.mark.parametrize(("digest", "committed"), [("next-header", 3), ("proposal", 2)])
def test_an_even_split_commits_what_it_can_and_then_goes_through_rounds_without_end(
    digest: str, committed: int
) -> None:
    """With the digest in the next header, height 3 is committed before anybody sees that its outputs differ."""
    cluster = TendermintCluster(tendermint(digest=digest), blocks=6, answer=answers_at(3, "a", "a", "b", "b"))
    cluster.run(until_ns=20_000 * MS)
    assert cluster.heights() == [committed] * 4
    assert cluster.halted == {}
    assert cluster.rounds(committed + 1) > 10
    cluster.check_no_fork()
    cluster.check_honest_votes()


@pytest.mark.parametrize(("digest", "halted_at"), [("next-header", 4), ("proposal", 3)])
@pytest.mark.parametrize("minority", range(4))
def test_who_is_outvoted_halts_and_the_others_go_on(digest: str, halted_at: int, minority: int) -> None:
    names = ["b" if replica == minority else "a" for replica in range(4)]
    cluster = TendermintCluster(tendermint(digest=digest), blocks=8, answer=answers_at(3, *names))
    cluster.run(until_ns=20_000 * MS)
    assert cluster.halted == {minority: halted_at}
    assert cluster.heights() == [halted_at - 1 if replica == minority else 8 for replica in range(4)]
    assert [outvoted.height for outvoted in cluster.outvoted] == [halted_at]
    assert cluster.halts == []
    assert {certify.height for certify in cluster.certified[minority]} == set(
        range(1, 3 if digest == "next-header" else 1)
    )
    cluster.check_no_fork()
    cluster.check_honest_votes()


@pytest.mark.parametrize("digest", ["next-header", "proposal"])
@pytest.mark.parametrize("minority", range(4))
def test_who_is_outvoted_and_takes_the_state_over_goes_on(digest: str, minority: int) -> None:
    """From height 3 on its outputs are its own, until it has the state of the others."""

    def answer(replica: int, block: Block, view: int) -> bytes:
        is_apart = replica == minority and block.height >= 3 and not cluster.resynced[replica]
        return output(f"{block.height} {is_apart}")

    cluster = TendermintCluster(tendermint(digest=digest, outvoted="resync"), blocks=8, answer=answer)
    cluster.run().settle()
    assert cluster.heights() == [8] * 4
    assert [[resync.height for resync in each] for each in cluster.resynced] == [
        [3] if replica == minority else [] for replica in range(4)
    ]
    assert cluster.resynced[minority][0].output == output("3 False")
    assert (cluster.halted, cluster.outvoted) == ({}, [])
    cluster.check_no_fork()
    cluster.check_honest_votes()


def resyncing(digest: str = "next-header") -> tuple[TendermintSolo, list[object]]:
    """Outvoted at height 1, and what it said at that moment."""
    solo = TendermintSolo(digest=digest, outvoted="resync")
    value = solo.value(1) if digest == "next-header" else replace(solo.value(1), digest=output("theirs"))
    solo.accept(1, value=value)
    solo.precommits((0, 1, 2), value)
    if digest == "proposal":
        return solo, list(solo.effects)
    theirs = solo.value(2, before="theirs")
    solo.hear(solo.proposal(2, value=theirs))
    return solo, list(solo.precommits((0, 1, 2), theirs, 2))


def test_a_header_that_outvotes_is_certified_then_its_state_taken_over_and_its_block_executed_anew() -> None:
    solo, said = resyncing()
    assert [type(effect) for effect in said] == [Certify, Resync, Decide, Execute, CancelTimer]
    assert said[0] == Certify(1, output("theirs"), (0, 1, 2))
    assert said[1] == Resync(1, output("theirs"))
    assert said[3] == Execute(solo.block(2), 0)
    solo.hear(solo.proposal(3, value=solo.value(3, before="from there")))
    assert solo.of(Execute)[-1].block == solo.block(2), "height 3 waits for the output of 2"
    solo.executed(solo.block(2), "from there")
    assert solo.of(Execute)[-1].block == solo.block(3)


def test_what_was_executed_from_the_wrong_state_is_forgotten_with_it() -> None:
    """Replica 3 proposes its own header in round 2 of height 2, and executes that block before it is outvoted."""
    solo = TendermintSolo(outvoted="resync")
    solo.decide(1)
    for round_ in range(2):
        solo.precommits((0, 1, 2), None, 2, round_)
        solo.timeout()
    assert solo.of(Execute)[-1] == Execute(solo.block(2), 2)
    theirs = solo.value(2, before="theirs")
    certificate = CommitCertificate(2, theirs, (0, 1, 2))
    for is_done in (False, True):
        one = deepcopy(solo)
        if is_done:
            one.executed(one.block(2), "from the wrong state", 2)
        said = one.hear(Sync(0, (certificate,), ()))
        assert [effect for effect in said if isinstance(effect, Execute)] == [Execute(one.block(2), 2)]
        one.executed(one.block(2), "from theirs", 2)
        one.hear(one.proposal(3, value=one.value(3, before="from theirs")))
        assert one.of(Execute)[-1].block == one.block(3)


def test_a_proposal_that_outvotes_is_decided_and_its_state_taken_over() -> None:
    solo, said = resyncing("proposal")
    (decide,), (resync,) = solo.of(Decide), solo.of(Resync)
    assert (decide.output, resync) == (output("theirs"), Resync(1, output("theirs")))
    assert said.index(decide) < said.index(resync)
    value = solo.value(2)
    solo.accept(2, value=value)
    assert solo.voted(Prevote)[-1] == (2, 0, value.id)


def test_the_rounds_of_a_minority_proposer_end_in_nil_and_the_next_one_is_decided() -> None:
    """Replica 3 proposes first at height 4, and states an output that nobody else has."""
    cluster = TendermintCluster(tendermint(), blocks=5, answer=answers_at(3, "a", "a", "a", "b")).run(20_000 * MS)
    assert cluster.decided[0][4].view == 1
    precommits = [m for _, _, m in cluster.sent if isinstance(m, Precommit) and (m.height, m.round) == (4, 0)]
    assert {vote.value for vote in precommits} == {None}


def test_a_halted_replica_says_nothing_more_and_waits_for_nothing() -> None:
    solo = TendermintSolo()
    solo.decide(1)
    other = solo.value(2, before="another")
    solo.hear(solo.proposal(2, value=other))
    solo.precommits((0, 1, 2), other, 2)
    before = len(solo.effects)
    solo.hear(solo.proposal(3), solo.proposal(9), solo.proposal(2, 1), solo.certificates(2, 3))
    solo.prevotes((0, 1, 2), None, 2, 1)
    assert solo.keep(solo.protocol.timeout()) == []
    assert len(solo.effects) == before
    assert solo.protocol.decided == 1


def test_a_value_whose_output_is_executed_anew_in_each_round_may_heal() -> None:
    """Outputs differ in the first round only, as with a transient fault: the second one agrees."""

    def answer(replica: int, block: Block, view: int) -> bytes:
        return output(f"{replica}" if block.height == 2 and view == 0 else "same")

    cluster = TendermintCluster(tendermint(digest="proposal"), blocks=4, answer=answer).run(20_000 * MS)
    assert cluster.heights() == [4] * 4
    assert {decided[2].view for decided in cluster.decided} == {1}
    assert cluster.halted == {}


@pytest.mark.parametrize(
    "lie",
    [{"block": Block(1, (0, 99))}, {"digest": output("made up")}, {"parent": output("another chain")}],
    ids=lambda lie: next(iter(lie)),
)
def test_a_proposal_of_what_no_client_asked_for_or_nobody_computed_or_on_another_chain_is_prevoted_nil(
    lie: dict[str, Any],
) -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(value=replace(solo.value(), **lie)))
    assert solo.of(Execute) == []
    assert solo.voted(Prevote) == [(1, 0, None)]


def test_what_votes_name_follows_from_all_of_a_value() -> None:
    value = Value(Block(1, (0,)), output("a"), output("b"))
    others = (replace(value, block=Block(1, ())), replace(value, digest=b""), replace(value, parent=b""))
    assert len({each.id for each in (value, *others)}) == 4


def test_a_proposal_from_another_than_the_proposer_is_not_looked_at() -> None:
    solo = TendermintSolo()
    solo.hear(*(Proposal(sender, 0, solo.value(), -1, ()) for sender in (1, 2)))
    assert solo.of(Execute) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"timeout_ns": 0}, "timeout_ns is 0"), ({"timeout_ns": 2, "timeout_max_ns": 1}, "max_ns is 1")],
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TendermintConfig(quorum=two_thirds((1,) * 4), **settings)  # type: ignore[arg-type]
