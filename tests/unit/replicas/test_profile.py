from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicas.profile import AsBuilt, KPermute, KSplit, NumericProfile, ProfileError

summations = st.one_of(
    st.just(AsBuilt()),
    st.builds(KPermute, order=st.sampled_from(["fixed", "drawn"])),
    st.builds(
        KSplit,
        slices=st.integers(2, 256),
        partials=st.sampled_from(["fp32", "tf32", "bf16", "fp16"]),
        order=st.sampled_from(["fixed", "drawn"]),
    ),
)
profiles = st.builds(
    NumericProfile,
    intra_op_threads=st.integers(1, 256),
    inter_op_threads=st.integers(1, 256),
    execution_mode=st.sampled_from(["sequential", "parallel"]),
    optimization=st.sampled_from(["off", "basic", "extended", "all"]),
    prepacking=st.booleans(),
    gelu_approximation=st.booleans(),
    precision=st.sampled_from(["fp32", "fp16-weights", "fp64", "int8-s8", "int8-u8"]),
    summation=summations,
)


@given(profile=profiles)
def test_a_profile_read_back_from_its_toml_is_equal_and_hashes_equal(profile: NumericProfile) -> None:
    again = NumericProfile.from_mapping(tomllib.loads(profile.to_toml()))
    assert again == profile
    assert hash(again) == hash(profile)


@given(first=profiles, second=profiles)
def test_profiles_are_equal_exactly_where_their_toml_is(first: NumericProfile, second: NumericProfile) -> None:
    assert (first == second) == (first.to_toml() == second.to_toml())


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        NumericProfile.from_mapping(
            {"intra_op_thread": 2, "precision": "fp8", "prepacking": 1, "summation": {"slices": 1, "order": "draw"}}
        )
    assert caught.value.faults == (
        'intra_op_thread: unknown key; did you mean "intra_op_threads"?',
        "summation.slices: 1 is not allowed; a whole number from 2 to 256",
        "summation.order: 'draw' is not allowed; did you mean \"drawn\"?",
        "prepacking: 1 is not allowed; true or false",
        "precision: 'fp8' is not allowed; allowed are fp32, fp16-weights, fp64, int8-s8, int8-u8, integers",
    )


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"intra_op_threads": 0}, "intra_op_threads: 0 is not allowed; a whole number from 1 to 256"),
        ({"intra_op_threads": True}, "intra_op_threads: True is not allowed; a whole number from 1 to 256"),
        ({"inter_op_threads": 1.5}, "inter_op_threads: 1.5 is not allowed"),
        ({"execution_mode": "paralel"}, 'did you mean "parallel"'),
        ({"optimization": None}, "optimization: None is not allowed; allowed are off, basic, extended, all"),
        ({"summation": "ksplit"}, "ksplit is a table that needs slices"),
        ({"summation": 4}, "summation: 4 is neither"),
        ({"summation": {"kind": "ksplit"}}, "summation.slices: missing"),
        ({"summation": {"kind": "forest", "slices": 4}}, "summation.kind: 'forest' is not allowed"),
        ({"summation": {"kind": "tree"}}, "summation.shards: missing"),
        ({"summation": {"kind": "tree", "shards": 6}}, "summation.shards: 6 is not allowed; 1, 2, 4, 8 or 16"),
        ({"summation": "tree"}, "tree is a table that needs shards"),
        ({"summation": {"slices": 4, "by_batch": 1}}, "summation.by_batch: 1 is not allowed; true or false"),
        ({"batch_size": 0}, "batch_size: 0 is not allowed; a whole number from 1 to 256"),
        ({"batch_mates": "zero"}, 'did you mean "zeros"'),
        ({"padding": -1}, "padding: -1 is not allowed; a whole number from 0 to 4096"),
        ({"summation": {"kind": "as-built", "slices": 4}}, "summation.slices: unknown key"),
        ({"summation": {"slices": 4, "partial": "bf16"}}, 'did you mean "partials"'),
        ({"summation": "kpermute"}, 'kpermute is a table, { kind = "kpermute" }'),
        ({"summation": {"kind": "kpermute", "slices": 4}}, "summation.slices: unknown key; allowed are kind, order"),
        ({"summation": {"kind": "kpermute", "order": "draw"}}, 'did you mean "drawn"'),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ProfileError) as caught:
        NumericProfile.from_mapping(settings)
    assert fault in str(caught.value)


def test_the_constructor_refuses_what_from_mapping_refuses() -> None:
    with pytest.raises(ProfileError, match="intra_op_threads"):
        NumericProfile(intra_op_threads=-1)
    with pytest.raises(ProfileError, match="summation"):
        NumericProfile(summation="as-built")  # type: ignore[arg-type]
    with pytest.raises(ProfileError, match=r"summation\.partials"):
        KSplit(slices=4, partials="fp8")  # type: ignore[arg-type]


def test_as_built_can_be_told_as_a_word_or_as_a_table() -> None:
    assert NumericProfile.from_mapping({"summation": "as-built"}) == NumericProfile()
    assert NumericProfile.from_mapping({"summation": {"kind": "as-built"}}) == NumericProfile()
