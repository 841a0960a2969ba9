"""An audit as a person reads it: the classes, how far they lie apart, which knobs are live, and what to mistrust."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase

from rich.text import Text

from lastbit import wording
from lastbit.auditing.findings import Audit, Changes, KnobFound, Pair
from lastbit.auditing.knobs import REFERENCE
from lastbit.auditing.quorum_chance import QuorumChance
from lastbit.auditing.rounding_chance import RoundingChance
from lastbit.intervals import Rate
from lastbit.layout import Layout

PAIRS_SHOWN_MAX = 6
"""Of more pairs only those with the first class are shown."""

INVARIANT = {True: "yes", False: "NO", None: "could not be tried"}

_LABEL_WIDTH = 25


def render(audit: Audit, *, width: int | None = None) -> Text:
    """The report of an audit.

    Args:
        audit: what was found.
        width: columns to stay within; None: lines as long as they are, for files and pipes.

    Returns:
        Text with colour on the outcome alone; `str()` of it is the plain report.
    """
    layout = Layout(width, label_width=_LABEL_WIDTH)
    text = Text()
    text.append(layout.hanging(subject(audit), what_was_tried(audit), gap=3) + "\n\n")
    text.append(layout.line("  ", outcome(audit)), style="bold green" if _is_one_class(audit) else "bold yellow")
    text.append("\n\n")
    for block in (_classes, _apart, _origins, _flips, _rounding, _invariances, _knobs, _trust, _changes):
        lines = list(block(audit, layout))
        if lines:
            text.append("\n".join(lines) + "\n\n")
    text.right_crop(1)
    return text


def letter(place: int) -> str:
    """What a class is called: A to Z, then AA, AB...

    Example:
        >>> letter(0), letter(25), letter(26)
        ('A', 'Z', 'AA')
    """
    word = ""
    while place >= 0:
        place, digit = divmod(place, 26)
        word, place = ascii_uppercase[digit] + word, place - 1
    return word


def share(rate: Rate) -> str:
    """Changed inputs among all; where there were none, what that excludes.

    Example:
        >>> from lastbit.intervals import binomial_rate
        >>> share(binomial_rate(0, 300)), share(binomial_rate(3, 300))
        ('0 of 300, so below 1 % (95 %)', '3 of 300, 1 % (95 %: 0.21 to 2.9 %)')
    """
    if not rate.trials:
        return "no input was tried"
    if not rate.failures:
        return f"0 of {rate.trials:,}, so below {min(100 * 3 / rate.trials, 100):.2g} % (95 %)"
    if rate.failures == rate.trials:
        return f"all of {rate.trials:,}"
    estimate = percent(rate.failures / rate.trials)
    return f"{rate.failures:,} of {rate.trials:,}, {estimate} % (95 %: {percent(rate.low)} to {percent(rate.high)} %)"


def percent(part: float) -> str:
    """A share in hundredths, to two figures, or to three near all of it.

    Example:
        >>> [percent(part) for part in (0.00213, 0.21, 0.9987, 0.9999, 1.0)]
        ['0.21', '21', '99.9', '99.99', '100']
    """
    hundredths = 100 * part
    if hundredths < 99 or part == 1:
        return f"{hundredths:.3g}" if part == 1 else f"{hundredths:.2g}"
    return f"{100 - float(f'{100 - hundredths:.1g}'):g}"


def flips(count: float) -> str:
    """A number of flips in 10,000.

    Example:
        >>> [flips(count) for count in (0.0, 0.00012, 1.76, 1_300.4)]
        ['0', '0.00012', '1.8', '1,300']
    """
    return f"{count:,.0f}" if count >= 99.5 else f"{count:.2g}"


def _is_one_class(audit: Audit) -> bool:
    return not audit.fails_on("classes")


def subject(audit: Audit) -> str:
    """The model, or the two of them."""
    return audit.model if audit.other_model is None else f"{audit.model} and {audit.other_model.name}"


def what_was_tried(audit: Audit) -> str:
    """Profiles, inputs and seed, in one line."""
    profiles = wording.counted(len(audit.profiles), "profile")
    parts = [
        profiles if audit.other_model is None else f"both under {audit.other_model.profile}",
        f"{wording.counted(audit.inputs_done, 'input')} of {audit.inputs}",
        f"seed {audit.seed}",
    ]
    return " · ".join(parts)


def outcome(audit: Audit) -> str:
    """How it ended, in one line."""
    what = ", ".join(_outcome_by(audit, form, is_first=not place) for place, form in enumerate(audit.forms))
    if audit.interrupted:
        what = f"interrupted after {audit.inputs_done:,} of {audit.inputs_asked:,} inputs: {what}"
    return what


def _outcome_by(audit: Audit, form: str, *, is_first: bool) -> str:
    name, count = {"top1": "top 1"}.get(form, form), len(audit.classes[form])
    all_of_them, each = ("all profiles", "profile") if audit.other_model is None else ("both models", "model")
    if any(profile.refused is not None for profile in audit.profiles):
        all_of_them = "all profiles that could run"
    if audit.is_one_class(form) and is_first:
        return f"{all_of_them} give the same {name}"
    if not count:
        return f"no {each} agrees with itself by {name}"
    number = "one" if count == 1 else str(count)
    return f"{number} {'class' if count == 1 else 'classes'} by {name}" if is_first else f"{number} by {name}"


def _classes(audit: Audit, layout: Layout) -> Iterator[str]:
    names = _letters(audit)
    for names_of_class in audit.classes["bytes"]:
        yield layout.row(names[names_of_class[0]], ", ".join(names_of_class))
    for each in audit.profiles:
        if each.order_drawn and each.changed is not None:
            yield layout.row(
                "no class",
                f"{each.name}: a new order on each run; unlike {audit.profiles[0].name} on {share(each.changed)}",
            )
        elif each.unrepeatable:
            again = f"run again on the same input, other bytes on {each.unrepeatable} of {each.repeated}"
            yield layout.row("no class", f"{each.name}: {again}")
    if "top1" in audit.forms and len(audit.classes["top1"]) > 1:
        for names_of_class in audit.classes["top1"]:
            yield layout.row(f'by top 1 of "{audit.score_output}"', ", ".join(names_of_class))
    refused: dict[str, list[str]] = {}
    for each in audit.profiles:
        if each.refused is not None:
            refused.setdefault(each.refused, []).append(each.name)
    for reason, names_refused in refused.items():
        yield layout.row("could not run", f"{', '.join(names_refused)}: {reason}")


def _letters(audit: Audit) -> dict[str, str]:
    return {names[0]: letter(place) for place, names in enumerate(audit.classes["bytes"])}


def _apart(audit: Audit, layout: Layout) -> Iterator[str]:
    names = _letters(audit)
    first = audit.pairs[0].one if audit.pairs else None
    shown = [pair for pair in audit.pairs if pair.one == first or len(audit.pairs) <= PAIRS_SHOWN_MAX]
    for pair in shown:
        yield layout.row(f"{names[pair.one]} and {names[pair.other]}", distance_told(pair))
    if len(shown) < len(audit.pairs):
        yield layout.row("", f"{wording.counted(len(audit.pairs) - len(shown), 'further pair')}: --json tells all")


def distance_told(pair: Pair) -> str:
    """How far two classes lie apart, in one line."""
    parts = [f"differ on {share(pair.changed)}"]
    if pair.absolute or pair.ulp:
        parts.append(f"by up to {pair.absolute:.2g} = {pair.scaled_ulp:.3g} ulp of the largest = {pair.ulp:,} steps")
    odd = {
        "signs of zero": pair.signs_of_zero,
        "NaN against a number": pair.nan_against_number,
        "NaN payloads": pair.nan_payloads,
        "infinities": pair.infinities,
        "values without a distance": pair.unlike,
    }
    parts += [f"{what}: {count:,}" for what, count in odd.items() if count]
    if pair.flips is not None and pair.flips.failures:
        parts.append(f"top 1 flips on {share(pair.flips)}")
    return "; ".join(parts)


def _origins(audit: Audit, layout: Layout) -> Iterator[str]:
    if audit.origins:
        yield layout.line("  ", f"Where it begins, against {audit.origins[0].one}", indent=2)
    for origin in audit.origins:
        yield layout.row(origin.other, origin.said)


def flips_title(audit: Audit) -> str:
    """Whose top 1 flips, and against what."""
    return f'Flips of the top 1 of "{audit.score_output}" against {audit.profiles[0].name}'


def _flips(audit: Audit, layout: Layout) -> Iterator[str]:
    alike = {name for names in audit.classes["bytes"] for name in names[1:]}  # what is told of the first is told of all
    told = [each for each in audit.profiles if each.forecast is not None and each.name not in alike]
    if told:
        yield layout.line("  ", f"{flips_title(audit)}, in 10,000 requests", indent=2)
    for each in told:
        if each.forecast is None or each.flips is None:
            continue
        found = each.forecast
        how = "" if found.method == "counted" else ", extrapolated"
        expected = f"{flips(found.expected)} expected (95 %: {flips(found.low)} to {flips(found.high)}{how})"
        ties = f"; {wording.counted(found.ties, 'exact tie')}" if found.ties else ""
        yield layout.row(each.name, f"{expected}; here {each.flips.failures:,} of {each.flips.trials:,}{ties}")


def _rounding(audit: Audit, layout: Layout) -> Iterator[str]:
    told = [(each.name, each.rounding) for each in audit.profiles if each.rounding is not None]
    if told:
        yield layout.line("  ", "Added in double precision and rounded once: does another order show?", indent=2)
    for name, found in told:
        yield layout.row(name, rounding_told(found))


def rounding_told(found: RoundingChance) -> str:
    """How often another order shows in sums that are rounded once, in one line."""
    seen = f"{found.rounded_otherwise:,} of {round(found.inputs * found.sums):,} sums did here"
    chance = f"on {found.per_answer:.2g} of the answers (95 %: {found.low:.2g} to {found.high:.2g}), estimated"
    return f"{chance} from how near sums lie to where they round the other way; {seen}, which proves nothing"


def _invariances(audit: Audit, layout: Layout) -> Iterator[str]:
    if audit.invariances:
        yield layout.line("  ", f"Invariant, under {REFERENCE}, to", indent=2)
    for each in audit.invariances:
        yield layout.row(each.to, f"{INVARIANT[each.holds]}: {each.said}")


def _knobs(audit: Audit, layout: Layout) -> Iterator[str]:
    by_knob: dict[str, list[KnobFound]] = {}
    for each in audit.knobs:
        by_knob.setdefault(each.knob, []).append(each)
    for knob, found in by_knob.items():
        if all(each.verdict in ("refused", "same-as-base") for each in found):
            reason = next(each.refused for each in found if each.refused is not None)
            yield layout.row(knob, f"could not be turned: {reason}")
            continue
        yield layout.row(knob, " · ".join(_from_base(each) for each in found if each.verdict != "same-as-base"))
    if any(each.verdict == "inert" for each in audit.knobs) and audit.inputs_done:
        inert = f"0 of {audit.inputs_done:,} inputs changed, so below {min(3 / audit.inputs_done, 1):.2g} at 95 %"
        yield layout.row("inert means", inert)
    for knob in audit.live_in_combination:
        bases = [each.base for each in by_knob[knob] if each.verdict == "live"]
        yield layout.row("live together", f"{knob} changes nothing by itself, and does from {' and from '.join(bases)}")


def _from_base(found: KnobFound) -> str:
    if found.verdict == "live" and found.changed is not None:
        return f"from {found.base} LIVE on {found.changed.failures:,} of {found.changed.trials:,}"
    return f"from {found.base} {found.verdict}"


def _trust(audit: Audit, layout: Layout) -> Iterator[str]:
    repeated = [each for each in audit.profiles if each.repeated]
    if repeated and not any(each.unrepeatable for each in repeated):
        most = max(each.repeated for each in repeated)
        yield layout.row(
            "run again", f"every profile gave the same bytes on {most} inputs, {repeated[0].repeats} runs of each"
        )
    for sentence in audit.warnings:
        yield layout.row("beware", sentence)
    for chance in audit.quorum:
        what = f"{audit.replicas} replicas of {audit.fleet} form a quorum on {chance.form} with probability "
        told = f"{wording.probability(chance.mean)} (95 %: {chance.low:.4g} to {chance.high:.4g}; {rests_on(chance)})"
        yield layout.row("quorum", what + told)
    if audit.advice is not None:
        yield layout.row("advice", audit.advice.said)


def rests_on(chance: QuorumChance) -> str:
    """How the chance of a quorum was found, and from how much."""
    on = f"on {wording.counted(chance.inputs, 'input')}"
    match chance.how:
        case "exact":
            return f"exact {on}"
        case "enumerated":
            return f"enumerated: all orders run, up to {chance.runs:,}, {on}"
        case "estimated":
            return f"estimated from up to {chance.runs:,} runs of a profile {on}"


def _changes(audit: Audit, layout: Layout) -> Iterator[str]:
    if audit.changes is None:
        return
    yield layout.line("  ", "Against the baseline", indent=2)
    for label, sentences in changes_by_kind(audit.changes).items():
        for sentence in sentences or ("as it was",):
            yield layout.row(label, sentence)


def changes_by_kind(changes: Changes) -> dict[str, tuple[str, ...]]:
    """What changed, under the names of what did."""
    return {
        "circumstances": changes.circumstances,
        "classes": changes.classes,
        "knobs": changes.verdicts,
        "flips": changes.flips,
    }
