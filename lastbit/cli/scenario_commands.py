"""`lastbit scenarios`, `check` and `schema`: what can be run, and whether it can."""

from __future__ import annotations

import json
from typing import Any

import click

from lastbit.cli.group import Group
from lastbit.cli.output import give


@click.group(cls=Group, invoke_without_command=True, short_help="List the scenarios that came with lastbit.")
@click.pass_context
def scenarios(context: click.Context) -> None:
    """List the scenarios that came with lastbit, or show one.

    \b
    Examples:
      lastbit scenarios
      lastbit scenarios show one-in-ten-thousand > mine.toml     a start for one of your own
    """
    if context.invoked_subcommand is None:
        _list()


@scenarios.command("list", short_help="List them (as without a word).")
def list_scenarios() -> None:
    """List the scenarios that came with lastbit, each with its title."""
    _list()


@scenarios.command(short_help="Show the file of one.")
@click.argument("name")
def show(name: str) -> None:
    """Show the TOML file of the scenario NAME, story and all."""
    from lastbit import resources

    give(resources.scenario_path(name).read_text(encoding="utf-8").rstrip("\n"))


@click.command(short_help="Say whether a scenario is right; run nothing.")
@click.argument("scenario", metavar="NAME|FILE")
def check(scenario: str) -> None:
    """Judge a scenario and run nothing. All faults are told at once; the exit code is then 2.

    A scenario whose tables are in order is also tried: its model is loaded, its inputs are found, and every numeric
    profile answers one request.

    \b
    Example:
      lastbit check mine.toml
    """
    from lastbit.running import Prepared
    from lastbit.scenario import load_scenario

    loaded = load_scenario(scenario)
    Prepared(loaded)
    quorums = loaded.quorum_system()
    give(
        f"{loaded.name}: no fault found; n {loaded.chain.replicas}, weight {quorums.total}, "
        f"f {quorums.faulty_weight_max}, quorum {quorums.threshold}"
    )


@click.command(short_help="Print the JSON schema of a scenario, or of what a command prints.")
@click.option("--result", "of", flag_value="result", help="That of the object that `run --json` prints.")
@click.option("--audit", "of", flag_value="audit", help="That of `audit --json` and `diff --json`.")
@click.option("--explain", "of", flag_value="explain", help="That of `explain --json`.")
@click.option("--costs", "of", flag_value="costs", help="That of `costs --json`.")
def schema(of: str | None) -> None:
    """Print the JSON schema of a scenario file, for editors and checkers, or of what a command prints with --json.

    \b
    Examples:
      lastbit schema > scenario.schema.json
      lastbit schema --result
      lastbit schema --audit
    """
    give(json.dumps(_schema(of), indent=2))


def _schema(of: str | None) -> dict[str, Any]:
    match of:
        case "result":
            from lastbit import result

            return result.json_schema()
        case "audit":
            from lastbit.auditing import findings

            return findings.json_schema()
        case "explain":
            from lastbit.explaining import findings as explanation

            return explanation.json_schema()
        case "costs":
            from lastbit.costing import figures

            return figures.json_schema()
        case _:
            from lastbit.scenario import Scenario

            return Scenario.model_json_schema(by_alias=True)


def _list() -> None:
    from lastbit import resources
    from lastbit.scenario import load_scenario

    names = resources.scenario_names()
    width = max(map(len, names), default=0)
    for name in names:
        give(f"{name:<{width}}   {load_scenario(name).title}")
