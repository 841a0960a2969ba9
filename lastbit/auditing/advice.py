"""What to prescribe: the fastest set of settings under which all wanted profiles agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lastbit.auditing.findings import Advice, PrescriptionFound
from lastbit.auditing.knobs import BASES, KNOBS, REFERENCE
from lastbit.auditing.measuring import Measuring
from lastbit.auditing.prescribing import Prescribing, Trial
from lastbit.did_you_mean import did_you_mean
from replicas.profile import NumericProfile

_UNCONTROLLED = frozenset({"intra_op_threads", "inter_op_threads", "execution_mode"})
"""What follows from a machine's size, and which an operator changes without a thought."""

_FAILED_SHOWN_MAX = 3


class WantedError(ValueError):
    """Profiles that cannot be wanted; one line that says which and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The profiles that are to agree.

    Attributes:
        profiles: by name.
        told: all of them, in a sentence.
        as_they_are: what is prescribed to them where nothing need be.
    """

    profiles: Mapping[str, NumericProfile]
    told: str
    as_they_are: str

    @classmethod
    def uncontrolled(cls) -> Wanted:
        """What an operator cannot be held to: the reference with other numbers of threads and the other mode.

        Example:
            >>> list(Wanted.uncontrolled().profiles)
            ['ref', 'intra_op_threads=2', 'intra_op_threads=4', 'execution_mode=parallel']
        """
        reference = BASES[REFERENCE]
        turned = {knob.name: knob.turned(reference) for knob in KNOBS if knob.settings.keys() <= _UNCONTROLLED}
        profiles = {REFERENCE: reference, **{name: profile for name, profile in turned.items() if profile is not None}}
        return cls(profiles, "the numbers of threads and execution modes tried", "the default settings")

    @classmethod
    def from_text(cls, text: str, chosen: Mapping[str, NumericProfile]) -> Wanted:
        """Read names such as `ref,threads4`.

        Args:
            text: names with commas between.
            chosen: the profiles that the audit tries, by name.

        Raises:
            WantedError: an unknown name, or fewer than two.
        """
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        unknown = [name for name in names if name not in chosen]
        if unknown:
            raise WantedError(f'wanted: no profile "{unknown[0]}" was tried; {did_you_mean(unknown[0], chosen)}')
        if len(names) < 2:
            raise WantedError(f'wanted: "{text}" names {len(names)} of the profiles tried; two or more are to agree')
        return cls({name: chosen[name] for name in names}, f"{', '.join(names[:-1])} and {names[-1]}", "nothing")


def advice_of(wanted: Wanted, prescribing: Prescribing, measuring: Measuring) -> Advice | None:
    """The fastest prescription that holds, and what came of all others; None where nothing was measured.

    What asks more than another that holds is no advice: it could be faster only by chance.
    """
    if not measuring.inputs_done:
        return None
    for trial in prescribing.alive:
        unrepeatable = [name for name, run in trial.names.items() if measuring.tried[run].unrepeatable]
        if unrepeatable:
            trial.end(f"{unrepeatable[0]} gives other bits when it is run again on the same input")
    found = [_found(trial, prescribing, measuring) for trial in prescribing.trials]
    holding = [each for each in found if each.holds]
    least = [each for each in holding if not any(other.settings.items() < each.settings.items() for other in holding)]
    best = min(least, key=lambda each: each.slowdown or 0.0, default=None)
    return Advice(
        said=_said(best, found, wanted, measuring.inputs_done),
        wanted=tuple(wanted.profiles),
        prescribed=None if best is None else best.settings,
        slowdown=None if best is None else best.slowdown,
        tried=tuple(found),
    )


def _found(trial: Trial, prescribing: Prescribing, measuring: Measuring) -> PrescriptionFound:
    return PrescriptionFound(
        settings=trial.prescription.to_plain(),
        told=str(trial.prescription),
        holds=trial.ended is None,
        ended=trial.ended,
        is_untried=trial.is_untried,
        apart=trial.apart,
        request=trial.request,
        slowdown=_slowdown(trial, prescribing, measuring) if trial.ended is None else None,
    )


def _slowdown(trial: Trial, prescribing: Prescribing, measuring: Measuring) -> float | None:
    """The time of the slowest wanted profile, as a ratio to that of the slowest that is held to nothing."""
    held, free = (
        [time for name in names.values() if (time := measuring.milliseconds(name)) is not None]
        for names in (trial.names, prescribing.as_they_are)
    )
    return max(held) / max(free) if held and free else None


def _said(best: PrescriptionFound | None, found: Sequence[PrescriptionFound], wanted: Wanted, inputs: int) -> str:
    free = found[0]
    if best is None:
        failed = [each for each in found if not each.is_untried]
        left = "; ".join(f"prescribing {each.told}: {each.ended}" for each in failed[:_FAILED_SHOWN_MAX])
        more = f"; and {len(failed) - _FAILED_SHOWN_MAX} more" if len(failed) > _FAILED_SHOWN_MAX else ""
        return f"nothing that was tried makes {wanted.told} agree: {left}{more}"
    if best is free:
        return f"prescribe {wanted.as_they_are}: {wanted.told} agree on all {inputs:,} inputs"
    slowdown = "" if best.slowdown is None else f", in {best.slowdown:.2f} times the time of the slowest without it"
    return (
        f"prescribe {best.told}: then {wanted.told} agree on all {inputs:,} inputs{slowdown}; "
        f"with nothing prescribed, {free.ended}"
    )
