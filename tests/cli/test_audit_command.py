"""`lastbit audit` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import own_models

from lastbit.cli import exit_code_of

QUICK = ("--samples", "4", "--profiles", "ref,threads4,noprepack", "--quiet")


def test_the_report_names_classes_knobs_and_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["audit", "digits-mlp", *QUICK]) == 0
    out, err = capsys.readouterr()
    assert "2 classes by bytes, one by top 1" in out
    assert "A                        ref, threads4\n" in out
    assert "prepacking=false         from ref LIVE on 4 of 4" in out
    assert "intra_op_threads=4       from ref inert" in out
    assert "prescribe the default settings" in out
    assert err == ""


def test_what_must_be_prescribed_for_wanted_profiles_is_told_and_in_the_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--wanted", "ref,noprepack"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "prescribe prepacking=true: then ref and noprepack agree on all 4 inputs, in" in out
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--wanted", "ref,noprepack", "--json"]) == 0
    advice = json.loads(capsys.readouterr().out)["advice"]
    assert (advice["prescribed"], advice["wanted"]) == ({"prepacking": True}, ["ref", "noprepack"])
    assert (advice["tried"][0]["told"], advice["tried"][0]["apart"]) == ("nothing", ["ref", "noprepack"])


def test_json_holds_what_the_report_says_and_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--json", "--fleet", "ref=3,noprepack=2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "lastbit.audit/1"
    assert found["classes"]["bytes"] == [["ref", "threads4"], ["noprepack"]]
    assert [each["form"] for each in found["quorum"]] == ["bytes", "top1"]
    assert found["quorum"][0]["mean"] == pytest.approx(2 * 1 / 5)


@pytest.mark.parametrize(("gate", "code"), [("classes", 7), ("flips", 0)])
def test_a_gate_has_an_exit_code_of_its_own(gate: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--fail-on", gate]) == code
    assert "classes by bytes" in capsys.readouterr().out


def test_a_model_of_the_users_own_with_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_models.tokens(tmp_path / "tokens.onnx")
    assert exit_code_of(["audit", str(path), *QUICK, "--dim", "batch=2", "--range", "ids=0:5"]) == 0
    assert "ids int64 [2, 8] 0:5" in capsys.readouterr().out


def test_a_file_of_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("[mine]\nprofile = { intra_op_threads = 3 }\n")
    assert exit_code_of(["audit", "digits-mlp", "--samples", "2", "--profiles", str(tmp_path / "mine.toml")]) == 0
    assert "A                        ref, mine\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.onnx"], "nope.onnx: no such file"),
        (["digits-mpl"], 'no bundled model is called "digits-mpl"; did you mean "digits-mlp"?'),
        (["digits-mlp", "--profiles", "thread4"], 'no profile "thread4"; did you mean "threads4"?'),
        (["digits-mlp", "--profiles", ","], "--profiles names none"),
        (["digits-mlp", "--profiles", "nope.toml"], "nope.toml: cannot be read: No such file"),
        (["digits-mlp", "--samples", "0"], "samples: 0 is not allowed; 1 to 100,000,000"),
        (["digits-mlp", "--fleet", "ref=0.5"], "the shares add up to 0.5"),
        (["digits-mlp", "--wanted", "ref,thread4"], 'wanted: no profile "thread4" was tried; did you mean "threads4"?'),
        (["digits-mlp", "--fleet", "ksplit8-drawn=1", "--replicas", "65"], "65 replicas are too many"),
        (["digits-mlp", "--output", "nope"], 'digits-mlp has no output "nope"'),
        (["digits-mlp", "--replicas", "0"], "--replicas"),
        (["digits-mlp", "--replicas", "7"], "--replicas says how many are drawn from a fleet"),
        (["digits-mlp", "--fleet", "ref=1e400"], "fleet: ref=1e400 is no share; above 0, and finite"),
        (["digits-mlp", "--fail-on", "anything"], "--fail-on"),
        ([], "MODEL"),
    ],
)
def test_bad_usage_is_one_message_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(["audit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert out == ""


def test_a_difference_of_two_profiles_and_where_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["diff", "digits-forest", "ref", "threads4", "--samples", "3", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Where it begins, against ref" in out
    assert 'ai.onnx.ml.TreeEnsembleClassifier "forest"' in out


def test_a_difference_is_a_gate_too() -> None:
    assert exit_code_of(["diff", "digits-mlp", "ref", "threads4", "--samples", "3", "--fail-on", "classes"]) == 0
    assert exit_code_of(["diff", "digits-mlp", "ref", "noprepack", "--samples", "3", "--fail-on", "classes"]) == 7


def test_two_model_files_are_named_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(own_models.dense(tmp_path / name)) for name in ("one.onnx", "two.onnx")]
    assert exit_code_of(["diff", *paths, "--samples", "3", "--profile", "opt-off", "--fail-on", "classes"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("one.onnx and two.onnx   both under opt-off · 3 inputs of generated: x float32 [1, 8]")
    assert "both models give the same bytes" in out
    assert exit_code_of(["diff", *paths, "ref", "--profile", "ref"]) == 2
    assert "--profile is for two models" in capsys.readouterr().err


def test_models_that_cannot_be_compared_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = own_models.dense(tmp_path / "one.onnx"), own_models.mask(tmp_path / "two.onnx")
    assert exit_code_of(["diff", str(one), str(two)]) == 2
    assert 'one.onnx has the inputs "x", two.onnx "b"' in capsys.readouterr().err
    assert exit_code_of(["diff", str(one), "nope.onnx"]) == 2
    assert "nope.onnx: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ref", "permute"], 'no profile "permute"; did you mean "permute-k"?'),
        (["ref", "ref"], '"ref" and "ref" are one profile'),
        (["ref"], "Missing argument 'B'"),
    ],
)
def test_profiles_that_cannot_be_compared_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(["diff", "digits-mlp", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_profile_that_the_model_cannot_run_under_is_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(["diff", "digits-forest", "ref", "permute-k", "--samples", "3"]) == 2
    assert "finds no product in this model" in capsys.readouterr().err


def test_a_page_is_written_beside_the_report_and_says_how_to_repeat_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--seed", "3", "--html", str(path)]) == 0
    assert "2 classes by bytes" in capsys.readouterr().out
    again = "lastbit audit digits-mlp --profiles ref,threads4,noprepack --samples 4 --seed 3"
    assert f"<pre>{again}</pre>" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lastbit.auditing.audit", None)
    profiles = tmp_path / "mine.toml"
    profiles.write_text("[mine]\nprofile = { intra_op_threads = 3 }\n")
    for page, why in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "report.html", "there is no folder"),
        (profiles, "would overwrite it"),
    ):
        assert exit_code_of(["audit", "digits-mlp", "--profiles", str(profiles), "--html", str(page)]) == 2
        err = capsys.readouterr().err
        assert f"--html {page}" in err
        assert why in err
    assert profiles.read_text().startswith("[mine]")


def test_a_page_is_written_whole_or_not_at_all_and_the_report_is_given_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    path.write_text("an earlier one")

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--html", str(path)]) == 2
    assert "2 classes by bytes" in capsys.readouterr().out
    assert path.read_text() == "an earlier one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_baseline_is_compared_with_and_is_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tmp_path / "before.json"
    assert exit_code_of(["audit", "digits-mlp", *QUICK, "--json"]) == 0
    text = capsys.readouterr().out
    against = ("--baseline", str(before), "--fail-on", "baseline")

    before.write_text(text)
    assert exit_code_of(["audit", "digits-mlp", *QUICK, *against]) == 0
    assert "classes                  as it was" in capsys.readouterr().out

    before.write_text(text.replace('"verdict": "inert"', '"verdict": "live"', 1))
    assert exit_code_of(["audit", "digits-mlp", *QUICK, *against, "--json"]) == 7
    (verdict,) = json.loads(capsys.readouterr().out)["changes"]["verdicts"]
    assert verdict.endswith("live, now inert")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "baseline"], "needs one to compare with: --baseline"),
        (["--baseline", "nope.json"], "nope.json: cannot be read: No such file"),
    ],
)
def test_a_baseline_that_is_not_there_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(["audit", "digits-mlp", *arguments]) == 2
    assert message in capsys.readouterr().err
