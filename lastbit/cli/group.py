"""A group of commands that knows what was probably meant."""

from __future__ import annotations

import click

from lastbit.did_you_mean import did_you_mean


class Group(click.Group):
    """As click's, but an unknown command is answered with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` names.

        Raises:
            click.UsageError: there is none; the message names the nearest.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx))
            raise click.UsageError(f'"{name}" is no command of {ctx.command_path}; {hint}', ctx=ctx)
        return super().resolve_command(ctx, args)
