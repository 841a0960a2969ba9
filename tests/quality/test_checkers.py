"""Is a protocol that breaks its own rules found, by the right checker, and is nothing sound called broken?"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.broken import CLASSES, bend_blocks, bend_effects, bend_outputs, story

import lastbit
from consensus.ballot import Ballot
from consensus.icp.messages import CertificationShare, FinalizationShare, NotarizationShare
from consensus.pbft.messages import Checkpoint, Commit, Prepare
from consensus.pbft_classic.messages import Commit as BlockCommit
from consensus.pbft_classic.messages import Prepare as BlockPrepare
from consensus.protocol import Adopt, Block, Broadcast, Certify, Decide, Effect, Pair
from consensus.quorum import QuorumSystem
from consensus.tendermint.messages import Precommit, Prevote
from lastbit.cli import exit_code_of
from lastbit.report import render
from lastbit.result import Result
from simcore.trace_reader import read_trace

PROTOCOLS = tuple(CLASSES)
OTHER = sha256(b"something else").digest()

Kind = type[Any]
VOTES: dict[Kind, dict[str, Any]] = {
    Prepare: {"pair": Pair(OTHER, OTHER)},
    Commit: {"pair": Pair(OTHER, OTHER)},
    Checkpoint: {"state": OTHER},
    BlockPrepare: {"block": OTHER},
    BlockCommit: {"block": OTHER},
    Prevote: {"value": OTHER},
    Precommit: {"value": OTHER},
    NotarizationShare: {"block": OTHER},
    FinalizationShare: {"block": OTHER},
    CertificationShare: {"output": OTHER},
}
OF: dict[str, tuple[Kind, ...]] = {
    "pbft": (Prepare, Commit, Checkpoint),
    "pbft-classic": (BlockPrepare, BlockCommit),
    "tendermint": (Prevote, Precommit),
    "icp": (NotarizationShare, FinalizationShare, CertificationShare),
}


def kinds(result: Result) -> set[str]:
    return {violation.kind for violation in result.violations}


@pytest.mark.parametrize(("protocol", "vote"), [(protocol, vote) for protocol, votes in OF.items() for vote in votes])
def test_a_replica_that_votes_twice_is_found(monkeypatch: pytest.MonkeyPatch, protocol: str, vote: Kind) -> None:
    def twice(replica: Any, effect: Effect) -> Iterator[Effect]:
        yield effect
        if replica.id == 1 and isinstance(effect, Broadcast) and isinstance(effect.message, vote):
            yield Broadcast(replace(effect.message, **VOTES[vote]))

    bend_effects(monkeypatch, protocol, twice)
    result = lastbit.run(story(protocol))

    assert kinds(result) == {"double-vote"}
    assert {violation.replicas for violation in result.violations} == {(1,)}
    assert result.exit_code == 1


@pytest.mark.parametrize("protocol", ["pbft", "pbft-classic", "icp"])
def test_replicas_that_decide_one_vote_early_are_found(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    sound = Ballot.__init__

    def early(self: Ballot[Any], quorum: QuorumSystem) -> None:
        lax = copy(quorum)
        object.__setattr__(lax, "threshold", quorum.threshold - 1)
        sound(self, lax)

    monkeypatch.setattr(Ballot, "__init__", early)
    result = lastbit.run(story(protocol))

    assert kinds(result) == {"false-certificate"}
    assert "on votes of weight 2; a quorum is 3" in result.violations[0].what


def test_a_decision_like_another_but_for_the_block_that_its_height_ends_with_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In ICP the final block vouches for those before it: the voters are the same, and what they voted for is not."""

    def of_another_block(replica: Any, effect: Effect) -> Iterator[Effect]:
        yield replace(effect, state=bytes(32)) if replica.id == 2 and isinstance(effect, Decide) else effect

    bend_effects(monkeypatch, "icp", of_another_block)
    result = lastbit.run(story("icp"))

    assert kinds(result) == {"false-certificate"}
    assert {violation.replicas for violation in result.violations} == {(2,)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("certificate", [Decide, Certify])
@pytest.mark.parametrize("voters", [(0, 1, 3), (0, 1)], ids=["who is silent", "too few"])
def test_a_certificate_that_names_who_did_not_vote_or_too_few_is_found(
    monkeypatch: pytest.MonkeyPatch, protocol: str, certificate: Kind, voters: tuple[int, ...]
) -> None:
    def false(replica: Any, effect: Effect) -> Iterator[Effect]:
        yield replace(effect, voters=voters) if replica.id == 2 and isinstance(effect, certificate) else effect

    bend_effects(monkeypatch, protocol, false)
    result = lastbit.run(story(protocol, replica=[{"id": 3, "behaviour": "silent"}]))

    if (protocol, certificate) == ("pbft", Certify):  # whose decisions say it all
        assert result.violations == ()
    else:
        assert kinds(result) == {"false-certificate"}
        assert {violation.replicas for violation in result.violations} == {(2,)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("bent", ["made up", "twice"])
def test_replicas_that_decide_what_nobody_asked_for_are_found(
    monkeypatch: pytest.MonkeyPatch, protocol: str, bent: str
) -> None:
    def invent(block: Block) -> Block:
        more = 1_000_000 if bent == "made up" else block.requests[0]
        return Block(block.height, (*block.requests, more))

    bend_blocks(monkeypatch, protocol, invent)
    result = lastbit.run(story(protocol))

    assert kinds(result) == {"invalid-block"}
    assert result.heights.committed == 6


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_replicas_that_certify_what_nobody_computed_are_found(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    bend_outputs(monkeypatch, protocol, lambda output: sha256(output).digest())
    result = lastbit.run(story(protocol))

    assert kinds(result) == {"unknown-output"}


@pytest.mark.parametrize("protocol", ["pbft", "pbft-classic", "icp"])
def test_a_replica_that_takes_over_what_no_quorum_vouches_for_is_found(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    def elsewhere(_: Any, effect: Effect) -> Iterator[Effect]:
        yield replace(effect, state=OTHER) if isinstance(effect, Adopt) else effect

    far = {"blocks": 150} | ({"cup_interval": 2} if protocol == "icp" else {})
    late = story(protocol, far, crash=[{"replica": 3, "from_ms": 10, "until_ms": 3_000}])
    assert lastbit.run(late).violations == ()
    bend_effects(monkeypatch, protocol, elsewhere)
    result = lastbit.run(late)

    assert kinds(result) == {"false-certificate"}
    assert {fork.kind for fork in result.forks} == {"two-states"}


def test_what_is_found_stands_in_red_before_the_outcome_and_in_the_trace_and_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bend_outputs(monkeypatch, "pbft", lambda output: sha256(output).digest())
    result = lastbit.run(story("pbft", expect={"outcome": "completed"}), trace=tmp_path / "trace.jsonl")
    told = [record.fields for record in read_trace(tmp_path / "trace.jsonl").records() if record.name == "violation"]
    text = render(result)

    assert [(each["kind"], each["height"]) for each in told] == [(v.kind, v.height) for v in result.violations]
    assert str(text).index("THE PROTOCOL BROKE ITS OWN RULES") < str(text).index("COMPLETED 6 heights")
    assert any(span.style == "bold red" for span in text.spans)
    assert (result.outcome, result.as_expected, result.exit_code) == ("completed", True, 1)
    assert exit_code_of(["run", "all-equal", "--blocks", "3", "--quiet"]) == 1
    assert "unknown-output" in capsys.readouterr().out


FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "silent": {"replica": [{"id": 1, "behaviour": "silent"}]},
    "lying leader": {"replica": [{"id": 0, "behaviour": "equivocating-leader"}]},
    "lying voter": {"replica": [{"id": 2, "behaviour": "equivocating-voter"}]},
    "losses": {"network": {"loss": 0.1, "latency": {"kind": "uniform", "low_ms": 1, "high_ms": 30}}},
    "copies": {"network": {"duplication": 0.3, "latency": {"kind": "uniform", "low_ms": 1, "high_ms": 30}}},
    "crash": {"crash": [{"replica": 1, "from_ms": 55, "until_ms": 1_500}]},
    "lost memory": {"crash": [{"replica": 1, "from_ms": 55, "until_ms": 400, "memory": "lost"}]},
    "split answers": {"divergence": {"rate": 0.3, "answers": "shared", "duration": "transient"}},
    "one outvoted": {"divergence": {"rate": 0.1, "scope": "replica"}},
    "more liars than are tolerated": {"replica": [{"id": each, "behaviour": "equivocating-voter"} for each in (0, 1)]},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("faults", FAULTS)
def test_no_fault_of_the_world_is_called_a_broken_rule(protocol: str, faults: str) -> None:
    result = lastbit.run(story(protocol, {"blocks": 30, "until_s": 60}, **FAULTS[faults]))

    assert result.violations == ()
