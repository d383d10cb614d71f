"""The paper's tables: they show what the files hold, and are whole in both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from earthsignals.publication.numbers import Results
from earthsignals.publication.tables import TABLES, Cell, Table, to_latex, to_typst
from earthsignals.publication.tables.claims import sources, verdicts
from earthsignals.publication.tables.model import label, number
from earthsignals.publication.typeset import pages
from earthsignals.storage import write_json

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_fills_the_table(name: str) -> None:
    table = TABLES[name](Results(ROOT))
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.head)} == {len(table.columns)}
    assert sum(span for _, span in table.groups) in (0, len(table.head))
    assert all(0 < rule < len(table.rows) for rule in table.rules)


@pytest.mark.parametrize("name", TABLES)
def test_latex_is_whole(name: str) -> None:
    text = to_latex(TABLES[name](Results(ROOT)))
    body = text.split("\n", 1)[1]  # behind the comment
    assert re.sub(r"\\[{}]", "", text).count("{") == re.sub(r"\\[{}]", "", text).count("}")
    assert not re.search(r"(?<!\\)[%#]", body)
    columns = len(re.sub(r"p\{[^}]*\}\}?", "p", re.search(r"tabular\}\{(.*)\}", body)[1]))
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}
    for rule in ("toprule", "midrule", "bottomrule"):
        assert rf"\{rule}" in body
    assert body.replace("é", "e").isascii()


def test_typst_takes_every_table(tmp_path: Path) -> None:
    lines = ["#set document(date: none)"]
    for name, build in TABLES.items():
        (tmp_path / f"{name}.typ").write_text(to_typst(build(Results(ROOT))))
        lines.append(f'#include "{name}.typ"')
    (tmp_path / "all.typ").write_text("\n".join(lines))
    assert pages(tmp_path / "all.typ", root=tmp_path, ppi=20)


def test_a_cell_shows_its_number_with_the_interval_or_a_dash(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 0.5, "x_low": 0.25, "x_high": 0.75})
    results = Results(tmp_path)
    assert number(results, "a.json", "x", "fixed 2", bold=True) == Cell("0.50", "0.25–0.75", True)
    assert number(results, "a.json", "x", "fixed 2", alone=True) == Cell("0.50")
    assert number(results, "a.json", "y", "fixed 2") == Cell("–")
    assert label("**network**") == Cell("network", bold=True)


def test_what_typst_and_latex_would_read_as_commands_is_text() -> None:
    row = [Cell('#x "q" \\'), Cell("50 %", "1–2")]
    table = Table(head=["a", "b"], rows=[row], groups=[("", 1), ("g", 1)])
    assert '"#x \\"q\\" \\\\"' in to_typst(table)
    assert "table.hline(start: 1, end: 2" in to_typst(table)
    assert r'\#x "q" \textbackslash{} & 50 \% {\scriptsize (1--2)} \\' in to_latex(table)
    assert r"\cmidrule(lr){2-2}" in to_latex(table)


def test_the_first_table_says_what_the_metrics_say() -> None:
    table = TABLES["overview"](Results(ROOT))
    clouds = json.loads((ROOT / "reports/clouds/metrics.json").read_text())
    row = next(row for row in table.rows if row[0].text == "clouds")
    assert row[2] == Cell(f"{clouds['map']:.2f}", f"{clouds['map_low']:.2f}–{clouds['map_high']:.2f}", True)
    assert row[3].text == f"{clouds['map_best_baseline']:.2f}"


def test_claims_are_counted_by_whose_they_are(tmp_path: Path) -> None:
    claim = {"pipeline": "tdlas", "claim": "c", "expected": "2 .. 4", "unit": "h", "measured": 0.5}
    write_json(tmp_path / "reports/claims.json", {"claims": [
        claim | {"verdict": "better", "ours": False},
        claim | {"verdict": "reproduced", "ours": True, "expected": "24600000", "measured": [1, 2.5]},
        claim | {"verdict": "not reproduced", "ours": False, "pipeline": "plume", "expected": "24600000",
                 "measured": None},
    ]})  # fmt: skip
    counted = [[cell.text for cell in row] for row in verdicts(Results(tmp_path)).rows]
    assert counted == [
        ["laser scans", "1", "–", "–", "–", "–", "1", "–", "–"],
        ["plumes", "–", "–", "1", "–", "–", "–", "–", "–"],
        ["all", "1", "–", "1", "–", "–", "1", "–", "–"],
    ]
    shown = sources(Results(tmp_path))
    assert [[cell.text for cell in row] for row in shown.rows] == [
        ["c", "2–4", "0.5", "h", "better"],
        ["c", "24,600,000", "–", "h", "not reproduced"],
    ]
    assert shown.rules == [1]
