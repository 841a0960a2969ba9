"""`lastbit profiles`: the named numeric profiles, and what each imitates in a real fleet."""

from __future__ import annotations

import click

from lastbit.cli.group import Group
from lastbit.cli.output import give


@click.group(cls=Group, invoke_without_command=True, short_help="List the named numeric profiles.")
@click.pass_context
def profiles(context: click.Context) -> None:
    """List the named numeric profiles and what each imitates in a real fleet, or show one.

    \b
    Examples:
      lastbit profiles
      lastbit profiles show ksplit8-bf16 > mine.toml     a start for one of your own
      lastbit audit my.onnx --profiles mine.toml
    """
    if context.invoked_subcommand is None:
        _list()


@profiles.command("list", short_help="List them (as without a word).")
def list_profiles() -> None:
    """List the profiles of the library, each with a sentence."""
    _list()


@profiles.command(short_help="Show the settings of one.")
@click.argument("name")
def show(name: str) -> None:
    """Show the profile NAME as a TOML file such as --profiles takes, every setting stated."""
    from replicas.library import library_toml

    give(library_toml(name).rstrip("\n"))


def _list() -> None:
    from replicas.library import named_profiles

    library = named_profiles()
    width = max(map(len, library))
    for name, each in library.items():
        give(f"{name:<{width}}   {each.sentence}")
