"""The dial, as a scenario sets it and as replicas ask it; its rates are held to the closed forms in `properties`."""

from __future__ import annotations

import numpy as np
import pytest

from replicas.dial import CHUNK_REQUESTS, Dial, DialError, Marks, check_room
from replicas.forms import BytesForm, Top1Form
from replicas.outputs import Outputs
from replicas.wrong_answers import wrong_answer
from simcore.streams import Streams

SCORES = Outputs.of({"label": np.array([1]), "y": np.array([[0.5, 0.25, 0.25, 0.0]], dtype=np.float32)})


def marks(seed: int = 42, replicas: int = 4, **settings: object) -> Marks:
    return Marks(Dial(**{"rate": 0.3, **settings}), Streams(seed), replicas=replicas)  # type: ignore[arg-type]


def drawn(source: Marks, *, requests: int = 200, replicas: int = 4, attempt: int = 0) -> list[list[int | None]]:
    return [[source.wrong_answer_index(each, i, attempt) for i in range(replicas)] for each in range(requests)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 1.5}, "rate: 1.5 is no probability; from 0 to 1"),
        ({"rate": -0.1}, "rate"),
        ({"rate": float("nan")}, "rate: nan"),
        ({"rate": True}, "rate: True"),
        ({"rate": "1e-4"}, "rate: '1e-4'"),
        ({"scope": "block"}, "scope: 'block' is not allowed; one of prompt, replica"),
        ({"answers": "own"}, "answers: 'own' is not allowed; one of distinct, shared"),
        ({"duration": "for ever"}, "duration: 'for ever' is not allowed; one of persistent, transient"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_with_those_that_are(settings, message):
    with pytest.raises(DialError, match=message):
        marks(**settings)


@pytest.mark.parametrize("scope", ["prompt", "replica"])
def test_rate_zero_marks_nothing_and_rate_one_marks_everything(scope):
    assert drawn(marks(rate=0, scope=scope)) == [[None] * 4] * 200
    assert drawn(marks(rate=1, scope=scope)) == [[0, 1, 2, 3]] * 200


def test_a_marked_prompt_gives_every_replica_an_answer_of_its_own():
    rows = drawn(marks())
    assert {tuple(row) for row in rows} == {(0, 1, 2, 3), (None,) * 4}


def test_a_marked_prompt_with_shared_answers_flips_a_coin_for_each_replica():
    rows = {tuple(row) for row in drawn(marks(answers="shared", rate=1.0), requests=400)}
    assert len(rows) == 2**4
    assert {each for row in rows for each in row} == {0, None}


def test_marked_on_their_own_replicas_give_their_own_answer_or_the_one_shared():
    own, shared = drawn(marks(scope="replica")), drawn(marks(scope="replica", answers="shared"))
    assert {(i, index) for row in own for i, index in enumerate(row)} == {(i, j) for i in range(4) for j in (i, None)}
    assert [[index is None for index in row] for row in shared] == [[index is None for index in row] for row in own]
    assert {index for row in shared for index in row} == {0, None}


@pytest.mark.parametrize("settings", [{}, {"scope": "replica"}, {"answers": "shared"}])
def test_a_persistent_mark_outlives_the_attempt_and_a_transient_one_does_not(settings):
    lasting, passing = marks(**settings), marks(duration="transient", **settings)
    assert drawn(lasting, attempt=1) == drawn(lasting, attempt=0)
    assert drawn(passing, attempt=1) != drawn(passing, attempt=0)
    assert drawn(passing, attempt=0) == drawn(lasting)


def test_a_transient_coin_is_flipped_anew_where_the_prompt_is_marked_each_time():
    always = marks(rate=1, answers="shared", duration="transient")
    assert drawn(always, attempt=0) != drawn(always, attempt=1)


@pytest.mark.parametrize("scope", ["prompt", "replica"])
@pytest.mark.parametrize("answers", ["distinct", "shared"])
@pytest.mark.parametrize("duration", ["persistent", "transient"])
def test_no_draw_depends_on_what_was_asked_before(scope, answers, duration):
    settings = {"scope": scope, "answers": answers, "duration": duration}
    questions = [
        (request, replica, attempt)
        for request in (0, 1, CHUNK_REQUESTS - 1, CHUNK_REQUESTS, 7 * CHUNK_REQUESTS, 10**12)
        for replica in range(4)
        for attempt in range(3)
    ]
    forwards, backwards = marks(**settings), marks(**settings)
    there = {each: forwards.wrong_answer_index(*each) for each in questions}
    back = {each: backwards.wrong_answer_index(*each) for each in reversed(questions)}
    alone = {each: marks(**settings).wrong_answer_index(*each) for each in questions}
    assert there == back == alone


def test_a_further_replica_leaves_the_marks_of_the_others_alone():
    four = drawn(marks(scope="replica"))
    seven = drawn(marks(scope="replica", replicas=7), replicas=7)
    assert [row[:4] for row in seven] == four


def test_another_seed_marks_other_requests():
    assert drawn(marks(seed=1)) != drawn(marks(seed=2))


def test_a_rate_is_a_threshold_so_that_a_higher_one_only_adds_marks():
    low, high = drawn(marks(rate=0.1)), drawn(marks(rate=0.2))
    assert all(
        b is not None for one, other in zip(low, high, strict=True) for a, b in zip(one, other, strict=True) if a
    )
    assert low != high


def test_outputs_that_hold_enough_wrong_answers_are_accepted():
    check_room(Dial(rate=0.1), BytesForm(), SCORES, replicas=100)
    check_room(Dial(rate=0.1), Top1Form("y"), SCORES, replicas=3)
    check_room(Dial(rate=0.1, answers="shared"), Top1Form("y"), SCORES, replicas=100)
    for form, highest in ((BytesForm(), 99), (Top1Form("y"), 2), (Top1Form("y"), 0)):
        assert form.digest(wrong_answer(SCORES, highest, form)) != form.digest(SCORES)


def test_four_classes_hold_three_wrong_answers_and_not_four():
    with pytest.raises(
        DialError, match=r'needs 4 wrong answers .* form top1, and output "y" holds at most 3 different'
    ):
        check_room(Dial(rate=0.1), Top1Form("y"), SCORES, replicas=4)


def test_a_label_has_no_number_to_change():
    with pytest.raises(DialError, match='output "label" holds no finite floating-point number to change'):
        check_room(Dial(rate=0.1, answers="shared"), Top1Form("label"), SCORES, replicas=4)
