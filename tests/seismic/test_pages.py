"""The view of seismic: every record with its own picture, coloured by what is known of it."""

from __future__ import annotations

import base64
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earthsignals.seismic.pages import VIEWS, Inputs, write
from earthsignals.seismic.pages.embedding import SCALE
from earthsignals.seismic.pages.pictures import (
    HEIGHT,
    INK,
    MARK,
    PAPER,
    SPECTRUM,
    WAVE,
    WIDTH,
    sheet,
    spectrogram,
    trace,
)

from ..described import models, sources
from .paged import made_inputs


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return made_inputs()


@pytest.fixture(scope="module")
def view(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    assert write(VIEWS, inputs, out) == {}
    return out / "embedding.json"


def columns(view: Path) -> dict:
    (found,) = sources(view, "head", "place")
    return found


def opened(view: Path) -> np.ndarray:
    (uri,) = json.loads(view.read_text())["pictures"]
    assert uri.startswith("data:image/webp;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_a_trace_reaches_from_least_to_largest() -> None:
    """A step at the middle: flat above on the left, flat below on the right, S at three quarters."""
    waveform = np.where(np.arange(6400) < 3200, 1.0, -1.0)
    picture = trace(waveform, np.array([np.nan, 4800.0]))
    ink = (picture == INK).all(-1)
    assert ink[0, :32].all() and not ink[1:, :32].any()
    assert ink[-1, 32:48].all() and not ink[:-1, 32:48].any()
    assert (picture[:, 48] == MARK).all() and (picture[3, 60] == PAPER).all()


def test_a_silent_record_is_a_line_in_the_middle() -> None:
    ink = (trace(np.zeros(640), np.full(2, np.nan)) == INK).all(-1)
    assert ink[WAVE // 2 - 1 : WAVE // 2 + 1].all() and ink.sum() == 2 * WIDTH


def test_a_spectrogram_has_low_frequencies_at_the_bottom() -> None:
    values = np.zeros((129, 111))
    values[:20] = 1.0
    picture = spectrogram(values).astype(int).sum(-1)
    assert picture.shape == (SPECTRUM, WIDTH)
    assert picture[-1].min() > picture[0].max()


def test_every_record_shows_its_own_picture(view: Path, inputs: Inputs) -> None:
    """The place in the tooltip, undone to pixels of the sheet, is where the record's waveform was drawn."""
    whole, found = opened(view), columns(view)
    rows, marks = inputs.arrays["records/row"], np.full(2, np.nan)
    assert len(found["place"]) == len(rows)
    for number in (0, 7, len(rows) - 1):
        offsets = found["place"][number].split()
        left, top = (round(-float(part.removesuffix("px")) / SCALE) for part in offsets)
        own = whole[top : top + HEIGHT, left : left + WIDTH].astype(float)
        expected = trace(inputs.store.read([rows[number]])[0, 2], marks).astype(float)
        assert np.corrcoef(own[SPECTRUM:].sum(-1).ravel(), expected.sum(-1).ravel())[0, 1] > 0.7
    assert whole.shape[0] % HEIGHT == 0 and whole.shape[1] % WIDTH == 0


def test_pictures_stand_row_by_row(inputs: Inputs) -> None:
    made = sheet(inputs.store, np.arange(5), inputs.image, np.full((5, 2), np.nan))
    assert made.columns * made.rows >= 5
    assert made.corner(made.columns + 1, 2.0) == (2.0 * WIDTH, 2.0 * HEIGHT)


def test_the_mouse_is_told_what_is_known(view: Path, inputs: Inputs) -> None:
    found, arrays = columns(view), inputs.arrays
    event = int(np.flatnonzero(arrays["records/is_event"])[0])
    noise = int(np.flatnonzero(~arrays["records/is_event"])[0])
    assert found["head"][event] == (
        f"{arrays['records/station'][event].decode()} {arrays['records/kind'][event].decode()}"
    )
    assert f"M {arrays['records/magnitude'][event]:.1f}" in found["said"][event]
    assert f"{arrays['records/distance_km'][event]:.0f} km" in found["said"][event]
    assert found["said"][noise] == "noise"


def test_tabs_colour_by_what_the_network_never_saw(view: Path, inputs: Inputs) -> None:
    assert [panel["title"] for panel in models(view, "TabPanel")] == [
        "instrument", "signal-to-noise ratio", "magnitude", "epicentral distance", "cluster",
    ]  # fmt: skip
    found, events = columns(view), inputs.arrays["records/is_event"]
    np.testing.assert_array_equal(np.isfinite(found["magnitude"]), events)
    assert {c for c, e in zip(found["instrument_colour"], events, strict=True) if not e} == {"#c9c9c9"}
    labels = [item["label"] for item in models(view, "LegendItem")]
    assert f"noise ({int((~events).sum())})" in [label["value"] for label in labels]


def test_noise_that_lies_apart_is_a_cluster_of_its_own(view: Path, inputs: Inputs) -> None:
    colours, events = np.array(columns(view)["cluster_colour"]), inputs.arrays["records/is_event"]
    assert len(set(colours[events])) == len(set(colours[~events])) == 1
    assert set(colours[events]) != set(colours[~events])


def test_more_records_than_a_page_can_show_are_thinned(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["earthsignals.seismic.pages.embedding"], "PICTURED", 40)
    write(VIEWS, inputs, tmp_path)
    assert len(columns(tmp_path / "embedding.json")["head"]) == 40
    assert "40 of 108 records" in (tmp_path / "embedding.html").read_text()


def test_a_store_of_other_records_is_not_drawn(inputs: Inputs, tmp_path: Path) -> None:
    other = replace(inputs, arrays=inputs.arrays | {"records/row": inputs.arrays["records/row"] + 1})
    assert "record 108 was judged, and the store ends at 107" in write(VIEWS, other, tmp_path)["embedding"]


def test_views_are_small_and_the_same_bytes_each_time(view: Path, inputs: Inputs, tmp_path: Path) -> None:
    write(VIEWS, inputs, tmp_path)
    for path in view.parent.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert view.stat().st_size < 1_200_000
