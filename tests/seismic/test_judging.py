"""Judging against closed forms: errors, groups, the floor of speckle, detection, anomalies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from earthsignals.bootstrap import Groups, auc
from earthsignals.seismic.evaluate import evaluate
from earthsignals.seismic.judging import anomalies, groups
from earthsignals.seismic.judging.detection import Trigger, choose_trigger, fit_probe
from earthsignals.seismic.judging.floor import surrogate_floor, twin_floor
from earthsignals.seismic.judging.reconstruction import component_errors
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.record import specs
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store, evenly
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, write_json
from tests.seismic.stand_ins import SMALL, small_models, small_store


# ------------------------------------------------------------------------------- errors and groups
def test_padding_counts_nowhere() -> None:
    x = torch.rand(2, 3, 5, 8)
    wrong = x.clone()
    wrong[:, 0] += 0.1
    wrong[..., 6:] = 7.0
    mask = torch.ones(2, 1, 1, 8)
    mask[..., 6:] = 0
    mse, mae = component_errors(x, wrong, mask)
    assert mse == pytest.approx(np.array([[0.01, 0, 0]] * 2), abs=1e-6)
    assert mae == pytest.approx(np.array([[0.1, 0, 0]] * 2), abs=1e-6)


def test_bins_are_closed_below_and_groups_tell_their_records() -> None:
    values = np.array([5.0, 9.9, 10.0, np.nan, 19.0, 1000.0])
    grouping = groups.by_bins("snr", values)
    assert grouping.edges.tolist() == [5.0, 10.0, 20.0]
    assert grouping.member.tolist() == [0, 0, 1, -1, 1, -1]
    stations = Groups.of(np.array(["a", "b", "a", "b", "a", "b"]), 50, 0, "seismic-bootstrap")
    means = groups.means(grouping, np.array([1.0, 3.0, 5.0, 9.0, 7.0, 9.0]), stations)
    assert means[:, 0].tolist() == [2.0, 6.0]
    told = groups.table(grouping, {"model": means})
    assert told["5..10"]["records"] == 2
    assert told["10..20"]["model"] == 6.0
    assert groups.by_bins("magnitude", np.full(3, np.nan)).names == []
    assert groups.by_name(np.array(["HN", "HH", "HN"])).counts.tolist() == [1, 2]


def test_even_choice_keeps_both_ends() -> None:
    assert evenly(np.arange(100), 5).tolist() == [0, 25, 50, 74, 99]
    assert evenly(np.arange(3), 5).tolist() == [0, 1, 2]


# ---------------------------------------------------------------------------------------------- floor
def noise_store(count: int, samples: int) -> Store:
    import pandas as pd

    generator = np.random.default_rng(5)
    waveforms = generator.standard_normal((count, 3, samples)).astype(np.float32)
    table = pd.DataFrame({"trace_valid_start": [0] * count, "trace_valid_stop": [samples] * count})
    return Store(
        folder=None, waveforms=waveforms, metadata=table, skipped=np.empty(0, np.int64), statistics={},
        sampling_rate_hz=100.0, about={},
    )  # fmt: skip


def test_the_floor_of_white_noise_is_that_of_exponential_powers() -> None:
    """The logarithm of an exponentially distributed power has the variance (10/ln 10)² π²/6 dB² (at zero and
    Nyquist frequency the power has one degree of freedom: π²/2); nothing of it can be told beforehand."""
    params = SeismicParams()
    preprocessing = Preprocessing.from_params(params)
    store = noise_store(6, params.window.samples)
    found = surrogate_floor(store, np.arange(6), preprocessing, seed=1)
    cells = preprocessing.shape[1]
    variance = (10 / np.log(10)) ** 2 * ((cells - 2) * np.pi**2 / 6 + 2 * np.pi**2 / 2) / cells
    assert found.shape == (6, 3)
    assert found.mean() == pytest.approx(variance / params.scaling.range_db**2, rel=0.04)
    # A record's estimate does not depend on the records beside it.
    alone = surrogate_floor(store, np.array([4]), preprocessing, seed=1)
    assert alone[0] == pytest.approx(found[4], rel=1e-5)


def test_surrogates_estimate_the_floor_that_twins_measure() -> None:
    """The estimate for real records is trusted because it meets the truth where there is one."""
    params = SeismicParams()
    chosen = [spec for spec in specs(params) if spec.category == "earthquake"][::500]
    preprocessing = Preprocessing.from_params(params)
    measured, estimated = twin_floor(chosen, params, preprocessing, seed=1)
    assert measured.shape == estimated.shape == (len(chosen), 3)
    assert estimated.mean() == pytest.approx(measured.mean(), rel=0.1)
    assert np.corrcoef(measured.mean(1), estimated.mean(1))[0, 1] > 0.6


# ------------------------------------------------------------------------------------------ detection
def test_the_probe_reaches_the_best_linear_rule() -> None:
    """Two normal clouds at Mahalanobis distance d: no rule has a larger AUC than Φ(d / √2)."""
    generator = np.random.default_rng(0)
    distance, count, size = 1.5, 6000, 10
    scales = np.logspace(-3, 2, size)  # standardisation makes them irrelevant
    label = generator.random(2 * count) < 0.3
    latents = generator.standard_normal((2 * count, size))
    latents[:, 0] += distance * label
    latents = (latents * scales).astype(np.float32)
    half = slice(0, count), slice(count, None)
    probe = fit_probe(latents[half[0]], label[half[0]], latents[half[1]], label[half[1]])
    reached = float(auc(probe.score(latents[half[1]]), label[half[1]]))
    assert reached == pytest.approx(norm.cdf(distance / np.sqrt(2)), abs=0.015)
    assert fit_probe(latents, np.ones(2 * count, bool), latents, label) is None


def step_records() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise; in half of the records it grows threefold on the vertical component after ten seconds."""
    generator = np.random.default_rng(4)
    waveforms = generator.standard_normal((40, 3, 3000)).astype(np.float32)
    label = np.arange(40) < 20
    waveforms[:20, 2, 1000:] *= 3
    return waveforms, np.tile([0, 3000], (40, 1)), label


def test_the_trigger_sees_a_step_and_is_chosen_in_its_favour() -> None:
    waveforms, valid, label = step_records()
    trigger = choose_trigger(waveforms, valid, label, 100.0)
    chosen = float(auc(trigger.score(waveforms, valid, 100.0), label))
    assert chosen >= float(auc(Trigger().score(waveforms, valid, 100.0), label))
    assert chosen == 1.0
    # Power grows ninefold: the ratio comes near to that at the step where windows are long enough.
    score = Trigger(1.0, 8.0, None, "Z").score(waveforms[:20], valid[:20], 100.0)
    assert 4.0 < np.median(score) < 9.0
    dead = waveforms[:1].copy()
    dead[:, :, :] = 0
    assert Trigger().score(dead, valid[:1], 100.0).tolist() == [0.0]
    # Padding is not listened to.
    short = np.array([[0, 900]])
    before = Trigger(1.0, 8.0, None, "Z").score(waveforms[:1], short, 100.0)
    assert before[0] < 2.0


# ------------------------------------------------------------------------------------------ anomalies
def test_distances_and_thresholds_of_a_normal_cloud() -> None:
    """Squared Mahalanobis distances are χ² of L degrees: mean L. A hundredth of new records is flagged."""
    generator = np.random.default_rng(0)
    turned = np.eye(20) + 0.1 * np.triu(generator.standard_normal((20, 20)))
    mixing = np.diag(np.logspace(-3, 1, 20)) @ turned
    draw = lambda count: (generator.standard_normal((count, 20)) @ mixing + 3).astype(np.float32)  # noqa: E731
    reference = anomalies.fit_reference(draw(3000))
    fresh = draw(20_000)
    distance = anomalies.mahalanobis(fresh, reference)
    assert (distance**2).mean() == pytest.approx(20, rel=0.05)
    assert (distance > float(reference["threshold_mahalanobis"])).mean() == pytest.approx(0.01, abs=0.004)
    near = anomalies.knn(fresh[:4000], reference)
    assert (near > float(reference["threshold_knn"])).mean() == pytest.approx(0.01, abs=0.006)
    # Brute force.
    every = np.linalg.norm(fresh[:3, None].astype(float) - reference["latents"].numpy(), axis=2)
    assert near[:3] == pytest.approx(np.sort(every, axis=1)[:, :5].mean(1), rel=1e-5)


def test_faults_are_what_they_are_called() -> None:
    record = np.random.default_rng(1).standard_normal((2, 3, 2000)).astype(np.float32)
    numbers = np.array([3, 8])
    made = {name: anomalies.inject(name, record, numbers, 0) for name in anomalies.FAULTS}
    for name, faulty in made.items():
        assert faulty.shape == record.shape and np.isfinite(faulty).all()
        assert not np.array_equal(faulty, record), name
        # The same in any company.
        assert np.array_equal(anomalies.inject(name, record[1:], numbers[1:], 0), faulty[1:])
    assert np.array_equal(made["reversed_time"], record[:, :, ::-1])
    assert (np.abs(made["dead_component"]).max(2) == 0).sum(1).tolist() == [1, 1]
    assert np.abs(made["clipped"][0]).max() <= 0.25 * np.abs(record[0]).max() + 1e-6
    silent = (made["dropout"] == 0).all(1).mean(1)
    assert (silent >= 0.045).all() and (silent <= 0.155).all()
    assert (made["swapped_components"] == record).all(2).sum(1).tolist() == [1, 1]


def test_amplitudes_do_not_know_polarity() -> None:
    """Why reversed polarity is not among the faults."""
    image = SpectrogramImage(Preprocessing.from_params(SMALL))
    record = torch.from_numpy(small_store().read(np.array([0])))
    assert torch.equal(image.images(record).x, image.images(-record).x)


# ----------------------------------------------------------------------------------------- all together
SETTINGS = Settings(device="cpu", workers=1)


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(small_store(), **small_models(), params=SMALL, settings=SETTINGS)


def test_evaluation_tells_what_it_promises(evaluation, tmp_path) -> None:
    metrics, arrays = evaluation.metrics, evaluation.arrays
    write_json(tmp_path / "metrics.json", metrics)  # finite numbers and plain types alone
    for size in ("4", "8", "16"):
        told = metrics["mse"][size]
        assert {"model", "model_low", "model_high", "pca", "patch_pca", "model_excess"} <= set(told)
        assert told["model_low"] <= told["model"] <= told["model_high"]
        assert told["model_excess"] == pytest.approx(told["model"] - metrics["mse_floor"])
    for key in (
        "mse_floor", "mse_zero", "mse_mean", "denoise_gain_db_at_0", "denoise_correlation_at_0", "auc_latent",
        "auc_sta_lta", "mse_seed", "mae_seed", "mae_zero", "mae_mean",
    ):  # fmt: skip
        assert np.isfinite(metrics[key]), key
    assert metrics["floor_source"] == "twins"
    assert metrics["mse_zero"] > metrics["mse_mean"] > metrics["mse"]["16"]["pca"]
    for name in ("zero", "mean", "means"):
        above = metrics[f"mse_{name}"] - metrics["mse_floor"]
        assert metrics[f"mse_{name}_excess"] == pytest.approx(above)
        # The mean of magnitudes never exceeds the root of the mean of squares.
        assert 0 < metrics[f"mae_joint_{name}"] <= metrics[f"mse_{name}"] ** 0.5
    count = metrics["records"]
    assert arrays["errors/model"].shape == (3, count, 3)
    assert arrays["examples/input"].shape == arrays["examples/size_16"].shape
    assert len(arrays["worst/mse"]) == 3 and (np.diff(arrays["worst/mse"]) <= 0).all()
    assert arrays["denoise/input_snr_db"].tolist() == [-5.0, 0.0, 5.0]
    assert arrays["embedding/latent"].shape == (count, 16)
    assert all(values.dtype.kind in "fiubS" for values in arrays.values())
    # At the size that it was chosen for, a linear network is the principal components it is made of.
    assert metrics["mse"]["16"]["model_minus_pca"] == pytest.approx(0, abs=1e-6)
    # An oracle denoises better than what does not know the truth.
    oracle, model = arrays["denoise/oracle/gain_db"][:, 0], arrays["denoise/model/gain_db"][:, 0]
    assert (oracle > model).all()


def test_groups_add_up_to_the_whole(evaluation) -> None:
    arrays, metrics = evaluation.arrays, evaluation.metrics
    events = arrays["records/is_event"]
    for name in ("kind", "snr", "magnitude", "distance"):
        counts = arrays[f"groups/{name}/count"]
        assert counts.sum() == events.sum(), name
        total = np.nansum(arrays[f"groups/{name}/model"][-1, :, 0] * counts) / counts.sum()
        assert total == pytest.approx(metrics["mse"]["16"]["model"], rel=1e-4)
    assert arrays["groups/component/model"].shape == (3, 3, 3)
    assert arrays["groups/component/model"][-1, :, 0].mean() == pytest.approx(
        metrics["mse"]["16"]["model"], rel=1e-4
    )


def test_evaluation_needs_no_noise_records() -> None:
    found = evaluate(small_store(noise=False), **small_models(), params=SMALL, settings=SETTINGS)
    assert found.metrics["auc_latent"] is None
    assert found.metrics["denoise_gain_db_at_0"] is None
    assert found.metrics["mse"]["16"]["model"] > 0
    assert not any(name.startswith(("detection/", "denoise/")) for name in found.arrays)


def test_what_cannot_be_judged_is_refused_in_a_sentence() -> None:
    from dataclasses import replace

    store = small_store()
    models = small_models()
    elsewhere = replace(store, waveforms=store.waveforms[:, :, :2000])
    with pytest.raises(EarthSignalsError, match=r"bottleneck was trained on windows of 3000 samples"):
        evaluate(elsewhere, **models, params=SMALL, settings=SETTINGS)
    untrained = replace(store, metadata=store.metadata.assign(split="test"))
    with pytest.raises(EarthSignalsError, match=r"training split has 0 earthquakes"):
        evaluate(untrained, **models, params=SMALL, settings=SETTINGS)


def test_thresholds_of_held_out_earthquakes_let_one_in_a_hundred_pass() -> None:
    """Latents of training records lie farther out (here: a tenth) than those of new ones."""
    rng = np.random.default_rng(5)
    training, held_back, new = (rng.normal(size=(4000, 12)) * width for width in (1.1, 1.0, 1.0))
    reference = anomalies.fit_reference(training, held_back)
    for name, distance in (("mahalanobis", anomalies.mahalanobis), ("knn", anomalies.knn)):
        share = (distance(new, reference) > float(reference[f"threshold_{name}"])).mean()
        # 1 % of 4,000 with the scatter of both samples: three standard errors.
        assert abs(share - 0.01) < 0.007, name
