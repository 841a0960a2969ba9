"""Is the page of an audit whole by itself, and safe from what it quotes?"""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

import lastbit
from lastbit.auditing import Audit
from lastbit.auditing.page import page
from replicas.library import NamedProfile, named_profiles

HOSTILE = """<script>alert("1")</script>'&"""
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements and text, and insists that each element that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return [name for name, _ in self.opened].count(tag)


@cache
def found() -> Audit:
    names = ("ref", "threads4", "noprepack", "ksplit8-drawn", "int8-s8")
    profiles = {name: named_profiles()[name] for name in names}
    return lastbit.audit("digits-mlp", profiles=profiles, samples=4, fleet="ref=0.7,noprepack=0.3")


def renamed(value: Any, name: str) -> Any:
    """The same with another name for the profile `noprepack`, wherever it is told."""
    if isinstance(value, tuple):
        return tuple(renamed(each, name) for each in value)
    if isinstance(value, dict):
        return {key: renamed(each, name) for key, each in value.items()}
    if hasattr(value, "__struct_fields__"):
        return replace(value, **{key: renamed(getattr(value, key), name) for key in value.__struct_fields__})
    return name if value == "noprepack" else value


def test_a_page_loads_nothing_and_runs_no_script() -> None:
    text = page(found(), command="lastbit audit digits-mlp")
    read = Reader(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.opened}
    assert not [key for _, attributes in read.opened for key in attributes if key in ("src", "href") or key[:2] == "on"]
    assert not re.search(r"url\(|@import|https?:", text)


def test_a_page_tells_all_that_was_found() -> None:
    read = Reader(page(found(), command="lastbit audit digits-mlp --samples 4"))
    told = " ".join(read.text.split())
    assert "3 classes by bytes" in told
    for sentence in (
        named_profiles()["noprepack"].sentence,
        "What makes the wanted profiles agree?",
        "optimization=basic",
        "a new order on each run; all of 4",
        found().model_sha256,
        found().origins[0].said,
        "live on 4 of 4",
        "4 replicas drawn from ref=0.7,noprepack=0.3",
        f"onnxruntime {found().environment.versions['onnxruntime']}",
        "lastbit audit digits-mlp --samples 4",
    ):
        assert sentence in told
    assert read.count("svg") == 1
    assert read.count("rect") == sum(len(pair.inputs_by_power) for pair in found().pairs[:2])


def test_flips_are_told_once_for_each_class() -> None:
    _, _, rest = Reader(page(found())).text.partition("How often does the top 1 flip?")
    flips, _, _ = rest.partition("Which knobs change anything?")
    assert "noprepack" in flips
    assert "threads4" not in flips


def test_what_a_stranger_named_is_text_and_never_markup() -> None:
    audit = replace(renamed(found(), HOSTILE), model=HOSTILE, warnings=(HOSTILE,), inputs=HOSTILE)
    audit = replace(audit, origins=tuple(replace(each, said=HOSTILE) for each in audit.origins))
    read, plain = Reader(page(audit, command=HOSTILE)), Reader(page(replace(found(), warnings=("x",)), command="x"))
    assert [tag for tag, _ in read.opened] == [tag for tag, _ in plain.opened]
    assert read.text.count(HOSTILE) >= 8


def test_a_difference_that_has_no_size_is_told_in_words() -> None:
    first, *others = found().pairs
    audit = replace(found(), pairs=(replace(first, nan_against_number=7), *others))
    read = Reader(page(audit))
    assert "NaN against a number: 7" in read.text
    assert read.count("li") == 1


def test_a_page_of_nothing_found_is_still_a_page() -> None:
    audit = replace(
        found(),
        forms=("bytes",),
        classes={"bytes": ()},
        pairs=(),
        origins=(),
        knobs=(),
        quorum=(),
        inputs_done=0,
        profiles=found().profiles[:1],
    )
    assert "no profile agrees with itself" in Reader(page(audit)).text.lower()


def test_every_input_with_a_distance_is_in_one_bar() -> None:
    for pair in found().pairs:
        assert sum(pair.inputs_by_power.values()) == pair.changed.failures == 4
        assert 2.0 ** max(pair.inputs_by_power) <= pair.scaled_ulp < 2.0 ** (max(pair.inputs_by_power) + 1)


@pytest.mark.parametrize("name", ["of <b>", "a" * 300])
def test_a_profile_of_any_name(name: str) -> None:
    odd = NamedProfile(name, "odd", named_profiles()["noprepack"].profile)
    audit = lastbit.audit("digits-mlp", profiles={name: odd}, samples=2)
    assert name in Reader(page(audit)).text
