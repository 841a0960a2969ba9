"""An audit as one HTML file that reads by itself: no script, nothing from the network."""

from __future__ import annotations

from collections.abc import Iterator

from lastbit import wording
from lastbit.auditing.findings import Audit, KnobFound
from lastbit.auditing.knobs import REFERENCE
from lastbit.auditing.markup import Markup, element, joined, table
from lastbit.auditing.page_charts import compact, histograms, matrix
from lastbit.auditing.page_style import STYLE
from lastbit.auditing.report import (
    INVARIANT,
    changes_by_kind,
    distance_told,
    flips_title,
    letter,
    outcome,
    rests_on,
    rounding_told,
    share,
    subject,
    what_was_tried,
)


def page(audit: Audit, *, command: str | None = None) -> str:
    """The whole HTML text of an audit's page. Whatever comes from a model or a file of profiles is escaped.

    Args:
        audit: what was found.
        command: how it is made again; left out of the page if None.
    """
    title = f"Which settings give the same bits on {audit.model}?"
    if audit.other_model is not None:
        title = f"Do {subject(audit)} give the same bits?"
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        Markup(f"<style>{STYLE}</style>"),
    )
    body = element("body", element("h1", title), *_summary(audit), *_sections(audit, command))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _summary(audit: Audit) -> Iterator[Markup]:
    yield element("p", what_was_tried(audit), class_="faint")
    tone = "apart" if audit.fails_on("classes") else "agree"
    yield element("p", _capital(outcome(audit)), class_=f"outcome {tone}")
    if audit.advice is not None:
        yield element("p", element("b", "Advice: "), audit.advice.said, ".")
    if audit.warnings:
        yield element("p", "What to mistrust:", class_="apart")
        yield element("ul", *(element("li", warning) for warning in audit.warnings))


def _sections(audit: Audit, command: str | None) -> Iterator[Markup]:
    blocks = {
        "What changed since the baseline?": _changes(audit),
        "How far apart are the classes?": _matrix(audit),
        "Which profiles are in which class?": _classes(audit),
        "Where does it begin?": _origins(audit),
        "How are the distances spread?": _histograms(audit),
        "How often does the top 1 flip?": _flips(audit),
        "Added in double precision and rounded once: does another order show?": _rounding(audit),
        "Is an answer invariant to threads, batch size and padding?": _invariances(audit),
        "Which knobs change anything?": _knobs(audit),
        "Would a fleet form a quorum?": _quorum(audit),
        "What makes the wanted profiles agree?": _prescriptions(audit),
        "What was this made with?": _made_with(audit, command),
    }
    for title, block in blocks.items():
        if block:
            yield element("section", element("h2", title), block)


def _changes(audit: Audit) -> Markup | None:
    if audit.changes is None:
        return None
    rows: list[tuple[str, ...]] = [
        (label, sentence)
        for label, sentences in changes_by_kind(audit.changes).items()
        for sentence in sentences or ("as it was",)
    ]
    return table(("what", "change"), rows)


def _matrix(audit: Audit) -> Markup | None:
    if not audit.pairs:
        return None
    caption = (
        "Above the diagonal: the largest difference, in spacings of floats at the tensor's largest magnitude (scaled "
        "ulp). Below it: the share of inputs on which some bit differs. The stronger the colour, the more."
    )
    odd = [
        element("li", f"{pair.one} and {pair.other} {distance_told(pair)}")
        for pair in audit.pairs
        if pair.has_more_than_size
    ]
    return joined(element("p", caption, class_="faint"), matrix(audit), *([element("ul", *odd)] if odd else []))


def _classes(audit: Audit) -> Markup:
    homes = {name: letter(place) for place, names in enumerate(audit.classes["bytes"]) for name in names}
    reference = audit.profiles[0].name
    named = {each.name: each for each in audit.profiles}
    rows: list[tuple[str, ...]] = []
    for name in [*homes, *(name for name in named if name not in homes)]:
        each = named[name]
        changed = "" if each.changed is None or name == reference else share(each.changed)
        if each.refused is not None:
            changed = f"could not run: {each.refused}"
        elif each.order_drawn:
            changed = f"a new order on each run; {changed}"
        elif each.unrepeatable:
            changed = f"run again, other bytes on {each.unrepeatable} of {each.repeated}"
        time = "" if each.milliseconds is None else f"{each.milliseconds:.3g}"
        home = homes.get(name, "none")
        rows.append((home, element("code", name), _said(each.imitates), _said(changed), time))
    by_label = [
        element("p", f'By top 1 of "{audit.score_output}" alike: {", ".join(names)}')
        for names in audit.classes.get("top1", ())
    ]
    profiles = table(("class", "profile", "what it imitates", f"inputs changed, against {reference}", "ms"), rows)
    return joined(profiles, *by_label)


def _origins(audit: Audit) -> Markup | None:
    if not audit.origins:
        return None
    rows: list[tuple[str, ...]] = [
        (element("code", each.other), _said(each.said), str(each.request)) for each in audit.origins
    ]
    told = f"The first node that gives other values than under {audit.origins[0].one}, though it is given the same."
    return joined(element("p", told, class_="faint"), table(("class of", "where", "input"), rows))


def _histograms(audit: Audit) -> Markup | None:
    chart = histograms(audit)
    if chart is None:
        return None
    first = audit.classes["bytes"][0][0]
    told = f"Inputs by how far their answer lies from that of class A ({first}); each bar is one power of two wide."
    return joined(element("p", told, class_="faint"), chart)


def _flips(audit: Audit) -> Markup | None:
    rows: list[tuple[str, ...]] = []
    alike = {name for names in audit.classes["bytes"] for name in names[1:]}
    for each in audit.profiles:
        if each.forecast is None or each.flips is None or each.name in alike:
            continue
        found = each.forecast
        rows.append(
            (
                element("code", each.name),
                compact(found.expected),
                f"{compact(found.low)} to {compact(found.high)}",
                found.method,
                f"{each.flips.failures:,} of {each.flips.trials:,}",
                f"{found.ties:,}",
            )
        )
    head = ("profile", "expected in 10,000", "95 % interval", "how", "seen here", "exact ties")
    if not rows:
        return None
    told = f"{flips_title(audit)}; what is told of the first profile of a class holds for all of it."
    return joined(element("p", told, class_="faint"), table(head, rows))


def _rounding(audit: Audit) -> Markup | None:
    rows: list[tuple[str, ...]] = [
        (element("code", each.name), _said(rounding_told(each.rounding)))
        for each in audit.profiles
        if each.rounding is not None
    ]
    return table(("profile", "another order shows"), rows) if rows else None


def _invariances(audit: Audit) -> Markup | None:
    rows: list[tuple[str, ...]] = [(each.to, INVARIANT[each.holds], _said(each.said)) for each in audit.invariances]
    return table((f"invariant under {REFERENCE} to", "", "what was seen"), rows) if rows else None


def _knobs(audit: Audit) -> Markup | None:
    if not audit.knobs:
        return None
    bases = tuple(dict.fromkeys(each.base for each in audit.knobs))
    found = {(each.knob, each.base): each for each in audit.knobs}
    rows: list[tuple[str, ...]] = [
        (element("code", knob), *(_verdict(found[knob, base]) for base in bases))
        for knob in dict.fromkeys(each.knob for each in audit.knobs)
    ]
    told = []
    if audit.inputs_done:
        below = min(3 / audit.inputs_done, 1)
        told.append(f"Inert: changed 0 of {audit.inputs_done:,} inputs, so below {below:.2g} at 95 %.")
    told += [
        f"{knob} changes nothing by itself, and does together with another setting."
        for knob in audit.live_in_combination
    ]
    lines = [element("p", each, class_="faint") for each in told]
    return joined(table(("knob", *(f"from {base}" for base in bases)), rows), *lines)


def _verdict(found: KnobFound) -> str:
    if found.verdict == "same-as-base":
        return "stands so already"
    if found.verdict == "live" and found.changed is not None:
        return element("span", f"live on {found.changed.failures:,} of {found.changed.trials:,}", class_="live")
    return found.verdict if found.refused is None else _said(f"could not be turned: {found.refused}")


def _quorum(audit: Audit) -> Markup | None:
    if not audit.quorum:
        return None
    rows: list[tuple[str, ...]] = [
        (each.form, wording.probability(each.mean), f"{each.low:.4g} to {each.high:.4g}", rests_on(each))
        for each in audit.quorum
    ]
    told = f"{audit.replicas} replicas drawn from {audit.fleet}."
    return joined(element("p", told, class_="faint"), table(("vote on", "probability", "95 % interval", "how"), rows))


def _prescriptions(audit: Audit) -> Markup | None:
    if audit.advice is None:
        return None
    rows: list[tuple[str, ...]] = [
        (
            element("code", each.told),
            "all agree" if each.holds else _said(str(each.ended)),
            "" if each.slowdown is None else f"{each.slowdown:.2g}",
        )
        for each in audit.advice.tried
    ]
    told = (
        f"Wanted to agree: {', '.join(audit.advice.wanted)}. Time is that of the slowest, against nothing prescribed."
    )
    return joined(element("p", told, class_="faint"), table(("prescribed", "what came of it", "times the time"), rows))


def _made_with(audit: Audit, command: str | None) -> Markup:
    versions = ", ".join(f"{name} {version}" for name, version in audit.environment.versions.items())
    features = ", ".join(audit.environment.processor_features)
    told = {
        "model": audit.model,
        "sha256": audit.model_sha256,
        "inputs": f"{audit.inputs_done:,} of {audit.inputs_asked:,}: {audit.inputs}",
        "seed": str(audit.seed),
        "versions": versions,
        "processor": f"{audit.environment.processor} ({features})" if features else audit.environment.processor,
    }
    entries = [joined(element("dt", name), element("dd", value)) for name, value in told.items()]
    again = (element("p", "To repeat it:", class_="faint"), element("pre", command)) if command else ()
    return joined(element("dl", *entries), *again)


def _said(text: str) -> Markup:
    return element("span", text, class_="said")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
