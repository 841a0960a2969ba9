"""LSTM, GRU and RNN opened into plain operators, whose products can then be reordered like any others.

An opened layer projects its input at all steps in one MatMul, and runs a Scan over the steps whose body has the
recurrent MatMul, the gates and the activations. The function is the same; what sums are rounded to is not.
"""

from replicas.ksplit.recurrent.forms import Direction, RecurrentLayer, find_recurrent_layer
from replicas.ksplit.recurrent.layers import write_layer

__all__ = ["Direction", "RecurrentLayer", "find_recurrent_layer", "write_layer"]
