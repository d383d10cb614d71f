"""Tables as fragments: `#table(…)` for Typst, `tabular` with booktabs for LaTeX."""

from __future__ import annotations

import json

from earthsignals.publication.numbers.latex import latex_text, one_line
from earthsignals.publication.tables.model import Cell, Table

_PARAGRAPH = r"p{0.45\linewidth}"
_WRITTEN = "Written by the stage paper-fragments: include this file, edit nothing."


def to_typst(table: Table) -> str:
    """A Typst file that `#include` puts in place; sizes and fonts are those of its surroundings."""
    align = ", ".join("right" if letter == "r" else "left" for letter in table.columns)
    widths = ", ".join("1fr" if letter == "p" else "auto" for letter in table.columns)
    lines = [
        f"// {_WRITTEN}",
        "#table(",
        f"  columns: ({widths}), align: ({align}), stroke: none, inset: (x: 3.4pt, y: 2.2pt),",
        "  table.hline(stroke: 0.7pt),",
        "  table.header(",
    ]
    if table.groups:
        spans = (
            f"table.cell(colspan: {span}, align: center, {_quoted(text)})" for text, span in table.groups
        )
        lines.append(f"    {', '.join(spans)},")
        ends = _ends(table)
        lines += [f"    table.hline(start: {start}, end: {end}, stroke: 0.25pt)," for start, end in ends]
    head = ", ".join(_quoted(text) for text in table.head)
    lines += [f"    {head},", "  ),", "  table.hline(stroke: 0.4pt),"]
    for place, row in enumerate(table.rows):
        if place in table.rules:
            lines.append("  table.hline(stroke: 0.25pt),")
        lines.append(f"  {', '.join(_typst_cell(cell) for cell in row)},")
    return "\n".join([*lines, "  table.hline(stroke: 0.7pt),", ")"]) + "\n"


def to_latex(table: Table) -> str:
    """A `tabular` for `\\input`; needs \\usepackage{booktabs} in the document."""
    lines = [
        f"% {_WRITTEN}",
        rf"\begin{{tabular}}{{{table.columns.replace('p', _PARAGRAPH)}}}",
        r"\toprule",
    ]
    if table.groups:
        spans = (rf"\multicolumn{{{span}}}{{c}}{{{latex_text(text)}}}" for text, span in table.groups)
        lines.append(" & ".join(spans) + r" \\")
        lines += [rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in _ends(table)]
    lines += [" & ".join(latex_text(text) for text in table.head) + r" \\", r"\midrule"]
    for place, row in enumerate(table.rows):
        if place in table.rules:
            lines.append(r"\midrule")
        lines.append(" & ".join(_latex_cell(cell) for cell in row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _ends(table: Table) -> list[tuple[int, int]]:
    """First column and the one behind the last, of each group that has a name."""
    ends, start = [], 0
    for text, span in table.groups:
        if text:
            ends.append((start, start + span))
        start += span
    return ends


def _typst_cell(cell: Cell) -> str:
    text = f"strong({_quoted(cell.text)})" if cell.bold else _quoted(cell.text)
    if not cell.interval:
        return text
    return f"[#{text}#linebreak()#text(size: 0.78em, fill: luma(80), {_quoted(cell.interval)})]"


def _quoted(text: str) -> str:
    # Typst's strings know the same escapes as JSON's, but for \u and \b; so characters stay as they are.
    return json.dumps(one_line(text), ensure_ascii=False)


def _latex_cell(cell: Cell) -> str:
    text = rf"\textbf{{{latex_text(cell.text)}}}" if cell.bold else latex_text(cell.text)
    return rf"{text} {{\scriptsize ({latex_text(cell.interval)})}}" if cell.interval else text
