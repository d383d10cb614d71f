"""The figures show the numbers they were given, all of them, the same bytes each time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

from earthsignals import figures as house
from earthsignals.figures import saving
from earthsignals.results import MissingData
from earthsignals.tdlas import figures
from earthsignals.tdlas.dataset import generate, open_scans, writing
from earthsignals.tdlas.figures import errors, robustness
from earthsignals.tdlas.figures.methods import METHODS
from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.params import CourseParams, TdlasParams, TrainParams
from earthsignals.tdlas.simulate import PPM
from earthsignals.tdlas.voigt import Gas, absorption_coefficient
from tests.pictures import compared, lettered

SCANS = 600
PARAMS = TdlasParams(
    train=TrainParams(),
    course=CourseParams(),
    dataset={"scans": 128, "chunk_scans": 128, "test_fraction": 0.3},
)
HISTORY = [
    {
        "epoch": e,
        "learning_rate": 1e-3,
        "train_loss": 2.0 - 0.1 * e,
        "validation_loss": 2.1 - 0.1 * e,
    }
    for e in range(3)
]


def made_arrays(repeated: bool = True) -> dict[str, np.ndarray]:
    """An evaluation with known errors: the network's are exactly one bound, others' a multiple of it."""
    truth = np.geomspace(1.0, 50_000.0, SCANS)
    bound = 3.5 * np.hypot(1.0, truth / 8000.0)
    normal = np.random.Generator(np.random.Philox(1)).standard_normal(SCANS)
    sign = np.where(np.arange(SCANS) % 2, 1.0, -1.0)
    arrays = {
        "test/truth_ppm": truth, "test/bound_ppm": bound, "test/error_ppm": bound,
        "test/model_ppm": truth + bound * sign, "test/ridge_ppm": truth + 2 * bound * normal,
        "test/pls_ppm": truth + 3 * bound * sign, "test/course_ppm": truth + 200 * bound * sign,
        "test/least_squares_ppm": np.where(truth > 100, truth + bound * sign, np.nan),
        "bound/ppm": truth[::30], "bound/sigma_ppm": bound[::30],
    }  # fmt: skip
    for level, z in ((68, 1.1), (95, 0.9)):
        arrays[f"test/low_{level}"] = truth + bound * (sign - z)
        arrays[f"test/high_{level}"] = truth + bound * (sign + z)
    if repeated:
        lengths = 2 ** np.arange(8)
        arrays |= {"allan/scans": lengths, "allan/bound_ppm": 3.5 / np.sqrt(lengths)}
        arrays |= {
            "allan/model_ppm": 4.0 / np.sqrt(lengths),
            "allan/ridge_ppm": 8.0 / np.sqrt(lengths),
        }
    return arrays


def made_stress() -> dict[str, dict]:
    """Stress tests as metrics.json holds them: keys sorted by their text."""
    names = [
        "P +1 %", "P -5 %", "T +1 K", "T -5 K", "T 0-10 K outside", "noise x10", "noise x2", "nominal",
        "unseen etalons", "x above range",
    ]  # fmt: skip
    methods = {"model": 1.0, "ridge": 2.5, "pls": 3.0}
    return {
        name: {method: {"all": {"rmse_over_crlb": k + f}} for method, f in methods.items()}
        for k, name in enumerate(names)
    }


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    generate(
        embedded_lines(), PARAMS, folder / "dataset.h5", resume_root=folder / "resume", workers=1
    )
    return folder / "dataset.h5"


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Ten scans of 200 samples with a single upward sweep, as an instrument might give them."""
    nu, t = np.linspace(4384.0, 4385.0, 200), np.linspace(0.0, 0.01, 200)
    state = Gas(296.0, 1.0, 5000 * PPM)
    trace = np.exp(-absorption_coefficient(nu, embedded_lines(), state, PARAMS.gas) * 100.0)
    path = tmp_path / "measured.h5"
    attributes = {"source": "measured", "window": (4384.0, 4385.0), "path_cm": 100.0}
    with writing(
        path, 10, nu, t, dtype="float32", scale=1.0, full_scale=0, attributes=attributes
    ) as file:
        file["I_t"][:] = trace.astype(np.float32)
        file["T"][:], file["P"][:], file["xi"][:], file["split"][:] = 296.0, 1.0, 5000 * PPM, 2
    return path


def draw(path: Path, arrays: dict, metrics: dict, *out: Path) -> dict[str, str]:
    with open_scans(path) as file:
        return figures.draw_all(file, embedded_lines(), PARAMS, arrays, metrics, HISTORY, *out)


def test_every_figure_appears_as_png_and_pdf(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And as SVG with its data in another folder; each passes the checks on the way."""
    monkeypatch.setattr(saving, "put_letters", lettered)
    out = tmp_path / "a", tmp_path / "b"
    assert draw(simulated, made_arrays(), {"stress": made_stress()}, *out) == {}
    for folder, kinds in zip(out, (("png", "pdf"), ("svg", "csv")), strict=True):
        expected = {f"{name}.{kind}" for name in figures.NAMES for kind in kinds}
        assert {path.name for path in folder.iterdir()} == expected
    assert all(path.stat().st_size > 5000 for path in out[0].iterdir())


def test_measured_scans_lack_what_needs_the_simulator(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = set()

    def lay_out(figure, stem: Path, sources: Path | None) -> None:
        lettered(figure)
        drawn.add(stem.name)

    monkeypatch.setattr(saving, "save", lay_out)
    skipped = draw(measured, made_arrays(repeated=False), {}, tmp_path)
    assert set(skipped) == {"stress", "allan"}
    assert "allan/scans" in skipped["allan"] and all(
        "simulated" in text for text in skipped.values()
    )
    assert drawn == set(figures.NAMES) - {"stress", "allan"}


def test_bytes_repeat_in_another_process(simulated: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_figures as t, pathlib; "
        "t.two_figures(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))"
    )
    hashes = []
    for name in ("one", "two"):
        out = tmp_path / name
        here = str(Path(__file__).parent)
        subprocess.run([sys.executable, "-c", code, here, str(simulated), str(out)], check=True)
        hashes.append({p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in out.iterdir()})
    assert hashes[0] == hashes[1] and len(hashes[0]) == 4


def two_figures(path: Path, out: Path) -> None:
    """One with bootstrap intervals and one with a scan of the file."""
    with house.style(), open_scans(path) as file:
        house.save(figures.error_vs_bound(made_arrays()), out / "error_vs_bound")
        house.save(figures.scan(file, embedded_lines(), PARAMS), out / "scan")


def test_error_vs_bound_draws_the_errors_it_was_given() -> None:
    arrays = made_arrays()
    with house.style():
        top, bottom = figures.error_vs_bound(arrays).axes
        np.testing.assert_array_equal(top.get_lines()[0].get_ydata(), arrays["bound/sigma_ppm"])
        drawn = {box.get_label(): box.lines[0].get_ydata() for box in bottom.containers}
        # Errors of exactly one and three bounds have those ratios in every bin.
        np.testing.assert_allclose(drawn["network"], 1.0, rtol=1e-12)
        np.testing.assert_allclose(drawn["least squares"], 1.0, rtol=1e-12)
        np.testing.assert_allclose(drawn["PLS"], 3.0, rtol=1e-12)
        assert len(drawn["least squares"]) < len(drawn["network"])  # it fitted none below 100 ppm
        # 200 bounds would press everyone else to the floor: named in words instead.
        assert "course CNN" not in drawn
        assert [text.get_text() for text in bottom.texts] == [
            "course CNN: 200–200, beyond this axis"
        ]
        assert {box.get_label() for box in top.containers} == {
            look.label for look in METHODS.values()
        }


def test_intervals_hold_the_point_and_shrink_with_scans() -> None:
    generator = np.random.Generator(np.random.Philox(3))
    widths = []
    for count in (100, 10_000):
        ppm, values = np.full(count, 10.0), generator.standard_normal(count)
        centres, rms, low, high = errors.binned_rms(ppm, values, np.array([5.0, 20.0]))
        assert centres == pytest.approx([10.0]) and low <= rms <= high
        widths.append(float(high[0] - low[0]))
    # The RMS of n unit normals scatters by 1/sqrt(2n): 95 % intervals of 0.277 and 0.0277.
    assert widths[0] == pytest.approx(0.277, rel=0.3) and widths[1] == pytest.approx(
        0.0277, rel=0.3
    )
    assert len(errors.binned_rms(np.full(5, 10.0), np.ones(5), np.array([5.0, 20.0]))[0]) == 0


def test_coverage_curve_of_a_perfect_method_is_the_diagonal() -> None:
    nominal = np.array([0.1, 0.5, 0.68, 0.95])
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    ones = np.ones_like(quantiles)
    found = errors.empirical_coverage(quantiles * 2.0, 0.0 * ones, 2.0 * ones, nominal)
    np.testing.assert_allclose(found, nominal, atol=1e-4)
    # Half the true standard error holds as often as a normal variable stays within z/2.
    half = errors.empirical_coverage(quantiles, 0.0 * ones, 0.5 * ones, nominal)
    np.testing.assert_allclose(
        half, 2 * norm.cdf(0.5 * norm.ppf(0.5 + 0.5 * nominal)) - 1, atol=1e-4
    )


def test_coverage_marks_the_intervals_as_given() -> None:
    with house.style():
        left, right = figures.coverage(made_arrays()).axes
        dots = [line for line in left.get_lines() if line.get_marker() == "o"]
        marks = {line.get_xdata()[0]: line.get_ydata()[0] for line in dots}
        # Errors are exactly one bound: 1.1 bounds hold all of them and 0.9 none.
        assert marks == {68: 100.0, 95: 0.0}


def test_stress_rows_are_in_reading_order_and_none_is_lost() -> None:
    rows = [case for _, case in robustness.stress_rows(made_stress() | {"a new test": {}})]
    assert rows == [
        "nominal", "noise x2", "noise x10", "T -5 K", "T +1 K", "P -5 %", "P +1 %", "unseen etalons",
        "T 0-10 K outside", "x above range", "a new test",
    ]  # fmt: skip


def test_stress_draws_each_case_at_its_value() -> None:
    cases = made_stress()
    with house.style():
        axes = figures.stress(cases).axes[0]
        order = [case for _, case in robustness.stress_rows(cases)]
        network = next(line for line in axes.get_lines() if line.get_label() == "network")
        assert list(network.get_xdata()) == [
            cases[c]["model"]["all"]["rmse_over_crlb"] for c in order
        ]
        labels = [text.get_text() for text in axes.get_yticklabels()]
        assert {"noise ×2", "T −5 K", "P +1 %", "χ above range", "T 0–10 K outside"} <= set(labels)


def test_allan_draws_curves_bound_and_seconds() -> None:
    arrays = made_arrays()
    with house.style():
        figure = figures.allan(arrays, 0.1, 10.0, 512)
        axes = figure.axes[0]
        np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), arrays["allan/bound_ppm"])
        drawn = {box.get_label(): box.lines[0].get_ydata() for box in axes.containers}
        np.testing.assert_array_equal(drawn["network"], arrays["allan/model_ppm"])
        figure.draw_without_rendering()
        low, high = axes.child_axes[0].get_xlim()
        assert (low, high) == pytest.approx(tuple(0.1 * v for v in axes.get_xlim()))


def test_scan_shows_the_stored_trace_and_its_direct_absorbance(simulated: Path) -> None:
    with house.style(), open_scans(simulated) as file:
        panels = figures.scan(file, embedded_lines(), PARAMS).axes
        nu, power, absorbance, signal = (panel.get_lines()[0].get_ydata() for panel in panels[:4])
        np.testing.assert_array_equal(nu, file.nu)
        stored = file.read(file.rows("test")).signal.astype(float)
        assert (np.abs(stored - signal).max(axis=1) == 0).sum() == 1
        # Baseline, etalons and noise are a few per cent: Beer's law holds within them.
        np.testing.assert_allclose(signal, power * np.exp(-absorbance), atol=0.2)
        assert np.argmin(nu) in (499, 500) and power.max() == pytest.approx(1.3, abs=1e-3)


def test_scan_needs_a_labelled_test_scan(measured: Path) -> None:
    with h5py.File(measured, "r+") as file:
        file["xi"][:] = np.nan
    with (
        open_scans(measured) as file,
        pytest.raises(MissingData, match="known mole fraction"),
    ):
        figures.scan(file, embedded_lines(), PARAMS)


def test_spectra_follow_beer_and_the_direct_sum() -> None:
    with house.style():
        _, _, panel = figures.spectra(embedded_lines(), PARAMS, (4383.0, 4386.0), 100.0).axes
        lines = {line.get_label(): line for line in panel.get_lines()}
        nu = lines["100 ppm"].get_xdata()
        state = Gas(288.0, 0.95, 100 * PPM)
        direct = absorption_coefficient(nu, embedded_lines(), state, PARAMS.gas) * 100.0
        np.testing.assert_allclose(lines["100 ppm"].get_ydata(), direct, rtol=1e-6)
        # Self-broadening over 1,000 ppm is 0.02 %: ten times the gas absorbs ten times as much.
        np.testing.assert_allclose(lines["1,000 ppm"].get_ydata() / direct, 10.0, rtol=1e-3)


@compared
def test_picture_of_the_errors() -> Figure:
    return lettered(figures.error_vs_bound(made_arrays()))


@compared
def test_picture_of_the_stress_tests() -> Figure:
    return lettered(figures.stress(made_stress()))
