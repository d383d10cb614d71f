"""Wrong files end in one sentence that names them; at small scales dashes stand for what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from earthsignals.publication.bundle import find_figures, read_bundle
from earthsignals.publication.claims import CLAIMS, load_claims, scales_now
from earthsignals.publication.fragments import write_fragments
from earthsignals.publication.measurements import Files, measure
from earthsignals.publication.numbers import formatted, latex_text
from earthsignals.publication.provenance import provenance
from earthsignals.publication.report.build import _headline
from earthsignals.publication.report.claims import read_claims
from earthsignals.publication.report.figures import shown_figures, webp
from earthsignals.publication.report.prose import Prose
from earthsignals.publication.sections.absent import may_lack
from earthsignals.publication.tables.model import Cell, Table
from earthsignals.publication.tables.writing import to_typst
from earthsignals.publication.typed import typed_numbers
from earthsignals.storage import EarthSignalsError, read_json, write_json

from ..project import ROOT

PIPELINES = ("tdlas", "plume", "seismic", "clouds", "superdarn")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The committed results, registry and facts."""
    for name in ("params.yaml", "scales.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    reports = tmp_path / "reports"
    reports.mkdir()
    for name in ("paper/numbers.yaml", "paper/facts.yaml", "claims.json"):
        (reports / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "reports" / name, reports / name)
    shutil.copytree(ROOT / "reports" / "benchmarks", reports / "benchmarks")
    for pipeline in PIPELINES:
        (reports / pipeline).mkdir()
        for name in ("metrics.json", "real.json"):
            shutil.copyfile(ROOT / "reports" / pipeline / name, reports / pipeline / name)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    ["claims: [a]", "claims: {tdlas: 3}", "claims: {tdlas: }", "claim: {}", "headlines: [a]",
     "headlines: {1: {promised: better, because: x}}", "claims: &a {tdlas: [*a]}"],
)  # fmt: skip
def test_claims_of_another_shape_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(EarthSignalsError, match=CLAIMS):
        load_claims(tmp_path / "claims.yaml")


@pytest.mark.parametrize("expected", ["[]", "'< e'", "'.e .. e'", "'3 .. 1'", "'<= 1-1'"])
def test_an_expectation_that_is_no_number_is_refused(tmp_path: Path, expected: str) -> None:
    claim = f"{{id: a, claim: c, source: s, expected: {expected}, how: h, promised: not measured}}"
    (tmp_path / "claims.yaml").write_text(f"claims: {{tdlas: [{claim}]}}")
    with pytest.raises(EarthSignalsError, match="expected"):
        load_claims(tmp_path / "claims.yaml")


@pytest.mark.parametrize(
    "place",
    ["a.json: x / 0", "a.json: x * e", "a.json: nan", "../a.json: x", "/etc/passwd: x",
     "derived: quotient(1, 0)", "derived: product(1e300, 1e300)", "derived: drift_preset('__class__')"],
)  # fmt: skip
def test_a_number_that_cannot_be_is_refused(tmp_path: Path, place: str) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "a.json").write_text('{"x": 1, "nan": NaN}')
    with pytest.raises(EarthSignalsError):
        measure(place, Files(tmp_path))


@pytest.mark.parametrize("spoil", ["nan", "lots", "renamed"])
def test_a_spoilt_result_leaves_the_papers_numbers_as_they_were(project: Path, spoil: str) -> None:
    out = project / "numbers"
    assert write_fragments(project, out) == []
    before = (out / "numbers.json").read_bytes()
    path = project / "reports/tdlas/metrics.json"
    metrics = json.loads(path.read_text())
    if spoil == "nan":
        metrics["coverage_95"] = float("nan")
    elif spoil == "lots":
        metrics["scores"]["model"]["lots"] = metrics["scores"]["model"]["1e2-1e3"]
    else:
        metrics["scores"]["ridge"] = {}
    path.write_text(json.dumps(metrics))
    with pytest.raises(EarthSignalsError, match="reports/tdlas/metrics.json|`tdlas`"):
        write_fragments(project, out)
    assert (out / "numbers.json").read_bytes() == before
    assert not list(project.glob(".*"))


def test_at_a_small_scale_dashes_stand_for_what_is_missing(project: Path) -> None:
    metrics = project / "reports/seismic/metrics.json"
    found = read_json(metrics)
    del found["seed"], found["mse"]
    write_json(metrics, found)
    with pytest.raises(EarthSignalsError, match="mse.32.model"):
        write_fragments(project, project / "numbers")
    claims = read_json(project / "reports/claims.json")
    write_json(project / "reports/claims.json", claims | {"scales": {"seismic": "smoke", "tdlas": "laptop"}})
    absent = write_fragments(project, project / "numbers")
    assert "seismic.plain_patches" in absent and all(name.startswith("seismic.") for name in absent)
    assert read_json(project / "numbers/numbers.json")["seismic"]["small"]["value"] == "–"
    prose = Prose(project)
    place = '"reports/seismic/metrics.json: mse.32.model"'
    assert prose.filled(f"{{{{ number({place}) }}}} {{{{ interval({place}) }}}}", "card") == "– –"
    assert "small scale" in prose.section("seismic:results")


@pytest.mark.parametrize(
    ("claims", "file", "may"),
    [(None, "reports/a/metrics.json", False), ({"scales": {"a": "smoke"}}, "reports/a/metrics.json", True),
     ({"scales": {"a": "laptop"}}, "reports/a/metrics.json", False), ([], "reports/a/metrics.json", False),
     ({"scales": {"a": None}}, "reports/a/metrics.json", True),
     ({"scales": {"a": "smoke"}}, "reports/a/real.json", False)],
)  # fmt: skip
def test_only_metrics_of_small_scales_may_lack_numbers(claims, file, may) -> None:
    assert may_lack(claims, file) is may


def test_the_scale_of_each_pipeline_is_noted(project: Path) -> None:
    assert set(scales_now(project)) == set(PIPELINES)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", None])
def test_what_is_no_finite_number_is_not_written(value) -> None:
    with pytest.raises(EarthSignalsError, match="finite"):
        formatted(value, "fixed 2")


def test_texts_cannot_leave_their_cell() -> None:
    assert latex_text("a\n\n< 5 | b") == "a $<$ 5 $|$ b"
    assert '"a b"' in to_typst(Table(head=["a\u0008\nb"], rows=[[Cell("x")]]))


@pytest.mark.parametrize(
    "placeholder",
    ["{{ cycler.__init__.__globals__.os }}", "{{ number.__globals__ }}", "{{ 1 / 0 }}", "{{ number(3) }}",
     '{{ number("params: tdlas.dataset.scans", "{.__class__}") }}', '{{ text("params: tdlas.dataset") }}'],
)  # fmt: skip
def test_a_card_runs_nothing(project: Path, placeholder: str) -> None:
    with pytest.raises(EarthSignalsError, match=r"card\.md"):
        Prose(project).filled(placeholder, "card.md")


@pytest.mark.parametrize("content", [{}, [], "x", {"claims": [None]}, {"claims": [{}]}])
def test_claims_that_are_none_are_named(tmp_path: Path, content) -> None:
    (tmp_path / "reports").mkdir()
    write_json(tmp_path / "reports/claims.json", content)
    with pytest.raises(EarthSignalsError, match="paper-claims"):
        read_claims(tmp_path)


@pytest.mark.parametrize("content", [{}, [], {"stage": "a"}])
def test_sidecars_that_are_none_are_named(tmp_path: Path, content) -> None:
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / "b.json", content)
    with pytest.raises(EarthSignalsError, match="paper-figures"):
        read_bundle(tmp_path, "a")
    if content != {"stage": "a"}:
        with pytest.raises(EarthSignalsError, match="paper-figures"):
            provenance(tmp_path)


def test_words_of_figures_and_headlines_are_checked(project: Path) -> None:
    folder = project / "b" / "tdlas"
    sidecar = {"stage": "s", "drawn_by": {}, "files": {}, "deps": {}, "runs": []}
    write_json(folder / "one.json", sidecar)
    for captions in ({"tdlas": "x"}, {"tdlas": {"one": {"title": 3}}}, {"tdlas": {"one": {"title": "t"}}}):
        with pytest.raises(EarthSignalsError, match=r"figures\.yaml"):
            shown_figures(project, Path("b"), "tdlas", captions)
    (project / "reports/cards").mkdir()
    for text in ("", "rows: abc", "rows: [{}]"):
        (project / "reports/cards/headline.yaml").write_text(text)
        with pytest.raises(EarthSignalsError, match=r"headline\.yaml"):
            _headline(project, Prose(project))


def test_a_damaged_picture_is_named_and_a_note_beside_figures_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(EarthSignalsError, match=r"a\.png cannot be read as a picture"):
        webp(tmp_path / "a.png")
    folder = tmp_path / "reports/a/figures"
    folder.mkdir(parents=True)
    for name in ("f.png", "f.pdf", "f.svg", "f.csv", "f.txt", "note.md"):
        (folder / name).touch()
    assert list(find_figures(tmp_path, "a")) == ["f"]
    assert len(find_figures(tmp_path, "a")["f"]) == 4


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [("markdown", "½ of .5 and 2/3", ["½", ".5", "2", "3"]), ("markdown", '<img alt="12 x">', ["12"]),
     ("typst", '#image("a9.png", alt: "12 stations")', ["12"]),
     ("html", '<p aria-description="12">', ["12"])],
)  # fmt: skip
def test_numbers_in_fractions_and_descriptions_are_found(kind: str, text: str, found: list[str]) -> None:
    assert [each.number for each in typed_numbers(text, kind)] == found
