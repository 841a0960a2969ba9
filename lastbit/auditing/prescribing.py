"""Under which prescription do all wanted profiles agree? Found in the same pass as all else.

Most profiles that a prescription makes of the wanted ones are tried anyway, as a named profile or a turned knob. The
others are run beside, as long as a prescription that needs them is not refuted: after the first inputs few are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lastbit.auditing.measuring import Measuring
from lastbit.auditing.pairs import Answered
from lastbit.auditing.prescriptions import Prescription, prescriptions
from replicas.profile import NumericProfile

EXTRA_MAX = 12
"""So many profiles are run for prescriptions alone; what would need more is not tried."""


@dataclass(slots=True)
class Trial:
    """One prescription and what came of it.

    Attributes:
        prescription: what everybody is held to.
        names: under which name each wanted profile, held to it, is run; by the name of the wanted one.
        ended: why it is out; None while all agree.
        apart: the first two wanted profiles that did not agree, where that is why.
        request: the input on which they did not.
        is_untried: it is out since it was not needed or would have cost too much, and not since it failed.
    """

    prescription: Prescription
    names: Mapping[str, str] = field(default_factory=dict)
    ended: str | None = None
    apart: tuple[str, ...] = ()
    request: int | None = None
    is_untried: bool = False

    def end(self, why: str, *, is_untried: bool = False) -> None:
        """Take it out."""
        self.ended = why
        self.is_untried = is_untried


class Prescribing:
    """Tries prescriptions while an audit measures.

    Args:
        wanted: the profiles that are to agree, by name.
        reference: whose settings are prescribed.
        known: the profiles that are run anyway, by name.

    Attributes:
        extra: profiles to be run for prescriptions alone, by name.
        as_they_are: under which name each wanted profile is run that is held to nothing.
        trials: all prescriptions, those of fewer settings first.
    """

    def __init__(
        self,
        wanted: Mapping[str, NumericProfile],
        reference: NumericProfile,
        known: Mapping[str, NumericProfile],
    ) -> None:
        self.extra: dict[str, NumericProfile] = {}
        self._names = {profile: name for name, profile in reversed(list(known.items()))}  # the first of equal ones
        self.as_they_are = {name: self._names[profile] for name, profile in wanted.items()}
        self.trials = [self._trial(prescription, wanted) for prescription in prescriptions(wanted, reference)]

    def _trial(self, prescription: Prescription, wanted: Mapping[str, NumericProfile]) -> Trial:
        held = {name: prescription.over(profile) for name, profile in wanted.items()}
        orders_differ = [name for name, profile in held.items() if profile.bits_depend_on_order]
        if orders_differ:
            whose = "on each run" if held[orders_differ[0]].bits_are_drawn_anew else "for each replica"
            return Trial(prescription, ended=f"{orders_differ[0]} draws an order of its own {whose}")
        new = dict.fromkeys(profile for profile in held.values() if profile not in self._names)
        if len(self.extra) + len(new) > EXTRA_MAX:
            return Trial(prescription, ended="would need too many sessions more", is_untried=True)
        for profile in new:
            name = self._names[profile] = f" prescribed {len(self.extra)}"
            self.extra[name] = profile
        return Trial(prescription, {name: self._names[profile] for name, profile in held.items()})

    def take(self, request: int, answers: Mapping[str, Answered], measuring: Measuring) -> None:
        """One more input, and what every profile answered to it."""
        for trial in self.alive:
            self._judge(trial, request, answers, measuring)
        if measuring.inputs_done == measuring.repeated_inputs:
            self._end_what_is_not_needed()
        needed = {name for trial in self.alive for name in trial.names.values()}
        for name in self.extra:
            if name in answers and name not in needed:
                measuring.retire(name)

    @property
    def alive(self) -> list[Trial]:
        """Prescriptions under which all wanted profiles agreed so far."""
        return [trial for trial in self.trials if trial.ended is None]

    def _judge(self, trial: Trial, request: int, answers: Mapping[str, Answered], measuring: Measuring) -> None:
        refused = [name for name, run in trial.names.items() if run not in answers]
        if refused:
            trial.end(f"{refused[0]} could not run: {measuring.refused[trial.names[refused[0]]]}")
            return
        (first, *others) = trial.names
        unlike = [name for name in others if answers[trial.names[name]].bits != answers[trial.names[first]].bits]
        if unlike:
            trial.end(f"{first} and {unlike[0]} differ")
            trial.apart, trial.request = (first, unlike[0]), request

    def _end_what_is_not_needed(self) -> None:
        """A prescription that asks more than one that holds is run no further, unless it is run anyway."""
        for trial in self.alive:
            is_extra = any(name in self.extra for name in trial.names.values())
            if is_extra and any(other.prescription.asks_less_than(trial.prescription) for other in self.alive):
                trial.end("asks more than another that holds", is_untried=True)
