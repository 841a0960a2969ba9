"""What to prescribe: the fastest settings under which what a fleet cannot control changes nothing."""

from __future__ import annotations

from lastbit.auditing.knobs import BASES, KNOBS, REFERENCE, Knob
from lastbit.auditing.measuring import Measuring, turned_name

_UNCONTROLLED = frozenset({"intra_op_threads", "inter_op_threads", "execution_mode"})
"""What follows from a machine's size, and which an operator changes without a thought."""


def advice_of(measuring: Measuring) -> str | None:
    """One sentence; None where nothing was measured.

    A base is safe if no thread knob turned from it changed any input. Of the safe ones the fastest is advised, with
    its time as a ratio of the reference's.
    """
    if not measuring.inputs_done:
        return None
    if measuring.tried[turned_name(REFERENCE)].unrepeatable:
        return "prescribe nothing: run again on the same input, the model gives other bits under the default settings"
    knobs = [knob for knob in KNOBS if knob.settings.keys() <= _UNCONTROLLED]
    safe = [base for base in BASES if all(_is_inert(measuring, base, knob) for knob in knobs)]
    if not safe:
        return "prescribe the number of threads, too: it changes bits under every level of optimisation tried"
    times = {base: measuring.milliseconds(turned_name(base)) or 0.0 for base in safe}
    best = REFERENCE if REFERENCE in safe else min(safe, key=lambda base: times[base])
    prescribed = "the default settings" if best == REFERENCE else _settings(best)
    sentence = f"prescribe {prescribed}: threads and execution mode changed 0 of {measuring.inputs_done:,} inputs"
    reference = measuring.milliseconds(turned_name(REFERENCE))
    if best == REFERENCE or not reference:
        return sentence
    return f"{sentence}; {times[best] / reference:.2f} times the time of the default settings"


def _is_inert(measuring: Measuring, base: str, knob: Knob) -> bool:
    name = turned_name(base, knob)
    return name not in measuring.refused and measuring.tried[name].changed == 0


def _settings(base: str) -> str:
    return {"opt-off": "optimization off", "noprepack": "prepacking off"}[base]
