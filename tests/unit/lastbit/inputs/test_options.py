"""Options as typed: what they mean, and one clear error for what they cannot mean."""

from __future__ import annotations

import pytest

from lastbit.inputs import InputsError, Overrides, parse_dim, parse_range, parse_value


def test_a_name_may_hold_colons_dots_and_equals_signs() -> None:
    assert parse_dim("x:0.1=4") == ("x:0.1", 4)
    assert parse_range("a=b:0=0:9") == ("a=b:0", (0, 9))
    assert parse_value("text=a=b") == ("text", "a=b")


def test_a_range_is_of_integers_only_where_both_ends_are() -> None:
    assert [type(end) for end in parse_range("x=0:9")[1]] == [int, int]
    assert [type(end) for end in parse_range("x=-3:1e2")[1]] == [float, float]


def test_an_empty_value_is_a_value() -> None:
    assert parse_value("text=") == ("text", "")


@pytest.mark.parametrize("text", ["", "n", "n=", "=4", "n=0", "n=-1", "n=1.5", "n=x", "n=²", "n=99999999999"])
def test_a_malformed_dim_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputsError, match=r"--dim .*such as --dim sequence=4"):
        parse_dim(text)


@pytest.mark.parametrize("text", ["", "n", "n=", "n=3", "=0:9", "n=0:", "n=a:b", "n=0:inf", "n=nan:1", "n=0:1:2"])
def test_a_malformed_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputsError, match=r"--range .*such as --range ids=0:99"):
        parse_range(text)


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(InputsError, match="9 is above 0"):
        parse_range("n=9:0")


@pytest.mark.parametrize("text", ["", "n", "=4"])
def test_a_malformed_value_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputsError, match=r"--value .*such as"):
        parse_value(text)


def test_a_name_given_twice_is_refused_unless_both_agree() -> None:
    assert Overrides.from_texts(dims=["n=4", "n=4"]).dims == {"n": 4}
    with pytest.raises(InputsError, match='"n" was given before, as 4'):
        Overrides.from_texts(dims=["n=4", "n=5"])
