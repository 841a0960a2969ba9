"""Products whose summation is given at run time, so that replicas add in orders of their own, as devices do.

K-split, as a GPU's atomics: each product `A x W` is cut along K into S slices. The partial products are
rounded where the profile says so, put in the order of this node's own row of the input `lastbit.order`, and added left
to right; or added as they stand, or in a tree, and then no order is read. K-permutation: the K dimension of both sides
is gathered in the order of the row, and the runtime's own kernel adds. A convolution is a product as well; its K is the
input channels of a group. Any order gives
the same function; only the rounding differs.
"""

from replicas.ksplit.additions import InTree, LeftToRight
from replicas.ksplit.permute import permute_products
from replicas.ksplit.rewrite import ORDER_INPUT, RewriteResult
from replicas.ksplit.split import split_products

__all__ = ["ORDER_INPUT", "InTree", "LeftToRight", "RewriteResult", "permute_products", "split_products"]
