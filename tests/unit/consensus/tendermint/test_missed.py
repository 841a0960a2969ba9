"""Replicas that lag, come back, or miss what others have seen."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest
from msgspec.structs import replace
from support.cluster import MS, output
from support.tendermint_cluster import TendermintCluster, tendermint
from support.tendermint_solo import TendermintSolo, next_round

from consensus.protocol import (
    Adopt,
    CancelTimer,
    Certify,
    Decide,
    Execute,
    Message,
    Resync,
    Send,
    SetTimer,
)
from consensus.tendermint.certificates import CERTIFICATES_KEPT, CERTIFICATES_SENT_MAX
from consensus.tendermint.messages import (
    CommitCertificate,
    Prevote,
    Status,
    Sync,
    Value,
)


def test_who_lags_is_given_certificates_and_executes_what_they_decide() -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1, 2, 3))
    for height in (1, 2, 3):
        assert solo.of(Execute)[-1].block == solo.block(height)
        assert solo.protocol.decided == height
        solo.executed(solo.block(height))
    assert [decide.block.height for decide in solo.of(Decide)] == [1, 2, 3]
    assert solo.protocol._certificates.ahead == {}


def test_a_decided_block_that_is_being_executed_is_not_executed_twice() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(), solo.certificates(1))
    solo.executed(solo.block(1))
    assert [execute.block.height for execute in solo.of(Execute)] == [1]
    assert solo.protocol.round_state.height == 2


def test_what_another_block_gave_is_not_this_replicas_output() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(value=solo.empty()), solo.certificates(1))
    assert [execute.block for execute in solo.of(Execute)] == [solo.empty().block, solo.block(1)]
    solo.executed(solo.empty().block, "of nothing")
    solo.executed(solo.block(1))
    solo.hear(solo.proposal(2))
    assert solo.of(Execute)[-1].block == solo.block(2)


@pytest.mark.parametrize(("decided_in", "name"), [(0, "first"), (1, "second"), (2, "third")])
def test_its_output_is_that_of_the_round_that_decides(decided_in: int, name: str) -> None:
    """Executed in rounds 0 and 1, and decided in one of them or in another, for which it is executed then."""
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    next_round(solo, 0)
    solo.hear(solo.proposal(1, 1))
    solo.executed(solo.block(1), "first")
    solo.executed(solo.block(1), "second", 1)
    solo.hear(Sync(0, (CommitCertificate(decided_in, solo.value(), (0, 1, 2)),), ()))
    assert [execute.view for execute in solo.of(Execute)] == ([0, 1, 2] if decided_in == 2 else [0, 1])
    solo.executed(solo.block(1), "third", 2)
    solo.hear(solo.proposal(2, value=solo.value(2, before=name)))
    assert solo.of(Execute)[-1].block == solo.block(2)


def test_what_is_still_computed_for_another_round_is_not_its_output() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    next_round(solo, 0)
    solo.hear(Sync(0, (CommitCertificate(1, solo.value(), (0, 1, 2)),), ()))
    solo.executed(solo.block(1), "of round 0", 0)
    assert solo.protocol.round_state.height == 1
    solo.executed(solo.block(1), "of round 1", 1)
    solo.hear(solo.proposal(2, value=solo.value(2, before="of round 1")))
    assert solo.of(Execute)[-1].block == solo.block(2)


def test_a_replica_that_was_away_in_the_round_that_decides_executes_it_before_it_halts() -> None:
    solo = TendermintSolo(digest="proposal")
    next_round(solo, 0)
    solo.hear(solo.proposal(1, 1, replace(solo.value(), digest=output("second"))))
    solo.executed(solo.block(1), "second", 1)
    solo.hear(Sync(0, (CommitCertificate(0, replace(solo.value(), digest=output("first")), (0, 1, 2)),), ()))
    assert solo.protocol.halt_at is None
    solo.executed(solo.block(1), "first", 0)
    assert [decide.output for decide in solo.of(Decide)] == [output("first")]


def test_who_lags_halts_where_a_certificate_states_another_output() -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1, 2))
    solo.executed(solo.block(1), "another")
    assert solo.protocol.halt_at == 2


def test_in_a_proposal_the_lagging_judges_what_it_executed_itself() -> None:
    solo = TendermintSolo(digest="proposal")
    value = replace(solo.value(1), digest=output("same"))
    solo.hear(Sync(0, (CommitCertificate(0, value, (0, 1, 2)),), ()))
    assert solo.of(Decide) == []
    agreeing, differing = deepcopy(solo), deepcopy(solo)
    agreeing.executed(value.block)
    assert [decide.output for decide in agreeing.of(Decide)] == [output("same")]
    differing.executed(value.block, "another")
    assert differing.of(Decide) == []
    assert differing.protocol.halt_at == 1


@pytest.mark.parametrize("voters", [(0, 1), (0, 0, 1), ()])
def test_a_certificate_without_two_thirds_decides_nothing(voters: tuple[int, ...]) -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1, voters=voters))
    assert solo.of(Decide) == []


def test_certificates_of_far_heights_and_of_decided_ones_are_not_kept() -> None:
    solo = TendermintSolo()
    solo.decide(1)
    solo.hear(solo.certificates(1))
    assert solo.protocol._certificates.ahead == {}
    solo.hear(solo.certificates(*range(3, 100)))
    assert list(solo.protocol._certificates.ahead) == list(range(3, CERTIFICATES_SENT_MAX + 2))


def test_who_asks_is_told_what_it_lacks_and_nothing_else() -> None:
    solo = TendermintSolo()
    solo.decide(1, 2)
    solo.prevotes((0,), None, 3)
    (answer,) = solo.hear(Status(0, 1, 0))
    assert isinstance(answer, Send)
    assert isinstance(answer.message, Sync)
    assert [each.height for each in answer.message.certificates] == [1, 2]
    assert answer.message.messages == ()
    (answer,) = solo.hear(Status(0, 3, 0))
    assert isinstance(answer, Send)
    assert isinstance(answer.message, Sync)
    assert answer.message == Sync(3, (), (Prevote(0, 3, 0, None),))
    assert solo.hear(Status(0, 4, 0)) == []


def test_who_asks_in_an_earlier_round_is_told_of_it_and_of_how_the_present_one_came() -> None:
    solo = TendermintSolo()
    for round_ in range(4):
        next_round(solo, round_)
    solo.hear(Status(0, 1, 1))
    (answer,) = solo.said(Sync)
    assert sorted({message.round for message in answer.messages}) == [1, 3]
    solo.prevotes((0,), None, round_=4)
    solo.hear(Status(0, 1, 0))
    assert sorted({message.round for message in solo.said(Sync)[-1].messages}) == [0, 3, 4]


def test_certificates_are_kept_for_so_many_heights_and_no_more() -> None:
    solo = TendermintSolo(blocks=CERTIFICATES_KEPT + 10)
    solo.decide(*range(1, CERTIFICATES_KEPT + 10))
    assert len(solo.protocol._certificates.decided) == CERTIFICATES_KEPT


FAR = CERTIFICATES_KEPT + 1


def far_certificate(solo: TendermintSolo, voters: tuple[int, ...] = (0, 1, 2), height: int = FAR) -> Sync:
    value = Value(solo.block(height), output("far"), output("the chain before"))
    return Sync(0, (CommitCertificate(0, value, voters),), ())


def test_who_lags_behind_all_certificates_is_told_the_last_one() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    solo.decide(*range(1, FAR + 9))
    for height, told in ((1, [FAR + 8]), (9, [FAR + 8]), (10, [*range(10, 10 + CERTIFICATES_SENT_MAX)])):
        (answer,) = solo.hear(Status(0, height, 0))
        assert [each.height for each in answer.message.certificates] == told  # type: ignore[union-attr]


def test_who_lags_behind_all_certificates_takes_the_state_over_that_a_header_builds_on() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    solo.hear(solo.proposal())
    said = solo.hear(far_certificate(solo))
    assert [type(effect) for effect in said] == [Adopt, Resync, Certify, Decide, Execute, CancelTimer]
    assert said[:3] == [
        Adopt(FAR - 1, output("the chain before")),
        Resync(FAR - 1, output("far")),
        Certify(FAR - 1, output("far"), (0, 1, 2)),
    ]
    assert said[4] == Execute(solo.block(FAR), 0)
    assert solo.protocol.state == far_certificate(solo).certificates[0].value.id
    solo.executed(solo.block(FAR))
    solo.accept(FAR + 1)
    assert solo.voted(Prevote) == [(FAR + 1, 0, solo.value(FAR + 1).id)]


def test_certificates_before_a_gap_are_let_go() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    solo.decide(1)
    solo.hear(far_certificate(solo, height=FAR + 1))
    (answer,) = solo.hear(Status(0, 1, 0))
    assert [each.height for each in answer.message.certificates] == [FAR + 1]  # type: ignore[union-attr]


def test_who_lags_behind_all_certificates_takes_the_state_over_that_a_proposal_states() -> None:
    """What it was told to execute before is void."""
    solo = TendermintSolo(blocks=FAR + 9, digest="proposal")
    solo.hear(solo.certificates(1))
    assert solo.of(Execute) == [Execute(solo.block(1), 0)]
    certificate = far_certificate(solo)
    said = solo.hear(certificate)
    state = certificate.certificates[0].value.id
    assert [effect for effect in said if not isinstance(effect, SetTimer)] == [
        Adopt(FAR, state),
        Resync(FAR, output("far")),
    ]
    assert (solo.protocol.decided, solo.protocol.certified, solo.protocol.state) == (FAR, FAR, state)
    solo.accept(FAR + 1)
    assert solo.voted(Prevote) == [(FAR + 1, 0, solo.value(FAR + 1).id)]
    (answer,) = solo.hear(Status(0, FAR, 0))
    assert answer.message.certificates == certificate.certificates, "and shows others the way"  # type: ignore[union-attr]


def test_nobody_waits_when_the_last_state_is_taken_over() -> None:
    solo = TendermintSolo(blocks=FAR, digest="proposal")
    solo.hear(far_certificate(solo))
    assert isinstance(solo.effects[-1], CancelTimer)


def test_a_state_is_taken_over_on_the_word_of_two_thirds_and_from_beyond_all_certificates_only() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    for lie in (far_certificate(solo, voters=(0, 1)), far_certificate(solo, height=FAR - 1)):
        assert solo.hear(lie) == []
    solo.decide(1)
    other = solo.value(2, before="another")
    solo.precommits((0, 1, 2), other, 2)
    solo.hear(solo.proposal(2, value=other))
    assert solo.protocol.halt_at == 2
    assert solo.hear(far_certificate(solo, height=FAR + 1)) == [], "who halted stays where it is"


@pytest.mark.parametrize("digest", ["next-header", "proposal"])
def test_a_replica_away_for_longer_than_certificates_are_kept_goes_on_without_what_it_missed(
    digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("certificates", "replica"):
        monkeypatch.setattr(f"consensus.tendermint.{module}.CERTIFICATES_KEPT", 8)
        monkeypatch.setattr(f"consensus.tendermint.{module}.CERTIFICATES_SENT_MAX", 4)

    def deaf(sender: int, receiver: int, message: Message) -> int | None:
        return None if receiver == 3 and cluster.now_ns < 1_500 * MS else 10 * MS

    cluster = TendermintCluster(tendermint(digest=digest), blocks=60, delay_ns=deaf)
    cluster.run().settle()
    cluster.check_no_fork()
    cluster.check_outvoted()
    assert cluster.heights() == [60] * 4
    assert [len(adopted) for adopted in cluster.adopted] == [0, 0, 0, 1]
    (adopt,) = cluster.adopted[3]
    assert adopt.state == cluster.decided[0][adopt.height].state
    assert set(range(adopt.height + 1, 61)) <= set(cluster.decided[3])


def test_a_replica_cut_off_for_long_catches_up() -> None:
    def deaf(sender: int, receiver: int, message: Message) -> int | None:
        return None if receiver == 3 and cluster.now_ns < 2_000 * MS else 10 * MS

    cluster = TendermintCluster(tendermint(), blocks=100, delay_ns=deaf)
    cluster.run()
    cluster.check_no_fork()
    assert cluster.heights() == [100] * 4


def test_a_replica_back_from_a_crash_executes_again_what_was_lost_and_asks() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    effects = solo.keep(solo.protocol.recover())
    assert [effect.block for effect in effects if isinstance(effect, Execute)] == [solo.block(1)]
    assert solo.said(Status) == [Status(3, 1, 0)]
    assert isinstance(effects[-1], SetTimer)


def test_a_replica_that_crashed_while_it_executed_what_is_decided_does_that_again() -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1))
    effects = solo.keep(solo.protocol.recover())
    assert [effect.block for effect in effects if isinstance(effect, Execute)] == [solo.block(1)]


def test_a_silent_proposer_costs_one_round() -> None:
    cluster = TendermintCluster(tendermint(), behaviours={0: "silent"}).run()
    assert cluster.heights()[1:] == [5] * 3
    assert {height: decide.view for height, decide in cluster.decided[1].items()} == {1: 1, 2: 0, 3: 0, 4: 0, 5: 1}


@pytest.mark.parametrize("digest", ["next-header", "proposal"])
@pytest.mark.parametrize("behaviour", ["equivocating-leader", "equivocating-voter"])
@pytest.mark.parametrize("n", [4, 7])
def test_an_equivocator_forks_nothing_and_stops_nobody(n: int, behaviour: str, digest: str) -> None:
    cluster = TendermintCluster(tendermint(n, digest=digest), behaviours={1: behaviour}, blocks=8).run()
    cluster.check_no_fork()
    cluster.check_honest_votes()
    assert cluster.is_done


def test_copies_of_a_replica_are_equal_and_the_same_inputs_give_the_same_effects() -> None:
    random = Random(1)

    def lossy(sender: int, receiver: int, message: Message) -> int | None:
        return None if random.random() < 0.1 else random.randint(1, 40) * MS

    cluster = TendermintCluster(tendermint(), blocks=3, delay_ns=lossy).run()
    for node in cluster.inner:
        copy = deepcopy(node)
        assert copy == node
        assert copy.receive(Status(0, 1, 0)) == node.receive(Status(0, 1, 0))  # type: ignore[arg-type]
        assert copy == node
