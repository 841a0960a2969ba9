"""Is the first divergent node really found? One is planted among many exact ones; a forest has its own."""

from __future__ import annotations

import numpy as np
from support.watched_models import numbers, one_inexact_among_many, reversed_split

from lastbit.resources import model_path
from replicas.divergence import Divergence, TensorKey, first_divergence, watch
from replicas.model import Model
from replicas.profile import NumericProfile


def test_the_one_product_among_many_whose_sum_depends_on_the_order_is_found() -> None:
    made = one_inexact_among_many()
    x = {"x": np.ones((1, 64), np.float32)}
    as_built, split = watch(made, NumericProfile(), x), reversed_split(made, x)
    found = first_divergence(as_built, split)

    assert as_built.is_faithful
    assert split.is_faithful
    assert isinstance(found, Divergence)
    assert found.tensor == TensorKey("m5")
    assert [each.op_type for each in found.nodes_a] == ["MatMul"]
    assert found.others == 0


def test_exact_products_do_not_depend_on_the_order() -> None:
    made = one_inexact_among_many()
    x = {"x": np.zeros((1, 64), np.float32)}

    assert first_divergence(watch(made, NumericProfile(), x), reversed_split(made, x)) is None


def test_a_forest_under_other_threads_parts_at_its_tree_ensemble() -> None:
    forest = Model.load(model_path("digits-forest"))
    x = {"image": np.random.default_rng(0).integers(0, 17, (1, 64)).astype(np.float32)}
    one, four = (watch(forest, NumericProfile(intra_op_threads=each), x) for each in (1, 4))
    found = first_divergence(one, four)

    assert isinstance(found, Divergence)
    assert found.tensor == TensorKey("probabilities")
    assert [each.op_type for each in (*found.nodes_a, *found.nodes_b)] == ["TreeEnsembleClassifier"] * 2
    assert found.nodes_a == found.nodes_b
    assert found.ulps is not None
    assert found.ulps > 0
    assert found.others == 0


def test_a_knob_that_is_inert_here_shows_no_divergent_node() -> None:
    made = one_inexact_among_many()
    x = {"x": numbers(1, 64)}
    one, four = (watch(made, NumericProfile(intra_op_threads=each), x) for each in (1, 4))

    assert first_divergence(one, four) is None
