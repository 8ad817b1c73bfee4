"""Help as plain text: examples first, options in groups, summaries whole.

Typer's own is one list of options, or boxes, which take long to import and colour a pipe.
"""

import re
from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dscost.cli.examples import EXAMPLES, Example
from dscost.cli.groups import grouped

MOST_COLUMNS = 100
"""Of a line of help, however wide the terminal: longer ones are hard to read."""
LEAST_MEANING = 24
"""Characters of what stands beside a name, else it stands below."""
_INDENT = 2

Records = list[tuple[str, str]]


class Command(TyperCommand):
    """A command whose help has examples, and its options in groups."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return how options and arguments are written, `[OPTIONS] TARGET`."""
        return [piece.strip("{}").upper() for piece in super().collect_usage_pieces(ctx)]

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return all of what a shell shows beside the command, whatever the limit."""
        return _summary(self)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the command does, and examples of it."""
        super().format_help_text(ctx, formatter)
        _write_examples(self.name or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, in groups."""
        found = [
            (param, _plain(record))
            for param in self.get_params(ctx)
            if (record := param.get_help_record(ctx)) is not None
        ]
        given = [
            (record[0].strip("{}").upper(), record[1])
            for param, record in found
            if param.param_type_name == "argument"
        ]
        _write_section("Arguments", given, formatter)
        options = {
            param.name or "": record for param, record in found if param.param_type_name == "option"
        }
        for title, names in grouped(self.name or "", list(options)):
            _write_section(title, [options[name] for name in names], formatter)


class Group(TyperGroup):
    """The program, whose help has examples and whole summaries."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the program is for, and examples of it."""
        super().format_help_text(ctx, formatter)
        _write_examples("", formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, and all of what each does in a sentence or two."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        summaries = [(name, _summary(one)) for name, one in commands.items() if one is not None]
        _write_section("Commands", summaries, formatter)
        formatter.write_paragraph()
        formatter.write_text("dscost help COMMAND shows its options and examples.")


def help_of(
    command: Annotated[
        str | None, typer.Argument(help="Of which command; by default of all.")
    ] = None,
) -> None:
    """Show what commands there are, or the options and examples of one."""
    from dscost.cli.app import run

    raise typer.Exit(run(["--help"] if command is None else [command, "--help"]))


def usage_lines(command: Any) -> Iterator[str]:
    """Yield how a command is called, an example of it, and where there is more."""
    name = f"dscost {command.name}"
    context = typer.Context(command, info_name=command.name)
    yield f"Usage:    {' '.join([name, *command.collect_usage_pieces(context)])}"
    for example in EXAMPLES[command.name][:1]:
        yield f"Example:  {example.line}"
    yield f"Options:  {name} --help"


def _summary(command: Any) -> str:
    """Return the first paragraph of what a command says of itself."""
    return " ".join((command.help or "").split("\n\n")[0].split())


def _plain(record: tuple[str, str]) -> tuple[str, str]:
    """Return how an option is written and what it means, without what only Typer understands.

    >>> _plain(("--rank <int range>", "Of every layer  [default: 1]  [x>=1]"))
    ('--rank <int>', 'Of every layer  [default: 1]')
    """
    name, meaning = record
    return name.replace("<int range>", "<int>"), re.sub(r"\s*\[x[<>]=?\d+\]", "", meaning)


def _write_section(title: str, records: Sequence[tuple[str, str]], formatter: Any) -> None:
    """Write names and meanings under a heading; where it is narrow names leave more room."""
    if records:
        with formatter.section(title):
            formatter.write_dl(records, col_max=max(20, min(30, formatter.width // 3)))


def _write_examples(command: str, formatter: Any) -> None:
    """Write examples: what each does beside it, or above where there is no room."""
    examples = EXAMPLES.get(command, ())
    if not examples:
        return
    with formatter.section("Examples"):
        widest = max(len(example.line) for example in examples)
        fits = widest + 2 + LEAST_MEANING
        beside = all(
            max(fits, widest + 2 + len(example.does)) <= formatter.width - _INDENT
            for example in examples
        )
        for example in examples:
            for line in _beside(example, widest) if beside else _above(example, formatter.width):
                formatter.write(f"{' ' * _INDENT}{line}\n")


def _beside(example: Example, widest: int) -> list[str]:
    return [f"{example.line:{widest}}  {example.does}"]


def _above(example: Example, width: int) -> list[str]:
    comment = fill(f"# {example.does}", width - _INDENT, subsequent_indent="# ")
    return [*comment.split("\n"), example.line]
