"""The dial against the closed forms: n replicas, quorum q, k requests in a block, rate r for each request.

The observed count of failing blocks must not lie in a tail of the exact binomial below 1e-9.
"""

from __future__ import annotations

from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binom

from replicas.dial import Dial, Marks
from replicas.forms import BytesForm, Form, Top1Form
from replicas.outputs import Outputs
from replicas.wrong_answers import wrong_answer, wrong_answers_max
from simcore.streams import Streams

BLOCKS = 10_000
TAIL_MIN = 1e-9


def best_class_sizes(dial: Dial, *, n: int, k: int, seed: int) -> Counter[int]:
    """How many of the blocks had how many replicas in their largest class of equal answers."""
    ask = Marks(dial, Streams(seed), replicas=n).wrong_answer_index
    sizes: Counter[int] = Counter()
    for block in range(BLOCKS):
        requests = range(block * k, block * k + k)
        answers = Counter(tuple(ask(request, replica, block % 3) for request in requests) for replica in range(n))
        sizes[max(answers.values())] += 1
    return sizes


def prompt_distinct(*, n: int, q: int, k: int, r: float) -> float:  # no n and no q can help
    return 1 - (1 - r) ** k


def prompt_shared(*, n: int, q: int, k: int, r: float) -> float:
    return sum(comb(k, b) * r**b * (1 - r) ** (k - b) * (1 - 2**b * binom.sf(q - 1, n, 2.0**-b)) for b in range(k + 1))


def replica_distinct(*, n: int, q: int, k: int, r: float) -> float:
    return float(binom.sf(n - q, n, 1 - (1 - r) ** k))


def replica_shared(*, n: int, q: int, k: int, r: float) -> float:
    return 1 - sum(comb(k, m) * float(binom.sf(q - 1, n, r**m * (1 - r) ** (k - m))) for m in range(k + 1))


@pytest.mark.parametrize(
    ("scope", "answers", "closed_form"),
    [
        ("prompt", "distinct", prompt_distinct),
        ("prompt", "shared", prompt_shared),
        ("replica", "distinct", replica_distinct),
        ("replica", "shared", replica_shared),
    ],
)
@pytest.mark.parametrize(("n", "q", "k", "r"), [(4, 3, 1, 0.05), (7, 5, 3, 0.1), (6, 4, 2, 0.3)])
def test_blocks_without_a_quorum_come_as_often_as_the_closed_form_says(scope, answers, closed_form, n, q, k, r):
    dial = Dial(rate=r, scope=scope, answers=answers, duration="transient")
    sizes = best_class_sizes(dial, n=n, k=k, seed=n)
    failures = sum(count for size, count in sizes.items() if size < q)
    expected = closed_form(n=n, q=q, k=k, r=r)
    tail = min(binom.cdf(failures, BLOCKS, expected), binom.sf(failures - 1, BLOCKS, expected))
    assert tail > TAIL_MIN, f"{failures} of {BLOCKS}, expected {expected * BLOCKS:.1f}"


def test_a_rate_of_one_in_ten_thousand_marks_one_request_in_ten_thousand():
    ask = Marks(Dial(rate=1e-4), Streams(42), replicas=4).wrong_answer_index
    marked = sum(ask(request, 0, 0) is not None for request in range(1_000_000))
    assert min(binom.cdf(marked, 1_000_000, 1e-4), binom.sf(marked - 1, 1_000_000, 1e-4)) > TAIL_MIN


def test_the_coin_of_a_shared_answer_is_fair():
    ask = Marks(Dial(rate=1, answers="shared"), Streams(42), replicas=4).wrong_answer_index
    wrong = sum(ask(request, replica, 0) is not None for request in range(BLOCKS) for replica in range(4))
    assert min(binom.cdf(wrong, 4 * BLOCKS, 0.5), binom.sf(wrong - 1, 4 * BLOCKS, 0.5)) > TAIL_MIN


floats = st.sampled_from([np.float16, np.float32, np.float64])
scores = floats.flatmap(
    lambda dtype: (
        hnp.arrays(dtype, st.tuples(st.integers(1, 2), st.integers(2, 6)))
        | hnp.arrays(dtype, (1, 4), elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, np.inf, -np.inf, np.nan]))
    )
)


@pytest.mark.parametrize("form", [BytesForm(), Top1Form("y")])
@given(array=scores)
def test_all_wrong_answers_differ_from_the_truth_and_from_each_other(form: Form, array):
    outputs = Outputs.of({"y": array})
    before = array.tobytes()
    held = wrong_answers_max(outputs, form)
    indices = {index for index in (*range(8), held // 2, held - 1) if 0 <= index < held}
    digests = {form.digest(wrong_answer(outputs, index, form)) for index in indices}
    assert len({*digests, form.digest(outputs)}) == len(indices) + 1
    assert array.tobytes() == before
