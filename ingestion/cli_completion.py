"""The command `ingest completion`."""
# ruff: noqa: PLC0415 - `ingest --help` and shell completion stay fast

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Write what makes a shell complete commands and options.

    \b
    Examples:
      eval "$(ingest completion bash)"      # a line of ~/.bashrc
      eval "$(ingest completion zsh)"       # a line of ~/.zshrc, after compinit
      ingest completion fish > ~/.config/fish/completions/ingest.fish
    """  # noqa: D301 - click keeps the lines of a paragraph behind a backspace
    from click.shell_completion import get_completion_class

    command = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:  # of a shell that click does not know
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(kind(command, {}, "ingest", "_INGEST_COMPLETE").source())
