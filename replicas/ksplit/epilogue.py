"""What follows the sum of a product: alpha, and the addend times beta."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product


def write_epilogue(writer: NodeWriter, product: Product, make_sum: Callable[[str], str]) -> None:
    """Scale, add what is to be added, and give the result the name that the rest of the graph knows.

    Args:
        writer: where the nodes go.
        product: whose alpha, beta and addend they are.
        make_sum: writes the node that makes the sum, under the name it is given or a fresh one for "".
    """
    result = product.node.output[0]
    dtype = product.weight.dtype
    if product.alpha == 1.0 and not product.addend:
        make_sum(result)
        return
    total = make_sum("")
    if product.alpha != 1.0:
        alpha = writer.constant(np.array(product.alpha, dtype), "alpha")
        total = writer.add("Mul", [total, alpha], output="" if product.addend else result)
    if not product.addend:
        return
    addend = product.addend
    if product.beta != 1.0:
        addend = writer.add("Mul", [addend, writer.constant(np.array(product.beta, dtype), "beta")])
    writer.add("Add", [total, addend], output=result)
