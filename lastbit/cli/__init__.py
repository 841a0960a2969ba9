"""The command line: `lastbit run`, `audit`, `diff`, `explain`, `costs`, `profiles`, `scenarios`, `check`, `replay`,
`schema`.

Data goes to stdout, progress and remarks to stderr. Exit codes: 0 done and as expected, 1 internal error, 2 bad usage
or input, 3 stalled, 4 forked, 5 inconclusive, 6 ended otherwise than expected or a replay that differs, 7 an audit
that found what it was to fail on.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from lastbit.cli.audit_command import audit
from lastbit.cli.costs_command import costs
from lastbit.cli.diff_command import diff
from lastbit.cli.explain_command import explain
from lastbit.cli.group import Group
from lastbit.cli.output import say
from lastbit.cli.profile_commands import profiles
from lastbit.cli.replay_command import replay
from lastbit.cli.run_command import run
from lastbit.cli.scenario_commands import check, scenarios, schema

EXIT_INTERNAL_ERROR = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 5

_OUR_PACKAGES = frozenset({"lastbit", "consensus", "replicas", "simcore"})


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        import lastbit

        click.echo(f"lastbit {lastbit.__version__}")
        context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Replicas of a chain run one ONNX model and vote on its output. Do they agree?

    lastbit really runs the model on each simulated replica, under numeric settings of its own, and reports every block
    on which the replicas could not agree, every stall, and why.

    \b
    Examples:
      lastbit run one-in-ten-thousand           one prompt in 10,000 stops a chain of honest replicas
      lastbit scenarios                         the stories that came with it
      lastbit run all-equal --model my.onnx     does it happen on your model?
      lastbit audit my.onnx                     which settings give the same bits on it?
      lastbit profiles                          the numeric settings that it tries, by name
      lastbit explain run.jsonl --height 1      why did they disagree there?
      lastbit costs                             what does agreement cost, protocol by protocol?
      lastbit check mine.toml                   is this scenario right? tells all faults at once

    \b
    Exit codes: 0 done and as expected · 1 internal error · 2 bad usage or input · 3 stalled
                4 forked · 5 inconclusive · 6 otherwise than expected, or a replay that differs
                7 an audit found what --fail-on names
    """


for command in (run, audit, diff, explain, costs, profiles, scenarios, check, replay, schema):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(exit_code_of(arguments))


def exit_code_of(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and say how it ended. No exception leaves it."""
    try:
        code: int | None = cli.main(arguments, prog_name="lastbit", standalone_mode=False)
        return code or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if _is_refusal(error):
            say(str(error))
            return EXIT_BAD_INPUT
        traceback.print_exc()
        say(f"lastbit: internal error: {type(error).__name__}: {error}")
        say("This is a fault of lastbit and not of what it was given.")
        return EXIT_INTERNAL_ERROR


def _is_refusal(error: Exception) -> bool:
    """Whether an error says that the input is bad. In this house those are the ValueErrors with a name of their own."""
    return isinstance(error, ValueError) and type(error).__module__.partition(".")[0] in _OUR_PACKAGES
