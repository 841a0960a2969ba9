"""What an audit found: plain data, and its JSON."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from lastbit.auditing.prediction import FlipForecast
from lastbit.auditing.quorum_chance import QuorumChance
from lastbit.auditing.rounding_chance import RoundingChance
from lastbit.intervals import Rate
from lastbit.result import Environment

FORMAT = "lastbit.audit/1"

Gate: TypeAlias = Literal["classes", "flips", "baseline"]
Verdict: TypeAlias = Literal["inert", "live", "unrepeatable", "refused", "same-as-base"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One profile that was tried.

    Attributes:
        name: as in the library, or in the user's file.
        imitates: what it stands for in a real fleet.
        refused: why it could not run; None where it did.
        order_drawn: it draws an order of summation anew on each run, and so belongs to no class.
        changed: inputs that it answers otherwise than `ref`, in some bit.
        repeats: how often each of the first inputs was run by the same session.
        repeated: how many inputs those were.
        unrepeatable: of these, how many did not get the same answer each time.
        flips: inputs whose best class it tells otherwise than `ref`; None where the model has none.
        forecast: flips against `ref` to be expected; None where there are no scores to tell it from.
        rounding: for one that adds in double precision and rounds once, how often another order shows all the same.
        milliseconds: the median time of a request, by this machine's clock; of a batch of requests, its share.
    """

    name: str
    imitates: str
    refused: str | None = None
    order_drawn: bool = False
    changed: Rate | None = None
    repeats: int = 0
    repeated: int = 0
    unrepeatable: int = 0
    flips: Rate | None = None
    forecast: FlipForecast | None = None
    rounding: RoundingChance | None = None
    milliseconds: float | None = None

    @property
    def is_of_no_class(self) -> bool:
        """Does it run, and yet agree with nobody, not even with itself?"""
        return self.order_drawn or self.unrepeatable > 0


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """How two classes by bytes differ, over all inputs; each stands for its first profile.

    Attributes:
        one, other: the first profiles of the two; distances are those of `other` from `one`.
        changed: inputs that they answer otherwise in some bit.
        flips: inputs whose best class or label they tell otherwise; None where the model has none.
        absolute, relative, scaled_ulp, ulp: the largest of each; see `replicas.distance`.
        inputs_by_power: how many inputs lie 2^k to 2^(k+1) of `scaled_ulp` apart, by k. Where an input has several
            tensors or elements, the farthest counts; one whose difference has no size (a NaN) is not in it.
        signs_of_zero, nan_against_number, nan_payloads, infinities, unlike: elements, over all inputs.
    """

    one: str
    other: str
    changed: Rate
    flips: Rate | None
    absolute: float
    relative: float
    scaled_ulp: float
    ulp: int
    inputs_by_power: dict[int, int]
    signs_of_zero: int
    nan_against_number: int
    nan_payloads: int
    infinities: int
    unlike: int

    @property
    def has_more_than_size(self) -> bool:
        """Do the two differ in what no distance measures, such as a NaN against a number, or in the top 1?"""
        odd = self.signs_of_zero + self.nan_against_number + self.nan_payloads + self.infinities + self.unlike
        return odd > 0 or (self.flips is not None and self.flips.failures > 0)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The first node at which a profile's arithmetic parts from the reference's, on one input that tells them apart.

    Attributes:
        one, other: the reference, and the first profile of another class.
        request: which input.
        said: a sentence; where nothing can be said, why.
        tensor: the first that differs though all that it was made from is equal; None where nothing can be said.
        nodes_one, nodes_other: what made it in each graph: one node, or all nodes of a region that one of them fused.
        weight: the weight that differs, where the profiles compute with different weights.
        element: index of the first element that differs, in row-major order.
        values: of both, exactly, as hex.
        ulps: representable numbers from one to the other; None where they are no finite floats.
        others: how many further origins there are.
    """

    one: str
    other: str
    request: int
    said: str
    tensor: str | None = None
    nodes_one: tuple[str, ...] = ()
    nodes_other: tuple[str, ...] = ()
    weight: str | None = None
    element: int | None = None
    values: tuple[str, ...] = ()
    ulps: int | None = None
    others: int | None = None


class Counterexample(msgspec.Struct, frozen=True, kw_only=True):
    """The first input that a setting changed, and the first element in which its answers differ.

    Attributes:
        request: which input.
        output, element: where, in row-major order.
        values: before and after, floats exactly, as hex.
        steps: representable floats between the two; None where they are no finite floats.
        scaled_ulp: how far apart the two answers lie as a whole; see `replicas.distance`.
    """

    request: int
    output: str
    element: int
    values: tuple[str, ...]
    steps: int | None
    scaled_ulp: float

    def __str__(self) -> str:
        apart = "" if self.steps is None else f", {self.steps:,} {'step' if self.steps == 1 else 'steps'} apart"
        where = f'request {self.request:,}, output "{self.output}", element {self.element}'
        return f"{where}: {' and '.join(self.values)}{apart}"


class KnobFound(msgspec.Struct, frozen=True, kw_only=True):
    """One knob turned from one base.

    Attributes:
        knob: which, and to what.
        base: from where.
        verdict: `inert` on the inputs that were tried, `live`, `unrepeatable` (the same session gives other bits when
            it is run again, so that nothing can be told), `refused`, or it stands so in the base already.
        changed: inputs whose bits it changed; None where it was not turned.
        counterexample: the first of them.
        refused: why it could not be turned.
    """

    knob: str
    base: str
    verdict: Verdict
    changed: Rate | None = None
    counterexample: Counterexample | None = None
    refused: str | None = None


class Invariance(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an answer depends on what it should not depend on, under the default settings.

    Attributes:
        to: threads, batch size or padding.
        holds: True on the inputs tried; False where a counterexample was found; None where it could not be tried.
        said: a sentence: what was tried, or the counterexample, or why nothing was.
        counterexample: an input whose answer it changed.
    """

    to: str
    holds: bool | None
    said: str
    counterexample: Counterexample | None = None


class PrescriptionFound(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that everybody could be held to, and whether all wanted profiles then agree.

    Attributes:
        settings: as in a file of profiles; empty: everybody does as they like.
        told: the same in words.
        holds: under them all wanted profiles gave equal bytes on all inputs.
        ended: why not; None where it holds.
        is_untried: it was not tried to the end, since it was not needed or would have cost too much.
        apart, request: the first two wanted profiles that differed, and on which input.
        slowdown: the time of the slowest wanted profile, as a ratio to that of the slowest with nothing prescribed.
    """

    settings: dict[str, Any]
    told: str
    holds: bool
    ended: str | None = None
    is_untried: bool = False
    apart: tuple[str, ...] = ()
    request: int | None = None
    slowdown: float | None = None


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What to prescribe, so that the wanted profiles agree.

    Attributes:
        said: a sentence.
        wanted: the profiles that are to agree.
        prescribed: the fastest settings that make them; None where none does.
        slowdown: their time, as in `tried`.
        tried: all prescriptions, those of fewer settings first.
    """

    said: str
    wanted: tuple[str, ...]
    prescribed: dict[str, Any] | None
    slowdown: float | None
    tried: tuple[PrescriptionFound, ...]


class OtherModel(msgspec.Struct, frozen=True, kw_only=True):
    """The second of two models that were compared under one profile; the first is the audit's own.

    Attributes:
        name, sha256: of its file.
        profile: under which both ran.
    """

    name: str
    sha256: str
    profile: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a later audit found otherwise, one sentence for each.

    Attributes:
        circumstances: what was other beforehand: model, inputs, versions, processor, profiles tried.
        classes: profiles that now agree with others than before, or with none, or run no more.
        verdicts: knobs that became live or inert.
        flips: profiles that flip the top 1 more or less often.
    """

    circumstances: tuple[str, ...]
    classes: tuple[str, ...]
    verdicts: tuple[str, ...]
    flips: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Is there what a gate is to stop: other classes, or other verdicts?"""
        return bool(self.classes or self.verdicts)


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an audit found.

    Attributes:
        format: name and version of this object's shape.
        other_model: what `model` was compared with, where profiles are the two models by their names; None otherwise.
        inputs_asked, inputs_done: how many inputs were to be tried, and were.
        interrupted: it was cut; all else covers what was done.
        forms: what may be voted on.
        classes: for each form, the profiles in classes of equal answers on all inputs; by `bytes` in any case.
        score_output: what `top1` was taken of; None where it makes no sense.
        origins: where each class parts from the reference; empty where the audit was interrupted.
        live_in_combination: knobs that are inert from `ref`, and live from another base.
        invariances: what of threads, batch size and padding the answers depend on.
        fleet, replicas: the fleet that was asked about, and how many of it make a chain.
        quorum: for each form the chance that those agree; empty where no fleet was asked about, or it can't be told.
        warnings: why "all equal" may mean nothing here.
        advice: what to prescribe; None where nothing was measured.
        changes: what is otherwise than in an earlier audit; None where it was compared with none.
    """

    format: str = FORMAT
    model: str
    model_sha256: str
    inputs: str
    seed: int
    inputs_asked: int
    inputs_done: int
    interrupted: bool
    forms: tuple[str, ...]
    score_output: str | None
    profiles: tuple[Profile, ...]
    classes: dict[str, tuple[tuple[str, ...], ...]]
    pairs: tuple[Pair, ...]
    origins: tuple[Origin, ...]
    knobs: tuple[KnobFound, ...]
    live_in_combination: tuple[str, ...]
    invariances: tuple[Invariance, ...]
    fleet: str | None
    replicas: int | None
    quorum: tuple[QuorumChance, ...]
    warnings: tuple[str, ...]
    advice: Advice | None
    environment: Environment
    changes: Changes | None = None
    other_model: OtherModel | None = None

    def fails_on(self, gate: Gate) -> bool:
        """Is there what a gate is to stop: more than one class by a form, any flip of the best class, or other classes
        or verdicts than in the baseline?"""
        if gate == "baseline":
            return self.changes is not None and self.changes.fails
        if gate == "classes":
            return any(not self.is_one_class(form) for form in self.forms)
        return any(pair.flips is not None and pair.flips.failures for pair in self.pairs)

    def is_one_class(self, form: str) -> bool:
        """Did all profiles give the same answer in that form, on every input and on every run?"""
        apart = [each for each in self.profiles if each.is_of_no_class]
        if form == "top1":
            apart = [each for each in apart if each.unrepeatable or (each.flips is not None and each.flips.failures)]
        return len(self.classes[form]) == 1 and not apart

    def to_json(self) -> str:
        """One JSON object; `format` says which kind and version."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def json_schema() -> dict[str, Any]:
    """The JSON schema of the object that `to_json` writes."""
    return msgspec.json.schema(Audit)
