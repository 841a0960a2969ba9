"""What of an output is hashed, and which outputs a form makes sense for."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from replicas.forms import NOT_A_NUMBER, BytesForm, FormError, Top1Form, make_form
from replicas.model import Model, TensorSpec
from replicas.outputs import Outputs, Value, canonical, outputs_digest

F32 = np.float32


def model(*outputs: TensorSpec) -> Model:
    return Model(name="mine", sha256="00" * 32, content=b"", inputs=(), outputs=outputs)


def scores(*values: float) -> Outputs:
    return Outputs.of({"scores": np.array([values], dtype=F32)})


def top1(value: Value) -> list[object]:
    answer = Top1Form("y").answer(Outputs.of({"y": value}))
    return answer.tolist() if isinstance(answer, np.ndarray) else answer


SCORES = TensorSpec("scores", "float32", ("N", 10))
LABEL = TensorSpec("label", "int64", ("N",))
MAPS = TensorSpec("probabilities", "sequence(map(int64, float32))", (), rank_known=False)
SCALAR = TensorSpec("loss", "float32", ())
COLUMN = TensorSpec("value", "float64", ("N", 1))
UNKNOWN = TensorSpec("anything", "float32", (), rank_known=False)


def test_bytes_are_those_of_all_outputs_or_of_the_one_that_is_named():
    outputs = Outputs.of({"a": np.zeros(2, F32), "b": np.ones(2, F32)})
    other = outputs.replacing("b", np.zeros(2, F32))
    assert BytesForm().digest(outputs) == outputs_digest(outputs) != BytesForm().digest(other)
    assert BytesForm("a").digest(outputs) == BytesForm("a").digest(other)
    assert BytesForm("b").digest(outputs) != BytesForm("b").digest(other)


def test_top1_stays_the_same_under_noise_that_leaves_the_best_class_alone():
    form = Top1Form("scores")
    assert form.digest(scores(0.1, 0.7, 0.2)) == form.digest(scores(0.15, 0.6, 0.25))
    assert form.digest(scores(0.1, 0.7, 0.2)) != form.digest(scores(0.7, 0.1, 0.2))


def test_the_first_of_several_best_scores_counts():
    assert top1(np.array([[1, 3, 3], [3, 1, 3], [0, 0, 0]], dtype=F32)) == [1, 0, 0]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_nan_anywhere_in_a_row_is_an_answer_of_its_own(place):
    row = np.array([[1, 2, 3]], dtype=F32)
    form = Top1Form("y")
    classes = {form.digest(Outputs.of({"y": np.eye(3, dtype=F32)[None, each]})) for each in range(3)}
    row[0, place] = np.nan
    assert top1(row) == [NOT_A_NUMBER]
    assert form.digest(Outputs.of({"y": row})) not in classes


def test_infinite_scores_are_ranked_like_any_other():
    assert top1(np.array([[-np.inf, 1, np.inf], [-np.inf, -np.inf, -np.inf]], dtype=F32)) == [2, 0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_batch_has_an_answer_for_each_row_whatever_the_precision(dtype):
    batch = np.array([[[0, 1], [1, 0]], [[0, 2], [0, 3]]], dtype=dtype)
    assert top1(batch) == [[1, 0], [1, 1]]


def test_the_digest_is_sha256_over_the_name_of_the_output_and_its_answer():
    one_row = Outputs.of({"y": np.array([[0, 1, 0]], dtype=F32)})
    two_rows = Outputs.of({"y": np.array([[0, 1, 0], [0, 0, 1]], dtype=F32)})
    for outputs, answer in ((one_row, [1]), (two_rows, [1, 2])):
        form = b"lastbit.top1.1\x00" + canonical("y") + canonical(np.array(answer, dtype=np.int64))
        assert Top1Form("y").digest(outputs) == sha256(form).digest()


def test_one_row_and_a_batch_of_one_row_are_different_answers():
    row = np.array([0, 1], dtype=F32)
    assert Top1Form("y").digest(Outputs.of({"y": row})) != Top1Form("y").digest(Outputs.of({"y": row[None]}))


def test_equal_answers_of_two_outputs_have_different_digests():
    outputs = Outputs.of({"a": np.eye(2, dtype=F32), "b": np.eye(2, dtype=F32)})
    assert Top1Form("a").digest(outputs) != Top1Form("b").digest(outputs)


def test_a_label_is_its_own_top1():
    assert top1(np.array([3, 1], dtype=np.int64)) == [3, 1]
    assert top1(np.array(["cat"], dtype=object)) == ["cat"]
    assert top1(np.array(7, dtype=np.int32)) == 7


def test_a_map_of_scores_answers_with_a_key_in_the_order_of_keys():
    assert top1([{2: 0.5, 0: 0.1, 1: 0.5}, {"b": 0.1, "a": 0.9}]) == [1, "a"]
    assert top1([{0: float("nan"), 1: 2.0}]) == [None]


@pytest.mark.parametrize("value", [np.array(1, F32), np.zeros((3, 1), F32), np.zeros((3, 0), F32), None, [], [{}], "a"])
def test_a_value_without_two_scores_has_no_top1(value):
    with pytest.raises(FormError, match='top1 makes no sense for output "y"'):
        Top1Form("y").digest(Outputs.of({"y": value}))


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ((SCORES,), "scores"),
        ((LABEL, SCORES), "scores"),
        ((LABEL, SCORES, SCALAR, COLUMN), "scores"),
        ((SCORES, MAPS), "scores"),
        ((LABEL, MAPS), "label"),
        ((MAPS,), "probabilities"),
        ((SCALAR, LABEL), "label"),
        ((UNKNOWN, SCALAR), "anything"),
        ((TensorSpec("open", "float16", ("N", None)),), "open"),
        ((TensorSpec("word", "string", ("N",)),), "word"),
    ],
)
def test_the_output_that_holds_the_scores_is_found(outputs, found):
    assert make_form("top1", model(*outputs)).output == found


def test_several_outputs_with_scores_are_all_named():
    other = TensorSpec("other", "float32", (1, 3))
    with pytest.raises(FormError, match='several outputs; name one of "scores", "other"'):
        make_form("top1", model(SCORES, other, SCALAR))
    assert make_form("top1", model(SCORES, other), "other").output == "other"


def test_a_state_that_is_handed_on_is_no_score_unless_it_is_named():
    state = TensorSpec("state", "float32", (2, None, 128))
    handed_on = TensorSpec("stateN", "float32", (None, None, None))
    detector = Model(name="mine", sha256="00" * 32, content=b"", inputs=(state,), outputs=(COLUMN, handed_on))
    with pytest.raises(FormError, match='"stateN" is called and shaped as the input "state" is'):
        make_form("top1", detector)
    assert make_form("top1", detector, "stateN").output == "stateN"


def test_a_named_output_without_a_best_is_refused_with_those_that_have_one():
    with pytest.raises(FormError, match='"value", which has a last axis of 1; it does for "label", "scores"'):
        make_form("top1", model(LABEL, SCORES, COLUMN), "value")


def test_a_model_without_any_scores_is_refused_with_the_reason_for_each_output():
    eight_bits = TensorSpec("bits", "float8_e4m3fn", (1, 9))
    with pytest.raises(FormError, match='"loss" is a single number; "value" has a last axis of 1; "bits" is a float8'):
        make_form("top1", model(SCALAR, COLUMN, eight_bits))


def test_unknown_forms_and_outputs_are_answered_with_those_that_exist():
    with pytest.raises(FormError, match='no form "top2"; allowed are bytes, top1'):
        make_form("top2", model(SCORES))
    with pytest.raises(FormError, match='mine has no output "score"; it has "label", "scores"'):
        make_form("bytes", model(LABEL, SCORES), "score")
