"""Rebuild `digits-forest.onnx`: a random forest of 100 trees grown to pure leaves, and its card.

A pure leaf is one vote for one class, worth float32(1/100). The score of a class is therefore a sum of equal terms,
rounded by how they are grouped: a runtime that gives each thread some of the trees gets other last bits for another
number of threads, and two classes with exactly as many votes are ranked by those bits.

The trees are written node by node from scikit-learn's arrays. A converter would store ten weights per leaf, nine of
them zero; one is the same function in less than half of the bytes. Thresholds lie half-way between whole pixels, exact
in float32.
"""

from __future__ import annotations

import recipe  # first: it fixes BLAS before NumPy loads

# isort: split
import sys
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

NAME = "digits-forest"
ML_DOMAIN = "ai.onnx.ml"
SEED = 0
TREES = 100
LEAF = -1


def tree_attributes(trees: list[Any]) -> dict[str, list[Any]]:
    """The trees of a fitted forest as attributes of the ONNX operator TreeEnsembleClassifier."""
    attributes: dict[str, list[Any]] = {
        "nodes_treeids": [],
        "nodes_nodeids": [],
        "nodes_modes": [],
        "nodes_featureids": [],
        "nodes_values": [],
        "nodes_truenodeids": [],
        "nodes_falsenodeids": [],
        "class_treeids": [],
        "class_nodeids": [],
        "class_ids": [],
        "class_weights": [],
    }
    for tree_id, tree in enumerate(trees):
        for node_id in range(tree.node_count):
            add_node(attributes, tree, tree_id, node_id)
    return attributes


def add_node(attributes: dict[str, list[Any]], tree: Any, tree_id: int, node_id: int) -> None:
    """Append one node of one tree, and its vote where it is a leaf."""
    is_leaf = bool(tree.children_left[node_id] == LEAF)
    threshold = 0.0 if is_leaf else float(tree.threshold[node_id])
    if float(np.float32(threshold)) != threshold:
        raise ArithmeticError(f"tree {tree_id}, node {node_id}: threshold {threshold!r} is not exact in float32")
    attributes["nodes_treeids"].append(tree_id)
    attributes["nodes_nodeids"].append(node_id)
    attributes["nodes_modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
    attributes["nodes_featureids"].append(0 if is_leaf else int(tree.feature[node_id]))
    attributes["nodes_values"].append(threshold)
    attributes["nodes_truenodeids"].append(0 if is_leaf else int(tree.children_left[node_id]))
    attributes["nodes_falsenodeids"].append(0 if is_leaf else int(tree.children_right[node_id]))
    if is_leaf:
        (voted,) = np.flatnonzero(tree.value[node_id, 0])  # fails where a leaf is not pure
        attributes["class_treeids"].append(tree_id)
        attributes["class_nodeids"].append(node_id)
        attributes["class_ids"].append(int(voted))
        attributes["class_weights"].append(1 / TREES)


def write(path: Path, trees: list[Any]) -> None:
    """Write the trees as one operator with plain tensor outputs."""
    node = helper.make_node("TreeEnsembleClassifier", ["image"], ["label", "probabilities"], "forest", domain=ML_DOMAIN)
    attributes = {
        "classlabels_int64s": list(range(recipe.CLASSES)),
        "post_transform": "NONE",
        **tree_attributes(trees),
    }
    node.attribute.extend(helper.make_attribute(name, attributes[name]) for name in sorted(attributes))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", recipe.CLASSES]),
    ]
    recipe.write_model(path, helper.make_graph([node], NAME, [recipe.image_input()], outputs))


def build(folder: Path) -> None:
    """Fit on `folder`'s images and write the model and its card there."""
    from sklearn.ensemble import RandomForestClassifier

    digits = recipe.read_digits(folder)
    forest = RandomForestClassifier(n_estimators=TREES, random_state=SEED, n_jobs=1)
    forest.fit(digits.images[~digits.held_out], digits.labels[~digits.held_out])
    path = folder / f"{NAME}.onnx"
    write(path, [estimator.tree_ for estimator in forest.estimators_])
    facts = {
        "title": "A random forest that reads handwritten digits",
        "task": "Classify an 8x8 image of a handwritten digit; probabilities are shares of the votes of 100 trees.",
        "data": "scikit-learn's bundled digits (UCI), 1,797 images; three quarters trained on.",
        "architecture": "100 trees grown to pure leaves, one TreeEnsembleClassifier, each vote float32(1/100)",
        "score_output": "probabilities",
        "outputs": [
            {"name": "label", "dtype": "int64", "shape": ["batch"]},
            {"name": "probabilities", "dtype": "float32", "shape": ["batch", recipe.CLASSES]},
        ],
    }
    accuracy = recipe.held_out_accuracy(path, digits, "probabilities")
    packages = ("numpy", "onnx", "onnxruntime", "scikit-learn")
    recipe.write_card(folder, NAME, facts, accuracy=accuracy, packages=packages)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else recipe.MODELS)
