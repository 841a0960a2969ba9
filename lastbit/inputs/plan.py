"""What generated inputs will be: the shape of each, the values that it draws from, and the options that change them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lastbit.did_you_mean import did_you_mean
from lastbit.inputs.bounds import find_bounds
from lastbit.inputs.dimensions import SettledShapes, settle_shapes
from lastbit.inputs.domains import Domain, Integers, Reals, choose_domain, element_dtype
from lastbit.inputs.input_set import InputsError
from lastbit.inputs.options import Overrides
from replicas.model import Model, TensorSpec


@dataclass(frozen=True, slots=True)
class InputPlan:
    """The plan for all inputs of a model.

    Args:
        specs: the inputs, in the order of the graph.
        settled: their shapes.
        domains: their values, by name.
    """

    specs: tuple[TensorSpec, ...]
    settled: SettledShapes
    domains: Mapping[str, Domain]

    def describe(self) -> str:
        """One line for people: each input with its dtype, shape and values."""
        lines = [
            f"{spec.name} {spec.dtype} {list(self.settled.shapes[spec.name])} {self.domains[spec.name]}"
            for spec in self.specs
        ]
        return ", ".join(lines) or "the model takes no input"

    def options(self, names: Collection[str]) -> tuple[str, ...]:
        """The options that would change these inputs, each as it would be typed to get what stands now."""
        found: dict[str, None] = {}  # an ordered set: two inputs may share a dimension
        for name in names:
            found.update((f"--dim {label}={size}", None) for label, size in self.settled.open_axes[name].items())
            domain = self.domains[name]
            if isinstance(domain, Integers | Reals):
                low, high = domain.ends()
                found[f"--range {name}={low}:{high}"] = None
            found[f"--value {name}={domain.ends()[0]}"] = None
        return tuple(found)


def plan_inputs(model: Model, overrides: Overrides) -> InputPlan:
    """Settle what each input of a model gets.

    Raises:
        InputsError: an override names nothing or does not fit, or an input cannot be made.
    """
    for spec in model.inputs:
        element_dtype(spec)
        if not spec.rank_known:
            fault = f'input "{spec.name}" does not say how many axes it has; give values with --inputs FILE.npz'
            raise InputsError(f"{model.name}: {fault}")
    names = [spec.name for spec in model.inputs]
    _refuse_unknown("--range", overrides.ranges, names)
    _refuse_unknown("--value", overrides.values, names)
    settled = settle_shapes(model.inputs, overrides.dims)
    bounds = find_bounds(model.proto(), settled.shapes)
    domains = {
        spec.name: choose_domain(
            spec,
            given_range=overrides.ranges.get(spec.name),
            given_value=overrides.values.get(spec.name),
            bound=bounds.get(spec.name),
        )
        for spec in model.inputs
    }
    return InputPlan(model.inputs, settled, domains)


def _refuse_unknown(option: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise InputsError(f"{option} {name}: the model has no input of that name; {did_you_mean(name, known)}")
