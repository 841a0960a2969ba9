"""The tables of a scenario file, one class each. What one table says of another is judged in `across`.

Times are written in milliseconds and used in integer nanoseconds: each `..._ms` has a property `..._ns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from consensus.quorum import QuorumSystem
from lastbit.protocols import PROTOCOLS, ProtocolKind
from lastbit.scenario.base import REPLICAS_MAX, Duration, Instant, ReplicaId, Table, ns
from lastbit.scenario.faults import shown
from lastbit.scenario.fields import (
    NS_PER_S,
    S_MAX,
    FileName,
    Probability,
    Real,
    Text,
    Whole,
    refusal,
)
from lastbit.scenario.profile_table import ProfileTable

REQUESTS_PER_BLOCK_MAX = 1_000

Speed: TypeAlias = Annotated[int, Whole("a number of operations a second", low=1, high=10**18)]
Behaviour: TypeAlias = Literal["honest", "silent", "equivocating-leader", "equivocating-voter"]
Outcome: TypeAlias = Literal["completed", "stalled", "forked", "inconclusive"]


class Expect(Table):
    """What the author expects to see; a run that ends so exits with 0."""

    outcome: Outcome


class Chain(Table):
    """Who votes, how, and how far the chain is to go."""

    replicas: Annotated[int, Whole("a number of replicas", low=2, high=REPLICAS_MAX)]
    weights: tuple[Annotated[int, Whole("a voting weight", low=1, high=10**12)], ...] | None = None
    faulty_max: Annotated[int, Whole("a weight that may be faulty")] | None = None
    quorum: Annotated[int, Whole("the weight of a quorum", low=1)] | None = None
    protocol: Literal["pbft", "pbft-classic", "tendermint", "icp"] = "pbft"
    policy: Literal["halt", "retry", "skip"]
    outvoted: Literal["stay", "halt", "resync"]
    resync_ms: Duration | None = None
    digest: Literal["next-header", "proposal"] = "next-header"
    blocks: Annotated[int, Whole("a number of blocks", low=1, high=10**9)]
    requests_per_block: Annotated[int, Whole("a number of requests", low=1, high=REQUESTS_PER_BLOCK_MAX)] = 1
    pipeline: Annotated[int, Whole("a number of heights in flight", low=1, high=10_000)] = 1
    checkpoint_interval: Annotated[int, Whole("a number of heights", low=1, high=10**6)] = 16
    watermark_window: Annotated[int, Whole("a number of heights", low=1, high=10**7)] | None = None
    delta_bound_ms: Duration | None = None
    epsilon_ms: Instant = 0.0
    certified_gap_slow: Annotated[int, Whole("a number of heights", high=10**6)] = 3
    certified_gap_max: Annotated[int, Whole("a number of heights", low=1, high=10**6)] = 70
    cup_gap_max: Annotated[int, Whole("a number of heights", low=1, high=10**6)] = 130
    cup_interval: Annotated[int, Whole("a number of heights", low=1, high=10**6)] = 500
    timeout_ms: Duration | None = None
    timeout_cap_ms: Duration | None = None
    stall_after_ms: Duration | None = None
    give_up_after_ms: Duration | None = None
    until_s: Annotated[float, Real("a time in seconds", low=1e-9, high=S_MAX)] | None = None
    max_events: Annotated[int, Whole("a number of events", low=1)] = 1_000_000_000

    @model_validator(mode="before")
    @classmethod
    def _as_the_protocol_has_it(cls, found: Any) -> Any:
        """What the file leaves out and protocols differ in."""
        if not isinstance(found, Mapping):
            return found
        named = found.get("protocol", "pbft")
        kind = PROTOCOLS.get(named if isinstance(named, str) else "pbft", PROTOCOLS["pbft"])
        return {"policy": kind.policies[0], "outvoted": kind.outvoted[0], **found}

    @property
    def kind(self) -> ProtocolKind:
        """What a run must know of the protocol."""
        return PROTOCOLS[self.protocol]

    @property
    def voting_weights(self) -> tuple[int, ...]:
        """The weight of each replica: 1 for each where the file gives none."""
        return self.weights if self.weights is not None else (1,) * self.replicas

    @property
    def faulty_weight_max(self) -> int:
        """The faulty weight tolerated: where the file gives none, the most that stays below a third of all weight."""
        return self.faulty_max if self.faulty_max is not None else (sum(self.voting_weights) - 1) // 3

    def quorum_system(self) -> QuorumSystem:
        """Who weighs what, and the weight that decides.

        Raises:
            QuorumError: two quorums need not share an honest replica, or the honest cannot form one.
        """
        if self.quorum is not None:
            return QuorumSystem(self.voting_weights, self.faulty_weight_max, self.quorum)
        return self.kind.quorum(self.voting_weights, self.faulty_weight_max)

    @property
    def watermark_window_heights(self) -> int:
        """How far ahead of the last stable checkpoint replicas vote: two intervals, or the pipeline if that is more."""
        if self.watermark_window is not None:
            return self.watermark_window
        return max(2 * self.checkpoint_interval, self.pipeline)

    @property
    def delta_bound_ns(self) -> int | None:
        """ICC0's bound on the delay of a message; None: derived from the latency."""
        return None if self.delta_bound_ms is None else ns(self.delta_bound_ms)

    @property
    def epsilon_ns(self) -> int:
        """How long every replica waits before it notarizes."""
        return ns(self.epsilon_ms)

    @property
    def timeout_ns(self) -> int | None:
        """The first timeout of a height; None: derived from the undisturbed block time."""
        return None if self.timeout_ms is None else ns(self.timeout_ms)

    @property
    def timeout_cap_ns(self) -> int | None:
        """What timeouts grow to at most; None: derived from the first."""
        return None if self.timeout_cap_ms is None else ns(self.timeout_cap_ms)

    @property
    def stall_after_ns(self) -> int | None:
        """Time without a new committed height that counts as a stall; None: 10 undisturbed block times."""
        return None if self.stall_after_ms is None else ns(self.stall_after_ms)

    @property
    def give_up_after_ns(self) -> int | None:
        """How long a stall may last before the run ends; None: 20 times `stall_after`."""
        return None if self.give_up_after_ms is None else ns(self.give_up_after_ms)

    @property
    def resync_ns(self) -> int | None:
        """How long a replica takes to take over the state of others; None: derived from the undisturbed block time."""
        return None if self.resync_ms is None else ns(self.resync_ms)

    @property
    def until_ns(self) -> int | None:
        """When the run ends at the latest, in simulated time; None: no such limit."""
        return None if self.until_s is None else round(self.until_s * NS_PER_S)


class ModelChoice(Table):
    """The model that every replica runs, and what of its output is voted on."""

    name: Annotated[str, Text("the name of a model", 100)] | None = None
    file: Annotated[str, FileName(".onnx")] | None = None
    output: Annotated[str, Text("the name of an output", 1_000)] | None = None
    form: Literal["bytes", "top1"] = "bytes"


class CardInputs(Table):
    """The input set that a bundled model's card names: real images, or noisy variants of them.

    With `noise = a`, each request adds whole numbers drawn from -a..a to an image and clips them to its range.
    """

    kind: Literal["card"] = "card"
    images: Literal["held-out", "all"] = "held-out"
    noise: Annotated[int, Whole("an amplitude of noise", high=127)] = 0


class FileInputs(Table):
    """Requests from a NumPy archive: one array for each input, its first axis counting requests."""

    kind: Literal["npz"] = "npz"
    file: Annotated[str, FileName(".npz")]


def _range(found: object) -> object:
    if isinstance(found, list | tuple) and len(found) == 2 and all(_is_number(end) for end in found):
        if found[0] <= found[1]:
            return found
        raise refusal(f"from {shown(found[0])} to {shown(found[1])} is no range; the lower end comes first")
    raise refusal(f"{shown(found)} is not a range; two numbers, the lower end first: [0, 100]")


def _value(found: object) -> str:
    """The value as text: which dtype it is to have only the model knows."""
    if isinstance(found, str):
        return found
    if isinstance(found, bool) or _is_number(found):
        return str(found).lower()
    raise refusal(f"{shown(found)} is not a value; a number, true, false or text")


def _is_number(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < float("inf")


class GeneratedInputs(Table):
    """Inputs made for any model: free dimensions, ranges and fixed values by the name of the input or dimension."""

    kind: Literal["generated"] = "generated"
    dims: dict[str, Annotated[int, Whole("a size", low=1, high=2**31 - 1)]] = Field(default_factory=dict)
    ranges: dict[str, Annotated[tuple[int | float, int | float], BeforeValidator(_range)]] = Field(default_factory=dict)
    values: dict[str, Annotated[str, BeforeValidator(_value)]] = Field(default_factory=dict)


Inputs: TypeAlias = Annotated[CardInputs | FileInputs | GeneratedInputs, Field(discriminator="kind")]


class Fleet(Table):
    """What every replica is unless `[[replica]]` says otherwise."""

    profile: ProfileTable = Field(default_factory=dict)
    operations_per_second: Speed = 2_000_000_000
    behaviour: Behaviour = "honest"


class ReplicaOverride(Table):
    """How one replica differs from the fleet. Keys of its profile replace those of the fleet's, one by one."""

    id: ReplicaId
    profile: ProfileTable = Field(default_factory=dict)
    operations_per_second: Speed | None = None
    behaviour: Behaviour | None = None


class State(Table):
    """State carries over: what a replica answers becomes part of its state, and what is voted on names that.

    With `input` and `output` that output of the model is also that input of the next request.
    """

    carries: Literal["hash-chain"] = "hash-chain"
    input: Annotated[str, Text("the name of an input", 1_000)] | None = None
    output: Annotated[str, Text("the name of an output", 1_000)] | None = None


class Divergence(Table):
    """The dial: wrong answers put in on purpose. Without this table all divergence is natural."""

    rate: Annotated[float, Probability()]
    scope: Literal["prompt", "replica"] = "prompt"
    answers: Literal["distinct", "shared"] = "distinct"
    duration: Literal["persistent", "transient"] = "persistent"
