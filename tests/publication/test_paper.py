"""The paper: typeset from committed results with blank figures, same bytes twice, faults in a sentence."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from earthsignals.publication.facts import check_facts, load_facts
from earthsignals.publication.fragments import write_fragments
from earthsignals.publication.numbers import load_registry
from earthsignals.publication.provenance import as_input, provenance
from earthsignals.publication.typed import typed_numbers
from earthsignals.publication.typeset import pages, typeset
from earthsignals.storage import EarthSignalsError, write_json

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "reports/paper"
TEXT = (PAPER / "paper.typ").read_text()
PICTURES = re.findall(r'#shown\("([a-z_/]+)"', TEXT)
SIDECAR = {
    "stage": "tdlas-figures", "command": "python stages/tdlas/figures.py",
    "drawn_by": {"file": "src/earthsignals/tdlas/figures/errors.py", "function": "error_vs_bound"},
    "runs": [{"run_id": "0123456789abcdef", "commit": "fedcba9876543210", "dirty": "true"},
             {"run_id": "f", "commit": "0"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the paper alone, its figures blank."""
    root = tmp_path_factory.mktemp("project")
    folder = root / "reports/paper"
    folder.mkdir(parents=True)
    for name in ("paper.typ", "references.bib"):
        shutil.copy(PAPER / name, folder)
    write_fragments(ROOT, folder / "numbers")
    (root / "blank.typ").write_text("#set document(date: none)\n#set page(width: 3in, height: 2in)\n")
    for picture in PICTURES:
        typeset(root / "blank.typ", root / f"data/paper/figures/{picture}.pdf", root=root)
    write_json(root / "data/paper/figures/tdlas/error_vs_bound.json", SIDECAR)
    return root


def test_the_paper_is_the_same_bytes_twice(project: Path) -> None:
    source = project / "reports/paper/paper.typ"
    inputs = {"provenance": as_input(project / "data/paper/figures")}
    typeset(source, project / "one.pdf", root=project, inputs=inputs)
    typeset(source, project / "two.pdf", root=project, inputs=inputs)
    assert (project / "one.pdf").read_bytes() == (project / "two.pdf").read_bytes()
    assert (project / "one.pdf").read_bytes().startswith(b"%PDF")
    assert b"/CreationDate" not in (project / "one.pdf").read_bytes()


def test_a_short_paper_needs_no_sidecars(project: Path) -> None:
    shown = pages(project / "reports/paper/paper.typ", root=project, ppi=20)
    assert 5 <= len(shown) <= 9  # the claims' page included
    assert all(page.startswith(b"\x89PNG") for page in shown)


def test_nothing_is_typed_and_nothing_registered_in_vain() -> None:
    facts = load_facts(PAPER / "facts.yaml")
    assert typed_numbers(TEXT, "typst", facts) == []
    registry = load_registry(PAPER / "numbers.yaml")
    registered = {f"{section}.{name}" for section, entries in registry.items() for name in entries}
    assert registered == set(re.findall(r'#ni?\("([a-z_.]+)"\)', TEXT))
    assert set(re.findall(r'fact\("([a-z-]+)"\)', TEXT)) <= set(facts)


def test_every_reference_is_cited_and_has_an_address_or_a_publisher() -> None:
    entries = re.findall(r"@(\w+)\{(\w+),(.*)\}", (PAPER / "references.bib").read_text())
    assert len({key for _, key, _ in entries}) == len(entries) > 25
    for _, key, fields in entries:
        assert f"@{key}" in TEXT, key
        assert re.search(r"\b(doi|url|publisher|journal) = ", fields), key
        for doi in re.findall(r"doi = \{(.*?)\}", fields):
            assert re.fullmatch(r"10\.\d{4,5}/\S+", doi), key


def test_every_system_has_a_table_and_a_figure_with_words_for_those_who_cannot_see_it() -> None:
    for room in ("tdlas", "plume", "seismic", "clouds", "superdarn"):
        assert any(picture.startswith(f"{room}/") for picture in PICTURES)
        assert f'#tabled("{room}' in TEXT
    assert len(re.findall(r'#shown\("[a-z_/]+", "[^"]{40,}",', TEXT)) == len(PICTURES)


def test_facts_that_params_hold_are_theirs() -> None:
    params = json.loads(json.dumps({"tdlas": {"gas": {"path_cm": 90.0}}}))
    facts = {"tdlas-path": load_facts(PAPER / "facts.yaml")["tdlas-path"]}
    with pytest.raises(EarthSignalsError, match="tdlas-path"):
        check_facts(facts, params)


def test_makers_of_a_figure(project: Path) -> None:
    assert provenance(project / "data/paper/figures") == {"tdlas/error_vs_bound": {
        "stage": "tdlas-figures", "command": "python stages/tdlas/figures.py",
        "source": "errors.py: error_vs_bound",
        "run": "01234567", "commit": "fedcba98", "state": "changed",
    }}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Hello.\n\n#foo()", r"a\.typ, line 3: unknown variable: foo; mend the document"),
        ('#image("nix.pdf")', r"a\.typ, line 1: file not found \(nix\.pdf\);"),
        ('#set text(font: "No Such Font")\nHello', r"a\.typ, line 1: unknown font family: no such font"),
    ],
)
def test_a_fault_is_a_sentence_with_file_and_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.typ").write_text(text)
    with pytest.raises(EarthSignalsError, match=sentence):
        typeset(tmp_path / "a.typ", tmp_path / "a.pdf", root=tmp_path)
    assert not (tmp_path / "a.pdf").exists()


def test_a_missing_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match=r"b\.typ: no such document"):
        pages(tmp_path / "b.typ", root=tmp_path)
