"""The pages hold all they need, repeat to the byte, and say what is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earthsignals.clouds.pages import VIEWS, write
from earthsignals.clouds.pages.maps import shown_maps
from earthsignals.clouds.pages.parts import place, thinned
from earthsignals.pages import View

from ..described import walk
from ..project import ROOT, environment
from .pictured import made_inputs, made_scene

WRITE = """
import sys
sys.modules["umap"] = None  # it compiles itself for 20 s
from pathlib import Path
from tests.clouds.pictured import made_inputs
from earthsignals.clouds.pages import VIEWS, write
assert write(VIEWS, made_inputs(), Path(sys.argv[1])) == {}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """The pages, twice: by processes whose hashes of text differ."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for seed, folder in enumerate(folders):
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", WRITE, str(folder)], cwd=ROOT,
            env=environment(ROOT) | {"PYTHONHASHSEED": str(seed)}, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folders


@pytest.fixture(scope="module")
def inputs():
    return made_inputs()


def described(page: Path) -> dict:
    """The document inside a page."""
    found = re.search(r'id="view-data">(.*?)</script>', page.read_text(), re.S)
    return json.loads(found[1])


def test_pages_are_the_same_bytes_in_another_process(folders):
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert set(one) == {"index.html", *(f"{name}.{kind}" for name in VIEWS for kind in ("html", "json"))}
    assert one == two


def test_pages_load_nothing_and_are_small(folders):
    """Only the library's own text and the links between pages may hold addresses; nothing of it is loaded."""
    for path in folders[0].glob("*.html"):
        text = path.read_text()
        assert len(text) < 6_000_000
        tags = re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.S)
        loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)""", tags)
        for target in ("".join(pair) for pair in loaded):
            assert target.startswith("data:") or target.removesuffix(".html") in {*VIEWS, "index"}, target
        assert "http" not in tags
        assert "<script src" not in text and "@import" not in tags


def test_every_reference_of_a_document_is_defined_in_it(folders):
    for name in VIEWS:
        document = described(folders[0] / f"{name}.html")
        models = [item for item in walk(document) if "id" in item]
        defined = [item["id"] for item in models if "type" in item]
        assert len(defined) == len(set(defined))
        assert {item["id"] for item in models} == set(defined)
        assert all(re.fullmatch(r"view-m\d+", name) for name in defined)


def test_names_cannot_break_out_of_a_page(inputs, tmp_path):
    wicked = '</script><img src="http://example.org/x"><b>'
    tiles = inputs.tiles.assign(scene=[f"{wicked}{k % 3}" for k in range(len(inputs.tiles))])
    view = {"grid": replace(VIEWS["grid"], title=wicked)}
    write(view, replace(inputs, tiles=tiles), tmp_path)
    for page in ("grid", "index"):
        text = (tmp_path / f"{page}.html").read_text()
        assert wicked not in text and "<img src=\"http" not in text
    assert wicked + "0" in json.dumps(described(tmp_path / "grid.html")).replace('\\"', '"')


def test_a_view_without_data_is_left_out_and_the_index_says_why(inputs, tmp_path):
    views = {name: VIEWS[name] for name in ("rgb", "trajectory", "distance")}
    left_out = write(views, replace(inputs, maps=(), series=()), tmp_path)
    assert set(left_out) == set(views)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    index = (tmp_path / "index.html").read_text()
    assert "clouds.embed.scenes" in index and "series_hours" in index and 'href="rgb.html"' not in index


def test_a_method_without_a_plane_is_told_on_the_page(folders):
    assert "UMAP is left out: UMAP needs umap-learn" in (folders[0] / "scatter.html").read_text()


def test_hovering_tells_every_tile(folders, inputs):
    """The source of the tiles has a picture and the facts of each."""
    sources = [
        dict(item["attributes"]["data"]["entries"]) for item in walk(described(folders[0] / "scatter.html"))
        if item.get("name") == "ColumnDataSource" and "attributes" in item
    ]  # fmt: skip
    tiles = max((s for s in sources if "tile" in s), key=lambda s: len(s["tile"]))
    assert len(tiles["tile"]) == len(inputs.tiles)
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in tiles["tile"])
    assert tiles["scene"] == inputs.tiles["scene"].tolist()
    assert tiles["regime"][:3] == ["sugar", "gravel", "fish"]
    assert tiles["facts"][0] == f"<br>scale {inputs.tiles['scale_km'][0]:.0f} km"


def test_large_maps_are_thinned_evenly():
    scene = made_scene(0, 4, size=320, step=4)
    rows, columns = scene.values.shape[:2]
    small = thinned(scene, 500)
    assert small.values.shape[0] * small.values.shape[1] <= 500
    k = 3  # of 65 rows and columns: 33 are too many, 22 are not
    assert rows == columns == 65
    np.testing.assert_array_equal(small.values, scene.values[::k, ::k])
    assert small.steps[0] == pytest.approx(k * scene.steps[0])
    assert thinned(scene, rows * columns).values.shape == scene.values.shape


def test_a_thinned_page_says_so(inputs):
    maps, note = shown_maps(inputs, 20)
    assert "evenly spaced" in note and maps[0].values.shape[0] * maps[0].values.shape[1] <= 20
    assert shown_maps(inputs, 10_000)[1] == ""


@pytest.mark.parametrize(
    ("at", "said"),
    [((12.34, -56.0), "12.3° N 56.0° W"), ((-0.04, 179.96), "0.0° S 180.0° E")],
)
def test_places_are_written_as_people_do(at, said):
    assert place(*at) == said


def test_views_are_functions_of_inputs():
    assert all(isinstance(view, View) and view.title and view.caption for view in VIEWS.values())
