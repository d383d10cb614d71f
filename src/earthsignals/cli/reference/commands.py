"""docs/reference/cli.md: every command with its options and examples, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from earthsignals.cli.reference.markdown import block, cell, code, notice, page, table


def commands_page() -> str:
    """The text of the page: the root command first, then all others in the order of `--help`."""
    import typer

    from earthsignals.cli.main import app

    root = typer.main.get_command(app)
    found = list(_walk(root, "earthsignals", None))
    lines = ["# Commands", "", notice("the commands in `src/earthsignals/cli`"), ""]
    lines += [f"- [{code(name)}](#{name.replace(' ', '-')})" for name, _, _ in found if name.count(" ") <= 1]
    for name, command, context in found:
        marks = "##" if name.count(" ") <= 1 else "###"
        lines += ["", f"{marks} {name}", "", *_described(name, command, context)]
    return page(lines)


def _walk(command: Any, name: str, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = command.make_context(name.split()[-1], [], parent=parent, resilient_parsing=True)
    yield name, command, context
    if hasattr(command, "list_commands"):
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            if child is not None and not child.hidden:
                yield from _walk(child, f"{name} {each}", context)


def _described(name: str, command: Any, context: Any) -> Iterator[str]:
    yield from block([" ".join([name, *command.collect_usage_pieces(context)])])
    yield ""
    yield from _text(command.help or "")
    records = (each.get_help_record(context) for each in command.get_params(context) if each.name != "help")
    rows = [(code(names), cell(meaning)) for names, meaning in filter(None, records)]
    if rows:
        yield ""
        yield from table(("argument or option", "meaning"), rows)


def _text(text: str) -> Iterator[str]:
    """Help text as Markdown; what stands behind `\\b` keeps its lines."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if first.strip() == "\b":
            yield from block(inspect.cleandoc(rest).splitlines())
        else:
            yield " ".join(line.strip() for line in paragraph.splitlines())
        yield ""
