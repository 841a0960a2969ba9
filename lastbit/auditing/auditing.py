"""An audit from a model to what was found: load it, try every profile on the same inputs, and sum up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from consensus.quorum import QuorumSystem
from lastbit.auditing.advice import Wanted, advice_of
from lastbit.auditing.drawn_runs import DrawnRuns
from lastbit.auditing.effort import samples_for
from lastbit.auditing.findings import Audit, OtherModel
from lastbit.auditing.knobs import REFERENCE
from lastbit.auditing.measuring import Measuring, turned_profiles
from lastbit.auditing.model_pair import labels_of, matched, sizes_from
from lastbit.auditing.prescribing import Prescribing
from lastbit.auditing.quorum_chance import FleetShares
from lastbit.auditing.summary import found_by, with_fleet
from lastbit.did_you_mean import did_you_mean
from lastbit.fleet import Material, load_material, load_model
from lastbit.scenario import Scenario
from replicas.forms import FORMS, FormError, Top1Form, make_form
from replicas.library import NamedProfile, named_profiles
from replicas.model import Model
from replicas.profile import NumericProfile
from simcore.streams import Streams
from simcore.world import ctrl_c_ends_the_run

SAMPLES_ALLOWED_MAX = 100_000_000

NOISE = 2
"""Steps of a pixel: a bundled model's own images are few, and are varied so that no input comes twice."""

Progress = Callable[[int, int], None]


class AuditError(ValueError):
    """An audit that cannot be made as asked; the message says why and what can."""


def audit(
    model: str | Path,
    *,
    inputs: Path | None = None,
    dims: Mapping[str, int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    values: Mapping[str, str] | None = None,
    output: str | None = None,
    profiles: Mapping[str, NamedProfile] | None = None,
    forms: Sequence[str] | None = None,
    samples: int | None = None,
    seed: int = 0,
    fleet: str | None = None,
    replicas: int = 4,
    wanted: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Find out which settings give the same bits.

    Args:
        model: a file that ends in `.onnx`, or the name of a bundled model.
        inputs, dims, ranges, values, output: as for `lastbit.run`.
        profiles: what to try, by name; all of the library's, if left out. `ref` is always tried.
        forms: what may be voted on: `bytes`, `top1` or both; all that make sense for the model, if left out. Bits are
            compared in any case; classes, gates and the chance of a quorum are told by these.
        samples: how many inputs; 300, and fewer for a heavy model, if left out.
        seed: of generated and noisy inputs, and of orders of summation.
        fleet: profiles and their shares, such as `ref=0.7,noprepack=0.3`, or numbers of machines: how likely do
            replicas drawn from it form a quorum?
        replicas: how many are drawn, with the usual quorum for so many.
        wanted: profiles that are to agree, such as `ref,noprepack`: what must be prescribed so that they do? Left out:
            the reference with other numbers of threads and the other execution mode.
        progress: called with the inputs done and asked.

    Raises:
        ValueError: what was given cannot be audited; the message says what, where and what is allowed.

    Example:
        >>> found = audit("digits-mlp", samples=3)
        >>> found.classes["bytes"][0][:2]
        ('ref', 'threads4')
    """
    _check_samples(samples)
    chosen = {REFERENCE: named_profiles()[REFERENCE], **(named_profiles() if profiles is None else profiles)}
    asked = None if fleet is None else FleetShares.from_text(fleet, chosen)
    quorum = QuorumSystem.equal(replicas)
    plain = {name: each.profile for name, each in chosen.items()}
    agreeing = Wanted.uncontrolled() if wanted is None else Wanted.from_text(wanted, plain)
    prescribing = Prescribing(agreeing.profiles, plain[REFERENCE], {**plain, **turned_profiles()})
    subject = Subject.load(model, inputs, dims, ranges, values, output, seed, forms)
    measuring = subject.measuring(chosen, turns_knobs=True, extra=prescribing.extra)
    runs = None if asked is None else DrawnRuns.of_fleet(asked, measuring.order_drawn, replicas)
    measuring.watchers += [prescribing] if runs is None else [prescribing, runs]
    found = _examine(measuring, subject, chosen, samples, progress)
    found = replace(found, advice=advice_of(agreeing, prescribing, measuring))
    return found if asked is None else with_fleet(found, measuring, runs, asked, str(fleet), quorum)


def diff(
    model: str | Path,
    one: NamedProfile,
    other: NamedProfile,
    *,
    inputs: Path | None = None,
    dims: Mapping[str, int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    values: Mapping[str, str] | None = None,
    output: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Find out how two profiles differ: an audit of the two alone, `one` being the reference. See `audit`.

    Raises:
        ValueError: as for `audit`; also where one of the two cannot run.

    Example:
        >>> library = named_profiles()
        >>> diff("digits-mlp", library["noprepack"], library["noprepack-threads4"], samples=3).classes["bytes"]
        (('noprepack', 'noprepack-threads4'),)
    """
    _check_samples(samples)
    if one.name == other.name:
        raise AuditError(f'"{one.name}" and "{other.name}" are one profile; name two')
    chosen = {one.name: one, other.name: other}
    subject = Subject.load(model, inputs, dims, ranges, values, output, seed)
    measuring = subject.measuring(chosen, turns_knobs=False)
    if other.name in measuring.refused:
        raise AuditError(f"{other.name}: {measuring.refused[other.name]}")
    return _examine(measuring, subject, chosen, samples, progress)


def diff_models(
    one: str | Path,
    other: str | Path,
    profile: NamedProfile | None = None,
    *,
    inputs: Path | None = None,
    dims: Mapping[str, int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    values: Mapping[str, str] | None = None,
    output: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Find out how two models differ on the same inputs: what `diff` tells of two profiles.

    Args:
        one, other: files that end in `.onnx`, or names of bundled models. They have inputs of the same names and types,
            and as many outputs, which are compared by name, or by position where names differ.
        profile: under which both run; `ref`, if left out.
        inputs, dims, ranges, values, output, samples, seed, progress: as for `audit`, said of the first model.

    Raises:
        ValueError: as for `audit`; also where the two do not fit together.

    Example:
        >>> diff_models("digits-mlp", "digits-forest", samples=3)
        Traceback (most recent call last):
            ...
        lastbit.auditing.model_pair.ModelPairError: digits-mlp and digits-forest cannot be compared: ...
    """
    _check_samples(samples)
    under = named_profiles()[REFERENCE] if profile is None else profile
    first, second = labels_of(one, other)
    ours, theirs = _load(one, seed), _load(other, seed)
    matching, remarks = matched(ours, theirs, (first, second))
    given = {**sizes_from(theirs, ours), **(dims or {})} if _is_file(one) and inputs is None else dims
    subject = Subject.load(one, inputs, given, ranges, values, output, seed)
    chosen = {name: NamedProfile(name, f"{name} under {under.name}", under.profile) for name in (first, second)}
    measuring = subject.measuring(chosen, turns_knobs=False, models={second: matching})
    if second in measuring.refused:
        raise AuditError(f"{second}: {measuring.refused[second]}")
    found = _examine(measuring, subject, chosen, samples, progress)
    return replace(
        found,
        model=first,
        other_model=OtherModel(name=second, sha256=theirs.sha256, profile=under.name),
        warnings=(*remarks, *found.warnings),
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: model and inputs, loaded and checked, and the forms that classes are told by."""

    material: Material
    forms: tuple[str, ...]
    score: Top1Form | None
    streams: Streams
    seed: int

    @classmethod
    def load(
        cls,
        model: str | Path,
        inputs: Path | None,
        dims: Mapping[str, int] | None,
        ranges: Mapping[str, tuple[float, float]] | None,
        values: Mapping[str, str] | None,
        output: str | None,
        seed: int,
        forms: Sequence[str] | None = None,
    ) -> Subject:
        if forms is not None:
            _check_forms(forms)
        scenario = _scenario(model, seed).with_overrides(
            model=model, inputs=inputs, dims=dims, ranges=ranges, values=values, output=output
        )
        streams = Streams(seed)
        material = load_material(scenario, streams, may_draw=True)
        score = _score(material, output, forms)
        told = ("bytes",) if score is None else FORMS
        return cls(material, told if forms is None else tuple(dict.fromkeys(forms)), score, streams, seed)

    def measuring(
        self,
        chosen: Mapping[str, NamedProfile],
        *,
        turns_knobs: bool,
        extra: Mapping[str, NumericProfile] | None = None,
        models: Mapping[str, Model] | None = None,
    ) -> Measuring:
        profiles = {name: each.profile for name, each in chosen.items()}
        return Measuring(
            self.material, self.score, profiles, self.streams, turns_knobs=turns_knobs, extra=extra, models=models
        )


def _examine(
    measuring: Measuring,
    subject: Subject,
    chosen: Mapping[str, NamedProfile],
    samples: int | None,
    progress: Progress | None,
) -> Audit:
    if samples is None:
        samples = samples_for(subject.material.operations)
    interrupted = _measure(measuring, samples, progress)
    measuring.leave_out_unrepeatable()
    return found_by(
        measuring,
        subject.material,
        chosen,
        forms=subject.forms,
        samples=samples,
        seed=subject.seed,
        interrupted=interrupted,
    )


def _scenario(model: str | Path, seed: int) -> Scenario:
    """A scenario of one block: what it says of model and inputs is what an audit needs to know."""
    inputs = {"kind": "generated"} if _is_file(model) else {"kind": "card", "noise": NOISE}
    named = {"name": "digits-mlp" if _is_file(model) else str(model)}
    return Scenario.from_mapping(
        {"name": "audit", "seed": seed, "chain": {"replicas": 4, "blocks": 1}, "model": named, "inputs": inputs},
        source="audit",
    )


def _load(model: str | Path, seed: int) -> Model:
    return load_model(_scenario(model, seed).with_overrides(model=model), may_draw=True)[0]


def _is_file(model: str | Path) -> bool:
    return str(model).endswith(".onnx")


def _check_samples(samples: int | None) -> None:
    if samples is not None and not 1 <= samples <= SAMPLES_ALLOWED_MAX:
        raise AuditError(f"samples: {samples} is not allowed; 1 to {SAMPLES_ALLOWED_MAX:,}")


def _check_forms(forms: Sequence[str]) -> None:
    unknown = [form for form in forms if form not in FORMS]
    if unknown:
        raise AuditError(f'forms: no form "{unknown[0]}"; {did_you_mean(unknown[0], FORMS)}')
    if not forms:
        raise AuditError(f"forms: none is named; {' or '.join(FORMS)}, or both")


def _score(material: Material, output: str | None, forms: Sequence[str] | None) -> Top1Form | None:
    """The form `top1`, where it is asked for, or makes sense for this model and nobody said what is."""
    if forms is not None and "top1" not in forms:
        return None
    try:
        form = make_form("top1", material.model, output or material.score_output)
    except FormError:
        if output is not None or forms is not None:
            raise
        return None
    return form if isinstance(form, Top1Form) else None


def _measure(measuring: Measuring, samples: int, progress: Progress | None) -> bool:
    """Take the inputs one by one; True if Ctrl-C came before the last."""
    with ctrl_c_ends_the_run(measuring):
        for request in range(samples):
            measuring.take(request)
            if progress is not None:
                progress(request + 1, samples)
            if measuring.is_interrupted:
                return measuring.inputs_done < samples
    return False
