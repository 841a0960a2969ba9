"""Precision of a graph: fp16 weights, fp64, products in whole numbers. Precision changes and nothing else does."""

from replicas.precision_fp16 import Fp16Result, round_weights_to_fp16
from replicas.precision_fp64 import Fp64Result, compute_in_fp64
from replicas.precision_int8 import Int8Result, quantise_products
from replicas.precision_integers import compute_in_whole_numbers

__all__ = [
    "Fp16Result",
    "Fp64Result",
    "Int8Result",
    "compute_in_fp64",
    "compute_in_whole_numbers",
    "quantise_products",
    "round_weights_to_fp16",
]
