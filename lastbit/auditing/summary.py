"""From what was measured to what an audit says."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from consensus.quorum import QuorumSystem
from lastbit.auditing.drawn_chance import drawn_quorum_chance
from lastbit.auditing.drawn_runs import DrawnRuns
from lastbit.auditing.findings import Audit, Counterexample, KnobFound, Pair, Profile, Verdict
from lastbit.auditing.invariance import invariances_of
from lastbit.auditing.knobs import BASES, KNOBS, REFERENCE, Knob
from lastbit.auditing.measuring import REPEATS, Measuring, Tried, turned_name
from lastbit.auditing.origins import origins_of
from lastbit.auditing.quorum_chance import FleetShares, quorum_chance
from lastbit.auditing.warnings import warnings_of
from lastbit.environment import current_environment
from lastbit.fleet import Material
from lastbit.intervals import binomial_rate
from replicas.library import NamedProfile


def found_by(
    measuring: Measuring,
    material: Material,
    chosen: Mapping[str, NamedProfile],
    *,
    forms: tuple[str, ...],
    samples: int,
    seed: int,
    interrupted: bool,
) -> Audit:
    """Everything that was found, but for a fleet and for advice."""
    knobs = tuple(_knob(measuring, base, knob) for knob in KNOBS for base in BASES) if measuring.turns_knobs else ()
    classes = {"bytes": measuring.by_bytes.classes}
    if measuring.score is not None:
        classes["top1"] = measuring.by_top1.classes
    return Audit(
        model=material.model.name,
        model_sha256=material.model.sha256,
        inputs=material.inputs.describe(),
        seed=seed,
        inputs_asked=samples,
        inputs_done=measuring.inputs_done,
        interrupted=interrupted,
        forms=forms,
        score_output=measuring.score.output if measuring.score is not None else None,
        profiles=tuple(_profile(measuring, name, each) for name, each in chosen.items()),
        classes=classes,
        pairs=_pairs(measuring),
        origins=() if interrupted else origins_of(measuring),
        knobs=knobs,
        live_in_combination=_live_in_combination(knobs),
        invariances=invariances_of(knobs) if measuring.inputs_done else (),
        fleet=None,
        replicas=None,
        quorum=(),
        warnings=warnings_of(measuring, material.inputs),
        advice=None,
        environment=current_environment(),
    )


def with_fleet(
    found: Audit,
    measuring: Measuring,
    runs: DrawnRuns | None,
    fleet: FleetShares,
    text: str,
    quorum: QuorumSystem,
) -> Audit:
    """The same, with the chance that replicas drawn from a fleet form a quorum."""
    homeless = [name for name in fleet.weights if not _speaks(measuring, name)]
    if homeless or not found.inputs_done:
        refused = [name for name in homeless if name in measuring.refused]
        what = f"{', '.join(homeless)} belongs to no class" if homeless else "no input was tried"
        what = f"{', '.join(refused)} could not run" if refused else what
        warning = f"the chance of a quorum cannot be told: {what}"
        return replace(found, fleet=text, replicas=quorum.replicas, warnings=(*found.warnings, warning))
    chances = tuple(
        quorum_chance(form, fleet, measuring.divisions[form], quorum)
        if runs is None
        else drawn_quorum_chance(form, fleet, runs, quorum)
        for form in found.forms
    )
    return replace(found, fleet=text, replicas=quorum.replicas, quorum=chances)


def _speaks(measuring: Measuring, name: str) -> bool:
    """Is it known what a profile says, for sure or by chance? It is not of one that does not repeat itself."""
    is_drawn = name in measuring.drawn and not measuring.tried[name].unrepeatable
    return is_drawn or name in measuring.by_bytes.names


def _profile(measuring: Measuring, name: str, named: NamedProfile) -> Profile:
    if name in measuring.refused:
        return Profile(name=name, imitates=named.sentence, refused=measuring.refused[name])
    tried = measuring.tried[name]
    return Profile(
        name=name,
        imitates=named.sentence,
        order_drawn=name in measuring.drawn,
        changed=binomial_rate(tried.changed, measuring.inputs_done),
        repeats=REPEATS,
        repeated=tried.repeated,
        unrepeatable=tried.unrepeatable,
        flips=None if measuring.score is None else binomial_rate(tried.flips, measuring.inputs_done),
        forecast=None if name == measuring.reference else measuring.forecast(name),
        rounding=measuring.rounding(name),
        milliseconds=measuring.milliseconds(name),
    )


def _pairs(measuring: Measuring) -> tuple[Pair, ...]:
    firsts = [names[0] for names in measuring.by_bytes.classes]
    pairs = []
    for place, one in enumerate(firsts):
        for other in firsts[place + 1 :]:
            apart = measuring.pairs.between(one, other)
            far = apart.distance
            pairs.append(
                Pair(
                    one=one,
                    other=other,
                    changed=binomial_rate(apart.changed, measuring.inputs_done),
                    flips=binomial_rate(apart.flips, measuring.inputs_done) if measuring.score is not None else None,
                    absolute=far.absolute,
                    relative=far.relative,
                    scaled_ulp=far.scaled_ulp,
                    ulp=far.ulp,
                    inputs_by_power=dict(sorted(apart.by_power.items())),
                    signs_of_zero=far.signs_of_zero,
                    nan_against_number=far.nan_against_number,
                    nan_payloads=far.nan_payloads,
                    infinities=far.infinities,
                    unlike=far.unlike,
                )
            )
    return tuple(pairs)


def _knob(measuring: Measuring, base: str, knob: Knob) -> KnobFound:
    name = turned_name(base, knob)
    if knob.turned(BASES[base]) is None:
        return KnobFound(knob=knob.name, base=base, verdict="same-as-base")
    if name in measuring.refused or turned_name(base) in measuring.refused:
        refused = measuring.refused.get(name) or measuring.refused[turned_name(base)]
        return KnobFound(knob=knob.name, base=base, verdict="refused", refused=refused)
    if measuring.tried[name].unrepeatable or measuring.tried[turned_name(base)].unrepeatable:
        return KnobFound(knob=knob.name, base=base, verdict="unrepeatable")
    changed = measuring.tried[name].changed
    rate = binomial_rate(changed, measuring.inputs_done)
    verdict: Verdict = "live" if changed else "inert"
    example = _counterexample(measuring.tried[name])
    return KnobFound(knob=knob.name, base=base, verdict=verdict, changed=rate, counterexample=example)


def _counterexample(tried: Tried) -> Counterexample | None:
    if tried.counterexample is None:
        return None
    request, found, scaled_ulp = tried.counterexample
    return Counterexample(
        request=request,
        output=found.output,
        element=found.element,
        values=found.values,
        steps=found.steps,
        scaled_ulp=scaled_ulp,
    )


def _live_in_combination(knobs: tuple[KnobFound, ...]) -> tuple[str, ...]:
    """Knobs that change nothing from the reference, and something from another base."""
    inert = {each.knob for each in knobs if each.base == REFERENCE and each.verdict == "inert"}
    live = {each.knob: None for each in knobs if each.base != REFERENCE and each.verdict == "live"}
    return tuple(knob for knob in live if knob in inert)
