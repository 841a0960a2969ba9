"""Where "all equal" means nothing: what would make any profiles agree, or none."""

from __future__ import annotations

from collections.abc import Iterator

from lastbit.auditing.measuring import Measuring
from lastbit.auditing.variety import idle_inputs, unchanging_outputs
from lastbit.inputs import InputSet
from replicas.engine import EngineError


def warnings_of(measuring: Measuring, inputs: InputSet) -> tuple[str, ...]:
    """One sentence for each reason to mistrust what was found."""
    return tuple(_warnings(measuring, inputs))


def _warnings(measuring: Measuring, inputs: InputSet) -> Iterator[str]:
    done = measuring.inputs_done
    if measuring.draws_random_numbers:
        yield f"the model draws random numbers: {measuring.draws_random_numbers}"
    elif done and len(measuring.inputs_seen) > 1:
        yield from _on_variety(measuring, inputs)
    if measuring.inputs_all_nan:
        yield f"the output was NaN throughout on {measuring.inputs_all_nan} of {done} inputs"
    if len(measuring.inputs_seen) < done:
        yield f"only {len(measuring.inputs_seen)} of the {done} inputs are different ones"
    yield from _on_precisions(measuring)
    for name, reason in measuring.rounding_untold.items():
        yield f"how often another order shows under {name} cannot be told: {reason}"


def _on_variety(measuring: Measuring, inputs: InputSet) -> Iterator[str]:
    """What does not depend on the inputs is equal under all settings, and tells nothing of them."""
    if len(measuring.outputs_seen) == 1:
        yield f"the output was the same for all {len(measuring.inputs_seen)} inputs: it tells nothing of the settings"
        return
    reference, done = measuring.replica(measuring.reference), measuring.inputs_done
    unchanging, looked_at = unchanging_outputs(reference, inputs, done=done)
    for name in unchanging:
        yield f'output "{name}" was the same for all {looked_at} inputs looked at: it tells nothing of the settings'
    try:
        for name, tried in idle_inputs(reference, inputs, done=done):
            times = f"{tried} other values" if tried > 1 else "another value"
            yield f'input "{name}" changes nothing: the output stayed the same with {times} of it'
    except EngineError:
        return  # the inputs fit each other in a way that takes no other mixture


def _on_precisions(measuring: Measuring) -> Iterator[str]:
    """A precision that found little to change agrees with the reference to the last bit, and proves nothing."""
    reference = measuring.reference
    together = next((names for names in measuring.by_bytes.classes if reference in names), ())
    for name in together:
        replica = measuring.replica(name)
        if replica.profile.precision == measuring.replica(reference).profile.precision:
            continue
        done = replica.engine.report.preparation
        match replica.profile.precision:
            case "fp64":
                wide = f"{done.float_nodes - len(done.nodes_kept_fp32)} of {done.float_nodes} nodes with floats in fp64"
                yield f"{name} has the bits of {reference}: it computes {wide}, and nothing inside If, Loop or trees"
            case "fp16-weights":
                yield f"{name} has the bits of {reference}: {done.values_rounded:,} weights were there to be rounded"
            case _:
                pass
