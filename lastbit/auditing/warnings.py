"""Where "all equal" means nothing: what would make any profiles agree, or none."""

from __future__ import annotations

from collections.abc import Iterator

from lastbit.auditing.measuring import Measuring


def warnings_of(measuring: Measuring) -> tuple[str, ...]:
    """One sentence for each reason to mistrust what was found."""
    return tuple(_warnings(measuring))


def _warnings(measuring: Measuring) -> Iterator[str]:
    done = measuring.inputs_done
    if measuring.draws_random_numbers:
        yield f"the model draws random numbers: {measuring.draws_random_numbers}"
    if (
        done
        and not measuring.draws_random_numbers
        and len(measuring.inputs_seen) > 1
        and len(measuring.outputs_seen) == 1
    ):
        yield f"the output was the same for all {len(measuring.inputs_seen)} inputs: it tells nothing of the settings"
    if measuring.inputs_all_nan:
        yield f"the output was NaN throughout on {measuring.inputs_all_nan} of {done} inputs"
    if len(measuring.inputs_seen) < done:
        yield f"only {len(measuring.inputs_seen)} of the {done} inputs are different ones"
