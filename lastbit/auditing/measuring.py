"""The measuring: every profile on the same inputs, one input after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Protocol, TypeAlias

import numpy as np

from lastbit.auditing.effort import repeated_inputs_for
from lastbit.auditing.knobs import BASES, KNOBS, Knob
from lastbit.auditing.pairs import Answered, PairsOfClasses
from lastbit.auditing.partition import Partition
from lastbit.auditing.prediction import FlipForecast, Floats, Margins, forecast
from lastbit.auditing.rounding_chance import RoundingChance, rounding_chance
from lastbit.fleet import Material
from replicas.differences import Difference, first_difference
from replicas.distance import distance
from replicas.engine import EngineError, EnginePool
from replicas.forms import Top1Form
from replicas.model import Model, ModelError
from replicas.model_check import reason_of_randomness
from replicas.outputs import OutputError, Outputs, outputs_digest
from replicas.profile import NumericProfile
from replicas.profile_faults import ProfileError
from replicas.replica import AnswerStore, Identity, Replica
from replicas.workload import workload_of
from simcore.streams import Streams

REPEATS = 3

Division: TypeAlias = tuple[tuple[str, ...], ...]
"""Profiles in the groups of equal answers to one input."""

_REFUSALS = (EngineError, ProfileError, ModelError, OutputError)


@dataclass(slots=True)
class Tried:
    """What was counted of one profile, in inputs: those it answers otherwise than its base, those whose best class it
    tells otherwise, those that the same session was given again, and those to which it then gave another answer. And
    the first input of the changed ones, where its answers first differ, and how far in `scaled_ulp`."""

    changed: int = 0
    flips: int = 0
    repeated: int = 0
    unrepeatable: int = 0
    counterexample: tuple[int, Difference, float] | None = None

    def note(self, request: int, answer: Answered, base: Answered) -> None:
        """Count one more input."""
        self.flips += answer.top1 != base.top1
        if answer.bits == base.bits:
            return
        self.changed += 1
        if self.counterexample is None and (found := first_difference([base.outputs, answer.outputs])) is not None:
            self.counterexample = request, found, distance(base.outputs, answer.outputs).scaled_ulp


class Watcher(Protocol):
    """Follows a measuring, input by input."""

    def take(self, request: int, answers: Mapping[str, Answered], measuring: Measuring) -> None:
        """One more input, and the answers of all profiles that run."""


class Measuring:
    """Runs profiles on inputs, and keeps what an audit tells.

    Args:
        material: model and inputs.
        profiles: what to try, by name; the first is the reference of all others.
        streams: where orders of summation are drawn.
        turns_knobs: turn every knob from every base, too.
        extra: further profiles to run, named so that no person's is, of which nothing is told by itself; each once.
        models: what a profile runs, by its name, where that is not the material's model.

    Raises:
        EngineError, OutputError: the reference itself cannot be run.

    Attributes:
        score: the form `top1`; None where it makes no sense for the model.
        repeated_inputs: how many of the first inputs are run again.
        refused: the profiles that could not run, each with the reason; turned knobs too, by `turned_name`.
        drawn: the profiles that draw their order anew on each run. Two equal answers of theirs mean nothing.
        order_drawn: those and the profiles of which each replica has an order of its own for life. In the audit such a
            profile is one replica; in a fleet its replicas differ.
        by_bytes, by_top1: the classes of all other profiles.
        divisions: for each form, how many inputs divided these profiles in which way.
        outputs_seen, inputs_seen, inputs_all_nan: the different outputs of the reference, the different inputs, and
            how many outputs held nothing but NaN.
        watchers: who is told of every input and of the answers to it, before it counts as done.
        rounding_untold: profiles of which nobody can tell how often another order shows, each with the reason.
        draws_random_numbers: which node draws; None where none does.
    """

    def __init__(
        self,
        material: Material,
        score: Top1Form | None,
        profiles: Mapping[str, NumericProfile],
        streams: Streams,
        *,
        turns_knobs: bool,
        extra: Mapping[str, NumericProfile] | None = None,
        models: Mapping[str, Model] | None = None,
    ) -> None:
        self.reference = next(iter(profiles))
        self.turns_knobs = turns_knobs
        self.score = score
        self.refused: dict[str, str] = {}
        self.inputs_done = 0
        self.repeated_inputs = repeated_inputs_for(material.operations)
        self.is_interrupted = False
        self._material = material
        self._models = models or {}
        self._streams = streams
        self._pool = EnginePool()
        self._times_ns: dict[Identity, list[int]] = {}
        self._latest_batches: dict[tuple[Identity, int], tuple[tuple[Hashable, ...], Outputs]] = {}
        self._extra = frozenset(extra or ())
        self._replicas = self._made({**profiles, **(turned_profiles() if turns_knobs else {}), **(extra or {})})
        self.profiles = tuple(name for name in profiles if name in self._replicas)
        self.drawn = tuple(name for name in self.profiles if profiles[name].bits_are_drawn_anew)
        self.order_drawn = tuple(name for name in self.profiles if profiles[name].bits_depend_on_order)
        named = [name for name in self.profiles if name not in self.drawn]
        self.by_bytes, self.by_top1 = Partition(named), Partition(named)
        self.pairs = PairsOfClasses(self.by_bytes)
        self.tried = {name: Tried() for name in self._replicas}
        self.divisions: dict[str, Counter[Division]] = {"bytes": Counter()}
        if score is not None:
            self.divisions["top1"] = Counter()
        self._margins: list[Floats] = []
        self._noises: dict[str, list[Floats]] = {name: [] for name in self.profiles}
        self.outputs_seen: set[bytes] = set()
        self.inputs_seen: set[Hashable] = set()
        self.inputs_all_nan = 0
        self._rounding: dict[tuple[str, str], RoundingChance | None] = {}
        self.rounding_untold: dict[str, str] = {}
        self.watchers: list[Watcher] = []
        self.draws_random_numbers = next(filter(None, map(_randomness, (material.model, *self._models.values()))), None)

    def take(self, request: int) -> None:
        """Give one more input to every profile."""
        self.inputs_seen.add(self._material.inputs.tensors(request).key)  # made now: the first run is not to pay for it
        answers = dict(self._answers(request))
        reference = answers[self.reference]
        self.pairs.take(request, {name: answers[name] for name in self.by_bytes.names})
        if self.score is not None:
            self.by_top1.refine({name: answers[name].top1 for name in self.by_top1.names})
        for name, answer in answers.items():
            base = answers.get(_base_of(name) or self.reference, reference)
            self.tried[name].note(request, answer, base)
        self._note_noise(answers)
        for form, divisions in self.divisions.items():
            divisions[_division(form, {name: answers[name] for name in self.by_bytes.names})] += 1
        self.outputs_seen.add(reference.bits)
        self.inputs_all_nan += _is_all_nan(reference.outputs)
        if self.inputs_done < self.repeated_inputs:
            self._repeat(request, answers)
        for watcher in self.watchers:
            watcher.take(request, answers, self)
        self.inputs_done += 1

    def rounding(self, name: str) -> RoundingChance | None:
        """How often another order shows in sums that are rounded once; None for a profile that has none such.

        Where it has, and it cannot be told, `rounding_untold` says why.
        """
        profile = self._replicas[name].profile if name in self.profiles else None
        if profile is None or not profile.summation_in_use.rounds_once or profile.precision == "integers":
            return None  # whole numbers are exact before they are rounded
        model, precision = self.model(name), profile.precision
        if (model.sha256, precision) not in self._rounding:
            found = None
            try:
                inputs, streams = self._material.inputs, self._streams
                found = rounding_chance(model, precision, inputs, streams, requests=self.inputs_done)
            except _REFUSALS as error:
                self.rounding_untold[name] = str(error)
            self._rounding[model.sha256, precision] = found
        return self._rounding[model.sha256, precision]

    def forecast(self, name: str) -> FlipForecast | None:
        """How often the best class will flip against the reference; None where there are no scores to tell it from."""
        noises = self._noises[name]
        return forecast(self._margins, noises) if len(noises) == len(self._margins) else None

    def _note_noise(self, answers: Mapping[str, Answered]) -> None:
        margins = Margins.of(answers[self.reference].outputs, self.score) if self.score is not None else None
        if margins is None:
            return
        self._margins.append(margins.apart)
        for name in self.profiles:
            noise = margins.noise(answers[name].outputs)
            if noise is not None:
                self._noises[name].append(noise)

    def interrupt(self) -> None:
        """Take no further input: an input counts for all profiles, or for none."""
        self.is_interrupted = True

    def leave_out_unrepeatable(self) -> None:
        """At the end: what does not even agree with itself belongs to no class."""
        for name in self.by_bytes.names:
            if self.tried[name].unrepeatable:
                self._leave_out(name)

    def _leave_out(self, name: str) -> None:
        self.by_top1.drop(name)
        self.pairs.drop(name)

    def retire(self, name: str) -> None:
        """Run a further profile no more."""
        del self._replicas[name]

    def distinct(self) -> Iterator[Replica]:
        """One replica for each way to compute: profiles that come to the same session, used alike, share their runs."""
        return iter({replica.identity: replica for replica in self._replicas.values()}.values())

    def replica(self, name: str) -> Replica:
        """What answers under a profile that runs."""
        return self._replicas[name]

    def model(self, name: str) -> Model:
        """What runs under a profile."""
        return self._models.get(name, self._material.model)

    def milliseconds(self, name: str) -> float | None:
        """The median time of a request, by the wall clock; of a batch, its share."""
        replica = self._replicas.get(name)
        times_ns = self._times_ns.get(replica.identity) if replica is not None else None
        return median(times_ns) / 1e6 if times_ns else None

    def _answers(self, request: int) -> Iterator[tuple[str, Answered]]:
        known: dict[Identity, Answered] = {}  # profiles that come to the same session, used alike, run once
        replicas = list(self._replicas.items())
        first = self.inputs_done % len(replicas)  # in turn: whoever runs first on an input is slowed by cold caches
        for name, replica in (*replicas[first:], *replicas[:first]):
            identity = replica.identity
            if identity in known:
                yield name, known[identity]
                continue
            try:
                answer = self._run(replica, request)
            except _REFUSALS as error:
                if name == self.reference:
                    raise
                self._refuse(name, error)
                continue
            if replica.engine.order_shape is None:
                known[identity] = answer
            yield name, answer

    def _run(self, replica: Replica, request: int) -> Answered:
        outputs = self._computed(replica, request, repeat=0)
        top1 = None if self.score is None else self.score.digest(outputs)
        return Answered(outputs, outputs_digest(outputs), top1)

    def _computed(self, replica: Replica, request: int, *, repeat: int) -> Outputs:
        """Run now, unless the request was in the batch before: a batch is run once for all its requests.

        Repeats are in the same order of summation; in another one where no order should show.
        """
        is_drawn = replica.profile.summation_in_use.is_drawn
        attempt = repeat if is_drawn and not replica.profile.bits_depend_on_order else 0
        run = replica.run_of(request, attempt)
        latest = self._latest_batches.get((replica.identity, repeat))
        if latest is not None and latest[0] == run.keys and len(run.keys) > 1 and not is_drawn:
            return replica.own(latest[1], run)
        begun_ns = perf_counter_ns()
        outputs = replica.run_batch(run)
        elapsed_ns = (perf_counter_ns() - begun_ns) // len(run.keys)
        self._times_ns.setdefault(replica.identity, []).append(elapsed_ns)
        self._latest_batches[replica.identity, repeat] = run.keys, outputs
        return replica.own(outputs, run)

    def _repeat(self, request: int, answers: Mapping[str, Answered]) -> None:
        """Ask each profile for the same again, in the same order of summation: does one session repeat itself?"""
        repeats: dict[Identity, bool] = {}
        for name, answer in answers.items():
            if name in self._extra:
                continue
            replica = self._replicas[name]
            identity = replica.identity
            if identity not in repeats or replica.engine.order_shape is not None:
                repeats[identity] = all(
                    self._gives(replica, request, answer.bits, repeat=each) for each in range(1, REPEATS)
                )
            self.tried[name].repeated += 1
            self.tried[name].unrepeatable += not repeats[identity]

    def _gives(self, replica: Replica, request: int, bits: bytes, *, repeat: int) -> bool:
        try:
            return outputs_digest(self._computed(replica, request, repeat=repeat)) == bits
        except _REFUSALS:  # what it answered once it now refuses
            return False

    def _made(self, profiles: Mapping[str, NumericProfile]) -> dict[str, Replica]:
        made: dict[str, Replica] = {}
        for place, (name, profile) in enumerate(profiles.items()):
            try:
                replica = self._replica(place, name, profile)
                replica.run_apart(0)
            except _REFUSALS as error:
                if name == self.reference:
                    raise
                self.refused[name] = str(error)
            else:
                made[name] = replica
        return made

    def _replica(self, place: int, name: str, profile: NumericProfile) -> Replica:
        return Replica(
            id=place,
            profile=profile,
            engine=self._pool.engine(self.model(name), profile),
            workload=workload_of(profile, self.model(name)),
            requests=self._material.inputs,
            form=self._material.form,
            store=AnswerStore(),
            ahead=None,
            streams=self._streams,
            marks=None,
            operations=self._material.operations,
            operations_per_second=1,
        )

    def _refuse(self, name: str, error: Exception) -> None:
        """A profile that ran at first and then could not: what it told so far is told no more."""
        self.refused[name] = str(error)
        del self._replicas[name]
        self.profiles = tuple(each for each in self.profiles if each != name)
        self.drawn = tuple(each for each in self.drawn if each != name)
        self._leave_out(name)


def turned_name(base: str, knob: Knob | None = None) -> str:
    """What a base, or a knob turned from it, is called among profiles; no profile of a person's is called so."""
    return f" {base}" if knob is None else f" {base} + {knob.name}"


def turned_profiles() -> dict[str, NumericProfile]:
    """All bases, and all knobs turned from each, by name."""
    profiles: dict[str, NumericProfile] = {}
    for name, base in BASES.items():
        profiles[turned_name(name)] = base
        for knob in KNOBS:
            if (turned := knob.turned(base)) is not None:
                profiles[turned_name(name, knob)] = turned
    return profiles


def _randomness(model: Model) -> str | None:
    return reason_of_randomness(model.proto())


def _base_of(name: str) -> str | None:
    """The base of a turned knob; None for a profile, which is compared with the reference."""
    return name.partition(" + ")[0] if name.startswith(" ") else None


def _division(form: str, answers: Mapping[str, Answered]) -> Division:
    parts: dict[Hashable, list[str]] = {}
    for name, answer in answers.items():
        parts.setdefault(answer.bits if form == "bytes" else answer.top1, []).append(name)
    return tuple(map(tuple, parts.values()))


def _is_all_nan(outputs: Outputs) -> bool:
    tensors = [value for _, value in outputs.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    return bool(tensors) and all(bool(np.isnan(tensor).all()) for tensor in tensors)
