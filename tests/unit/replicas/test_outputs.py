"""The digest of outputs: what counts, and what does not."""

from __future__ import annotations

import itertools
from hashlib import sha256

import ml_dtypes
import numpy as np
import pytest

from replicas.outputs import COPIED_BYTES_MAX, OutputError, Outputs, Value, canonical, outputs_digest, root_digest


def digest(value: Value, name: str = "y") -> bytes:
    return outputs_digest(Outputs.of({name: value}))


def nan_with_payload(payload: int) -> np.ndarray:
    return np.array([0x7F800000 | payload], dtype=np.uint32).view(np.float32)


def test_the_digest_is_sha256_over_the_form_that_the_docs_state():
    count = lambda number: number.to_bytes(8, "little")  # noqa: E731
    scores = np.array([[1.5, -2.0]], dtype=np.float32)
    form = b"lastbit.outputs.1\x00" + count(1)
    form += count(6) + b"scores"
    form += b"T" + count(7) + b"float32" + count(2) + count(1) + count(2)
    form += b"\x00\x00\xc0\x3f\x00\x00\x00\xc0"
    assert digest(scores, "scores") == sha256(form).digest()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64", "bool", "complex64"])
def test_byte_order_and_memory_layout_do_not_count(dtype):
    plain = np.arange(12).reshape(3, 4).astype(dtype)
    swapped = plain.astype(plain.dtype.newbyteorder(">"))
    strided = np.repeat(plain, 2, axis=1)[:, ::2]
    assert not strided.flags.c_contiguous
    for twin in (swapped, strided, np.asfortranarray(plain)):
        assert digest(twin) == digest(plain)


def test_the_payload_of_a_nan_survives_a_change_of_byte_order():
    quiet, signalling = nan_with_payload(0x400001), nan_with_payload(1)
    assert digest(quiet) != digest(signalling)
    for nan in (quiet, signalling):
        assert digest(nan.view(np.uint32).astype(">u4").view(">f4")) == digest(nan)


def test_the_sign_of_a_zero_counts():
    assert digest(np.array([0.0], np.float32)) != digest(np.array([-0.0], np.float32))


def test_everything_that_distinguishes_two_outputs_is_in_the_digest():
    zeros = np.zeros(4, np.float32)
    different = [
        Outputs.of({"y": zeros}),
        Outputs.of({"z": zeros}),
        Outputs.of({"y": zeros.reshape(2, 2)}),
        Outputs.of({"y": zeros.reshape(4, 1)}),
        Outputs.of({"y": np.zeros(4, np.int32)}),
        Outputs.of({"y": np.zeros(2, np.float64)}),
        Outputs.of({"y": np.zeros(8, np.float16)}),
        Outputs.of({"y": np.zeros(8, ml_dtypes.bfloat16)}),
        Outputs.of({"y": np.zeros(16, np.bool_)}),
        Outputs.of({"y": zeros[:0]}),
        Outputs.of({"y": zeros, "z": zeros}),
        Outputs.of({"z": zeros, "y": zeros}),
        Outputs.of({"y": [zeros]}),
        Outputs.of({"y": [zeros[:2], zeros[2:]]}),
        Outputs.of({"y": None}),
        Outputs.of({}),
    ]
    assert len({outputs_digest(each) for each in different}) == len(different)


def test_no_two_strings_run_into_each_other():
    texts = [["ab", ""], ["a", "b"], ["", "ab"], ["ab"], ["a\x00b"], ["a\x00b", ""], ["é"], ["e\u0301"]]
    assert len({digest(np.array(each, dtype=object)) for each in texts}) == len(texts)


def test_strings_count_alike_as_objects_and_as_fixed_width_arrays():
    assert digest(np.array(["a", "bcd"], dtype=object)) == digest(np.array(["a", "bcd"]))


def test_a_map_is_the_same_in_any_order_of_its_entries():
    forwards: dict[str, float] = {"a": 0.1, "b": 0.2, "c": 0.7}
    assert digest([dict(reversed(forwards.items()))]) == digest([forwards])
    assert digest([{**forwards, "c": 0.5}]) != digest([forwards])


def test_keys_and_numbers_of_different_kinds_stay_apart():
    values: list[Value] = [
        {1: 0.0},
        {"1": 0.0},
        {1: 0},
        {1: False},
        {1: "0"},
        {1: None},
        {1: []},
        {1: {}},
        {},
        [],
        None,
    ]
    values += [0, 1, True, 1.0, "1", -0.0, 0.0, 10**30, [0, 1], [[0], 1], [[0, 1]]]
    assert all(canonical(a) != canonical(b) for a, b in itertools.combinations(values, 2))


@pytest.mark.parametrize("value", [object(), np.array([object()]), np.array(["2020-01-01"], dtype="datetime64[D]")])
def test_what_has_no_canonical_form_is_refused_by_name(value):
    with pytest.raises(OutputError, match=r'output "y" (holds object|has dtype datetime64)'):
        digest(value)


def test_an_unknown_output_is_answered_with_those_that_there_are():
    with pytest.raises(OutputError, match='no output "score"; there are label, scores'):
        Outputs.of({"label": None, "scores": None}).only("score")


def test_replacing_an_output_leaves_the_original_alone():
    outputs = Outputs.of({"a": 1, "b": 2})
    assert dict(outputs.replacing("b", 3).items()) == {"a": 1, "b": 3}
    assert dict(outputs.items()) == {"a": 1, "b": 2}


def test_a_root_covers_number_and_order_of_its_digests():
    one, two = bytes(32), bytes(31) + b"\x01"
    roots = {root_digest(each) for each in ([], [one], [one, one], [one, two], [two, one])}
    assert len(roots) == 5
    assert one not in roots


def test_a_root_refuses_what_is_no_digest():
    with pytest.raises(ValueError, match="31 bytes; each has 32"):
        root_digest([bytes(31)])


def test_a_numpy_number_counts_as_the_scalar_tensor_that_it_is():
    assert canonical(np.float32(1)) == canonical(np.array(1, np.float32)) != canonical(1.0)


def test_a_large_tensor_is_hashed_where_it_lies_as_a_small_one_is_from_its_copy():
    large = np.arange(COPIED_BYTES_MAX, dtype=np.float32).reshape(256, -1)
    assert large.nbytes > COPIED_BYTES_MAX
    for twin in (large.astype(">f4"), np.asfortranarray(large), np.repeat(large, 2, axis=1)[:, ::2]):
        assert canonical(twin) == canonical(large)
        assert digest(twin) == digest(large)
    assert canonical(large).endswith(large.tobytes())
    assert digest(large) != digest(large.T)
