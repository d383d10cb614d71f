"""The paper's numbers: how they are written, where they are found, and what LaTeX gets of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from earthsignals.params import ParamsError
from earthsignals.publication.fragments import write_fragments
from earthsignals.publication.numbers import (
    Entry,
    Results,
    collect,
    command_name,
    formatted,
    interval,
    latex_text,
    load_registry,
    numbers_tex,
)
from earthsignals.storage import EarthSignalsError, md5_path, write_json

ROOT = Path(__file__).parents[2]
FILE = "reports/tdlas/metrics.json"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    write_json(tmp_path / FILE, {
        "f1": 0.5, "f1_low": 0.4, "f1_high": 0.6,
        "skill": {"30": 0.151}, "skill_low": {"30": -0.02}, "skill_high": {"30": 0.2},
        "rmse": {"model": {"30": 204.4}}, "rmse_low": {"model": {"30": 193.0}},
        "rmse_high": {"model": {"30": 218}},
        "rows": [{"mode": "dense", "s": 1.0}, {"mode": "sliding", "s": 3600.0}],
        "name": "ridge", "nothing": None,
    })  # fmt: skip
    return Results(tmp_path)


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (28798.53, "integer", "28,799"),
        (1.01746, "fixed 2", "1.02"),
        (-0.126, "fixed 2", "−0.13"),  # a minus sign, no hyphen
        (-0.0004, "fixed 2", "0.00"),  # no minus before a zero
        (0.13, "signed 2", "+0.13"),
        (3.64004, "digits 3", "3.64"),
        (1600.22, "digits 2", "1,600"),
        (9.999, "digits 3", "10.0"),  # rounding moves the point
        (0.0676698, "digits 2", "0.068"),
        (0.0, "digits 3", "0.00"),
        (0.69364, "percent 1", "69.4\u00a0%"),
        (0.11683, "change 0", "+12\u00a0%"),
        (7.45e-8, "power", "7·10⁻⁸"),
        (0.0042387, "thousandths 2", "4.24"),
        (5400, "minutes 1", "90.0"),
        (5400, "hours 1", "1.5"),
        ("PCA", "text", "PCA"),
    ],
)
def test_formats(value: float | str, style: str, text: str) -> None:
    assert formatted(value, style) == text


def test_ranges_name_their_unit_once_and_no_dash_meets_a_minus() -> None:
    assert interval("64.0\u00a0%", "74.8\u00a0%") == "64.0–74.8\u00a0%"
    assert interval("−0.15", "−0.11") == "−0.15 to −0.11"
    assert interval("0.97", "1.06") == "0.97–1.06"


def test_intervals_are_found_beside_the_key_or_beside_what_holds_it(results: Results) -> None:
    assert results.interval(FILE, "f1") == (0.4, 0.6)
    assert results.interval(FILE, "skill.30") == (-0.02, 0.2)
    assert results.interval(FILE, "rmse.model.30") == (193.0, 218)
    assert results.interval(FILE, "name") is None


def test_rows_are_picked_by_values_or_by_place(results: Results) -> None:
    assert results.value(FILE, "rows[mode=sliding].s") == 3600.0
    assert results.value(FILE, "rows[0].mode") == "dense"
    assert results.find(FILE, "rows[mode=none].s") is None
    assert results.find(FILE, "rows[9].s") is None


@pytest.mark.parametrize("key", ["f2", "nothing", "f1.low", "rows[mode=none].s"])
def test_a_missing_number_names_file_and_key(results: Results, key: str) -> None:
    sentence = rf"reports/tdlas/metrics\.json: nothing stands at `{re.escape(key)}`"
    with pytest.raises(EarthSignalsError, match=sentence):
        collect(results, {"tdlas": {"it": Entry(of="metrics", at=key, format="fixed 2")}})


def test_words_are_no_numbers(results: Results) -> None:
    sentence = r"metrics\.json: at `name`, `ridge` cannot be written as `fixed 2`"
    with pytest.raises(EarthSignalsError, match=sentence):
        collect(results, {"tdlas": {"it": Entry(of="metrics", at="name", format="fixed 2")}})


def test_a_number_comes_with_its_interval_and_its_place(results: Results) -> None:
    found = collect(results, {"tdlas": {"skill": Entry(of="metrics", at="skill.30", format="fixed 2")}})
    expected = {"value": "0.15", "interval": "−0.02 to 0.20", "source": f"{FILE}: skill.30"}
    assert found == {"tdlas": {"skill": expected}}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("rmse_1: {of: metrics, at: a, format: fixed 2}", "becomes a LaTeX command"),
        ("rmse: {of: metrics, at: a, format: fixed}", "`tdlas.rmse.format` is `fixed`, expected one of"),
        ("rmse: {of: metrics, at: a, format: round 2}", "is `round 2`"),
        ("rmse: {of: metrics, at: a}", "format"),
        ("rmse: {of: metrics, at: a, format: integer, unit: ppm}", "unit"),
    ],
)
def test_the_registry_refuses_what_it_does_not_know(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_text(f"tdlas:\n  {line}\n")
    with pytest.raises(ParamsError, match=re.escape(complaint)):
        load_registry(path)


def test_text_for_latex() -> None:
    assert latex_text("69.4\u00a0%") == r"69.4~\%"
    assert latex_text("7·10⁻⁸") == r"7$\cdot$10$^{-8}$"
    assert latex_text("−0.15 to 0.97–1.06") == "$-$0.15 to 0.97--1.06"
    assert latex_text("a_b & 50 $ {x} \\") == r"a\_b \& 50 \$ \{x\} \textbackslash{}"
    assert latex_text("CH₄ in km²") == "CH$_{4}$ in km$^{2}$"


def test_commands_are_letters_alone_and_never_two_alike() -> None:
    assert command_name("tdlas", "rmse_mid") == "tdlasRmseMid"
    assert command_name("facts", "plume-f1") == "factsPlumeFOne"
    with pytest.raises(EarthSignalsError, match="tdlasRmseInterval"):
        numbers_tex({"tdlas": {
            "rmse": {"value": "1", "interval": "0–2"}, "rmse_interval": {"value": "3"},
        }})  # fmt: skip


def test_the_papers_fragments_from_the_committed_results(tmp_path: Path) -> None:
    """Every registered number is there; commands are whole, unique and plain ASCII but for letters."""
    write_fragments(ROOT, tmp_path / "once")
    write_fragments(ROOT, tmp_path / "twice")
    assert md5_path(tmp_path / "once") == md5_path(tmp_path / "twice")
    numbers = json.loads((tmp_path / "once/numbers.json").read_text())
    metrics = json.loads((ROOT / FILE).read_text())
    assert numbers["tdlas"]["rmse_mid"]["value"] == f"{metrics['rmse_over_crlb']['1e2-1e3']:.2f}"
    commands = (tmp_path / "once/numbers.tex").read_text().splitlines()
    defined = [line for line in commands if not line.startswith("%")]
    names = [re.fullmatch(r"\\newcommand\{\\([a-z][A-Za-z]*)\}\{(.+)\}", line) for line in defined]
    assert all(names)
    assert len({name[1] for name in names}) == len(defined)
    for name in names:
        assert name[2].count("{") == name[2].count("}")
        assert not re.search(r"(?<!\\)[%#&_](?!\{)", name[2])
        assert name[2].replace("é", "e").isascii()
