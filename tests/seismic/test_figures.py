"""The figures show the numbers they were given, all of them, the same bytes each time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData, read_arrays, save_arrays
from earthsignals.seismic import figures
from earthsignals.seismic.figures.images import arrivals, show
from earthsignals.seismic.figures.inputs import position, range_db
from earthsignals.seismic.figures.reconstructions import Picture, draw_one
from earthsignals.seismic.params import ScalingParams, WindowParams
from earthsignals.seismic.spectrogram.image import Preprocessing
from tests.pictures import compared, lettered

SIZES = (32, 128, 512)
HISTORY = [
    {"epoch": e, "learning_rate": 1e-3, "train_loss": 0.6 - 0.1 * e, "validation_loss": 0.65 - 0.1 * e}
    for e in range(3)
]


def interval(value, width: float = 0.1) -> np.ndarray:
    """(…, 3): value, low, high."""
    value = np.asarray(value, float)
    return np.stack([value, value * (1 - width), value * (1 + width)], axis=-1)


def made_arrays(bins: int = 17, frames: int = 12) -> dict[str, np.ndarray]:
    """An evaluation of known numbers: 60 records, six examples, five worst, three latent sizes."""
    rng = np.random.default_rng(1)
    count, examples = 60, 6
    event = np.arange(count) < 50
    latent = rng.normal(size=(count, 24)).astype(np.float32)
    latent[~event] += 4
    image = rng.random((examples, 3, bins, frames)).astype(np.float32)
    arrays = {
        "records/row": np.arange(count) + 100, "records/is_event": event,
        "records/kind": np.resize(np.array([b"HH", b"HN", b"EH", b"BH"]), count),
        "records/snr_db": np.where(event, np.linspace(5, 60, count), np.nan),
        "records/p_sample": np.where(event, 300.0, np.nan), "records/s_sample": np.full(count, np.nan),
        "image/frequencies_hz": np.linspace(0, 50, bins), "image/times_s": np.arange(frames) * 0.64,
        "image/range_db": np.array(80.0), "image/p_sample": np.array(300),
        "errors/sizes": np.array(SIZES), "errors/mean_numbers": np.array(29),
        "examples/row": np.arange(examples) * 7 + 100, "examples/input": image,
        "examples/title": np.array([f"XX.ST{k} HH M 2.{k} 3{k} km 2{k} dB" for k in range(examples)], "S"),
        "worst/input": image[:5], "worst/output": np.clip(image[:5] + 0.1, 0, 1),
        "worst/mse": np.linspace(0.1, 0.05, 5),
        "embedding/latent": latent,
        "curve/floor": interval(0.0038), "curve/zero": interval(0.2), "curve/mean": interval(0.05),
        "curve/means": interval(0.007), "curve_component/seed": interval(0.0046),
        "curve_component/seed_numbers": np.array(16_128), "curve_component/zero": interval(0.05),
        "denoise/input_snr_db": np.array([-5.0, 0.0, 5.0]),
        "anomaly/faults": np.array([b"clipped", b"dead_component"]),
        "floor/pair_mse": rng.uniform(0.003, 0.005, 20),
        "floor/pair_surrogate": rng.uniform(0.003, 0.005, 20),
        "floor/pair_snr_db": rng.uniform(0, 50, 20),
    }  # fmt: skip
    for k, size in enumerate(SIZES):
        arrays[f"examples/size_{size}"] = image + np.float32(0.01 * (3 - k))
        arrays[f"examples/pca_{size}"] = image - np.float32(0.02 * (3 - k))
    for k, name in enumerate(("model", "pca", "patch_pca")):
        for group in ("curve", "curve_component")[: 1 + bool(k)]:
            arrays[f"{group}/{name}/sizes"] = np.array(SIZES)
            arrays[f"{group}/{name}/mse"] = interval(np.array([0.006, 0.005, 0.0041]) + 2e-4 * k)
        for group, b in (("snr", 4), ("magnitude", 3), ("distance", 3), ("kind", 4), ("component", 3)):
            arrays[f"groups/{group}/{name}"] = interval(rng.uniform(0.004, 0.006, (3, b)))
    for group, b in (("snr", 4), ("magnitude", 3), ("distance", 3), ("kind", 4)):
        arrays[f"groups/{group}/count"] = np.arange(b) * 10
        arrays[f"groups/{group}/floor"] = interval(np.full(b, 0.0038))
        arrays[f"groups/{group}/edges" + ("_db" if group == "snr" else "")] = np.arange(b + 1.0)
    arrays["groups/kind/names"] = np.array([b"BH", b"EH", b"HH", b"HN"])
    for k, name in enumerate(("model", "bandpass", "best_bandpass", "wiener", "oracle")):
        arrays[f"denoise/{name}/gain_db"] = interval(9.0 - k + np.array([1.0, 0.0, -1.0]))
        arrays[f"denoise/{name}/correlation"] = interval(0.9 - 0.1 * k + np.array([-0.05, 0.0, 0.05]), 0.01)
    clean = rng.normal(size=(4, 3, 768)) * np.exp(-np.arange(768) / 200)
    noise = rng.normal(size=clean.shape)
    noise *= np.sqrt((clean[:, :, 300:] ** 2).sum((1, 2)) / (noise[:, :, 300:] ** 2).sum((1, 2)))[
        :, None, None
    ]
    for name, waveform in (("clean", clean), ("noisy", clean + noise), ("denoised", clean + 0.1 * noise)):
        arrays[f"denoise/example_{name}"] = waveform.astype(np.float32)
    rate = np.linspace(0, 1, 21)
    for k, name in enumerate(("latent", "sta_lta", "reconstruction_error")):
        arrays[f"detection/roc/{name}"] = np.stack([rate, rate ** (0.1 + 0.2 * k)])
        arrays[f"detection/auc/{name}"] = np.array([0.97, 0.95, 0.98]) - 0.1 * k
    for k, name in enumerate(("mahalanobis", "knn", "reconstruction_error")):
        arrays[f"anomaly/{name}"] = interval(np.array([0.9, 0.7]) - 0.1 * k, 0.05)
        arrays[f"anomaly/noise_{name}"] = interval(0.8 - 0.1 * k, 0.05)
    return arrays


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return made_arrays()


@pytest.fixture
def styled():
    with house.style():
        yield


def drawn_lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_is_drawn(arrays, styled, name):
    figure = figures.FIGURES[name](arrays)
    assert figure.get_figwidth() in (house.COLUMN_WIDTH, house.PAGE_WIDTH)
    lettered(figure)
    assert figure.get_figheight() < 10  # fits on a page


def test_figures_become_png_and_pdf_of_the_same_bytes_each_time(arrays, tmp_path, monkeypatch):
    """One of the evaluation and one of a training: all are made of the same parts."""
    few = {"floor": figures.floor}
    monkeypatch.setattr(figures, "FIGURES", few)
    save_arrays(tmp_path / "evaluation.h5", arrays)
    read = read_arrays(tmp_path / "evaluation.h5")
    assert figures.draw_all(arrays, {}, {"seed": HISTORY}, tmp_path / "one").keys() == {
        "training_bottleneck", "training_denoiser",
    }  # fmt: skip
    figures.draw_all(read, {}, {"seed": HISTORY}, tmp_path / "two")
    names = {f"{name}.{kind}" for name in (*few, "training_seed") for kind in ("png", "pdf")}
    for run in ("one", "two"):
        assert {path.name for path in (tmp_path / run).iterdir()} == names
    for name in names:
        one, two = (hashlib.sha256((tmp_path / run / name).read_bytes()).digest() for run in ("one", "two"))
        assert one == two, name


def test_what_was_not_judged_is_left_out_with_its_reason(tmp_path):
    skipped = figures.draw_all({}, {}, {}, tmp_path)
    assert set(skipped) == set(figures.NAMES)
    assert all(reason for reason in skipped.values())
    assert not list(tmp_path.iterdir())


def test_rate_distortion_shows_every_curve_and_the_excess_over_the_floor(arrays, styled):
    figure = figures.rate_distortion(arrays)
    left, middle, right = figure.axes[:3]
    mse = arrays["curve/model/mse"][:, 0]
    np.testing.assert_array_equal(drawn_lines(left)["bottleneck"], np.stack([SIZES, mse], 1))
    np.testing.assert_allclose(drawn_lines(middle)["bottleneck"][:, 1], mse - 0.0038)
    assert set(drawn_lines(left)) >= {
        "bottleneck",
        "PCA",
        "patch PCA",
        "speckle floor",
        "zero",
        "mean spectrogram",
    }
    assert set(drawn_lines(right)) >= {"PCA", "patch PCA", "zero"}
    (legend,) = figure.legends
    assert "plain autoencoder" in {text.get_text() for text in legend.get_texts()}
    (decibels,) = left.child_axes
    assert decibels.get_ylabel() == "RMS (dB)"


def test_an_excess_below_the_floor_stays_in_the_picture(arrays, styled):
    """Many numbers keep speckle too: the excess is negative, which a logarithm would drop."""
    below = arrays | {"curve/patch_pca/mse": interval([0.006, 0.004, 0.001])}
    middle = figures.rate_distortion(below).axes[1]
    assert drawn_lines(middle)["patch PCA"][-1, 1] == pytest.approx(0.001 - 0.0038)
    assert middle.get_ylim()[0] < 0.001 - 0.0038


def test_errors_show_the_middle_size_in_every_group_with_counts(arrays, styled):
    figure = figures.errors(arrays)
    labels = [axes.get_xlabel() for axes in figure.axes[:5]]
    assert labels == [
        "signal-to-noise ratio (dB)", "magnitude", "epicentral distance (km)", "instrument", "component",
    ]  # fmt: skip
    snr = figure.axes[0]
    containers = {c.get_label(): c for c in snr.containers}
    np.testing.assert_array_equal(
        containers["bottleneck"].lines[0].get_ydata(), arrays["groups/snr/model"][1, :, 0]
    )
    assert snr.get_ylim()[0] == 0
    assert [t.get_text() for t in snr.texts] == ["0", "10", "20", "30"]
    assert [t.get_text() for t in snr.get_xticklabels()] == ["0", "1", "2", "3", "4"]


def test_the_denoised_examples_tell_their_ratios(arrays, styled):
    """Noise was mixed at 0 dB from P on; a tenth of it is left: 20 dB."""
    figure = figures.denoising_examples(arrays)
    titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
    assert titles[0] == "clean"
    assert titles[1] == "noise mixed in: 0.0 dB"
    assert titles[2].startswith("denoised: 20.0 dB, r = ")
    gains = drawn_lines(figures.denoising(arrays).axes[0])
    np.testing.assert_array_equal(gains["denoiser"], np.stack([[-5, 0, 5], [10, 9, 8]], 1))


def test_detection_draws_the_roc_and_names_every_fault(arrays, styled):
    left, right = figures.detection(arrays).axes
    roc = next(xy for label, xy in drawn_lines(left).items() if label.startswith("probe on the latent"))
    np.testing.assert_array_equal(roc, arrays["detection/roc/latent"].T)
    assert "AUC 0.970 (0.950 to 0.980)" in left.get_legend().get_texts()[0].get_text()
    assert {t.get_text() for t in right.get_yticklabels()} == {"clipped", "dead component", "noise record"}
    without = {name: values for name, values in arrays.items() if not name.startswith("detection/")}
    assert not figures.detection(without).axes[0].axison


def test_reconstructions_show_input_output_and_difference(arrays, styled):
    figure = figures.reconstructions(arrays)
    shown = [axes.images[0].get_array() for axes in figure.axes[:9]]
    for row in range(3):
        np.testing.assert_array_equal(shown[3 * row], arrays["examples/input"][0, row])
        np.testing.assert_array_equal(shown[3 * row + 1], arrays["examples/size_512"][0, row])
        np.testing.assert_allclose(shown[3 * row + 2], 0.01, atol=1e-6)
    assert figure.axes[2].get_title(loc="left") == "difference: MSE 0.0001"
    assert len(figures.sizes(arrays).axes) == 6 * 7 + 1


def test_the_worst_are_all_there_with_their_errors(arrays, styled):
    figure = figures.worst(arrays)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert len(titles) == 5
    assert "MSE 0.1000" in titles[0]
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(image[-17:], arrays["worst/input"][0, 0])  # E on top


def test_the_map_shows_every_record_and_letters_for_examples(arrays, styled):
    figure = figures.embedding(arrays)
    kinds = figure.axes[0]
    points = sum(
        len(c.get_offsets()) for c in kinds.collections if c.get_label() in ("noise", "HH", "HN", "EH", "BH")
    )
    assert points == 60
    assert [t.get_text() for t in kinds.texts] == list("abcdef")


def test_axes_carry_seconds_hertz_and_decibels(arrays, styled):
    picture = Picture(
        arrays["examples/input"][0], arrays["examples/size_32"][0], arrays["image/frequencies_hz"],
        arrays["image/times_s"], 80.0, "XX.ABC HH",
    )  # fmt: skip
    figure = draw_one(picture)
    assert isinstance(figure, Figure)
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert {"time (s)", "dB below the record's maximum", "output − input (dB)", "E\nfrequency (Hz)"} <= labels
    assert "MSE 0.0009   MAE 0.0300" in figure.axes[2].get_title()


def test_cells_lie_around_their_time_and_frequency(styled):
    figure, axes = plt.subplots()
    image = show(axes, np.zeros((5, 4)), np.arange(4) * 0.64, np.linspace(0, 50, 5))
    assert image.get_extent() == pytest.approx([-0.32, 2.24, -6.25, 56.25])
    arrivals(axes, 1.0, np.nan)
    assert [t.get_text() for t in axes.texts] == ["P"]


def test_positions_and_decibels_are_told_or_none(arrays):
    assert position(arrays, "examples").tolist() == [0, 7, 14, 21, 28, 35]
    assert position(arrays | {"examples/index": np.array([3, 4])}, "examples").tolist() == [3, 4]
    assert position(arrays | {"examples/row": np.array([1])}, "examples") is None
    assert range_db(arrays) == 80.0
    assert range_db({}) is None
    component = Preprocessing(scaling=ScalingParams(normalisation="component"), window=WindowParams())
    x = np.zeros((3, 129, 112), np.float32)  # a frame more than a window has
    picture = Picture.of(x, x, component, "")
    assert picture.range_db is None
    assert len(picture.times_s) == 112


def test_a_training_without_history_is_missing_data(tmp_path: Path):
    assert "training_seed" in figures.draw_all({}, {}, {"seed": []}, tmp_path)
    with pytest.raises(MissingData):
        figures.errors({})


@compared
def test_picture_of_rate_and_distortion(arrays):
    return lettered(figures.rate_distortion(arrays))


@compared
def test_picture_of_the_errors(arrays):
    return lettered(figures.errors(arrays))
