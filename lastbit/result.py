"""What a run found: one frozen value, and the JSON object that `--json` prints.

Digests are lower-case hex, times are integer nanoseconds of simulated time, replicas are numbered from 0.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from lastbit.intervals import Rate
from replicas.engine import SettingShown
from replicas.prepare import PreparationReport

FORMAT = "lastbit.result/1"
FAILURES_KEPT_MAX = 100
VIOLATIONS_KEPT_MAX = 100

CauseCode: TypeAlias = Literal[
    "no-quorum-alive",
    "nobody-honest",
    "partition",
    "minority-halted",
    "recovery-too-slow",
    "split-ballot",
    "split-proposal",
    "halted",
    "replica-behind",
    "timeouts-too-short",
    "minority-leader",
    "certification-behind",
    "faulty-leader",
    "leader-away",
    "slow-block",
    "messages-lost",
    "unexplained",
]
Limit: TypeAlias = Literal["until_s", "max_events"]
ForkKind: TypeAlias = Literal["two-decisions", "two-states", "two-certificates"]
ViolationKind: TypeAlias = Literal["double-vote", "false-certificate", "invalid-block", "unknown-output"]

Outcome: TypeAlias = Literal["completed", "stalled", "forked", "inconclusive"]

EXIT_CODES: dict[Outcome, int] = {"completed": 0, "stalled": 3, "forked": 4, "inconclusive": 5}
EXIT_OTHERWISE = 6
EXIT_VIOLATED = 1


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a ballot: a digest, and who voted for it with how much weight together."""

    digest: str
    weight: int
    replicas: tuple[int, ...]


class AnswerValue(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer of one digest holds at one element: an exact float such as 0x1.8f3a12p+2, or other text."""

    digest: str
    hex: str


class FirstDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Where the answers of a ballot first part.

    Args:
        request: the id of the first request of the block that split the vote.
        output: name of the output; where labels are voted on, the values are those labels.
        element: its index in row-major order.
        values: one for each answer, in the ballot's order.
        steps: representable floats between the least and the greatest; None where they are no floats.
    """

    request: int
    output: str
    element: int
    values: tuple[AnswerValue, ...]
    steps: int | None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement failure: honest replicas with a quorum of weight ran one block, and no digest reached a quorum.

    Args:
        height: from 1.
        attempt: the view or round, from 0.
        at_ns: when the last vote that it is judged by was cast.
        block: digest of the block.
        ballot: the answers, by falling weight.
        silent: replicas that cast no vote.
        first_difference: where the answers first differ; None where that was not looked for.
    """

    height: int
    attempt: int
    at_ns: int
    block: str
    ballot: tuple[Answer, ...]
    silent: tuple[int, ...]
    first_difference: FirstDifference | None = None


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time without a new committed height.

    Args:
        height: the height that did not commit.
        from_ns: when the height before it committed.
        until_ns: when it committed after all; None while the stall lasts.
        permanent: the run ended in it.
        cause_code: a word for machines; `lastbit.causes` says by which order of questions it is found.
        cause: a sentence.
        contributing: what else was found: the further questions that the facts answer with yes, in their order.
        ballot: the answers of the attempt that tells most, by falling weight.
        silent: replicas that cast no vote.
        first_difference: where the answers first differ; None where that was not looked for.
    """

    height: int
    from_ns: int
    until_ns: int | None
    permanent: bool
    cause_code: CauseCode
    cause: str
    contributing: tuple[CauseCode, ...] = ()
    ballot: tuple[Answer, ...]
    silent: tuple[int, ...]
    first_difference: FirstDifference | None = None


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """A safety violation: two decisions for one height that exclude each other.

    Args:
        height: the height.
        at_ns: when the second of them was seen.
        kind: a word for machines.
        what: a sentence.
        sides: the decisions, and who holds each.
    """

    height: int
    at_ns: int
    kind: ForkKind
    what: str
    sides: tuple[Answer, ...]


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the protocol that an honest replica broke. No arithmetic and no faulty replica can do that: it is a
    fault of the protocol as it is written here.

    Args:
        kind: which rule, a word for machines; the checkers of `lastbit.checking` say what each watches for.
        height: where.
        at_ns: when it was seen.
        replicas: who broke it.
        what: a sentence.
    """

    kind: ViolationKind
    height: int
    at_ns: int
    replicas: tuple[int, ...]
    what: str


class Heights(msgspec.Struct, frozen=True, kw_only=True):
    """How far the chain got.

    Args:
        target: how far it was to go.
        committed: heights decided by every honest live replica: the sum of the four below, but for heights that
            every replica took over from others at a checkpoint.
        unanimous: those in which no honest replica had another answer than the decided one.
        with_dissent: those in which one had.
        skipped: those decided with an empty block.
        uncertified: those whose outputs no certificate says which holds; none where votes name the output.
        ordered: the highest height that some honest replica has decided.
        certified: the highest height for whose output some honest replica holds a certificate.
    """

    target: int
    committed: int
    unanimous: int
    with_dissent: int
    skipped: int
    uncertified: int = 0
    ordered: int
    certified: int


class ClientConflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers to one block that clients may both believe, for so many replicas gave each that one must be honest.

    Args:
        height: of the block.
        at_ns: when the second of them became believable.
        sides: the answers, and who gave each.
    """

    height: int
    at_ns: int
    sides: tuple[Answer, ...]


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What the closed form says of the first attempt at a block."""

    agreement_failure_probability: float
    dissent_probability: float


class DriftPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """What the closed form says of a chain whose replicas stay wrong once they were.

    Args:
        expected_blocks: the expected number of the first block that no quorum answers alike.
        chance_to_finish: the probability that the target comes before that.
    """

    expected_blocks: float
    chance_to_finish: float


class Inferences(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of the model: how many the replicas asked for, and how many were really made; equal ones are made once."""

    asked: int
    run: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica's arithmetic compares with that of one named replica, request by request and before the dial.

    Args:
        base: the replica that it is compared with.
        compared: requests that both answered.
        differing: of these, those whose outputs differ in some bit.
        votes_differing: of these, those in which what is voted on differs.
    """

    base: int
    compared: int
    differing: int
    votes_differing: int


class ReplicaResult(msgspec.Struct, frozen=True, kw_only=True):
    """One replica.

    Args:
        id: from 0.
        weight: of its vote.
        behaviour: such as "honest".
        profile: its numeric profile, every key.
        settings: what the runtime made of the profile, with the evidence.
        preparation: how the profile rewrote the model.
        operations_per_second: its speed.
        against: how its answers compare with those of the first honest replica; None for that one itself.
    """

    id: int
    weight: int
    behaviour: str
    profile: dict[str, Any]
    settings: tuple[SettingShown, ...] = ()
    preparation: PreparationReport = PreparationReport()
    operations_per_second: int
    against: Comparison | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the bits depend on besides the scenario."""

    versions: dict[str, str]
    processor: str
    processor_features: tuple[str, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a run.

    Args:
        format: name and version of this object's shape.
        scenario: its name.
        title: its title.
        seed: the seed.
        outcome: "forked" before "stalled" (the last stall is open) before "inconclusive" before "completed".
        expected: the outcome that the scenario expects, if it says one.
        as_expected: whether that came; None where the scenario expects nothing.
        interrupted: the run was cut by the user.
        limit: the limit of the scenario that ended the run; None where something else did.
        protocol: such as "pbft".
        policy: what follows a failed attempt.
        outvoted: what becomes of a replica whose output a quorum contradicts.
        n: number of replicas.
        f: faulty weight tolerated.
        quorum: weight that decides.
        weight: all weight; n where each replica weighs 1.
        model: the model's name.
        model_sha256: of its file.
        form: what of an output is voted on.
        divergence: the dial in words; None: no dial.
        heights: how far the chain got.
        agreement_failures: first attempts that failed. Under `halt` with a pipeline those of heights begun beyond the
            first failure are among them, and not in `rate`.
        retries: further attempts.
        view_changes: views that began after the first; one whose leader never began it is none. In Tendermint rounds
            after the first of their height; in ICP none, since all ranks belong to one round.
        first_failure_height: height of the first agreement failure; None: there was none.
        failures: the first 100 of them, first attempts or later ones.
        natural_divergence: requests to which honest replicas without marks computed different outputs.
        natural_divergence_voted: of these, those in which what is voted on differed, too.
        injected: marks that the dial set on answers that were computed.
        injected_changed: of these, those that changed the form voted on.
        violations: rules of the protocol that an honest replica broke; the first 100 of them.
        forks: safety violations.
        client_conflicts: blocks with two answers that clients may believe; the first 100 of them.
        client_conflicts_count: how many there were.
        resyncs: how often a replica took over the state of others for its own was outvoted, or it had missed too much.
        halted_themselves: the replicas that were outvoted and take no further part.
        prediction: the closed form; None where none holds.
        reason: why there is no prediction; None where there is one.
        drift: where state carries over and nobody takes that of others over: how long the chain is expected to last.
        rate: first attempts that failed, with the interval.
        stalls: in order of time.
        simulated_ns: simulated time.
        moved_ns: when the chain last moved. Where outputs are compared after a height is decided, a run that is
            complete has gone on for a while after that.
        events: delivered events.
        messages: delivered messages.
        inferences: asked and run.
        replicas: by id.
        environment: versions and processor.
        versions_untested: packages whose version was not tested, in words.
        trace_digest: SHA-256 of all records after the trace's header.
        trace_file: where the trace was written; None: nowhere.
        model_file: of the user's own, which a replay must be given; None: the model came with lastbit.
        inputs_file: the same of the inputs.
        feeds_back: an output of the model is an input of the next request. Then no answer can be explained by itself.
        command: what repeats the run; None where it was started from Python with a scenario that is no file.
    """

    format: str = FORMAT
    scenario: str
    title: str
    seed: int
    outcome: Outcome
    expected: Outcome | None
    as_expected: bool | None
    interrupted: bool
    limit: Limit | None = None
    protocol: str
    policy: str
    outvoted: str
    n: int
    f: int
    quorum: int
    weight: int
    model: str
    model_sha256: str
    form: str
    divergence: str | None
    heights: Heights
    agreement_failures: int
    retries: int
    view_changes: int
    first_failure_height: int | None
    failures: tuple[Failure, ...]
    natural_divergence: int
    natural_divergence_voted: int
    injected: int
    injected_changed: int
    violations: tuple[Violation, ...] = ()
    forks: tuple[Fork, ...]
    client_conflicts: tuple[ClientConflict, ...] = ()
    client_conflicts_count: int = 0
    resyncs: int = 0
    halted_themselves: tuple[int, ...] = ()
    prediction: Prediction | None
    reason: str | None
    drift: DriftPrediction | None = None
    rate: Rate
    stalls: tuple[Stall, ...]
    simulated_ns: int
    moved_ns: int
    events: int
    messages: int
    inferences: Inferences
    replicas: tuple[ReplicaResult, ...]
    environment: Environment
    versions_untested: tuple[str, ...] = ()
    trace_digest: str
    trace_file: str | None = None
    model_file: str | None = None
    inputs_file: str | None = None
    feeds_back: bool = False
    command: str | None

    def __post_init__(self) -> None:
        if (self.prediction is None) == (self.reason is None):
            raise ValueError("a result has a prediction, or a reason why there is none")
        if len(self.failures) > FAILURES_KEPT_MAX:
            raise ValueError(f"{len(self.failures)} failures kept; at most {FAILURES_KEPT_MAX}")

    @property
    def exit_code(self) -> int:
        """What the program ends with: 0 where the outcome is the one expected, and was not cut short. Where a protocol
        broke its own rules, no outcome is."""
        if self.violations:
            return EXIT_VIOLATED
        if self.interrupted:
            return EXIT_CODES[self.outcome] or EXIT_CODES["inconclusive"]
        if self.as_expected:
            return 0
        if self.as_expected is False:
            return EXIT_CODES[self.outcome] or EXIT_OTHERWISE
        return EXIT_CODES[self.outcome]


def to_json(result: Result) -> bytes:
    """The result as one JSON object: equal results give equal bytes.

    Example:
        >>> to_json(Inferences(asked=4, run=1))  # any part of a result, too
        b'{"asked":4,"run":1}'
    """
    return msgspec.json.encode(result, order="deterministic")


def from_json(text: bytes | str) -> Result:
    """Read back what `to_json` wrote.

    Raises:
        msgspec.DecodeError: it is no JSON.
        msgspec.ValidationError: it is no result.
    """
    return msgspec.json.decode(text, type=Result)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the object that `to_json` writes."""
    return msgspec.json.schema(Result)
