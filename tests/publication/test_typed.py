"""Numbers typed by hand are found in prose, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from earthsignals.cli.main import app
from earthsignals.params import ParamsError
from earthsignals.publication.facts import FACTS, Fact, check_facts, laptop_params, load_facts
from earthsignals.publication.prose import PROSE
from earthsignals.publication.typed import TEXTS, typed_in_project, typed_numbers

ROOT = Path(__file__).resolve().parents[2]
FOUND = {
    "path": Fact(value="100", unit="cm", meaning="path", source="params: gas.path_cm"),
    "range": Fact(value="1–50,000", unit="ppm", meaning="range", source="params: gas.low, gas.high"),
    "bare": Fact(value="42", meaning="a bare number", source="a book"),
}


def numbers(text: str, kind: str = "markdown") -> list[str]:
    return [found.number for found in typed_numbers(text, kind, FOUND)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("An error of 3.48 ppm in 1,234 scans, or 1e-3, 95 % of the time.", ["3.48", "1,234", "1e-3", "95"]),
        ("as fast as 12ms, 100% of 2801×669", ["12", "100", "2801", "669"]),
        ("ResNet-18, F1, S3, CO2, GOES-16, R², CH₄, 3-D and 2D, MODIS/8, module 1A, the 2nd", []),
        ("a path of 100 cm and of 100\ncm, 1–50,000 ppm", []),
        ("a path of 100 km, of 1100 cm, of 100 cmx, of 100.5 cm", ["100", "1100", "100", "100.5"]),
        ("there are 42 of them", ["42"]),  # a bare number excuses nothing
        ("`n = 5` and\n\n    indented 6\n    more 7\n\n```\n8\n```\nand ``9 ` 9``", []),
        ("text\n    continued 6", ["6"]),  # not after an empty line: no code
        ("[a picture of 3](reports/x_4.png) at https://x.org/5 in docs/6.md", ["3"]),
        ("<!-- a:b -->\n5 % better\n<!-- /a:b --> and 6", ["6"]),
        ("<!-- 7 --> <img width=8> issue #9 (2022), Denby et al. 2020", []),
        ("1. first\n2. second, 3 of them", ["3"]),
        ("## Citing\n\nJQSRT 277, 107949.\n\n## Next\n\n5", ["5"]),
        ("It is {{ number('a.b', 2) }}, {% if x > 1 %}two{% endif %} or 3.", ["3"]),
    ],
)
def test_markdown(text: str, found: list[str]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The error is 3.48 ppm.", ["3.48"]),
        ("The error is #n(\"tdlas.rmse.1e2\") ppm, #fact(\"x\").", []),
        ("An equation $x_1 = 2 a^2$ and one more: $ 1/2 $; `raw 5`, // comment 6\n/* 7 */ 8", ["8"]),
        ("#set text(size: 9pt)\n#let x = 5\n#show heading: it => { 6 }\n7", ["7"]),
        ("#figure(image(\"a_1.pdf\", width: 80%), caption: [12 scans, #n(\"b\").]) <f-2> @key2022.", ["12"]),
        ("#table(columns: 3, [a], [4.5], [#n(\"x\")])", ["4.5"]),
        ("#grid(columns: (1fr, 2fr))[left 6][right]", ["6"]),
        ("#n(\"a\").at(3) of 100 cm, see https://x.org/5 and 6", ["6"]),
        ("#for i in range(3) [item 7]\n#if a > 1 { 2 } else [8]", ["7", "8"]),
        ("a \\# 5", ["5"]),
    ],
)
def test_typst(text: str, found: list[str]) -> None:
    assert numbers(text, "typst") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<p class='x2'>The error is 3.48&#160;ppm, {{ n['4'] }}</p>", ["3.48"]),
        ("<style>a { margin: 5px }</style><script>let x = 6;</script><!-- 7 --><b>8</b>", ["8"]),
        ('<img src="a1.png" width="9" alt="Of 10 scans">', ["10"]),
        ("{% for x in range(3) %}<h2>{{ x + 1 }}</h2>{% endfor %}{# 4 #}", []),
    ],
)
def test_html(text: str, found: list[str]) -> None:
    assert numbers(text, "html") == found


@pytest.mark.parametrize("kind", PROSE)
def test_lines_and_columns_stay(kind: str) -> None:
    text = "one\n`two\nthree` #f(\n4)\n<b\n>five $x\n$ six 7\n"
    prose = PROSE[kind](text)
    assert len(prose) == len(text) and prose.count("\n") == text.count("\n")
    places = typed_numbers("a\n\nb 5\n", kind, {}, "f")
    assert [(place.file, place.line, place.context) for place in places] == [("f", 3, "b 5")]


def test_no_number_of_ours_is_typed() -> None:
    assert [f"{place.file}:{place.line}: {place.number}" for place in typed_in_project(ROOT)] == []


@pytest.mark.parametrize("pattern", TEXTS)
def test_one_planted_in_any_text_is_found(tmp_path: Path, monkeypatch, pattern: str) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text("{}\n")
    file = tmp_path / pattern.replace("*", "planted")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("nothing here\n")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["claims", "--typed"]).exit_code == 0
    file.write_text("nothing here\nbut F1 reaches 0.97 there\n")
    found = CliRunner().invoke(app, ["claims", "--typed"])
    assert found.exit_code == 1 and "planted" in found.stdout or "README.md:2: 0.97" in found.stdout
    assert "1 numbers in texts" in found.stderr


def test_facts_are_those_of_the_parameters() -> None:
    facts = load_facts(ROOT / FACTS)
    check_facts(facts, laptop_params(ROOT))
    assert len(facts) > 10


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"gas": {"path_cm": 100.0, "low": 1, "high": 50_000}}, None),
        ({"gas": {"path_cm": 50.0, "low": 1, "high": 50_000}}, "`path` says 100, gas.path_cm is 50.0"),
        ({"gas": {"path_cm": 100.0, "low": 1, "high": 5}}, "`range` says 1–50,000, gas.low, gas.h"),
        ({}, "gas.path_cm is None"),
    ],
)
def test_a_fact_that_params_contradict_is_named(params: dict, wrong: str | None) -> None:
    if wrong is None:
        check_facts(FOUND, params)
        return
    with pytest.raises(ParamsError, match=wrong):
        check_facts(FOUND, params)
