"""Precision of a graph: round its weights to fp16, or compute in fp64. Precision changes and nothing else does."""

from replicas.precision_fp16 import Fp16Result, round_weights_to_fp16
from replicas.precision_fp64 import Fp64Result, compute_in_fp64

__all__ = ["Fp16Result", "Fp64Result", "compute_in_fp64", "round_weights_to_fp16"]
