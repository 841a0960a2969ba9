"""Steps of Tendermint written down by others, and the words in which they are written.

The folder is `LASTBIT_CONFORMANCE`, or `shared/conformance` beside the checkout; its README describes the format. The
files may lie in it or in a folder `tendermint` of its own, under any name: a row tells by its fields what it is about.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

from consensus.ballot import Ballot
from consensus.tendermint import events, round_state
from consensus.tendermint.messages import Precommit, Prevote, Vote
from consensus.tendermint.round_state import RoundState, Step, Timeout, ValueId
from consensus.tendermint.vote_keeper import RoundVotes, Tally, Threshold, VoteKeeper, two_thirds

Row = dict[str, Any]

FILES = "*.jsonl*"


def folder() -> Path:
    beside = Path(__file__).parents[2] / ".." / "shared" / "conformance"
    named = Path(os.environ.get("LASTBIT_CONFORMANCE", beside))
    return named if any(named.glob(FILES)) else named / "tendermint"


def rows(field: str) -> Iterator[Row]:
    """The rows that have a field: `input` those of the state machine, `vote` those of the vote keeper."""
    for path in sorted(folder().glob(FILES)):
        read = gzip.open if path.suffix == ".gz" else open
        with read(path, "rt", encoding="utf-8") as lines:
            yield from (row for row in map(json.loads, lines) if field in row)


def value_of(found: Any) -> ValueId | None:
    """A value stands alone or as {"Val": ...}; "Nil" alone is nil."""
    if isinstance(found, dict):
        return str(found["Val"]).encode()
    return None if found == "Nil" else str(found).encode()


def named(found: Any) -> tuple[str, Any]:
    """A constructor and its argument: a bare word has none."""
    return (found, None) if isinstance(found, str) else next(iter(found.items()))


# --- the state machine --------------------------------------------------------------------------------------------


def state_of(row: Row) -> RoundState:
    return RoundState(
        height=row["height"],
        round=row["round"],
        step=_word(Step, "none" if row["step"] == "NoStep" else row["step"].removesuffix("Step")),
        locked_value=value_of(row["lockedValue"]),
        locked_round=row["lockedRound"],
        valid_value=value_of(row["validValue"]),
        valid_round=row["validRound"],
    )


def event_of(found: Any) -> events.Event:
    name, argument = named(found)
    match name:
        case "NewRoundCInput" | "NewRoundProposerCInput":
            return events.StartRound(argument, is_proposer="Proposer" in name)
        case "ProposeValueCInput":
            return events.ValueReady(_value(argument))
        case "ProposalCInput":
            return events.ProposalReceived(_value(argument[1]))  # the round before it is not looked at
        case "ProposalInvalidCInput":
            return events.InvalidProposal()
        case "ProposalAndPolkaPreviousAndValidCInput":
            return events.ProposalWithEarlierPolka(_value(argument[0]), argument[1])
        case "ProposalAndPolkaAndInvalidCInput":
            return events.InvalidProposalWithPolka()
        case "ProposalAndPolkaAndValidCInput":
            return events.ProposalWithPolka(_value(argument))
        case "ProposalAndCommitAndValidCInput":
            return events.ProposalWithPrecommits(argument[0], _value(argument[1]))
        case "RoundSkipCInput":
            return events.RoundSkip(argument)
        case "PolkaAnyCInput" | "PolkaNilCInput" | "PrecommitAnyCInput":
            return {"PolkaAny": events.PolkaAny, "PolkaNil": events.PolkaNil, "PrecommitAny": events.PrecommitAny}[
                name.removesuffix("CInput")
            ]()
    kind = name.removeprefix("Timeout").removesuffix("CInput")
    return events.TimedOut(_word(Timeout, kind), height=argument[0], round=argument[1])


def _word(allowed: Any, found: str) -> Any:
    """One of the words of a literal type."""
    word = found.lower()
    assert word in get_args(allowed), found
    return word


def _value(found: Any) -> ValueId:
    value = value_of(found)
    assert value is not None
    return value


def output_of(found: Any, pre: Row) -> round_state.Output | None:
    """What is to be said. Its height and sender are those of the state, and are checked here."""
    name, argument = named(found)
    if isinstance(argument, dict) and "srcAddress" in argument:
        assert (argument["srcAddress"], argument["height"]) == (pre["p"], pre["height"])
    match name:
        case "NoConsensusOutput":
            return None
        case "ErrorOutput":
            return round_state.Refused("")
        case "ProposalOutput":
            return round_state.Propose(argument["round"], _value(argument["proposal"]), argument["validRound"])
        case "GetValueAndScheduleTimeoutOutput":
            assert (argument[0], argument[2]) == (pre["height"], "ProposeTimeout")
            return round_state.GetValue(argument[1])
        case "VoteOutput":
            cast = round_state.CastPrevote if argument["voteType"] == "Prevote" else round_state.CastPrecommit
            return cast(argument["round"], value_of(argument["valueId"]))
        case "TimeoutOutput":
            return round_state.Schedule(_word(Timeout, argument[1].removesuffix("Timeout")), argument[0])
        case "DecidedOutput":
            return round_state.DecideValue(argument[0], _value(argument[1]))
        case "SkipRoundOutput":
            return round_state.SkipTo(argument)
    raise AssertionError(f"an unknown output: {name}")


# --- the vote keeper ----------------------------------------------------------------------------------------------

_KINDS: dict[str, type[Vote]] = {"prevotes": Prevote, "precommits": Precommit}


class Keeper:
    """A vote keeper in the words of the vectors: validators have names."""

    def __init__(self, pre: Row) -> None:
        self.names = sorted(pre["validatorSet"])
        self.keeper = VoteKeeper(two_thirds(tuple(pre["validatorSet"][name] for name in self.names)))
        self.keeper.evidence = [tuple(map(self.vote, votes)) for votes in pre["evidence"]]
        for round_, found in pre["rounds"].items():
            self.keeper.rounds[int(round_)] = self._round(found)

    def vote(self, found: Row) -> Vote:
        kind = Prevote if found["voteType"] == "Prevote" else Precommit
        voter, value = self.names.index(found["srcAddress"]), value_of(found["valueId"])
        return kind(voter, found["height"], found["round"], value)

    def threshold(self, found: Any) -> Threshold | None:
        name, argument = named(found)
        tally = {
            "PolkaAnyVKOutput": Tally.POLKA_ANY,
            "PolkaNilVKOutput": Tally.POLKA_NIL,
            "PolkaValueVKOutput": Tally.POLKA_VALUE,
            "PrecommitAnyVKOutput": Tally.PRECOMMIT_ANY,
            "PrecommitValueVKOutput": Tally.PRECOMMIT_VALUE,
            "SkipVKOutput": Tally.SKIP,
        }.get(name)
        if tally is None:
            assert name == "NoVKOutput"
            return None
        return (
            Threshold(tally, argument[0], value_of(argument[1]))
            if isinstance(argument, list)
            else Threshold(tally, argument)
        )

    def _round(self, found: Row) -> RoundVotes:
        votes = RoundVotes(Ballot(self.keeper.quorum), Ballot(self.keeper.quorum))
        told = map(self.threshold, found["emittedOutputs"])
        votes.emitted = tuple(threshold for threshold in told if threshold is not None)
        for name in _KINDS:
            received = list(map(self.vote, found[name]["receivedVotes"]))
            counted = self._counted(received, weights_of(found[name]))
            for vote in counted:
                getattr(votes, name).add(vote.sender, vote.value)
            votes.contradicting += tuple(vote for vote in received if vote not in counted)
        return votes

    def _counted(self, received: list[Vote], weights: dict[ValueId | None, int]) -> tuple[Vote, ...]:
        """Of an equivocator's votes one was counted; the vectors say which by the weights alone."""
        own = {vote.sender: [each for each in received if each.sender == vote.sender] for vote in received}
        for chosen in product(*own.values()):
            behind: dict[ValueId | None, int] = {}
            for vote in chosen:
                behind[vote.value] = behind.get(vote.value, 0) + self.keeper.quorum.weights[vote.sender]
            if behind == weights:
                return chosen
        raise AssertionError("no choice of votes gives these weights")

    def assert_is(self, post: Row) -> None:
        """Is this the state that the vectors describe?"""
        evidence = {frozenset(map(self.vote, votes)) for votes in post["evidence"]}
        assert set(map(frozenset, self.keeper.evidence)) == evidence
        assert set(self.keeper.rounds) == set(map(int, post["rounds"]))
        for round_, found in post["rounds"].items():
            votes = self.keeper.rounds[int(round_)]
            assert set(votes.emitted) == set(map(self.threshold, found["emittedOutputs"]))
            assert {self.names[voter] for voter in votes.voters} == set(found["votesAddressesWeights"])
            for name, kind in _KINDS.items():
                bucket, ballot = found[name], getattr(votes, name)
                received = [(voter, value) for voter, value in ballot.votes.items()]
                received += [(vote.sender, vote.value) for vote in votes.contradicting if isinstance(vote, kind)]
                expected = [(vote.sender, vote.value) for vote in map(self.vote, bucket["receivedVotes"])]
                assert sorted(map(repr, received)) == sorted(map(repr, expected))
                assert ballot.weight == weights_of(bucket)
                assert {self.names[voter] for voter in ballot.votes} == set(bucket["votesAddresses"])
                assert ballot.quorum.total == bucket["totalWeight"]


def weights_of(bucket: Row) -> dict[ValueId | None, int]:
    """The weight behind each value; its key is the value as JSON text."""
    return {value_of(json.loads(key)): weight for key, weight in bucket["valuesWeights"].items() if weight}
