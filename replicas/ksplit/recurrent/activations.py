"""The activations of recurrent operators, as operators of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from replicas.ksplit.nodes import NodeWriter

# What an attribute of an activation is where the layer gives none: as the runtime has it.
PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "Sigmoid": {},
    "Tanh": {},
    "Relu": {},
    "Softsign": {},
    "Softplus": {},
    "LeakyRelu": {"alpha": 0.01},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
}


@dataclass(frozen=True, slots=True)
class Activation:
    """An operator of one input and its attributes."""

    operator: str
    attributes: Mapping[str, float] = field(default_factory=dict)

    def write(self, writer: NodeWriter, tensor: str, output: str = "") -> str:
        """Apply it, and return the name of the result."""
        return writer.add(self.operator, [tensor], output, **self.attributes)


def read_activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> tuple[Activation, ...] | str:
    """Activations by name. Each takes the next alpha and the next beta, if it takes any.

    Returns:
        The activations; or why they cannot be written as operators.

    Example:
        >>> read_activations(["hardsigmoid", "Tanh"], [0.3], [])[0].attributes
        {'alpha': 0.3, 'beta': 0.5}
    """
    given = {"alpha": iter(alphas), "beta": iter(betas)}
    known = {operator.lower(): operator for operator in PARAMETERS}
    found = []
    for name in names:
        operator = known.get(name.lower())
        if operator is None:
            return f"its activation {name} is not opened"
        found.append(Activation(operator, _attributes(operator, given)))
    return tuple(found)


def _attributes(operator: str, given: Mapping[str, Iterator[float]]) -> dict[str, float]:
    return {name: next(given[name], default) for name, default in PARAMETERS[operator].items()}
