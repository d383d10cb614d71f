"""Views as files: whole, small, the same bytes each time, and fit to stand inside another page."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from PIL import Image

from earthsignals.pages import (
    Page,
    View,
    described,
    embedded,
    library,
    read_view,
    write_page,
    write_views,
)
from earthsignals.pages.pictures import jpeg_uri, webp_uri
from earthsignals.results import MissingData
from earthsignals.storage import EarthSignalsError


def walk(item):
    if isinstance(item, dict):
        yield item
    for value in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        yield from walk(value)


WICKED = '</script><img src="http://example.org/x"><b>'


def page(label: str = "label", **options: object) -> Page:
    made = figure(width=100, height=100, title=label)
    made.line("x", "y", source=ColumnDataSource({"x": [0, 1], "y": [0, 1]}))
    return Page(made, **options)


def draw_nothing(inputs: object) -> Page:
    raise MissingData("nothing was seen")


def test_a_description_does_not_depend_on_what_was_made_before():
    assert described("t", "c", page()) == described("t", "c", page())


def test_every_reference_is_defined_under_a_name_of_its_own():
    view = described("t", "c", page())
    found = re.findall(r'"id": "(\w+)"', json.dumps(view["document"]))
    assert set(found) == {f"m{k + 1}" for k in range(len(set(found)))}
    assert view["root"] in found
    assert view["document"]["roots"][0]["id"] == view["root"]


def test_a_view_comes_back_from_its_file(tmp_path):
    write_page(tmp_path / "a", "Title", "Caption", page(note="Note", pictures=("data:,",)))
    view = read_view(tmp_path / "a.json")
    assert view == described("Title", "Caption", page(note="Note", pictures=("data:,",)))
    assert (view["title"], view["caption"], view["note"], view["pictures"]) == (
        "Title", "Caption", "Note", ["data:,"],
    )  # fmt: skip


def test_a_file_keeps_the_order_in_which_models_are_defined(tmp_path):
    """A reference before its definition would not be known to the browser."""
    write_page(tmp_path / "a", "t", "c", page())
    known = set()
    for item in walk(read_view(tmp_path / "a.json")["document"]):
        if "id" in item and "type" not in item:
            assert item["id"] in known
        known.add(item.get("id"))


def test_a_file_that_is_no_view_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"title": "x"}')
    with pytest.raises(EarthSignalsError, match="a.json: no view, expected the keys caption, document"):
        read_view(tmp_path / "a.json")


def test_several_views_on_one_page_keep_their_own_names():
    view = described("t", "c", page(label="var(--picture-0)", pictures=("data:,one",)))
    (one, draw_one), (two, draw_two) = embedded(view, "one"), embedded(view, "two")
    assert ":root{--one-picture-0:url(data:,one);}" in one and "var(--one-picture-0)" in one
    assert '"id":"m' not in one and '"id":"one-m1"' in one
    assert "--two-picture-0" in two and "--one" not in two
    assert '<div id="one"></div>' in one and 'id="one-data"' in one
    for script, name in ((draw_one, "one"), (draw_two, "two")):
        root = f"{name}-{view['root']}"
        (items,) = json.loads(re.search(r"\}, (\[.*\])\);$", script)[1])
        assert items == {"docid": name, "roots": {root: name}, "root_ids": [root]}


@pytest.mark.parametrize("name", ["", "1st", "a b", 'a"b'])
def test_what_cannot_be_an_id_is_refused(name):
    with pytest.raises(EarthSignalsError, match="cannot be an element's id"):
        embedded(described("t", "c", page()), name)


def test_no_text_ends_its_script():
    markup, _ = embedded(described("t", "c", page(label=WICKED)), "view")
    assert markup.count("</script") == 1 and "<img" not in markup
    data = re.search(r'id="view-data">(.*)</script>', markup)[1]
    assert WICKED in json.dumps(json.loads(data)).replace('\\"', '"')
    assert "</script" not in library()


def test_pages_escape_their_words(tmp_path):
    write_views({"a": View(WICKED, WICKED, lambda _: page(note=WICKED))}, None, tmp_path, WICKED)
    for name in ("a", "index"):
        assert WICKED not in (tmp_path / f"{name}.html").read_text()


def test_the_library_is_whole_and_loads_nothing():
    assert "Bokeh" in library() and 1_000_000 < len(library()) < 2_500_000


def test_a_view_that_cannot_be_drawn_is_left_out_and_the_index_says_why(tmp_path: Path):
    views = {"a": View("Whole", "c", lambda _: page()), "b": View("Empty", "c", draw_nothing)}
    assert write_views(views, None, tmp_path, "Heading") == {"b": "nothing was seen"}
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "a.json", "index.html"}
    index = (tmp_path / "index.html").read_text()
    assert '<a href="a.html">Whole</a>' in index and "Empty: left out, nothing was seen" in index


def test_files_are_the_same_bytes_each_time(tmp_path):
    for name in ("one", "two"):
        write_views({"a": View("t", "c", lambda _: page())}, None, tmp_path / name, "Heading")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_pictures_come_back_from_their_uris():
    """A ramp: what is lossy is near, and the kind is the one that the URI says."""
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    for uri, kind in ((jpeg_uri(ramp, 90), "jpeg"), (webp_uri(ramp, 90), "webp")):
        head, _, packed = uri.partition(",")
        assert head == f"data:image/{kind};base64"
        with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
            assert picture.format == kind.upper()
            assert np.abs(np.asarray(picture.convert("RGB"), int) - ramp).max() <= 8
