"""The end of a run as a person reads it: the outcome, the evidence, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.text import Text

from lastbit import profile_lines, wording
from lastbit.layout import EVIDENCE, Layout
from lastbit.protocols import PROTOCOLS
from lastbit.result import Answer, Failure, FirstDifference, Fork, Result, Stall

ANSWERS_SHOWN_MAX = 8
EVENTS_SHOWN_MAX = 3


def render(result: Result, *, width: int | None = None) -> Text:
    """The report of a run.

    Args:
        result: what the run found.
        width: columns to stay within; None: lines as long as they are, for files and pipes.

    Returns:
        Text with colour on the outcome alone, and on rules that a protocol broke; `str()` of it is the plain report.
    """
    layout = Layout(width)
    text = Text()
    text.append(layout.hanging(result.scenario, _what_was_run(result), gap=3) + "\n\n")
    if result.violations:
        text.append("\n".join(_violations(result, layout)) + "\n\n", style="bold red")
    text.append(layout.line("  ", _outcome(result)), style=_colour(result))
    text.append("\n\n")
    for block in (_forks(result, layout), _figures(result, layout), _evidence(result, layout), _next(result, layout)):
        lines = list(block)
        if lines:
            text.append("\n".join(lines) + "\n\n")
    text.right_crop(1)
    return text


def _what_was_run(result: Result) -> str:
    quorum = f"quorum {result.quorum} of {result.weight}" + (" by weight" if result.weight != result.n else "")
    parts = [
        wording.counted(result.n, "replica"),
        f"{PROTOCOLS[result.protocol].title}, {quorum}, f = {result.f}{_choices(result)}",
        f"{result.model}, votes on {result.form}",
        result.divergence or "no dial",
        f"seed {result.seed}",
    ]
    return " · ".join(parts)


def _choices(result: Result) -> str:
    """What of policy and outvoted replicas a reader cannot know from the protocol alone."""
    policy = f", {result.policy}" if len(PROTOCOLS[result.protocol].policies) > 1 else ""
    return policy + (f", the outvoted {result.outvoted}" if result.outvoted != "stay" else "")


def _outcome(result: Result) -> str:
    committed = wording.counted(result.heights.committed, "height")
    match result.outcome:
        case "forked":
            what = f"FORKED at height {result.forks[0].height:,}" if result.forks else "FORKED"
        case "stalled":
            what = f"STALLED for good{_where(result)}"
        case "completed":
            what = f"COMPLETED {committed}"
        case "inconclusive":
            what = f"INCONCLUSIVE after {committed} of {result.heights.target:,}"
    if result.interrupted:
        return f"{what}: interrupted, this is what was done so far"
    if result.limit is not None:
        what += f": its limit, {result.limit}, was reached"
    if result.expected is None:
        return what
    return f"{what}, as expected" if result.as_expected else f"{what}; expected was: {result.expected}"


def _where(result: Result) -> str:
    """A height that all have decided stands still for want of a certificate."""
    if not result.stalls:
        return ""
    height = result.stalls[-1].height
    if height > result.heights.committed:
        return f" at height {height:,}"
    return f": height {height:,} is ordered, and its output is not certified"


def _colour(result: Result) -> str:
    if result.outcome == "forked":
        return "bold red"
    return "bold green" if result.exit_code == 0 else "bold yellow"


def _violations(result: Result, layout: Layout) -> Iterator[str]:
    """Before anything else: of a protocol that breaks its own rules nothing else is worth reading."""
    yield layout.line("  ", "THE PROTOCOL BROKE ITS OWN RULES, a fault of lastbit: what follows means little")
    for each in result.violations[:EVENTS_SHOWN_MAX]:
        yield layout.hanging(f"  height {each.height:,}", f"{each.kind}: {each.what}", gap=3)
    yield from _more(layout, len(result.violations) - EVENTS_SHOWN_MAX, "broken rule")


def _forks(result: Result, layout: Layout) -> Iterator[str]:
    for fork in result.forks[:EVENTS_SHOWN_MAX]:
        yield from _event(layout, f"height {fork.height:,}", f"fork: {fork.what}", fork, silent=())
    yield from _more(layout, len(result.forks) - EVENTS_SHOWN_MAX, "fork")


def _figures(result: Result, layout: Layout) -> Iterator[str]:
    yield layout.row("committed", _committed(result))
    if result.heights.ordered != result.heights.certified:
        tracks = f"{result.heights.ordered:,} ordered, {result.heights.certified:,} certified"
        yield layout.row("furthest height", tracks)
    yield layout.row("agreement failures", _agreement_failures(result))
    settled = result.heights.committed - result.heights.uncertified
    if settled > result.rate.trials:
        left = wording.counted(settled - result.rate.trials, "height")
        yield layout.row("not judged", f"{left} that honest replicas with a quorum of weight did not all execute")
    if result.heights.with_dissent or (result.prediction and result.prediction.dissent_probability):
        yield layout.row("dissent", _dissent(result))
    if result.drift is not None:
        lasts, finishes = result.drift.expected_blocks, result.drift.chance_to_finish
        yield layout.row(
            "drift",
            f"closed form: stops at height {lasts:,.0f} on average, and gets to height {result.heights.target:,} with "
            f"probability {wording.probability(finishes)}",
        )
    if result.natural_divergence:
        requests = wording.counted(result.natural_divergence, "request")
        voted = f"{result.natural_divergence_voted:,} of them in what is voted on"
        yield layout.row("natural divergence", f"{requests} computed differently, {voted}")
    if result.divergence is not None:
        marks = wording.counted(result.injected, "wrong answer")
        yield layout.row("injected", f"{marks}, {result.injected_changed:,} of them changed what is voted on")
    if result.client_conflicts:
        yield layout.row("client conflicts", _client_conflicts(result))
    if result.resyncs or result.halted_themselves:
        yield layout.row("outvoted", _outvoted(result))
    if result.retries or result.view_changes:
        retries = wording.counted(result.retries, "further attempt")
        changes = wording.counted(result.view_changes, f"{PROTOCOLS[result.protocol].view} change")
        yield layout.row("attempts", f"{retries}, {changes}")
    yield layout.row("inference", f"{result.inferences.asked:,} asked, {result.inferences.run:,} run")
    for line in profile_lines.prepared(result.replicas):
        yield layout.row("profile", line)
    for line in profile_lines.unseen(result.replicas, form=result.form):
        yield layout.row("profile", line)
    for line in profile_lines.inert(result.replicas):
        yield layout.row("inert here", line)


def _client_conflicts(result: Result) -> str:
    first, more_blocks = result.client_conflicts[0], result.client_conflicts_count - 1
    sides = " | ".join(wording.replicas(side.replicas) for side in first.sides)
    more = f", and {wording.counted(more_blocks, 'more block')}" if more_blocks else ""
    return f"height {first.height:,}: clients may believe two answers ({sides}){more}"


def _outvoted(result: Result) -> str:
    halted = result.halted_themselves
    parts = [f"{wording.replicas(halted)} halted for good"] if halted else []
    parts += [f"the state of others was taken over {wording.counted(result.resyncs, 'time')}"] if result.resyncs else []
    return ", ".join(parts)


def _committed(result: Result) -> str:
    heights = result.heights
    text = wording.counted(heights.committed, "height")
    if heights.committed and heights.unanimous == heights.committed:
        return f"{text}, all unanimous"
    parts = [f"{heights.unanimous:,} unanimous", f"{heights.with_dissent:,} with dissent"]
    parts += [f"{heights.skipped:,} skipped, with an empty block"] if heights.skipped else []
    parts += [f"{heights.uncertified:,} with no output certified"] if heights.uncertified else []
    return f"{text}: {', '.join(parts)}" if heights.committed else text


def _agreement_failures(result: Result) -> str:
    rate = result.rate
    text = f"{rate.failures:,} in {wording.counted(rate.trials, 'first attempt')}"
    if rate.estimate is not None:
        low, high = wording.probability(rate.low), wording.probability(rate.high)
        text += f"     {wording.probability(rate.estimate)} (95 %: {low} .. {high})"
    if result.prediction is None:
        return f"{text}; no closed form: {result.reason}"
    return f"{text}, closed form {wording.probability(result.prediction.agreement_failure_probability)}"


def _dissent(result: Result) -> str:
    text = f"{result.heights.with_dissent:,} in {wording.counted(result.heights.committed, 'height')}"
    if result.heights.committed:
        text += f"     {wording.probability(result.heights.with_dissent / result.heights.committed)}"
    if result.prediction is not None:
        text += f", closed form {wording.probability(result.prediction.dissent_probability)}"
    return text


def _evidence(result: Result, layout: Layout) -> Iterator[str]:
    if result.stalls:
        shown = [*result.stalls[:EVENTS_SHOWN_MAX]]
        if result.stalls[-1] not in shown:
            shown = [*shown[:-1], result.stalls[-1]]
        for stall in shown:
            yield from _event(
                layout, f"height {stall.height:,}", _stalled(stall, result), stall, stall.silent, stall.first_difference
            )
        yield from _more(layout, len(result.stalls) - len(shown), "stall")
    else:
        for failure in result.failures[:EVENTS_SHOWN_MAX]:
            view = PROTOCOLS[result.protocol].view
            label = f"height {failure.height:,}" + (f", {view} {failure.attempt:,}" if failure.attempt else "")
            answers = wording.counted(len(failure.ballot), "answer")
            what = f"agreement failure at {wording.duration(failure.at_ns)}: {answers}, none with a quorum"
            yield from _event(layout, label, what, failure, failure.silent, failure.first_difference)
        failed = result.agreement_failures - min(len(result.failures), EVENTS_SHOWN_MAX)
        yield from _more(layout, failed, "agreement failure")


def _stalled(stall: Stall, result: Result) -> str:
    end_ns = result.simulated_ns if stall.until_ns is None else stall.until_ns
    length = f"stalled for {wording.duration(end_ns - stall.from_ns)} of simulated time"
    also = f" (also: {', '.join(stall.contributing)})" if stall.contributing else ""
    return f"{stall.cause.rstrip('.')}{also}; {length}" + (", and the run ended in it" if stall.permanent else "")


def _event(
    layout: Layout,
    label: str,
    what: str,
    event: Stall | Failure | Fork,
    silent: Sequence[int],
    difference: FirstDifference | None = None,
) -> Iterator[str]:
    """One thing that went wrong: a sentence, who voted what, and where the answers part."""
    yield layout.hanging(f"  {label}", what, gap=3)
    yield from _histogram(layout, event.sides if isinstance(event, Fork) else event.ballot, silent)
    if difference is not None:
        yield layout.line(EVIDENCE, _first_difference(difference))


def _histogram(layout: Layout, ballot: Sequence[Answer], silent: Sequence[int]) -> Iterator[str]:
    cells = [f"{wording.digest(answer.digest)}  {_voters(answer)}" for answer in ballot[:ANSWERS_SHOWN_MAX]]
    if len(ballot) > ANSWERS_SHOWN_MAX:
        rest = ballot[ANSWERS_SHOWN_MAX:]
        weight = sum(answer.weight for answer in rest)
        cells.append(f"and {wording.counted(len(rest), 'more answer')} of weight {weight:,}")
    if silent:
        cells.append(f"no vote  {wording.replicas(silent)}")
    yield from layout.columns(cells)


def _voters(answer: Answer) -> str:
    weighed = answer.weight != len(answer.replicas)
    return wording.replicas(answer.replicas) + (f", weight {answer.weight:,}" if weighed else "")


def _first_difference(difference: FirstDifference) -> str:
    values = [value.hex for value in difference.values[:ANSWERS_SHOWN_MAX]]
    listed = f"{', '.join(values[:-1])} and {values[-1]}" if len(values) > 1 else "".join(values)
    apart = "" if difference.steps is None else f", {wording.counted(difference.steps, 'step')} apart"
    where = f'request {difference.request:,}, output "{difference.output}", element {difference.element:,}'
    return f"first difference: {where}: {listed}{apart}"


def _more(layout: Layout, count: int, noun: str) -> Iterator[str]:
    if count > 0:
        yield layout.line("  ", f"and {wording.counted(count, f'more {noun}')}; --json lists up to a hundred")


def _pace(result: Result) -> str:
    """Heights a second; of a run that is complete up to its last height, for what comes after it is no pace."""
    until_ns = result.moved_ns if result.outcome == "completed" and result.moved_ns else result.simulated_ns
    rate = result.heights.committed / (until_ns / 1e9)
    text = f"{rate:,.0f} heights a second" if rate >= 1_000 else f"{rate:.3g} heights a second"
    return text if until_ns == result.simulated_ns else f"{text} up to the last, at {wording.duration(until_ns)}"


def _of_trace(result: Result, command: str, *options: str) -> str:
    """A command on the trace. Files of the user's own are in no trace, and must be given."""
    words = ["lastbit", command, str(result.trace_file), *options]
    for option, file in (("--model", result.model_file), ("--inputs", result.inputs_file)):
        words += [option, file] if file is not None else []
    return shlex.join(words)


def _next(result: Result, layout: Layout) -> Iterator[str]:
    parts = [f"simulated {wording.duration(result.simulated_ns)}"]
    if result.simulated_ns and result.heights.committed:
        parts.append(_pace(result))
    parts += [wording.counted(result.messages, "message"), f"trace {wording.digest(result.trace_digest, 16)}"]
    yield layout.line("  ", " · ".join(parts))
    if result.command is not None:
        yield layout.line("  again:   ", result.command)
    if result.trace_file is not None:
        yield layout.line("  replay:  ", _of_trace(result, "replay"))
        if result.first_failure_height is not None and not result.feeds_back:
            yield layout.line("  why:     ", _of_trace(result, "explain", "--height", str(result.first_failure_height)))
    if result.versions_untested:
        yield layout.line("  not tested with these versions: ", ", ".join(result.versions_untested), indent=4)
