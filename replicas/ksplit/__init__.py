"""K-split: add the partial products of a matrix product in an order that is given at run time, as a GPU's atomics do.

Each constant-weight product `A x W` is cut along K into S slices. The partial products are rounded where the profile
says so, put in the order of this node's own row of the input `lastbit.order`, and added left to right. Any order gives
the same function; only the rounding differs.
"""

from replicas.ksplit.rewrite import ORDER_INPUT, KSplitResult, split_products

__all__ = ["ORDER_INPUT", "KSplitResult", "split_products"]
