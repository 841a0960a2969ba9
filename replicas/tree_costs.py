"""Comparisons that a tree ensemble needs for one row: for each tree, the steps from its root to its deepest leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

TREE_OPERATORS = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})


def comparisons_per_row(node: onnx.NodeProto) -> int:
    """Sum over the trees of each one's depth, at least 1 for a tree.

    Args:
        node: a tree ensemble of the domain ai.onnx.ml, in the old form (a tree number for each node) or the new.
    """
    lists = {each.name: each.ints for each in node.attribute}
    if node.op_type == "TreeEnsemble":
        children = _children_of_branches(lists)
        # A leaf has no entry of its own here, so that the step down to it is counted by adding one.
        return sum(_depth(root, children) + 1 for root in lists.get("tree_roots", ()))
    return sum(max(_depth(root, children), 1) for root, children in _edges_by_tree(node, lists))


Children = Mapping[int, tuple[int, ...]]


def _edges_by_tree(node: onnx.NodeProto, lists: Mapping[str, Sequence[int]]) -> list[tuple[int, Children]]:
    modes = next((each.strings for each in node.attribute if each.name == "nodes_modes"), ())
    rows = zip(
        lists.get("nodes_treeids", ()),
        lists.get("nodes_nodeids", ()),
        modes,
        lists.get("nodes_truenodeids", ()),
        lists.get("nodes_falsenodeids", ()),
        strict=False,
    )
    trees: dict[int, dict[int, tuple[int, ...]]] = {}
    roots: dict[int, int] = {}
    for tree, number, mode, if_true, if_false in rows:
        roots.setdefault(tree, number)
        trees.setdefault(tree, {})[number] = () if mode == b"LEAF" else (if_true, if_false)
    return [(roots[tree], children) for tree, children in trees.items()]


def _children_of_branches(lists: Mapping[str, Sequence[int]]) -> Children:
    """The branches of all trees, which one numbering covers: made once, for a model may have thousands of trees."""
    branches = zip(
        lists.get("nodes_truenodeids", ()),
        lists.get("nodes_trueleafs", ()),
        lists.get("nodes_falsenodeids", ()),
        lists.get("nodes_falseleafs", ()),
        strict=False,
    )
    return {
        number: tuple(child for child, leaf in ((if_true, true_leaf), (if_false, false_leaf)) if not leaf)
        for number, (if_true, true_leaf, if_false, false_leaf) in enumerate(branches)
    }


def _depth(root: int, children: Children) -> int:
    """Steps to the deepest node, walked level by level; a malformed tree with a cycle ends when no node is new."""
    seen = {root}
    level = [root]
    depth = -1
    while level:
        depth += 1
        level = [child for number in level for child in children.get(number, ()) if child not in seen]
        seen.update(level)
    return depth
