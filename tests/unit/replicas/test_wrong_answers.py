"""Wrong answers are real changes of a real tensor, and no two of them are the same."""

from __future__ import annotations

import numpy as np
import pytest

from replicas.forms import BytesForm, Form, Top1Form
from replicas.outputs import Outputs, Value, outputs_digest
from replicas.wrong_answers import WrongAnswerError, wrong_answer, wrong_answers_max

BYTES = BytesForm()
TOP1 = Top1Form("y")
INF, NAN = np.inf, np.nan


def outputs_of(value: Value) -> Outputs:
    return Outputs.of({"y": value})


def changed(value: Value, index: int, form: Form = BYTES) -> Value:
    return wrong_answer(outputs_of(value), index, form)["y"]


def winners(row: list[float], dtype: str = "float32") -> list[int]:
    outputs = outputs_of(np.array([row], dtype=dtype))
    count = wrong_answers_max(outputs, TOP1)
    return [TOP1.answer(wrong_answer(outputs, index, TOP1)).item() for index in range(count)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [1.5, -1.5, 0.0, -0.0])
def test_bytes_move_by_as_many_steps_as_the_answer_says_and_away_from_zero(dtype, value):
    array = np.array([value], dtype=dtype)
    towards = np.copysign(np.array(INF, dtype), array)
    for index in range(5):
        array = np.nextafter(array, towards)
        moved = changed(np.array([value], dtype=dtype), index)
        assert isinstance(moved, np.ndarray)
        assert moved.dtype == array.dtype
        assert moved.tobytes() == array.tobytes()


def test_the_largest_finite_element_moves_and_nothing_else():
    array = np.array([[0.5, -4.0], [NAN, INF]], dtype=np.float32)
    moved = changed(array, 0)
    assert isinstance(moved, np.ndarray)
    assert np.flatnonzero(moved.view(np.uint32) != array.view(np.uint32)).tolist() == [1]
    assert moved[0, 1] < -4


def test_where_the_finite_numbers_end_the_step_goes_towards_zero():
    largest = np.finfo(np.float16).max
    values = np.array([largest], dtype=np.float16)
    first, second = changed(values, 0), changed(values, 1)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert 0 < second[0] < first[0] < largest


@pytest.mark.parametrize("value", [1.0, -1.0, 0.0, 60000.0, 65504.0])
def test_every_wrong_answer_that_bytes_can_hold_is_another_finite_number_of_the_same_sign(value):
    outputs = outputs_of(np.array([value], dtype=np.float16))
    count = wrong_answers_max(outputs, BYTES)
    answers = [wrong_answer(outputs, index, BYTES)["y"] for index in range(0, count, 97)]
    answers.append(wrong_answer(outputs, count - 1, BYTES)["y"])
    numbers = [float(each[0]) for each in answers if isinstance(each, np.ndarray)]
    assert np.isfinite(numbers).all()
    assert len({*numbers, value}) == len(answers) + 1
    assert not any(number * value < 0 for number in numbers)
    with pytest.raises(WrongAnswerError, match=f"can hold {count} of them"):
        wrong_answer(outputs, count, BYTES)


def test_the_first_output_with_a_finite_float_is_the_one_that_changes():
    outputs = Outputs.of({"label": np.array([1]), "nan": np.array([NAN]), "a": np.ones(1), "b": np.ones(1)})
    moved = wrong_answer(outputs, 0, BYTES)
    assert [name for name, value in outputs.items() if moved[name] is not value] == ["a"]
    assert wrong_answer(outputs, 0, BytesForm("b"))["a"] is outputs["a"]


@pytest.mark.parametrize(
    "value", [np.array([1, 2]), np.array(["a"], dtype=object), np.array([NAN, INF]), None, [], "a"]
)
def test_without_a_finite_float_there_is_no_wrong_answer(value):
    assert wrong_answers_max(outputs_of(value), BYTES) == 0
    with pytest.raises(WrongAnswerError, match="wrong answer 0: the outputs, hashed as bytes, can hold 0"):
        changed(value, 0)


def test_a_number_in_a_map_moves_by_steps_of_the_precision_that_it_came_from():
    narrow, wide = float(np.float32(0.1)), 0.1
    assert changed([{1: narrow, 0: narrow}], 0) == [{1: narrow, 0: float(np.nextafter(np.float32(0.1), np.float32(1)))}]
    assert changed([{0: wide}], 0) == [{0: float(np.nextafter(0.1, 1))}]


def test_scalars_big_endian_and_read_only_arrays_change_like_any_other():
    for value in (np.array(1, np.float32), np.array([1], ">f4"), np.asfortranarray(np.ones((2, 3), np.float32))):
        value.setflags(write=False)
        moved = changed(value, 0)
        assert isinstance(moved, np.ndarray)
        assert moved.max() == np.nextafter(np.float32(1), np.float32(2))
        assert moved.shape == value.shape


@pytest.mark.parametrize("form", [BYTES, TOP1])
@pytest.mark.parametrize(
    "value",
    [np.array([[1, 2, 3]], dtype=np.float32), [{0: 0.5, 1: 0.25}], [{"a": 0.5, "b": 0.25}, {"a": 1.0, "b": 0.0}]],
)
def test_the_outputs_that_were_given_stay_as_they_were(form, value):
    outputs = outputs_of(value)
    before = outputs_digest(outputs)
    assert form.digest(wrong_answer(outputs, 0, form)) != form.digest(outputs)
    assert outputs_digest(outputs) == before


def test_the_next_best_score_is_lifted_one_step_above_the_best():
    row = np.array([[5, 9, 7, 8]], dtype=np.float32)
    lifted = changed(row, 1, TOP1)
    assert isinstance(lifted, np.ndarray)
    assert lifted.tolist() == [[5, 9, float(np.nextafter(np.float32(9), np.float32(INF))), 8]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([5, 9, 7, 8], [3, 2, 0]),
        ([2, 2, 2, 2], [1, 2, 3]),
        ([1, 3, 3, 2], [2, 3, 0]),
        ([-1, -2, -3], [1, 2]),
        ([0.0, -0.0, 0.0], [1, 2]),
        ([INF, 1, 2], [2, 1]),
        ([1, INF, INF], [2, 0]),
        ([-INF, -INF, -INF], [1, 2]),
        ([NAN, 1, 2], [2, 1, 0]),
        ([NAN, INF, 2], [1, 2, 0]),
        ([NAN, NAN], [0, 1]),
        ([0] * 40, list(range(1, 40))),
    ],
)
def test_every_wrong_answer_of_top1_is_another_class(row, expected, dtype):
    assert winners(row, dtype) == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_above_the_largest_finite_score_comes_infinity(dtype):
    assert winners([0, float(np.finfo(dtype).max), 1], dtype) == [2, 0]


def test_only_the_first_row_of_a_batch_changes():
    batch = np.array([[1, 2, 3], [1, 2, 3]], dtype=np.float32)
    answer = TOP1.answer(wrong_answer(outputs_of(batch), 0, TOP1))
    assert isinstance(answer, np.ndarray)
    assert answer.tolist() == [1, 2]


def test_a_map_of_scores_can_be_lifted_too():
    scores = [{1: 0.5, 0: 0.3, 2: 0.2}]
    assert [TOP1.answer(outputs_of(changed(scores, index, TOP1))) for index in range(2)] == [[0], [2]]
    assert wrong_answers_max(outputs_of(scores), TOP1) == 2


@pytest.mark.parametrize("value", [np.array([3]), np.array(["a"], dtype=object), np.ones((0, 4)), [{0: 1.0}], [{0: 1}]])
def test_where_no_scores_are_ranked_top1_holds_no_wrong_answer(value):
    assert wrong_answers_max(outputs_of(value), TOP1) == 0
