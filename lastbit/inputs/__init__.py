"""Inputs of a run, by request id: a bundled model's images, a user's .npz, or tensors made for any model."""

from lastbit.inputs.generated import GeneratedInputs
from lastbit.inputs.images import CardImages
from lastbit.inputs.input_set import InputsError, InputSet, RequestInput
from lastbit.inputs.npz import NpzInputs
from lastbit.inputs.options import Overrides, parse_dim, parse_range, parse_value

__all__ = [
    "CardImages",
    "GeneratedInputs",
    "InputSet",
    "InputsError",
    "NpzInputs",
    "Overrides",
    "RequestInput",
    "parse_dim",
    "parse_range",
    "parse_value",
]
