"""Which prescriptions are tried, and which hold, on answers that are made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastbit.auditing.advice import Wanted, WantedError
from lastbit.auditing.pairs import Answered
from lastbit.auditing.prescribing import EXTRA_MAX, Prescribing
from lastbit.auditing.prescriptions import prescriptions
from replicas.outputs import Outputs
from replicas.profile import KSplit, NumericProfile

REF = NumericProfile()
THREADS = NumericProfile(intra_op_threads=4)
BARE = NumericProfile(prepacking=False)
WANTED = {"ref": REF, "threads": THREADS, "bare": BARE}

Bits = Callable[[NumericProfile, int], object]


class Measured:
    """What a prescribing asks of a measuring: every profile that is run answers by a rule."""

    def __init__(self, prescribing: Prescribing, known: dict[str, NumericProfile], bits: Bits) -> None:
        self.refused: dict[str, str] = {}
        self.inputs_done = 0
        self.repeated_inputs = 20
        self.retired: dict[str, int] = {}
        self._prescribing = prescribing
        self._runs = {**known, **prescribing.extra}
        self._bits = bits

    def take(self, inputs: int) -> Measured:
        for _ in range(inputs):
            answers = {
                name: Answered(Outputs.of({}), repr(self._bits(profile, self.inputs_done)).encode(), None)
                for name, profile in self._runs.items()
                if name not in self.refused
            }
            self._prescribing.take(self.inputs_done, answers, self)  # type: ignore[arg-type]
            self.inputs_done += 1
        return self

    def retire(self, name: str) -> None:
        del self._runs[name]
        self.retired[name] = self.inputs_done


def holding(prescribing: Prescribing) -> list[str]:
    return [str(trial.prescription) for trial in prescribing.alive]


def test_each_subset_of_what_differs_is_prescribed_alone_and_with_all_that_may_stand_beside_it() -> None:
    found = [str(each) for each in prescriptions(WANTED, REF)]
    assert len(found) == len(set(found)) == 4 * 4
    assert found[:6] == [
        "nothing",
        "optimization=off",
        "optimization=basic",
        "precision=integers",
        "intra_op_threads=1",
        "prepacking=true",
    ]
    assert "intra_op_threads=1, prepacking=true, optimization=basic" in found


def test_a_level_is_prescribed_once_where_the_wanted_differ_in_it() -> None:
    found = [str(each) for each in prescriptions({"ref": REF, "off": NumericProfile(optimization="off")}, REF)]
    assert found == [
        "nothing",
        "optimization=off",
        "optimization=basic",
        "precision=integers",
        "optimization=all",
        "optimization=all, precision=integers",
    ]


def test_threads_that_run_nodes_side_by_side_are_prescribed_together_with_the_mode_that_uses_them() -> None:
    parallel = NumericProfile(execution_mode="parallel", inter_op_threads=4)
    found = [str(each) for each in prescriptions({"ref": REF, "parallel": parallel}, REF)]
    assert "execution_mode=sequential, inter_op_threads=1" in found
    assert "execution_mode=sequential" not in found


def test_what_holds_on_all_inputs_is_what_makes_the_answers_depend_on_nothing_that_differs() -> None:
    """Threads change bits unless weights are prepacked; prepacking itself does from input 2 on, unless basic."""

    def bits(profile: NumericProfile, request: int) -> object:
        threads = 1 if profile.prepacking else profile.intra_op_threads
        layout = profile.prepacking if request >= 2 and profile.optimization != "basic" else None
        return threads, layout

    wanted = {**WANTED, "both": NumericProfile(prepacking=False, intra_op_threads=4)}
    prescribing = Prescribing(wanted, REF, wanted)
    Measured(prescribing, wanted, bits).take(5)
    assert holding(prescribing) == [
        "prepacking=true",
        "intra_op_threads=1, optimization=basic",
        "prepacking=true, optimization=off",
        "prepacking=true, optimization=basic",
        "prepacking=true, precision=integers",
        "intra_op_threads=1, prepacking=true",
        "intra_op_threads=1, prepacking=true, optimization=off",
        "intra_op_threads=1, prepacking=true, optimization=basic",
        "intra_op_threads=1, prepacking=true, precision=integers",
    ]
    by_name = {str(trial.prescription): trial for trial in prescribing.trials}
    assert (by_name["nothing"].apart, by_name["nothing"].request) == (("ref", "both"), 0)
    assert (by_name["intra_op_threads=1"].apart, by_name["intra_op_threads=1"].request) == (("ref", "bare"), 2)


def test_profiles_that_run_anyway_are_run_once_and_what_is_refuted_is_run_no_more() -> None:
    known = {**WANTED, "off": NumericProfile(optimization="off"), "again": REF}
    prescribing = Prescribing(WANTED, REF, known)
    assert not set(prescribing.extra.values()) & set(known.values())
    assert len(set(prescribing.extra.values())) == len(prescribing.extra) == 8  # of 12: four for each wanted
    measured = Measured(prescribing, known, lambda profile, _: profile.prepacking).take(1)
    kept = {prescribing.extra[name].prepacking for name in prescribing.extra if name not in measured.retired}
    assert kept == {True}
    assert set(measured.retired.values()) == {0}


def test_what_asks_more_than_another_that_holds_is_run_only_at_first() -> None:
    prescribing = Prescribing(WANTED, REF, WANTED)
    measured = Measured(prescribing, WANTED, lambda *_: "the same")
    measured.take(measured.repeated_inputs)
    assert measured.retired == {}
    measured.take(1)
    assert set(measured.retired) == set(prescribing.extra)
    assert [str(trial.prescription) for trial in prescribing.trials if trial.is_untried][:2] == [
        "optimization=off",
        "optimization=basic",
    ]
    assert holding(prescribing)[0] == "nothing"


def test_sessions_for_prescriptions_alone_have_a_most() -> None:
    wanted = {
        f"{threads} {precision}": NumericProfile(intra_op_threads=threads, precision=precision)
        for threads in (1, 2, 3)
        for precision in ("fp32", "fp64", "int8-s8")
    }
    prescribing = Prescribing(wanted, REF, wanted)
    assert 0 < len(prescribing.extra) <= EXTRA_MAX
    untried = [str(trial.prescription) for trial in prescribing.trials if trial.is_untried]
    assert "optimization=basic" in untried
    Measured(prescribing, wanted, lambda *_: "the same").take(3)
    assert "nothing" in holding(prescribing)


def test_one_that_is_refused_or_draws_its_order_agrees_with_nobody() -> None:
    drawn = NumericProfile(summation=KSplit(slices=4, order="drawn"))
    known = {"ref": REF, "drawn": drawn}
    prescribing = Prescribing(known, REF, known)
    assert prescribing.trials[0].ended == "drawn draws an order of its own on each run"
    assert "summation=as-built" in holding(prescribing)

    fixed = {"ref": REF, "fixed": NumericProfile(summation=KSplit(slices=4))}
    assert Prescribing(fixed, REF, fixed).trials[0].ended == "fixed draws an order of its own for each replica"

    prescribing = Prescribing(WANTED, REF, WANTED)
    measured = Measured(prescribing, WANTED, lambda *_: "the same")
    measured.refused = {"bare": "no session"}
    measured.take(1)
    assert prescribing.trials[0].ended == "bare could not run: no session"
    assert "prepacking=true" in holding(prescribing)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ref,thread4", 'wanted: no profile "thread4" was tried; did you mean "threads4"?'),
        ("ref", 'wanted: "ref" names 1 of the profiles tried; two or more are to agree'),
        ("ref, ref", "names 1 of the profiles tried"),
        (",", "names 0 of the profiles tried"),
    ],
)
def test_profiles_that_cannot_be_wanted_are_refused(text: str, message: str) -> None:
    with pytest.raises(WantedError) as caught:
        Wanted.from_text(text, {"ref": REF, "threads4": THREADS})
    assert message in str(caught.value)


def test_what_an_operator_cannot_be_held_to_is_wanted_by_default() -> None:
    changed: list[Any] = [profile for profile in Wanted.uncontrolled().profiles.values() if profile != REF]
    assert {(each.optimization, each.prepacking, each.precision) for each in changed} == {("all", True, "fp32")}
