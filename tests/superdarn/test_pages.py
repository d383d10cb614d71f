"""The view of superdarn: frames that give drifts back, lines of equal potential that are such."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earthsignals.superdarn.figures.dial import ARROW_DEG
from earthsignals.superdarn.figures.inputs import Inputs
from earthsignals.superdarn.pages import VIEWS, write
from earthsignals.superdarn.pages.frames import (
    MOST_SEEN,
    STEP_DEG,
    Frames,
    drift_frame,
    potential_frame,
    seen_frame,
)

from ..described import models, sources
from .pictured import made_inputs, potential_kv


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return made_inputs(examples=2, columns=60)


@pytest.fixture(scope="module")
def view(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    assert write(VIEWS, inputs, out) == {}
    return out / "forecast.json"


def test_packed_frames_come_back() -> None:
    frames = [{"x": np.array([1.234, np.nan]), "y": np.array([-45.0, np.nan])},
              {"x": np.zeros(0), "y": np.zeros(0)},
              {"x": np.array([7.0]), "y": np.array([0.006])}]  # fmt: skip
    packed = Frames.of(frames)
    assert packed.first.tolist() == [0, 2, 2, 3] and packed.parts["x"].dtype == np.int16
    for number, frame in enumerate(frames):
        for name, values in packed.frame(number).items():
            np.testing.assert_allclose(values, frame[name], atol=STEP_DEG / 2)


def test_what_radars_saw_points_along_the_line_of_sight(inputs: Inputs) -> None:
    """At most MOST_SEEN vectors, each as long as its speed and where it was seen."""
    example = inputs.examples[0]
    seen, frame = example.seen[10], seen_frame(example, 10, ARROW_DEG)
    assert len(frame["x"]) == min(len(seen), MOST_SEEN)
    speed = 1000 / ARROW_DEG * np.hypot(frame["u"], frame["v"])
    chosen = np.unique(np.linspace(0, len(seen) - 1, len(speed)).round().astype(int))
    np.testing.assert_allclose(speed, seen.velocity[chosen])
    np.testing.assert_allclose(90 - np.hypot(frame["x"], frame["y"]), seen.mlat[chosen])
    empty = seen_frame(replace(example, seen={0: example.seen[0]}), 10, ARROW_DEG)
    assert len(empty["x"]) == 0


def test_a_uniform_eastward_drift_turns_with_local_time(inputs: Inputs) -> None:
    """East is counter-clockwise on the dial: every arrow at right angles to the radius."""
    example = inputs.examples[0]
    drift = np.zeros_like(example.forecast[0])
    drift[1] = 400.0
    frame = drift_frame(example, drift, 0, ARROW_DEG)
    x, y, u, v = (frame[name] for name in "xyuv")
    away = np.hypot(x, y)
    outer = away > 8  # nearer to the pole the mean over cells is of arrows that turn
    along, across = (x * u + y * v) / away, (x * v - y * u) / away
    np.testing.assert_allclose(across[outer], 0.4 * ARROW_DEG, rtol=0.07)
    np.testing.assert_allclose(along[outer], 0, atol=0.07 * 0.4 * ARROW_DEG)


def test_lines_follow_the_potential(inputs: Inputs) -> None:
    """Along each line the analytic potential of the stand-in, with its own strength, hardly changes."""
    example, lead = inputs.examples[0], 10
    frame = potential_frame(example, example.forecast[example.at(lead)], lead)
    ends = np.flatnonzero(np.isnan(frame["x"]))
    assert len(ends) > 4
    start = 0
    for end in ends:
        x, y = frame["x"][start:end], frame["y"][start:end]
        start = end + 1
        hours = np.mod(np.rad2deg(np.arctan2(y, x)) / 15 + 6, 24)
        values = potential_kv(90 - np.hypot(x, y), hours, centre=74.5)
        assert np.ptp(values) < 3.0, "kV, of steps of 6"


def test_the_view_has_a_dial_for_each_and_a_frame_for_some_leads(view: Path, inputs: Inputs) -> None:
    titles = [title["text"] for title in models(view, "Title") if title.get("text")]
    assert titles == ["forecast", "true drift (simulated)", "seen by radars"]
    (slider,) = models(view, "Slider")
    packed = sources(view, "first", "u")
    assert len(packed) == 3 * len(inputs.examples)
    assert {len(each["first"][0]) for each in packed} == {slider["end"] + 2}
    assert 10 <= slider["end"] < 16
    (choice,) = models(view, "Select")
    assert [label for _, label in choice["options"]] == [example.moment() for example in inputs.examples]


def test_the_last_lead_is_always_shown(view: Path, inputs: Inputs) -> None:
    last = inputs.examples[1].leads[-1]
    assert f"{inputs.examples[1].moment(last)}, {last} min ahead" in view.read_text()


def test_real_days_have_no_dial_of_the_truth(inputs: Inputs, tmp_path: Path) -> None:
    real = replace(inputs, examples=tuple(replace(e, truth={}) for e in inputs.examples))
    assert write(VIEWS, real, tmp_path) == {}
    titles = [t["text"] for t in models(tmp_path / "forecast.json", "Title") if t.get("text")]
    assert titles == ["forecast", "seen by radars"]


def test_without_forecasts_there_is_no_view(tmp_path: Path) -> None:
    assert "kept no forecasts" in write(VIEWS, Inputs(), tmp_path)["forecast"]


def test_views_are_small_and_the_same_bytes_each_time(view: Path, inputs: Inputs, tmp_path: Path) -> None:
    write(VIEWS, inputs, tmp_path)
    for path in view.parent.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert view.stat().st_size < 1_200_000
