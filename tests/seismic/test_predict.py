"""Trained networks on files of any length: an open mask changes nothing, and nothing is half-written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import obspy
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from obspy import Stream, Trace, UTCDateTime
from torch import Tensor, nn

from earthsignals.seismic.checkpoint import SpectrogramModel
from earthsignals.seismic.judging.anomalies import fit_reference, knn, mahalanobis
from earthsignals.seismic.networks.denoiser import Denoiser
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.seismic.params import FilterParams, ReadingParams, ScalingParams, WindowParams
from earthsignals.seismic.predict import SCORES, denoise, embed, reconstruct, score
from earthsignals.seismic.prediction.gallery import EvenSample
from earthsignals.seismic.prediction.outputs import PLACE
from earthsignals.seismic.prediction.windows import Layout, OverlapAdd, fade_of, in_batches
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.storage import EarthSignalsError

WINDOW = WindowParams(before_p_s=5, after_p_s=15)  # 2000 samples
SHORT = Preprocessing(window=WINDOW)
START = UTCDateTime(2021, 3, 4, 5, 6, 7, 250_000)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("EARTHSIGNALS_DEVICE", "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Open(nn.Module):
    """A mask of ones: all passes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x) * self.weight


class Columns(nn.Module):
    """An autoencoder whose latent is the image's mean over unmasked times; sizes as a bottleneck has them."""

    sizes = (3, 387)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.frames = x.shape[-1]
        mask = torch.ones_like(x) if mask is None else mask
        return ((x * mask).sum(-1) / mask.sum(-1)).flatten(1) * self.weight

    def decode(self, z: Tensor, size: int | None = None) -> Tensor:
        kept = torch.zeros_like(z)
        kept[:, :size] = z[:, :size]
        return kept.view(len(z), 3, -1, 1).expand(-1, -1, -1, self.frames)

    def reconstruct(self, x: Tensor, size: int | None = None) -> Tensor:
        return self.decode(self.encode(x), size)


def model(network: nn.Module, architecture: str, preprocessing: Preprocessing = SHORT, reference=None):
    return SpectrogramModel(
        network.eval(), architecture, preprocessing, reference or {}, {}, "test", None, "0" * 32
    )


def record(samples: int, seed: int = 0) -> np.ndarray:
    """(3, samples) of noise with an event in the middle; no mean, no trend (float64)."""
    rng = np.random.default_rng(seed)
    waveform = rng.normal(0, 50, (3, samples))
    at = samples // 2
    length = min(600, samples - at)
    waveform[:, at : at + length] += rng.normal(0, 4000, (3, length)) * np.exp(-np.arange(length) / 150)
    return waveform


def write(
    path: Path, waveform: np.ndarray, *, station="ABC", codes="ENZ", kind="HH", rate=100.0, start=START
):
    path.parent.mkdir(parents=True, exist_ok=True)
    traces = [
        Trace(
            np.asarray(row, np.float32),
            {"network": "XX", "station": station, "location": "00", "channel": kind + code,
             "sampling_rate": rate, "starttime": start},
        )
        for row, code in zip(waveform, codes, strict=True)
    ]  # fmt: skip
    Stream(traces).write(str(path), format="MSEED")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------------ windows
@pytest.mark.parametrize("length", [300, 1999, 2000, 2001, 2016, 2017, 3000, 4000, 9173])
@pytest.mark.parametrize("overlap", [True, False])
def test_windows_cover_every_sample_and_end_with_the_record(length, overlap):
    layout = Layout.of(length, SHORT, overlap=overlap)
    covered = np.zeros(length, int)
    for start in layout.starts:
        covered[start : start + layout.width] += 1
    assert covered.min() >= 1
    assert layout.starts[0] == 0
    assert layout.starts[-1] + layout.width == max(length, 2000)
    assert (np.diff(layout.starts) > 0).all()


def test_a_sample_more_than_the_window_is_no_second_window():
    """7001 samples are what files of 70 s at 100 Hz hold; 7040 still give the transform's 111 frames."""
    preprocessing = Preprocessing()
    assert preprocessing.shape == (3, 129, 111)
    for length in (7000, 7001, 7040):
        assert Layout.of(length, preprocessing, overlap=True).starts.tolist() == [0]
    assert Layout.of(7041, preprocessing, overlap=True).starts.tolist() == [0, 41]


@pytest.mark.parametrize("length", [2000, 2011, 5555, 9000])
def test_overlap_add_of_untouched_windows_is_the_record(length):
    layout = Layout.of(length, SHORT, overlap=True)
    waveform = record(length).astype(np.float32)
    adding = OverlapAdd(layout)
    done = [adding.add(s, waveform[:, s : s + layout.width]) for s in layout.starts.tolist()[::-1]]
    assert done == [False] * (len(done) - 1) + [True]
    np.testing.assert_allclose(adding.waveform, waveform, rtol=0, atol=2e-7 * np.abs(waveform).max())


def test_the_seam_between_two_windows_that_disagree_is_smooth():
    """One window says 0, the next 1: the fade moves by at most its steepest slope, π / W, per sample."""
    layout = Layout.of(3000, SHORT, overlap=True)
    adding = OverlapAdd(layout)
    for number, start in enumerate(layout.starts.tolist()):
        adding.add(start, np.full((3, layout.width), float(number), np.float32))
    steps = np.abs(np.diff(adding.waveform[0]))
    assert len(layout.starts) == 2
    assert steps.max() < 1.01 * np.pi / 1000  # both fades share the 1000 samples of the overlap
    assert fade_of(2000).min() > 0


def test_batches_span_records_but_never_mix_lengths():
    from earthsignals.seismic.prediction.windows import Piece

    pieces = [Piece(None, k, np.zeros((3, w), np.float32), (0, w)) for k, w in enumerate([5, 5, 5, 7, 5])]
    assert [[p.start for p in batch] for batch in in_batches(pieces, 2)] == [[0, 1], [2], [3], [4]]


def test_an_even_sample_spans_a_stream_of_any_length():
    for count, length in ((3, 2), (3, 3), (4, 1000), (1, 77)):
        sample = EvenSample(count)
        for item in range(length):
            sample.add(item) if sample.wants() else sample.skip()
        chosen = sample.chosen()
        assert len(chosen) == min(count, length)
        assert chosen == sorted(set(chosen))
        if count > 1:
            assert chosen[0] == 0
            assert chosen[-1] >= length - 1 - length / count


# ------------------------------------------------------------------------------------------ denoise
def test_an_open_mask_returns_the_waveform_with_ids_time_and_length(tmp_path):
    """With a mask of ones only each window's own trend may be missing: joined windows are the input."""
    waveform = record(6789)
    source = write(tmp_path / "in" / "day.mseed", waveform, codes="ZEN", kind="EH")
    said = denoise(source, model(Open(), "denoiser"), tmp_path / "out")
    assert said == f"{tmp_path / 'out'}: 1 files with 1 records denoised"
    found = obspy.read(tmp_path / "out" / "day_denoised.mseed", format="MSEED")
    given = obspy.read(source, format="MSEED")
    assert (
        sorted(t.id for t in found)
        == sorted(t.id for t in given)
        == ["XX.ABC.00.EHE", "XX.ABC.00.EHN", "XX.ABC.00.EHZ"]
    )
    for trace in given:
        (same,) = found.select(id=trace.id)
        assert same.stats.starttime == trace.stats.starttime == START
        assert (same.stats.npts, same.stats.sampling_rate) == (6789, 100.0)
        assert same.data.dtype == np.float32 and same.stats.mseed.encoding == "FLOAT32"
        lost = same.data - trace.data
        # The event's energy, 4000² · 150 / 2, spread over a window's 2000 samples, is its mean: 17 or so.
        assert lost.std() < 25
        assert np.abs(np.diff(lost)).max() < 1.0  # and no step at any seam, where noise moves by 70


def test_batches_do_not_change_results(tmp_path):
    torch.manual_seed(0)
    network = Denoiser(4)
    folder = tmp_path / "in"
    write(folder / "a.mseed", record(6100, 1))
    write(folder / "b.mseed", record(2001, 2), station="DEF")
    found = []
    for size in (1, 3, 32):
        denoise(folder, model(network, "denoiser"), tmp_path / str(size), batch_size=size)
        read = obspy.read(tmp_path / str(size) / "a_denoised.mseed") + obspy.read(
            tmp_path / str(size) / "b_denoised.mseed"
        )
        found.append(np.concatenate([t.data for t in read.sort()]))
    assert np.abs(found[0]).max() > 0
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-5 * np.abs(found[0]).max())


def test_stations_and_interrupted_records_keep_their_own_traces(tmp_path):
    """Two stations and a break of 30 s in one file: three records, each at its own time."""
    path = tmp_path / "in" / "mixed.mseed"
    parts = Stream()
    for station, shift, seed in (("AAA", 0, 1), ("AAA", 60, 2), ("BBB", 5, 3)):
        piece = write(tmp_path / "piece.mseed", record(3000, seed), station=station, start=START + shift)
        parts += obspy.read(piece)
    path.parent.mkdir()
    parts.write(str(path), format="MSEED")
    denoise(path, model(Open(), "denoiser"), tmp_path / "out")
    found = obspy.read(tmp_path / "out" / "mixed_denoised.mseed")
    assert len(found) == 9
    starts = {(t.stats.station, t.stats.starttime - START) for t in found}
    assert starts == {("AAA", 0.0), ("AAA", 60.0), ("BBB", 5.0)}


def test_another_rate_comes_back_at_its_own(tmp_path):
    """A 5 Hz wave at 250 Hz passes the model's 100 Hz and back; away from the ends to a thousandth."""
    time = np.arange(12_345) / 250
    wave = 1000 * np.sin(2 * np.pi * 5 * time)
    source = write(tmp_path / "fast.mseed", np.stack([wave, -wave, 0.5 * wave]), rate=250.0)
    denoise(source, model(Open(), "denoiser"), tmp_path / "out")
    found = obspy.read(tmp_path / "out" / "fast_denoised.mseed")
    (east,) = found.select(channel="HHE")
    assert (east.stats.npts, east.stats.sampling_rate) == (12_345, 250.0)
    middle = slice(500, -500)
    assert (
        np.abs(east.data[middle] - wave[middle]).max() < 20
    )  # slope of 100 periods of a sine: 6 / 100 π of it


def test_folders_keep_their_layout_and_equal_names_do_not_collide(tmp_path):
    folder = tmp_path / "in"
    write(folder / "HH" / "ev1_ABC_HH.mseed", record(2000))
    write(folder / "HN" / "ev1_ABC_HN.mseed", record(2000), kind="HN")
    single = write(tmp_path / "ev1_ABC_HH.mseed", record(2000))
    twin = write(tmp_path / "more" / "ev1_ABC_HH.mseed", record(2000))
    denoise([folder, single, twin], model(Open(), "denoiser"), tmp_path / "out")
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.mseed"))
    assert names == [
        "HH/ev1_ABC_HH_denoised.mseed", "HN/ev1_ABC_HN_denoised.mseed", "ev1_ABC_HH_2_denoised.mseed",
        "ev1_ABC_HH_denoised.mseed",
    ]  # fmt: skip


def test_a_bad_file_is_reported_and_stops_nothing(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "good.mseed", record(2500))
    (folder / "empty.mseed").touch()
    (folder / "text.mseed").write_text("no waveform at all\n" * 40)
    said = denoise(folder, model(Open(), "denoiser"), out)
    assert "1 files with 1 records denoised; 2 refused (1 empty, 1 unknown-format)" in said
    assert [row["reason"] for row in rows_of(out / "refused.csv")] == ["empty", "unknown-format"]
    (folder / "empty.mseed").unlink()
    (folder / "text.mseed").unlink()
    denoise(folder, model(Open(), "denoiser"), out)
    assert not (out / "refused.csv").exists()


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    (tmp_path / "a.mseed").touch()
    with pytest.raises(EarthSignalsError, match="a.mseed: is empty"):
        score(tmp_path / "a.mseed", scored(), tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()
    with pytest.raises(EarthSignalsError, match="does not exist"):
        embed(tmp_path / "absent", model(Columns(), "bottleneck"), tmp_path / "e.parquet")
    with pytest.raises(EarthSignalsError, match="no input was given"):
        embed([], model(Columns(), "bottleneck"), tmp_path / "e.parquet")


def test_results_among_the_inputs_are_refused(tmp_path):
    write(tmp_path / "a.mseed", record(2000))
    with pytest.raises(EarthSignalsError, match="choose another folder"):
        denoise(tmp_path, model(Open(), "denoiser"), tmp_path / "clean")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mseed"]


def test_results_that_are_no_numbers_are_not_written(tmp_path):
    network = Open()
    with torch.no_grad():
        network.weight.fill_(float("nan"))
    with pytest.raises(EarthSignalsError, match="no finite numbers"):
        denoise(write(tmp_path / "a.mseed", record(2000)), model(network, "denoiser"), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize("run", [denoise, score])
def test_a_model_of_another_kind_is_refused(tmp_path, run):
    source = write(tmp_path / "a.mseed", record(2000))
    with pytest.raises(EarthSignalsError, match="holds a seed network, expected"):
        run(source, model(SeedAutoencoder(), "seed"), tmp_path / "out")


# -------------------------------------------------------------------------------------- reconstruct
def test_reconstruction_writes_waveforms_errors_and_pictures(tmp_path):
    source = write(tmp_path / "a.mseed", record(5000))
    network = model(Columns(), "bottleneck")
    said = reconstruct(source, network, tmp_path / "out", num_samples=2)
    assert "4 windows, mean MSE" in said and "2 pictures" in said
    rows = rows_of(tmp_path / "out" / "reconstruction.csv")
    assert [row["start"] for row in rows] == [str(START + s) for s in (0, 10, 20, 30)]
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == [
        "a_reconstructed.mseed", "reconstruction.csv", "reconstruction_000.png", "reconstruction_001.png",
    ]  # fmt: skip
    # An image replaced by its mean over time errs by its variance over time: less than that of all cells.
    errors = np.array([[float(row[f"mse_{c}"]) for c in "ENZ"] for row in rows])
    assert ((errors > 1e-4) & (errors < 0.25)).all()
    absolute = np.array([[float(row[f"mae_{c}"]) for c in "ENZ"] for row in rows])
    assert (absolute**2 <= errors + 1e-9).all()  # Jensen
    few = reconstruct(source, network, tmp_path / "few", size=3)
    assert float(few.split("MSE ")[1]) > float(said.split("MSE ")[1].split(",")[0])


@pytest.mark.parametrize("size", [0, 40, 388])
def test_a_size_that_was_not_trained_is_refused(tmp_path, size):
    source = write(tmp_path / "a.mseed", record(2000))
    with pytest.raises(EarthSignalsError, match="none of 3, 387, for which"):
        reconstruct(source, model(Columns(), "bottleneck"), tmp_path, size=size)


def test_the_plain_autoencoder_is_served_as_well(tmp_path):
    torch.manual_seed(0)
    prep = Preprocessing(window=WINDOW, scaling=ScalingParams(normalisation="component"))
    source = write(tmp_path / "a.mseed", record(2000))
    network = model(SeedAutoencoder(), "seed", prep)
    assert "1 windows" in reconstruct(source, network, tmp_path / "out", num_samples=1)
    embed(source, network, tmp_path / "e.parquet")
    (latent,) = pd.read_parquet(tmp_path / "e.parquet")["latent"]
    assert len(latent) == SeedAutoencoder.latent_numbers(prep.shape)
    with pytest.raises(EarthSignalsError, match="leave --size away"):
        reconstruct(source, network, tmp_path / "out", size=32)


# ------------------------------------------------------------------------------------ score and embed
def scored() -> SpectrogramModel:
    rng = np.random.default_rng(3)
    return model(Columns(), "bottleneck", reference=fit_reference(rng.uniform(0.4, 0.6, (500, 387))))


def test_scores_are_those_of_the_embedding_and_flags_follow_the_thresholds(tmp_path):
    folder = tmp_path / "in"
    write(folder / "a.mseed", record(5000, 1))
    short = record(2000, 2)
    short[:, 1500:] = short[:, 1499:1500]  # padded with a constant
    write(folder / "b.mseed", short, station="DEF")
    network = scored()
    said = score(folder, network, tmp_path / "scores.csv")
    rows = rows_of(tmp_path / "scores.csv")
    flagged = sum(bool(row["flag"]) for row in rows)
    assert said == f"{tmp_path / 'scores.csv'}: 4 windows of 2 records, {flagged} flagged"
    assert flagged
    assert tuple(rows[0]) == PLACE + SCORES
    seconds = [float(row["seconds"]) for row in rows]  # the last one is padded, and masked
    assert seconds == pytest.approx([20, 20, 20, 15], abs=0.02)
    assert [row["start"] for row in rows[:3]] == [str(START + s) for s in (0, 20, 30)]
    embed(folder, network, tmp_path / "e.parquet", clusters=2)
    latents = np.stack(pd.read_parquet(tmp_path / "e.parquet")["latent"])
    assert latents.dtype == np.float32 and latents.shape == (4, 387)
    for name, far in (("mahalanobis", mahalanobis), ("knn", knn)):
        np.testing.assert_allclose([float(r[name]) for r in rows], far(latents, network.reference), rtol=1e-4)
    for row in rows:
        over = [
            n for n in ("mahalanobis", "knn") if float(row[n]) > float(network.reference[f"threshold_{n}"])
        ]
        assert row["flag"] == "+".join(over)


def test_padding_does_not_reach_the_latent(tmp_path):
    """15 s padded with a constant to 20 s, or not padded: the network is told which frames were measured."""
    short = record(2000, 2)
    short[:, 1500:] = short[:, 1499:1500]
    network = model(Columns(), "bottleneck")
    latents = []
    for name, waveform in (("padded", short), ("cut", short[:, :1500])):
        source = write(tmp_path / f"{name}.mseed", waveform)
        embed(source, network, tmp_path / "e.parquet", reading=ReadingParams(minimum_s=10))
        latents.append(pd.read_parquet(tmp_path / "e.parquet")["latent"][0])
    np.testing.assert_allclose(latents[0], latents[1], atol=0.01)  # a sample more or less at the end


def test_a_model_without_training_latents_cannot_score(tmp_path):
    with pytest.raises(EarthSignalsError, match="carries no latents"):
        score(write(tmp_path / "a.mseed", record(2000)), model(Columns(), "bottleneck"), tmp_path / "s.csv")


def test_embeddings_carry_their_place_model_and_map(tmp_path):
    folder = tmp_path / "in"
    for number in range(12):
        write(folder / "HH" / f"ev{number:02d}_ABC_HH.mseed", record(2000, number))
    embed(folder, model(Columns(), "bottleneck"), tmp_path / "e.parquet", clusters=3)
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert list(table["event"]) == [f"ev{n:02d}" for n in range(12)]
    assert set(table["kind"]) == {"HH"}
    assert sorted(set(table["cluster"])) == [0, 1, 2]
    assert np.isfinite(table[["map_1", "map_2"]].to_numpy()).all()
    about = pq.read_schema(tmp_path / "e.parquet").metadata
    assert (about[b"model"], about[b"map"]) == (b"test", b"t-SNE")


def test_the_models_filter_is_applied_to_windows(tmp_path):
    """20 Hz outside of a band of 1-5 Hz: nothing is left of it."""
    wave = 1000 * np.sin(2 * np.pi * 20 * np.arange(3000) / 100)
    source = write(tmp_path / "a.mseed", np.stack([wave] * 3))
    narrow = Preprocessing(window=WINDOW, filter=FilterParams(low_hz=1, high_hz=5))
    denoise(source, model(Open(), "denoiser", narrow), tmp_path / "out")
    (east,) = obspy.read(tmp_path / "out" / "a_denoised.mseed").select(channel="HHE")
    assert np.abs(east.data[300:-300]).max() < 5  # of 1000; what is left rings from the ends


# ------------------------------------------------------------------------------------------ real data
def test_half_an_hour_of_real_noise_and_real_records(tmp_path, real_data):
    noise = next((real_data / "seismic" / "noise_mseed").iterdir())
    denoise(noise, model(Open(), "denoiser", Preprocessing()), tmp_path / "noise")
    (made,) = (tmp_path / "noise").glob("*.mseed")
    given, found = obspy.read(noise).sort(), obspy.read(made).sort()
    assert [(t.id, t.stats.npts, t.stats.starttime) for t in found] == [
        (t.id, t.stats.npts, t.stats.starttime) for t in given
    ]
    for a, b in zip(given, found, strict=True):  # only what is slower than a window is missing
        both = Stream([Trace(trace.data.astype(float), {"delta": 0.01}) for trace in (a, b)])
        high, same = both.filter("highpass", freq=0.1)
        assert np.corrcoef(high.data, same.data)[0, 1] > 0.999
    records = real_data / "seismic" / "mseed_3c" / "HN"
    embed(records, model(Columns(), "bottleneck", Preprocessing()), tmp_path / "e.parquet")
    table = pd.read_parquet(tmp_path / "e.parquet")
    files = {Path(name).name for name in table["file"]}
    assert len(table) == len(files)  # 7001 samples are one window each
    assert set(table["kind"]) == {"HN"}
